"""Chromium for the tests of pages: found or skipped with a reason, every request noted, pages served on loopback."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

# As packages of distributions name it.
CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)

# Chromium's own sandbox does not start for root, as which containers run; the camera is Chromium's test pattern.
_FLAGS = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream=fps=60"]


@contextmanager
def chromium(*flags: str) -> Iterator[Any]:
    """Yield a headless browser of Playwright's; skip the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the tests of pages need playwright")
    if CHROMIUM is None:
        pytest.skip("the tests of pages need chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=[*_FLAGS, *flags])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, address: str, **options: Any) -> Iterator[Any]:
    """Yield a page at an address; afterwards fail for an error in it, or a request to anybody but its server."""
    context = browser.new_context(accept_downloads=True, **options)
    page = context.new_page()
    requests: list[str] = []
    errors: list[str] = []
    context.on("request", lambda request: requests.append(request.url))
    page.on("websocket", lambda socket: requests.append(socket.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.set_default_timeout(120_000)
    page.goto(address)
    try:
        yield page
    finally:
        context.close()
    assert requests
    elsewhere = [url for url in requests if not url.startswith(("blob:", "data:")) and _host(url) != _host(address)]
    assert not elsewhere
    assert not errors


def _host(url: str) -> str:
    return urlsplit(url).netloc


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Any web host; prints nothing."""

    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}  # noqa: RUF012  # as the class above declares it

    def log_message(self, *words: Any) -> None:
        pass


class _Isolating(_Handler):
    """Sends the two headers that let a page use threads."""

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()


@contextmanager
def served(folder: Path, isolating: bool = True) -> Iterator[str]:
    """Yield the address of a web server for a folder, on loopback."""
    handler = functools.partial(_Isolating if isolating else _Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def serious_faults(page: Any, axe: Path) -> list[str]:
    """Return what axe-core finds on a page that is serious or critical, as lines of rule and element."""
    page.evaluate(axe.read_text())
    found = page.evaluate("axe.run()")["violations"]
    serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
    return [f"{fault['id']}: {node['html'][:120]}" for fault in serious for node in fault["nodes"]]
