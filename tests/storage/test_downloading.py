"""Downloads against a server of our own: what goes well, and every phase in which a server can be slow, endless or wrong."""

from __future__ import annotations

import http.server
import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import noise
from PIL import Image

from stylenet import storage
from stylenet.errors import InputError
from stylenet.images import fetching
from stylenet.images.picture import read_image
from stylenet.network.styles import load_style
from stylenet.optimization.rendering import optimize
from stylenet.storage import downloading, stores
from stylenet.storage.archives import member_place
from stylenet.storage.reading import read_lines
from stylenet.training.checkpoints import read_checkpoint
from stylenet.training.photos import Photo, Unreadable, find_photos, open_photo

# --- answers of a well-behaved server ----------------------------------------------------------------------------------

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


def redirect(where: str) -> Answer:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", where)
        request.end_headers()

    return answer


def body(content: bytes, pause: float = 0, claimed: int | None = None) -> Answer:
    """A body byte by byte where there is a pause, and possibly shorter than is claimed."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(claimed or len(content)))
        request.end_headers()
        for part in [content[i : i + 1] for i in range(len(content))] if pause else [content]:
            request.wfile.write(part)
            time.sleep(pause)

    return answer


def cut_chunk(request: http.server.BaseHTTPRequestHandler) -> None:
    """A chunk of 5 bytes, of which 2 come."""
    request.send_response(200)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    request.wfile.write(b"5\r\nab")


def ranged(content: bytes) -> Answer:
    """A body of which parts can be asked for."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        if found is None:
            return body(content)(request)
        start, end = int(found[1]), min(int(found[2]) + 1, len(content))
        ASKED[request.path] += 1
        request.send_response(206 if start < end else 416)
        request.send_header("Content-Range", f"bytes {f'{start}-{end - 1}' if start < end else '*'}/{len(content)}")
        request.send_header("Content-Length", str(max(end - start, 0)))
        request.end_headers()
        request.wfile.write(content[start:end])
        return None

    return answer


def busy(request: http.server.BaseHTTPRequestHandler) -> None:
    """A server that is busy when it is asked for the first two times."""
    ASKED[request.path] += 1
    if ASKED[request.path] < 3:
        request.send_error(503, "Slow Down")
    else:
        body(b"hello")(request)


def zipped() -> bytes:
    """An archive of two photos, and of megabytes beside them."""
    written, photo = io.BytesIO(), io.BytesIO()
    Image.fromarray(noise(32, 32, 0)).save(photo, "PNG")
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("a.png", photo.getvalue())
        archive.writestr("large.bin", bytes(5 << 20))
        archive.writestr("b.png", photo.getvalue())
    return written.getvalue()


ASKED: Counter[str] = Counter()


def not_http(request: http.server.BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"not http\r\n\r\n")


ANSWERS: dict[str, Answer] = {
    "/data": body(b"hello"),
    "/large": body(b"x" * 2000),
    "/slow": body(b"x" * 100, pause=0.05),
    "/cut": cut_chunk,
    "/moved": redirect("/data"),
    "/to-ftp": redirect("ftp://127.0.0.1/x.png"),
    "/to-file": redirect("file:///etc/hostname"),
    "/round": redirect("/round"),
    "/nonsense": not_http,
    "/busy": busy,
    "/photos.zip": ranged(zipped()),
    "/plain.zip": body(zipped()),
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        if self.path not in ANSWERS:
            return self.send_error(404, "Not Found")
        try:
            ANSWERS[self.path](self)
        except OSError:  # the reader has gone
            return None

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("path", ["/data", "/moved"])
def test_download(site: str, path: str) -> None:
    assert fetching.fetch(site + path) == (site + path, b"hello")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/none", "answered 404 Not Found"),
        ("/to-ftp", r"redirects to ftp://127\.0\.0\.1/x\.png: only http and https are followed"),
        ("/to-file", r"redirects to file:///etc/hostname: only http and https are followed"),
        ("/round", "redirects more than"),
        ("/cut", "cannot download"),
        ("/nonsense", "cannot download"),
    ],
)
def test_failed_downloads(site: str, path: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fetching.fetch(site + path)


def test_a_large_download_is_refused(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "LIMIT_BYTES", 2000)
    assert len(fetching.fetch(site + "/large")[1]) == 2000
    monkeypatch.setattr(downloading, "LIMIT_BYTES", 1999)
    with pytest.raises(InputError, match="larger than"):
        fetching.fetch(site + "/large")


def test_a_slow_download_is_given_up(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "LIMIT_SECONDS", 0.3)
    begun = time.monotonic()
    with pytest.raises(InputError, match=r"took more than 0\.3 s"):
        fetching.fetch(site + "/slow")
    assert time.monotonic() - begun < 3


def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "LIMIT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(InputError, match=r"took more than 0\.3 s"):
        fetching.fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/x")


def test_a_refused_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(InputError, match=r"cannot download .*refused"):
        fetching.fetch(f"http://127.0.0.1:{port}/x")


# --- every phase of an exchange ---------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"

# What is sent first, and what is sent again and again after it.
ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "silence": (b"", b""),
    "status": (b"HTTP/1.1 200 ", b"O"),
    "a header": (OK + b"X-Long: ", b"x"),
    "headers": (OK, b"X-Again: x\r\n"),
    "body": (OK + b"Content-Length: 999999999999\r\n\r\n", b"x"),
    "body without a length": (OK + b"\r\n", b"x"),
    "length of a chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "extension of a chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n5;x=", b"x"),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", b"X-Again: x\r\n"),
    "provisional answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "processing": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "body of a redirect": (b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 999999999999\r\n\r\n", b"x"),
    "body of an error": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 999999999999\r\n\r\n", b"x"),
}


