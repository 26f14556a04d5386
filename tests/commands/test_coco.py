"""The download of COCO: resumed, verified, and there as a whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from stylenet.commands.coco import confirm, fetch_archive, main
from stylenet.errors import InputError, RunError
from stylenet.training import download as module
from stylenet.training.download import (
    COCO,
    Archive,
    Progress,
    amount,
    check_space,
    part_of,
    verify,
)

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "download_coco"
CONTENT = random.Random(0).randbytes(300_000)
CUT = 100_000
SLOW = 200_000

# --- a server ---------------------------------------------------------------------------------------------------------


@dataclass
class Site:
    """A server, how it answers, and the ranges that it was asked for."""

    url: str = ""
    asked: list[str | None] = field(default_factory=list)

    def archive(self, path: str) -> Archive:
        return Archive(f"{self.url}/{path}/tiny.zip", len(CONTENT), hashlib.md5(CONTENT).hexdigest(), 3)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the folder in the path."""

    protocol_version = "HTTP/1.1"
    site: Site
    released: threading.Event

    def do_GET(self) -> None:
        self.close_connection = True
        self.site.asked.append(self.headers["Range"])
        with contextlib.suppress(OSError):  # the reader has gone
            getattr(self, f"do_{self.path.split('/')[1]}")()

    def begin(self) -> int:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        return int(found[1]) if found else 0

    def answer(self, body: bytes, length: int | None = None, where: str = "") -> None:
        self.send_response(206 if where else 200)
        if where:
            self.send_header("Content-Range", where)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def do_ranges(self, most: int = len(CONTENT)) -> None:
        begin = self.begin()
        where = f"bytes {begin}-{len(CONTENT) - 1}/{len(CONTENT)}" if begin else ""
        self.answer(CONTENT[begin : begin + most], len(CONTENT) - begin, where)

    def do_plain(self) -> None:
        self.answer(CONTENT, len(CONTENT))

    def do_unsized(self) -> None:
        self.answer(CONTENT)

    def do_endless(self) -> None:
        self.answer(CONTENT + bytes(1000))

    def do_cut(self) -> None:
        self.do_ranges(CUT)

    def do_plain_cut(self) -> None:
        self.answer(CONTENT[:CUT], len(CONTENT))

    def do_cut_chunk(self) -> None:
        """A chunk of 5 bytes, of which 2 come."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\n" + CONTENT[:2])

    def do_flaky(self) -> None:
        """Fails twice before every answer, of which it gives a part."""
        if len(self.site.asked) % 3:
            self.send_error(503)
        else:
            self.do_cut()

    def do_beyond(self) -> None:
        if self.headers["Range"]:
            self.send_error(416)
        else:
            self.do_plain()

    def do_earlier(self) -> None:
        """Begins ten bytes before what was asked for."""
        begin = max(0, self.begin() - 10)
        self.answer(CONTENT[begin:], len(CONTENT) - begin, f"bytes {begin}-{len(CONTENT) - 1}/*")

    def do_later(self) -> None:
        begin = self.begin() + 10
        self.answer(CONTENT[begin:], len(CONTENT) - begin, f"bytes {begin}-{len(CONTENT) - 1}/{len(CONTENT)}")

    def do_vague(self) -> None:
        self.answer(CONTENT, len(CONTENT), "all of it")

    def do_page(self) -> None:
        self.answer(b"<p>Please log in", 16)

    def do_longer(self) -> None:
        begin = self.begin()
        self.answer(CONTENT[begin:], len(CONTENT) - begin, f"bytes {begin}-{len(CONTENT)}/{len(CONTENT) + 1}")

    def do_damaged(self) -> None:
        self.answer(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]), len(CONTENT))

    def do_missing(self) -> None:
        self.send_error(404)

    def do_busy(self) -> None:
        self.send_error(429)

    def do_broken(self) -> None:
        self.send_error(500)

    def do_nonsense(self) -> None:
        self.wfile.write(b"not http\r\n\r\n")

    def do_slow(self) -> None:
        """Stops for as long as the test lasts, after a good part of a first answer."""
        if self.begin():
            self.do_ranges()
        else:
            self.answer(CONTENT[:SLOW], len(CONTENT))
            self.released.wait(60)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def site() -> Iterator[Site]:
    site, released = Site(), threading.Event()
    handler = type("SiteHandler", (Handler,), {"site": site, "released": released})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield site
    released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited, had it been waited."""
    waited: list[float] = []
    monkeypatch.setattr(module.time, "sleep", waited.append)
    return waited


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "tiny.zip"


