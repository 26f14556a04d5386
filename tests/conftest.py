"""Pictures that several tests read, and which tests ``make quick`` leaves out.

``tests/slow.txt`` names the test functions that take long, with their seconds. ``pytest --measure`` writes it anew, for the
tests that it runs.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest_plugins = ["store_kit"]


def noise(height: int, width: int, seed: int) -> np.ndarray:
    """``[H, W, 3]`` random bytes."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """A photo of 48 x 40 pixels."""
    path = tmp_path / "content.png"
    Image.fromarray(noise(40, 48, 0)).save(path)
    return path


@pytest.fixture
def style(tmp_path: Path) -> Path:
    """A painting of 40 x 40 pixels."""
    path = tmp_path / "style.png"
    Image.fromarray(noise(40, 40, 1)).save(path)
    return path


@pytest.fixture(autouse=True)
def lock_of_logging() -> Iterator[None]:
    """Fail the test that leaves the lock of ``logging`` held, as an interrupt in the midst of a fork does: else threads of a
    later test would wait for it for ever."""
    yield
    lock = logging._lock  # type: ignore[attr-defined]
    if lock._is_owned():  # which acquire() would not tell: it may be taken again by the thread that holds it
        while lock._is_owned():
            lock.release()
        pytest.fail("the lock of logging is still held by this thread")
    if not lock.acquire(timeout=10):
        pytest.fail(f"the lock of logging is still held by another thread: {lock}")
    lock.release()


# --- slow tests -------------------------------------------------------------------------------------------------------

SLOW = Path(__file__).parent / "slow.txt"
# Seconds of processor time, all cases of a test function together, from which it is slow. Wall time would depend on what else
# the machine has to do.
LIMIT = 0.1

_seconds = pytest.StashKey[dict[str, float]]()


def read_slow() -> dict[str, float]:
    """Return the seconds of each slow test function."""
    lines = (line.split() for line in SLOW.read_text().splitlines())
    return {name: float(seconds) for name, seconds in lines}


def function_of(item: pytest.Item) -> str:
    """Return the name of a test without its parameters, such as ``tests/test_files.py::test_atomic``."""
    return item.nodeid.partition("[")[0]


def file_of(name: str) -> str:
    """Return the file of a test."""
    return name.partition("::")[0]


def processor_time() -> float:
    """Return the seconds that this process and those it has waited for have worked."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--measure", action="store_true", help="write the names of slow tests into tests/slow.txt")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_seconds] = {}
    # A shell's background jobs ignore SIGINT and those of nohup SIGHUP, and so would the commands that tests start and stop.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slow = read_slow()
    for item in items:
        if function_of(item) in slow:
            item.add_marker(pytest.mark.slow)
    if (
        "PYTEST_XDIST_WORKER" in os.environ
    ):  # the longest file first: begun last, it would keep one core busy and the others idle
        files: dict[str, float] = {}
        for name in sorted({function_of(item) for item in items}):  # every worker has to find the same order
            files[file_of(name)] = files.get(file_of(name), 0.0) + slow.get(name, 0.0)
        items.sort(key=lambda item: -files[file_of(item.nodeid)])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    begun = processor_time()
    result = yield
    seconds = item.config.stash[_seconds]
    seconds[function_of(item)] = seconds.get(function_of(item), 0.0) + processor_time() - begun
    return result


def pytest_sessionfinish(session: pytest.Session) -> None:
    seconds = session.config.stash[_seconds]
    if session.config.getoption("--measure") and seconds:
        slow = {name: taken for name, taken in {**read_slow(), **seconds}.items() if taken > LIMIT}
        SLOW.write_text("".join(f"{name} {taken:.1f}\n" for name, taken in sorted(slow.items())))