class Raw:
    """A server that answers every connection with a beginning, and then with parts for ever."""

    def __init__(self, beginning: bytes, part: bytes, pause: float) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}/x.png"
        self.beginning, self.part, self.pause, self.open = beginning, part, pause, True
        self.reached = threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection: socket.socket) -> None:
        self.reached.set()
        try:
            with connection:
                connection.sendall(self.beginning)
                while self.open:
                    connection.sendall(self.part)
                    time.sleep(self.pause)
        except OSError:
            return

    def close(self) -> None:
        self.open = False
        self.listener.close()


Start = Callable[[bytes, bytes, float], Raw]


@pytest.fixture
def raw() -> Iterator[Start]:
    servers: list[Raw] = []

    def start(beginning: bytes, part: bytes, pause: float) -> Raw:
        servers.append(Raw(beginning, part, pause))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.mark.parametrize("phase", ENDLESS)
def test_one_deadline(phase: str, raw: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that come slowly for ever end at the deadline, whichever phase they belong to."""
    monkeypatch.setattr(downloading, "LIMIT_SECONDS", 0.5)
    begun = time.monotonic()
    with pytest.raises(InputError, match=r"took more than 0\.5 s|redirects more than|answered 404|cannot download"):
        fetching.fetch(raw(*ENDLESS[phase], 0.02).address)
    assert time.monotonic() - begun < 4


@pytest.mark.parametrize("phase", [phase for phase in ENDLESS if phase != "silence"])
def test_one_count(phase: str, raw: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that come as fast as they can end at the limit, whichever phase they belong to."""
    monkeypatch.setattr(downloading, "LIMIT_BYTES", 1000)
    monkeypatch.setattr(downloading, "SLACK_BYTES", 100_000)
    beginning, part = ENDLESS[phase]
    begun = time.monotonic()
    with pytest.raises(InputError, match=r"is larger than|redirects more than|answered 404|cannot download"):
        fetching.fetch(raw(beginning, part * 2000, 0).address)
    assert time.monotonic() - begun < 10


def test_packed_bodies_stay_packed(raw: Start) -> None:
    """A body that would unfold to any size is not unfolded."""
    packed = b"\x1f\x8b" + bytes(8)
    answer = OK + b"Content-Encoding: gzip\r\nContent-Length: 10\r\nConnection: close\r\n\r\n" + packed
    assert fetching.fetch(raw(answer, b"", 1.0).address)[1] == packed


def test_a_reason_that_acts_on_the_terminal(raw: Start) -> None:
    with pytest.raises(InputError) as caught:
        fetching.fetch(raw(b"HTTP/1.1 500 \x1b[2Joops\r\nContent-Length: 0\r\n\r\n", b"", 1.0).address)
    assert str(caught.value).isprintable()


def test_other_threads_are_let_go(raw: Start) -> None:
    """A reader of a folder that waits for a server ends when the work is interrupted."""
    server, stopped = raw(*ENDLESS["body"], 0.02), threading.Event()
    with ThreadPoolExecutor(1, initializer=fetching.read_for, initargs=(stopped,)) as pool:
        waiting = pool.submit(fetching.fetch, server.address)
        assert server.reached.wait(30)
        fetching.stop_waiting(threading.Event())  # that of somebody else
        time.sleep(0.2)
        assert not waiting.done()
        fetching.stop_waiting(stopped)
        with pytest.raises(InputError, match="was stopped"):
            waiting.result(5)


def test_a_download_that_was_about_to_begin(raw: Start) -> None:
    """A thread that a busy machine lets go on only after the work was interrupted asks no server any more."""
    server, stopped = raw(*ENDLESS["body"], 0.02), threading.Event()
    with ThreadPoolExecutor(1, initializer=fetching.read_for, initargs=(stopped,)) as pool:
        pool.submit(int).result()
        fetching.stop_waiting(stopped)
        with pytest.raises(InputError, match="was stopped"):
            pool.submit(fetching.fetch, server.address).result(5)
    assert not server.reached.is_set()


@pytest.mark.parametrize(("phase", "count"), [("headers", 1), ("body", 2)])
def test_interrupted(tmp_path: Path, raw: Start, phase: str, count: int) -> None:
    """Ctrl-C ends a command that waits for a server: at once for one address, and beside the threads that read a folder."""
    server = raw(*ENDLESS[phase], 0.02)
    addresses = [server.address.replace("x.png", f"{number}.png") for number in range(count)]
    words = ["features", *addresses, "--output", "out.png"]
    if count > 1:
        words = ["stylize", *addresses, "--style", "udnie", "--output", "out"]
    command, quiet = [sys.executable, "-m", "stylenet", *words], {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=quiet, cwd=tmp_path) as process:
        assert server.reached.wait(120)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        assert process.wait(30) == 130, process.stderr and process.stderr.read()
    assert time.monotonic() - begun < 15
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# --- everything else that reads from web servers ----------------------------------------------------------------------


def test_an_archive_on_a_web_server(site: str) -> None:
    """It is read in place, by parts."""
    ASKED.clear()
    assert storage.members(f"{site}/photos.zip") == ["a.png", "b.png", "large.bin"]
    photo = read_image(member_place(f"{site}/photos.zip", "b.png"))
    assert np.array_equal(photo.numpy(), noise(32, 32, 0))
    assert [str(photo) for photo in find_photos(f"{site}/photos.zip")] == [f"{site}/photos.zip/{name}.png" for name in "ab"]
    assert ASKED["/photos.zip"] < 20
    with pytest.raises(InputError, match="gives no parts of files"):
        storage.members(f"{site}/plain.zip")


def test_a_server_that_is_busy_is_asked_again(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_FIRST_PAUSE", 0.01)
    ASKED.clear()
    assert storage.read(f"{site}/busy") == b"hello"
    assert ASKED["/busy"] == 3


def test_what_is_there(site: str) -> None:
    assert storage.exists(f"{site}/photos.zip")
    assert storage.exists(f"{site}/data")
    assert not storage.exists(f"{site}/none")
    assert not storage.is_folder(f"{site}/data")


def test_web_servers_have_no_folders(site: str) -> None:
    for ask in (
        lambda: list(storage.walk(f"{site}/data")),
        lambda: storage.list_names(f"{site}/data"),
        lambda: storage.write(f"{site}/data", b""),
        lambda: find_photos(f"{site}/folder"),
    ):
        with pytest.raises(InputError, match="has no folders"):
            ask()


# An answer to a request for a part, which goes on beyond it.
PART = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/1\r\n\r\n"

READERS: dict[str, Callable[[str], object]] = {
    "a file": storage.read,
    "a file that is opened": lambda address: storage.open_read(address).read(),
    "a copy": storage.fetched,
    "a list": lambda address: list(read_lines(address + ".txt")),
    "an archive": lambda address: storage.members(address + ".zip"),
    "a style": lambda address: load_style(address + ".safetensors"),
    "a start": lambda address: optimize(noise(16, 16, 0), noise(16, 16, 1), init=address, steps=1, device="cpu"),
    "a trained start": lambda address: optimize(noise(16, 16, 0), noise(16, 16, 1), init=address + ".pth", steps=1),
    "photos to learn from": lambda address: find_photos(address + ".zip"),
    "a photo to learn from": lambda address: open_photo(Photo(address), 16),
    "whether there is one": storage.exists,
    "a checkpoint": lambda address: read_checkpoint(address + ".ckpt"),
}


@pytest.mark.parametrize("begins", [OK + b"\r\n", PART], ids=["whole", "part"])
@pytest.mark.parametrize("reader", READERS)
def test_no_reader_without_limits(reader: str, begins: bytes, raw: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body without an end stops by its bytes where it is fast, and by the clock where it is slow."""
    monkeypatch.setattr(downloading, "SLACK_BYTES", 100_000)
    begun = time.monotonic()
    for part, pause, most, seconds in ((bytes(2000), 0.0, 3 << 20, 20.0), (b"x", 0.02, 200_000_000, 0.2)):
        monkeypatch.setattr(downloading, "LIMIT_BYTES", most)
        monkeypatch.setattr(downloading, "LIMIT_SECONDS", seconds)
        server = raw(begins, part, pause)
        if reader == "whether there is one" and begins != PART:  # the body does not matter
            assert READERS[reader](server.address)
            continue
        with pytest.raises((InputError, Unreadable), match=r"larger than|more than 0\.2 s|more bytes than|no parts of files"):
            READERS[reader](server.address)
    assert time.monotonic() - begun < 10