def tree(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


# --- resuming ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "have", "asked"),
    [
        ("ranges", 0, [None]),
        ("ranges", 1, ["bytes=1-"]),
        ("ranges", 123_456, ["bytes=123456-"]),
        ("ranges", 299_999, ["bytes=299999-"]),
        ("ranges", 300_000, []),
        ("plain", 0, [None]),
        ("plain", 123_456, ["bytes=123456-"]),
        ("beyond", 123_456, ["bytes=123456-", None]),
        ("earlier", 123_456, ["bytes=123456-"]),
        ("unsized", 0, [None]),
        ("unsized", 123_456, ["bytes=123456-"]),
        ("endless", 0, [None]),
        ("cut", 0, [None, "bytes=100000-", "bytes=200000-"]),
        ("cut", 150_000, ["bytes=150000-", "bytes=250000-"]),
    ],
)
def test_an_archive_becomes_whole(site: Site, target: Path, path: str, have: int, asked: list[str | None]) -> None:
    if have:
        part_of(target).write_bytes(CONTENT[:have])
    fetch_archive(site.archive(path), target.parent, yes=True)
    assert site.asked == asked
    assert target.read_bytes() == CONTENT
    assert tree(target.parent) == ["tiny.zip"]


def test_starting_over_leaves_nothing_of_the_old(site: Site, target: Path) -> None:
    part_of(target).write_bytes(bytes(200_000))
    fetch_archive(site.archive("plain"), target.parent, yes=True)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("path", ["plain", "beyond"])
def test_starting_over_is_said(site: Site, target: Path, path: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    part_of(target).write_bytes(CONTENT[: 1 << 17])
    fetch_archive(site.archive(path), target.parent, yes=True)
    assert "cannot go on from 0.1 MB: starting over\n" in caplog.text


def test_going_on_is_no_starting_over(site: Site, target: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    part_of(target).write_bytes(CONTENT[: 1 << 17])
    fetch_archive(site.archive("ranges"), target.parent, yes=True)
    assert "starting over" not in caplog.text


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("page", "a file of 16 bytes instead of 300000"),
        ("longer", "a file of 300001 bytes instead of 300000"),
        ("later", r"another part .*: delete the \.part file"),
        ("vague", r"another part .*: delete the \.part file"),
        ("missing", "answered 404 Not Found"),
    ],
)
def test_an_answer_that_is_no_help_costs_nothing(
    site: Site, target: Path, path: str, message: str, pauses: list[float]
) -> None:
    part_of(target).write_bytes(CONTENT[:5000])
    with pytest.raises(RunError, match=message):
        fetch_archive(site.archive(path), target.parent, yes=True)
    assert len(site.asked) == 1
    assert pauses == []
    assert part_of(target).read_bytes() == CONTENT[:5000]
    assert tree(target.parent) == ["tiny.zip.part"]


