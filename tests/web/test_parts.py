"""Parts of the page that need no browser and no Gradio: the gate, the queue of jobs, names, tabs."""

from __future__ import annotations

import asyncio
import io
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from stylenet import InputError
from stylenet.web.gate import Gate
from stylenet.web.jobs import Job, JobQueue
from stylenet.web.limits import PICTURES, Limits, checked, safe_name, written_suffix
from stylenet.web.painting import Painter
from stylenet.web.server import is_loopback
from stylenet.web.shelf import Shelf
from stylenet.web.visits import Visits

TOKEN = "a-token-of-some-length"


def ask(gate: Gate, headers: dict[str, str], query: str = "", body: int = 0) -> tuple[int, dict[str, str]]:
    """Return the status and headers of an answer to a request with a body of so many bytes, sent in pieces of 1000."""
    sent: list[dict[str, Any]] = []
    pieces = [{"type": "http.request", "body": b"x" * 1000, "more_body": True}] * (body // 1000)

    async def receive() -> dict[str, Any]:
        return pieces.pop() if pieces else {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(gate({"type": "http", "headers": raw, "query_string": query.encode()}, receive, send))
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


async def behind(scope: Any, receive: Any, send: Any) -> None:
    """Read the whole body; tell a body that broke off by 599."""
    while (message := await receive()).get("more_body"):
        pass
    status = 599 if message["type"] == "http.disconnect" else 200
    await send({"type": "http.response.start", "status": status, "headers": []})


LOCAL = Gate(behind, frozenset({"localhost", "127.0.0.1", "::1"}), None, 5000)
GUARDED = Gate(behind, None, TOKEN, 5000)


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"host": "127.0.0.1:7860"}, 0, 200),
        ({"host": "[::1]:7860"}, 0, 200),
        ({"host": "localhost"}, 0, 200),
        ({"host": "elsewhere.example"}, 0, 421),
        ({"host": "127.0.0.1.elsewhere.example"}, 0, 421),
        ({}, 0, 421),
        ({"host": "127.0.0.1:1", "origin": "http://127.0.0.1:1"}, 0, 200),
        ({"host": "127.0.0.1:1", "origin": "http://elsewhere.example"}, 0, 403),
        ({"host": "127.0.0.1:1", "origin": "null"}, 0, 403),
        ({"host": "localhost", "content-length": "5000"}, 5000, 200),
        ({"host": "localhost", "content-length": "2147483648"}, 0, 413),
        ({"host": "localhost", "content-length": "many"}, 0, 413),
        ({"host": "localhost", "transfer-encoding": "chunked"}, 1000, 411),
        ({"host": "localhost"}, 9000, 599),
    ],
)
def test_gate(headers: dict[str, str], body: int, status: int) -> None:
    assert ask(LOCAL, headers, body=body)[0] == status


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({}, "", 401),
        ({}, "token=wrong", 401),
        ({}, f"token={TOKEN}", 200),
        ({"cookie": f"stylenet_token={TOKEN}"}, "", 200),
        ({"cookie": "stylenet_token=wrong"}, "", 401),
        ({"cookie": "stylenet_token"}, "", 401),
    ],
)
def test_token(headers: dict[str, str], query: str, status: int) -> None:
    assert ask(GUARDED, headers, query)[0] == status


def test_answers_forbid_other_hosts_and_set_the_cookie() -> None:
    headers = ask(GUARDED, {}, f"token={TOKEN}")[1]
    assert "connect-src 'self' data: blob:;" in headers["content-security-policy"]
    assert headers["set-cookie"] == f"stylenet_token={TOKEN}; HttpOnly; SameSite=Strict; Path=/"


@pytest.mark.parametrize(
    ("host", "own"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)]
)
def test_loopback(host: str, own: bool) -> None:
    assert is_loopback(host) == own


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("My Photo (1)", "My_Photo_1"),
        ("../../etc/passwd", "etc_passwd"),
        ("--output", "output"),
        ("Łódź", "odz"),
        ("", "photo"),
    ],
)
def test_safe_name(text: str, name: str) -> None:
    assert safe_name(text, "photo") == name


def test_checked() -> None:
    assert checked("a/b.JPG", PICTURES, "photo") == Path("a/b.JPG")
    with pytest.raises(InputError, match=r"notes.txt is no photo: use one of .avif, .bmp"):
        checked("notes.txt", PICTURES, "photo")
    with pytest.raises(InputError, match="no photo yet"):
        checked(None, PICTURES, "photo")
    assert (written_suffix(Path("a.JPG")), written_suffix(Path("a.bmp"))) == (".jpg", ".png")


