"""A real S3 server on loopback (moto's), and a proxy before it that fails as networks and busy stores do."""

from __future__ import annotations

import http.client
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        return int(opened.getsockname()[1])


class Store:
    """A running server, and the faults of the way to it.

    Attributes:
        url: of the proxy, which is what the code under test talks to.
        share: share of the requests that fail.
        kinds: how they fail: ``busy`` (refused with 503), ``cut`` (no answer), ``half`` (an answer that breaks off).
        stalls: how many of the next requests are never answered.
        requests: methods of all requests so far, counted.
        granted: method and path of all requests so far that the server has carried out, counted.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.share, self.stalls, self.kinds = 0.0, 0, ["busy", "cut", "half"]
        self.requests, self.faults, self.granted = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
        self.counting = threading.Lock()
        self.random = random.Random(0)
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self.server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.proxy = _Proxy(("127.0.0.1", 0), _Handler)
        self.proxy.store = self
        self.url = f"http://127.0.0.1:{self.proxy.server_address[1]}"
        threading.Thread(target=self.proxy.serve_forever, daemon=True).start()
        self._wait()

    def _wait(self) -> None:
        for _ in range(300):
            if self.server.poll() is not None:
                raise RuntimeError("moto's server has ended")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise RuntimeError("moto's server does not listen")

    def check_credentials(self, wanted: bool) -> None:
        """Let moto check signatures and permissions from now on, or never."""
        address, headers = f"http://127.0.0.1:{self.port}/moto-api/reset-auth", {"Content-Type": "text/plain"}
        request = urllib.request.Request(address, b"0" if wanted else b"inf", headers)
        urllib.request.urlopen(request, timeout=10).close()

    def healthy(self) -> None:
        """Let the way be without faults, and the counts begin anew."""
        self.share, self.stalls, self.kinds = 0.0, 0, ["busy", "cut", "half"]
        for counts in (self.requests, self.faults, self.granted):
            counts.clear()

    def repeated(self, method: str, folder: str) -> int:
        """Return how many requests for photos below a folder came after another one for the same photo."""
        root = f"/{folder.removeprefix('s3://')}/"
        with self.counting:
            found = [path for kind, path in self.granted if kind == method]
            counts = [self.granted[method, path] for path in found if path.startswith(root) and path.endswith(".png")]
        assert counts
        return sum(counts) - len(counts)

    def stop(self) -> None:
        """End both."""
        self.proxy.shutdown()
        self.proxy.server_close()
        self.server.kill()
        self.server.wait()


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True
    store: Store

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Proxy

    def _pass_on(self) -> None:
        store = self.server.store
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        store.requests[self.command] += 1
        fault = self._fault()
        store.faults[fault] += bool(fault)
        if fault == "stall":
            time.sleep(60)
        if fault in ("stall", "cut"):
            self.close_connection = True
            return
        if fault == "busy":
            self._answer(503, {}, b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")
            return
        upstream = http.client.HTTPConnection("127.0.0.1", store.port, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        upstream.request(self.command, self.path, body, headers)
        answer = upstream.getresponse()
        content = answer.read()
        if answer.status < 300:
            with store.counting:
                store.granted[self.command, self.path.partition("?")[0]] += 1
        self._answer(answer.status, dict(answer.getheaders()), content, half=fault == "half")
        upstream.close()

    def _fault(self) -> str:
        store = self.server.store
        if store.stalls > 0:
            store.stalls -= 1
            return "stall"
        if store.random.random() >= store.share:
            return ""
        return store.random.choice(store.kinds)

    def _answer(self, status: int, headers: dict[str, str], content: bytes, half: bool = False) -> None:
        self.send_response(status)
        hop = ("connection", "transfer-encoding", "content-length", "server", "date")
        for name, value in headers.items():
            if name.lower() not in hop:
                self.send_header(name, value)
        length = headers.get("Content-Length", str(len(content))) if self.command == "HEAD" else str(len(content))
        if status not in (204, 304):
            self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if half else content)
        if half:
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on  # noqa: N815 (names of http.server)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


# --- fixtures: tests/conftest.py makes them known ---------------------------------------------------------------------


@pytest.fixture(scope="session")
def server() -> Iterator[Store]:
    """A server that all tests share; it takes two seconds to start."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    store = Store()
    yield store
    store.stop()


@pytest.fixture
def store(server: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The server without faults, with the environment of this process and its children set to it."""
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": server.url}.items():
        monkeypatch.setenv(name, value)
    server.healthy()
    return server


@pytest.fixture
def bucket(store: Store) -> str:
    """The address of a new bucket."""
    name = f"b{uuid.uuid4().hex[:12]}"
    import fsspec

    fsspec.filesystem("s3").mkdir(name)
    return f"s3://{name}"


@pytest.fixture
def refusing(bucket: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The server while it checks credentials, and knows none of ours."""
    import fsspec

    store.check_credentials(True)
    fsspec.filesystem("s3").clear_instance_cache()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "unknown")
    yield store
    store.check_credentials(False)