# --- trying again -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "message", "kept"),
    [
        ("broken", "the server answered 500", 0),
        ("busy", "the server answered 429", 0),
        ("nonsense", "not http", 0),
        ("plain_cut", "the connection was closed", CUT),
        ("cut_chunk", "IncompleteRead", 2),
    ],
)
def test_failures_in_a_row_end_it(
    site: Site, target: Path, path: str, message: str, kept: int, pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    archive = site.archive(path)
    come = rf"{amount(kept)} of 0\.3 MB have come: run the same command again"
    with pytest.raises(RunError, match=f"cannot download {archive.url}: .*{message}.*; {come}"):
        fetch_archive(archive, target.parent, yes=True)
    # The attempt that brought the first bytes is the first in its row of failures too.
    assert pauses == list(module.PAUSES)
    assert len(site.asked) == 1 + len(module.PAUSES)
    said = [message for message in caplog.messages if "starting over" not in message]
    assert [line.rpartition(": ")[2] for line in said] == [f"trying again in {pause:g} s" for pause in pauses]
    assert [path.stat().st_size for path in target.parent.iterdir()] == ([kept] if kept else [])


def test_pauses_grow() -> None:
    assert list(module.PAUSES) == sorted(set(module.PAUSES))
    assert 3 <= len(module.PAUSES) <= 6


def test_what_has_come_begins_a_new_row(site: Site, target: Path, pauses: list[float]) -> None:
    fetch_archive(site.archive("flaky"), target.parent, yes=True)
    first, second, third = module.PAUSES[:3]
    assert pauses == [first, second, first, second, third, first, second, third]
    assert target.read_bytes() == CONTENT


def test_no_connection(target: Path, pauses: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(RunError, match=r"refused; 0 MB of 0\.3 MB have come: run the same command again"):
        fetch_archive(Site(f"http://127.0.0.1:{port}").archive("ranges"), target.parent, yes=True)
    assert pauses == list(module.PAUSES)


def test_a_silent_server(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    monkeypatch.setattr(module, "PAUSES", (0.0,))
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(RunError, match="timed out"):
        fetch_archive(Site(f"http://127.0.0.1:{listener.getsockname()[1]}").archive("ranges"), target.parent, yes=True)


def test_a_server_that_falls_silent(site: Site, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.5)
    fetch_archive(site.archive("slow"), target.parent, yes=True)
    assert site.asked == [None, f"bytes={SLOW}-"]
    assert target.read_bytes() == CONTENT


# --- verifying --------------------------------------------------------------------------------------------------------


def test_a_damaged_archive_is_deleted(site: Site, target: Path) -> None:
    archive = site.archive("damaged")
    found = hashlib.md5(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])).hexdigest()
    message = rf"tiny\.zip\.part has the MD5 checksum {found} instead of {archive.md5}, and was deleted: run the same command"
    with pytest.raises(RunError, match=message):
        fetch_archive(archive, target.parent, yes=True)
    assert tree(target.parent) == []


def test_a_damaged_part_is_found_at_the_end(site: Site, target: Path) -> None:
    part_of(target).write_bytes(bytes(1000))
    with pytest.raises(RunError, match="MD5"):
        fetch_archive(site.archive("ranges"), target.parent, yes=True)
    assert tree(target.parent) == []


@pytest.mark.parametrize("content", [CONTENT + b"x", CONTENT[:-1]])
def test_a_wrong_size_is_deleted(site: Site, target: Path, content: bytes) -> None:
    archive = site.archive("ranges")
    part_of(target).write_bytes(content)
    with pytest.raises(RunError, match=rf"{len(content):,} bytes instead of 300,000, and was deleted"):
        verify(archive, part_of(target), Progress(archive, io.StringIO()))
    assert tree(target.parent) == []


def test_a_part_that_is_too_long_is_not_downloaded(site: Site, target: Path) -> None:
    part_of(target).write_bytes(CONTENT + b"x")
    with pytest.raises(RunError, match="300,001 bytes instead of 300,000"):
        fetch_archive(site.archive("ranges"), target.parent)
    assert site.asked == []


def test_the_name_appears_after_the_check(site: Site, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(module, "verify", lambda *_: seen.append(tree(target.parent)))
    fetch_archive(site.archive("ranges"), target.parent, yes=True)
    assert seen == [["tiny.zip.part"]]
    assert tree(target.parent) == ["tiny.zip"]


# --- the disk ---------------------------------------------------------------------------------------------------------


def test_what_is_there_is_left_alone(site: Site, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target.write_bytes(bytes(len(CONTENT)))
    fetch_archive(site.archive("ranges"), target.parent)
    assert capsys.readouterr().out == f"{target} is there already (0.3 MB)\n"
    assert site.asked == []
    assert target.read_bytes() == bytes(len(CONTENT))


def test_a_file_of_another_size_is_not_overwritten(site: Site, target: Path) -> None:
    target.write_bytes(CONTENT[:1234])
    with pytest.raises(InputError, match=r"has 1,234 bytes instead of 300,000: .* rename it to tiny\.zip\.part"):
        fetch_archive(site.archive("ranges"), target.parent, yes=True)
    assert site.asked == []
    assert target.read_bytes() == CONTENT[:1234]
    target.rename(part_of(target))  # the advice
    fetch_archive(site.archive("ranges"), target.parent, yes=True)
    assert target.read_bytes() == CONTENT


def test_a_new_folder(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch_archive(site.archive("ranges"), tmp_path / "new" / "folder", yes=True)
    target = tmp_path / "new" / "folder" / "tiny.zip"
    assert target.read_bytes() == CONTENT
    out = capsys.readouterr().out
    assert out.startswith(f"{target}: 3 photos, verified")
    assert out.endswith(f"stylenet train --photos {target}\n")


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets how much room there is."""

    def set_free(size: int) -> None:
        usage = shutil.disk_usage("/")._replace(free=size)
        monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)

    return set_free


def test_too_little_room_is_known_before_the_question(site: Site, target: Path, free: Callable[[int], None]) -> None:
    free(len(CONTENT) - 1)
    with pytest.raises(InputError, match=r"0\.3 MB are to be downloaded and 0\.3 MB are free .* choose another disk"):
        fetch_archive(site.archive("ranges"), target.parent)
    assert site.asked == []
    free(len(CONTENT))
    fetch_archive(site.archive("ranges"), target.parent, yes=True)
    assert target.exists()


def test_only_what_is_missing_needs_room(site: Site, target: Path, free: Callable[[int], None]) -> None:
    part_of(target).write_bytes(CONTENT[:200_000])
    free(99_999)
    with pytest.raises(InputError, match="make room"):
        fetch_archive(site.archive("ranges"), target.parent, yes=True)
    free(100_000)
    fetch_archive(site.archive("ranges"), target.parent, yes=True)
    assert target.read_bytes() == CONTENT


def test_room_is_looked_up_where_the_archive_goes(tmp_path: Path) -> None:
    check_space(tmp_path, 0)
    with pytest.raises(InputError, match=re.escape(str(tmp_path))):
        check_space(tmp_path, 1 << 60)


def test_a_disk_that_fills_up(site: Site, target: Path, pauses: list[float]) -> None:
    """A limit on the size of files fails in the same call as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, hard))
    try:
        with pytest.raises(RunError, match=r"cannot write .*tiny\.zip\.part: File too large; run the same command again"):
            fetch_archive(site.archive("ranges"), target.parent, yes=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert pauses == []
    assert tree(target.parent) == ["tiny.zip.part"]
    fetch_archive(site.archive("ranges"), target.parent, yes=True)
    assert target.read_bytes() == CONTENT


# --- the question -----------------------------------------------------------------------------------------------------


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Terminal]:
    """A person who types something, and what they see."""

    def answer(typed: str) -> Terminal:
        shown = Terminal()
        monkeypatch.setattr("sys.stdin", Terminal(typed))
        monkeypatch.setattr("sys.stderr", shown)
        return shown

    return answer


@pytest.mark.parametrize("typed", ["y\n", "Y\n", "yes\n", " Yes \n"])
def test_yes(site: Site, target: Path, typed: str, terminal: Callable[[str], Terminal]) -> None:
    shown = terminal(typed)
    fetch_archive(site.archive("ranges"), target.parent)
    assert f"Download 0.3 MB to {target} (3 photos)? [y/N] " in shown.getvalue()
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("typed", ["\n", "n\n", "no\n", "yeah\n", ""])
def test_no(site: Site, target: Path, typed: str, terminal: Callable[[str], Terminal]) -> None:
    terminal(typed)
    with pytest.raises(RunError, match="nothing was downloaded"):
        fetch_archive(site.archive("ranges"), target.parent)
    assert site.asked == []
    assert tree(target.parent) == []


def test_the_question_tells_the_rest(target: Path, terminal: Callable[[str], Terminal]) -> None:
    shown = terminal("y\ny\n")
    confirm(COCO["train2017"], target, COCO["train2017"].size)
    confirm(COCO["train2017"], target, 5 << 30)
    assert "Download 18 GB to " in shown.getvalue()
    assert "(118,287 photos)? [y/N] " in shown.getvalue()
    assert "Download 5 GB, the rest of 18 GB, to " in shown.getvalue()


@pytest.mark.parametrize(("stdin", "stderr"), [(Terminal, io.StringIO), (io.StringIO, Terminal), (io.StringIO, io.StringIO)])
def test_no_terminal(
    target: Path, stdin: type[io.StringIO], stderr: type[io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", stdin("y\n"))
    monkeypatch.setattr("sys.stderr", stderr())
    with pytest.raises(InputError, match="18 GB would be downloaded, and there is no terminal to ask on: add --yes"):
        confirm(COCO["train2017"], target, COCO["train2017"].size)


def test_nothing_to_download_is_no_question(site: Site, target: Path) -> None:
    part_of(target).write_bytes(CONTENT)
    fetch_archive(site.archive("ranges"), target.parent)
    assert target.read_bytes() == CONTENT
    assert site.asked == []


# --- progress ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that is set by hand."""
    time = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: time[0])
    return time


def test_progress_tells_speed_and_time_left(now: list[float]) -> None:
    stream = io.StringIO()
    progress = Progress(replace(COCO["train2017"], size=4 << 30), stream)
    progress.begin("downloading", 1 << 30)
    now[0] += 64
    progress(2 << 30)
    progress.begin("verifying", 0)
    now[0] += 10
    progress(4 << 30)
    assert stream.getvalue().splitlines() == [
        "train2017.zip  downloading 50%  2 GB of 4 GB  16 MB/s  2:08 left",
        "train2017.zip  verifying 100%  4 GB of 4 GB  409.6 MB/s  0:00 left",
    ]


def test_progress_is_not_too_often(now: list[float]) -> None:
    stream = io.StringIO()
    progress = Progress(replace(COCO["train2017"], size=100), stream)
    for done, time in ((10, 0.5), (20, 1.1), (30, 1.5), (40, 2.0), (50, 2.2), (100, 2.3)):
        now[0] = 1000 + 5 * time
        progress(done)
    assert re.findall(r"(\d+)%", stream.getvalue()) == ["20", "50", "100"]


def test_both_phases_are_shown(site: Site, target: Path, terminal: Callable[[str], Terminal]) -> None:
    shown = terminal("")
    fetch_archive(site.archive("ranges"), target.parent, yes=True)
    downloading, verifying, end = shown.getvalue().split("\n")
    assert "tiny.zip  downloading 100%  0.3 MB of 0.3 MB" in downloading
    assert "tiny.zip  verifying 100%  0.3 MB of 0.3 MB" in verifying
    assert end.strip() == ""


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 MB"),
        (1 << 20, "1 MB"),
        (815_585_330, "777.8 MB"),
        (1 << 30, "1 GB"),
        (19_336_861_798, "18 GB"),
        (1 << 41, "2048 GB"),
    ],
)
def test_amount(size: int, text: str) -> None:
    assert amount(size) == text


# --- the command ------------------------------------------------------------------------------------------------------


def test_names() -> None:
    assert {name: archive.name for name, archive in COCO.items()} == {"train2017": "train2017.zip", "val2017": "val2017.zip"}


PHASES = {
    "status": (b"HTTP/1.1 200 ", b"O"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-Again: x\r\n"),
    "provisional answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": (f"HTTP/1.1 200 OK\r\nContent-Length: {len(CONTENT)}\r\n\r\n".encode(), CONTENT[:1]),
    "length of a chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "body of a redirect": (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 300000\r\n\r\n", b"x"),
}


@pytest.mark.parametrize("phase", PHASES)
def test_a_server_that_dribbles(target: Path, monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    """Every byte comes in time, and all of them would take years."""
    monkeypatch.setattr(module, "TIMEOUT", 0.4)
    monkeypatch.setattr(module, "PAUSES", (0.0,))
    with dribbling(*PHASES[phase]) as url, pytest.raises(RunError, match=r"the server timed out.*: run the same command again"):
        fetch_archive(Site(url).archive("x"), target.parent, yes=True)


def test_ctrl_c_while_a_server_dribbles(tmp_path: Path) -> None:
    with dribbling(*PHASES["headers"]) as url:
        archive = Site(url).archive("x")
        program = f"import sys; from stylenet.commands.coco import *; sys.exit(main(['--yes'], {{'tiny': {archive!r}}}))"
        with subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
            assert reached.wait(60)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "download_coco: interrupted: run the same command again to go on from here\n")


reached = threading.Event()


@contextlib.contextmanager
def dribbling(beginning: bytes, part: bytes) -> Iterator[str]:
    """The address of a server that sends a beginning, and then small parts for ever."""
    over = threading.Event()
    reached.clear()

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(4096)
            reached.set()
            connection.sendall(beginning)
            while not over.wait(0.02):
                connection.sendall(part)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("ranges", 0, ""),
        ("missing", 1, "cannot download .* 404"),
        ("broken", 1, "cannot download .* 500"),
        ("damaged", 1, "MD5"),
    ],
)
def test_exit_codes(site: Site, target: Path, path: str, code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    archives = {"other": site.archive("broken"), "tiny": site.archive(path)}
    assert main(["tiny", "--folder", str(target.parent), "--yes"], archives) == code
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("download_coco: ")]
    assert len(said) == (1 if code else 0)
    assert re.search(message, "".join(said))
    assert target.exists() is (code == 0)