def test_limits_are_positive() -> None:
    with pytest.raises(InputError, match="queue is 0"):
        Limits(queue=0)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    written = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(written, "PNG")
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(written.getvalue())
    assert bomb.stat().st_size < 100_000
    painter = Painter(Shelf([], tmp_path), Limits(), "cpu")
    began = time.monotonic()
    with pytest.raises(InputError, match="20000 x 20000 pixels: 40 megapixels are the limit"):
        painter.read(bomb)
    assert time.monotonic() - began < 5


def test_visits(tmp_path: Path) -> None:
    tabs = Visits(tmp_path, idle=0.05, most=2)
    first, second = tabs("0" * 32), tabs("1" * 32)
    assert first.folder != second.folder
    assert tabs("0" * 32) is first
    for wrong in ("", "../x", "G" * 32, None):
        with pytest.raises(InputError, match="no name"):
            tabs(wrong)
    with pytest.raises(InputError, match="too many pages"):
        tabs("2" * 32)
    time.sleep(0.1)
    assert tabs("2" * 32).folder.is_dir()
    assert not first.folder.exists()
    assert len(tabs) == 1


def until(job: Job, *states: str) -> None:
    """Wait for a job to come to one of these states."""
    ends = time.monotonic() + 120
    while job.state not in states:
        assert time.monotonic() < ends, (job.state, list(job.lines))
        time.sleep(0.05)


@pytest.fixture
def queue() -> Any:
    made = JobQueue([""], limit=2, seconds=100)
    yield made
    made.close()


def test_jobs_wait_for_each_other_and_fail_alone(queue: JobQueue, tmp_path: Path) -> None:
    jobs = [Job("styles", [word], tmp_path, tmp_path / "none") for word in ("udnie", "no_such_style")]
    for job in jobs:
        queue.submit(job)
    until(jobs[1], "failed")
    assert jobs[0].state == "done"
    assert "no style 'no_such_style'" in jobs[1].line


def test_queue_is_bounded_and_stopped(queue: JobQueue, tmp_path: Path, content: Path, style: Path) -> None:
    words = [str(content), str(style), "--output", "out.png", "--steps", "100000", "--size", "32", "--plateau", "0"]
    search = queue.submit(Job("optimize", words, tmp_path, tmp_path / "out.png"))
    until(search, "running")
    waiting = [queue.submit(Job("styles", [], tmp_path, tmp_path / "none")) for _ in range(2)]
    with pytest.raises(InputError, match="2 jobs are waiting already"):
        queue.submit(Job("styles", [], tmp_path, tmp_path / "none"))
    assert [queue.ahead(job) for job in (search, *waiting)] == [0, 1, 2]
    queue.stop(waiting[0])
    while not search.share:
        assert search.live, list(search.lines)
        time.sleep(0.05)
    queue.stop(search)
    until(search, "stopped")
    assert Image.open(tmp_path / "out.png").size == (32, 27)
    until(waiting[1], "done")
    assert waiting[0].state == "stopped"


def test_time_is_bounded(tmp_path: Path, content: Path, style: Path) -> None:
    queue = JobQueue([""], limit=2, seconds=1)
    words = [str(content), str(style), "--output", "out.png", "--steps", "100000", "--size", "32"]
    job = queue.submit(Job("optimize", words, tmp_path, tmp_path / "out.png"))
    until(job, "stopped", "failed", "done")
    assert job.state == "stopped"
    queue.close()


def test_close_ends_processes(tmp_path: Path, content: Path, style: Path) -> None:
    queue = JobQueue([""], limit=2, seconds=100)
    words = [str(content), str(style), "--output", "out.png", "--steps", "100000", "--size", "32"]
    job = queue.submit(Job("optimize", words, tmp_path, tmp_path / "out.png"))
    until(job, "running")
    queue.close()
    assert job.process is not None
    assert job.process.poll() is not None
    with pytest.raises(InputError, match="limit"):
        queue.submit(Job("styles", [], tmp_path, tmp_path / "none"))


@pytest.mark.parametrize(
    ("line", "share"),
    [("step 5/20  objective 16.13  2.9 photos/s", 0.25), ("128x85 (scale 1/2)  step 3/12  objective 10", 0.25), ("notes", 0.0)],
)
def test_share(line: str, share: float, tmp_path: Path) -> None:
    job = Job("train", [], tmp_path, tmp_path / "a")
    job.lines.append(line)
    assert job.share == share
