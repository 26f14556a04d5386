"""Count the frames a second of the page in ``examples/browser``, in Chromium with its camera of a test pattern (640 x 480, 60 a
second).

``npm ci && npm run build`` comes first. The camera, resizing, the network and drawing are all in the time.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machine import plot, record_name, setting, write_record

PAGE = Path(__file__).resolve().parent.parent / "examples" / "browser" / "dist"
FLAGS = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream=fps=60"]


class _Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}  # noqa: RUF012  # as the class above declares it

    def end_headers(self) -> None:
        """Send what lets the page use threads."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


@contextmanager
def served() -> Iterator[str]:
    """Yield the page's address on loopback."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=str(PAGE))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/?engine=wasm"
        server.shutdown()


def measured(page: Any, size: str, seconds: float) -> dict[str, Any]:
    """Return the frames a second of one size, read once a second after the first two."""
    page.select_option("#size", size)
    page.click("#camera")
    page.wait_for_selector("#status:has-text('frames a second')")
    time.sleep(2)
    rates = []
    for _ in range(round(seconds)):
        time.sleep(1)
        rates.append(float(page.get_attribute("#frame", "data-rate")))
    canvas = page.evaluate("[document.getElementById('after').width, document.getElementById('after').height]")
    page.click("#camera")
    page.wait_for_selector("#status:has-text('Stopped')")
    return {"size": size, "pixels": canvas, "frames_per_second": rates, "median": sorted(rates)[len(rates) // 2]}


def main() -> None:
    """Measure, and write a record and a plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=["256", "384"])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--output", type=Path, default=Path("out/benchmarks"))
    arguments = parser.parse_args()
    if not PAGE.is_dir():
        parser.error("build the page first: npm ci && npm run build in examples/browser")
    chromium = shutil.which("chromium")
    if chromium is None:
        parser.error("chromium is not there: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with served() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_context(permissions=["camera"]).new_page()
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        engine = page.inner_text("#engine")
        rows = [measured(page, size, arguments.seconds) for size in arguments.sizes]
        browser.close()
    record = {**setting(arguments), "engine": engine, "results": rows}
    name = record_name("browser")
    write_record(record, arguments.output, name)
    for row in rows:
        print(f"{row['pixels'][0]} x {row['pixels'][1]}: {row['median']:.1f} frames a second ({engine})")
    with plot(arguments.output / f"{name}.png", xlabel="longest side", ylabel="frames a second") as axes:
        axes.plot([int(row["size"]) for row in rows], [row["median"] for row in rows], "o-")


if __name__ == "__main__":
    main()
