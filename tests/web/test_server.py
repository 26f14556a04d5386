"""``stylenet web`` without a browser: its token, its end, and what requests may not name."""

from __future__ import annotations

import http.cookiejar
import http.server
import json
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from page_kit import chromium
from web_kit import PHOTO, begin_search, ready, serving

pytest.importorskip("gradio", reason="the page needs gradio: pip install 'stylenet[web]'")


def test_token() -> None:
    """Another host than this machine's own makes up a token, without which there is no page."""
    with serving("--host", "0.0.0.0") as (address, _):
        assert re.fullmatch(r"http://0\.0\.0\.0:\d+/\?token=[\w-]{32}", address)
        here = address.replace("0.0.0.0", "127.0.0.1")
        jar = http.cookiejar.CookieJar()
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        with pytest.raises(urllib.error.HTTPError, match="401"):
            opener.open(here.split("?")[0])
        assert opener.open(here).status == 200
        assert opener.open(here.split("?")[0]).status == 200  # by the cookie


def ask(address: str, path: str, body: Any = None) -> tuple[int, bytes]:
    """Return the status and the body of an answer; a body that is asked for is sent as JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def answer_of(address: str, event: dict[str, Any], value: Any) -> str:
    """Return what comes of an event of the page whose every part has this value, by the queue or without it."""
    body = {"data": [value] * len(event["inputs"]), "fn_index": event["id"], "session_hash": "abc", "event_data": {"index": 0}}
    if not event["queue"]:
        return ask(address, "gradio_api/run/predict", body)[1].decode()
    status, told = ask(address, "gradio_api/queue/join", body)
    assert status == 200, told
    with urllib.request.urlopen(address + "gradio_api/queue/data?session_hash=abc", timeout=60) as stream:
        for line in stream:
            if b"process_completed" in line:
                return str(line.decode())
    raise AssertionError("the event has no end")


@contextmanager
def counting() -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a web server, and the requests that it gets."""
    requests: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_error(404)

        def log_message(self, *words: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/picture.png", requests
        server.shutdown()


def test_requests_name_no_file_and_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every event of the page is sent a file of this machine, and an address, as what was "uploaded": neither is read."""
    secret = tmp_path / "secret.png"
    secret.write_bytes(PHOTO.read_bytes())
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setenv("TMPDIR", str(own))
    with serving() as (address, _), counting() as (elsewhere, requests):
        events = json.loads(ask(address, "config")[1])["dependencies"]
        tried = 0
        for event in events:
            if not event["inputs"] or not event["backend_fn"]:
                continue
            for path in (str(secret), elsewhere):
                told = answer_of(address, event, {"path": path, "meta": {"_type": "gradio.FileData"}})
                assert '"success":true' not in told.replace(" ", "")
                tried += 1
        assert tried >= 20
        assert not requests
        copies = [file for file in own.rglob("*") if file.is_file() and file.stat().st_size == secret.stat().st_size]
        assert not copies
        for path in (f"gradio_api/file={secret}", "gradio_api/file=/etc/passwd", f"gradio_api/file={own}/../secret.png"):
            assert ask(address, path)[0] in (403, 404), path
        assert b"<!doctype html>" in ask(address, "live/..%2f..%2fserver.py")[1]


@pytest.mark.browser
def test_terminated_in_mid_job(tmp_path: Path) -> None:
    """A job goes on when its page is closed; SIGTERM ends the server and the job, and nothing is left behind."""

    def jobs() -> bytes:
        return subprocess.run(["pgrep", "-f", f"stylenet optimize {tmp_path}"], capture_output=True, check=False).stdout

    with chromium() as browser, serving(temporary=tmp_path) as (address, process):
        context = browser.new_context()
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.goto(address)
        ready(page, "Optimize")
        begin_search(page)
        context.close()
        time.sleep(1)
        assert jobs()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
    assert not jobs()
    assert not list(tmp_path.iterdir())
