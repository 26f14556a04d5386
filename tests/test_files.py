"""Files appear whole or not at all; addresses are read within limits."""

from __future__ import annotations

import http.server
import os
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from stylenet import files
from stylenet.errors import InputError, RunError
from stylenet.files import check_writable, write_atomic
from stylenet.images import fetching
from stylenet.images.picture import write_image

# --- writing ----------------------------------------------------------------------------------------------------------


def tree(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_written_whole_into_new_folders(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a" / "b.bin", b"content")
    assert (tmp_path / "a" / "b.bin").read_bytes() == b"content"
    assert tree(tmp_path / "a") == ["b.bin"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_umask(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write_atomic(tmp_path / "file", b"x")
        assert os.umask(mask) == mask  # and leave it as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


@pytest.mark.parametrize("old", [None, b"the old picture"])
@pytest.mark.parametrize("where", ["write", "rename"])
def test_a_failure_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, old: bytes | None) -> None:
    target = tmp_path / "picture.png"
    if old is not None:
        target.write_bytes(old)
    before = tree(tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    if where == "write":
        monkeypatch.setattr(files.Path, "write_bytes", fail)
    else:
        monkeypatch.setattr(files.Path, "replace", fail)
    with pytest.raises(RunError, match=r"cannot write .*picture\.png: No space left on device"):
        write_atomic(target, b"new")
    monkeypatch.undo()
    assert tree(tmp_path) == before
    assert old is None or target.read_bytes() == old


def test_ctrl_c_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "picture.png", b"new")
    assert tree(tmp_path) == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_keeps_the_old_picture(tiny_disk: Path) -> None:
    target = tiny_disk / "picture.bmp"
    write_image(torch.zeros(1, 3, 16, 16), target)
    old = target.read_bytes()
    with pytest.raises(RunError, match="No space left on device"):
        write_image(torch.rand(1, 3, 200, 200), target)
    assert target.read_bytes() == old
    assert tree(tiny_disk) == ["picture.bmp"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder", "it is a folder"),
        ("file/picture.png", "a part of that path is a file"),
        ("file/deeper/picture.png", "a part of that path is a file"),
        ("n" * 300 + ".png", "File name too long"),
    ],
)
def test_an_unwritable_path_is_known_before_work(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"regular")
    with pytest.raises(InputError, match=message):
        check_writable(tmp_path / name)
    with pytest.raises(RunError, match="cannot write"):
        write_atomic(tmp_path / name, b"x")
    assert tree(tmp_path) == ["file", "folder"]
    assert tree(tmp_path / "folder") == []


def test_a_check_writes_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "picture.png")
    assert tree(tmp_path) == []


# --- addresses --------------------------------------------------------------------------------------------------------

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
        ("/to-file", "file:///etc/hostname.* not allowed"),
        ("/round", "answered 302"),
        ("/cut", "cannot download"),
        ("/nonsense", "cannot download"),
    ],
)
def test_failed_downloads(site: str, path: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fetching.fetch(site + path)


def test_a_large_download_is_refused(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "URL_LIMIT_BYTES", 2000)
    assert len(fetching.fetch(site + "/large")[1]) == 2000
    monkeypatch.setattr(fetching, "URL_LIMIT_BYTES", 1999)
    with pytest.raises(InputError, match="larger than"):
        fetching.fetch(site + "/large")


def test_a_slow_download_is_given_up(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "URL_LIMIT_SECONDS", 0.3)
    begun = time.monotonic()
    with pytest.raises(InputError, match=r"took more than 0\.3 s"):
        fetching.fetch(site + "/slow")
    assert time.monotonic() - begun < 3


def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "URL_LIMIT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(InputError, match=r"cannot download .*timed out"):
        fetching.fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/x")


def test_a_refused_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(InputError, match=r"cannot download .*refused"):
        fetching.fetch(f"http://127.0.0.1:{port}/x")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("file:///etc/hostname", "only http and https"),
        ("ftp://127.0.0.1/x.png", "only http and https"),
        ("data://x", "only http and https"),
        ("http://", "cannot download"),
        ("http://[::1/x.png", "cannot download"),
        ("http://127.0.0.1/a b.png", "cannot download"),
        ("http://127.0.0.1:port/x.png", "cannot download"),
        ("//[x", "does not exist"),
        ("no\0thing", "cannot read"),
        ("n" * 300, "File name too long"),
        ("", "is a folder"),
    ],
)
def test_bad_addresses(address: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fetching.fetch(address)