def test_the_first_archive_into_this_folder(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--yes"], {"tiny": site.archive("ranges"), "other": site.archive("missing")}) == 0
    assert tree(tmp_path) == ["tiny.zip"]


@pytest.mark.parametrize(
    ("folder", "message"),
    [("file", "a part of that path is a file"), ("n" * 300, "File name too long"), ("taken", "it is a folder")],
)
def test_a_bad_folder(site: Site, tmp_path: Path, folder: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_bytes(b"regular")
    (tmp_path / "taken" / "tiny.zip").mkdir(parents=True)
    assert main(["--folder", str(tmp_path / folder), "--yes"], {"tiny": site.archive("ranges")}) == 2
    err = capsys.readouterr().err
    assert err.startswith("download_coco: ")
    assert err.count("\n") == 1
    assert message in err
    assert site.asked == []


def script(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The script in a Python that sees no installed package, and so neither this project's nor torch."""
    command = [sys.executable, "-I", "-S", str(SCRIPT), *words, "--folder", str(folder)]
    return subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


def sparse(path: Path, size: int) -> None:
    """A file of any size that takes no room."""
    with path.open("wb") as file:
        file.truncate(size)


def test_script_can_be_run() -> None:
    assert os.access(SCRIPT, os.X_OK)
    assert SCRIPT.read_text().startswith("#!/usr/bin/env python3\n")


@pytest.mark.parametrize(("words", "name", "size"), [([], "train2017", "18 GB"), (["val2017"], "val2017", "777.8 MB")])
def test_script_finds_what_is_there(tmp_path: Path, words: list[str], name: str, size: str) -> None:
    sparse(tmp_path / f"{name}.zip", COCO[name].size)
    done = script(*words, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{tmp_path / name}.zip is there already ({size})\n", "")


def test_script_refuses_without_a_terminal(tmp_path: Path) -> None:
    sparse(tmp_path / "train2017.zip.part", COCO["train2017"].size - 1)
    done = script(folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "download_coco: 0 MB would be downloaded, and there is no terminal to ask on: add --yes to agree\n"
    assert done.stdout == ""


def test_script_with_a_wrong_name(tmp_path: Path) -> None:
    done = script("test2017", folder=tmp_path)
    assert done.returncode == 2
    assert "invalid choice: 'test2017'" in done.stderr


def test_it_works_before_anything_is_installed(tmp_path: Path) -> None:
    """Not even tqdm, which draws the progress elsewhere."""
    done = subprocess.run([sys.executable, "-I", "-S", str(SCRIPT), "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_ctrl_c_keeps_the_part(site: Site, target: Path) -> None:
    archive = site.archive("slow")
    program = f"import sys; from stylenet.commands.coco import *; sys.exit(main(['--yes'], {{'tiny': {archive!r}}}))"
    # A shell's background jobs ignore SIGINT, and so do their children; a handler of ours is not inherited.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen([sys.executable, "-c", program], cwd=target.parent, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    try:
        pause = threading.Event()
        while process.poll() is None and not (part_of(target).exists() and part_of(target).stat().st_size):
            pause.wait(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert err.endswith("download_coco: interrupted: run the same command again to go on from here\n")
    assert "Traceback" not in err
    assert tree(target.parent) == ["tiny.zip.part"]
    size = part_of(target).stat().st_size
    assert 0 < size <= SLOW
    assert part_of(target).read_bytes() == CONTENT[:size]
    fetch_archive(archive, target.parent, yes=True)
    assert site.asked == [None, f"bytes={size}-"]
    assert target.read_bytes() == CONTENT
