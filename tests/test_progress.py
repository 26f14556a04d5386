"""The progress line on a terminal, in a notebook and in a log file."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios
import textwrap

import pytest

from stylenet import progress
from stylenet.progress import ProgressLine

PROGRAM = """
import sys
from stylenet.progress import ProgressLine
line = ProgressLine()
for step in (1, 2, 3):
    line.show(f"step {step}/4  objective {step}  and more than a narrow terminal has room for", step / 4)
line.close()
print("after", file=sys.stderr)
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that is set by hand."""
    time = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: time[0])
    return time


@pytest.mark.parametrize(("stream", "seconds"), [(io.StringIO(), 5.0), (Terminal(), 0.2)])
def test_not_too_often(stream: io.StringIO, seconds: float, now: list[float]) -> None:
    line, due = ProgressLine(stream), []
    for share in (0.0, 0.5, 0.9, 1.1, 1.2, 2.2):
        now[0] = 1000 + share * seconds
        due.append(line.due())
    assert due == [True, False, False, True, False, True]
    assert line.due(always=True)


def test_a_log_file_gets_lines() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], stderr=subprocess.PIPE, text=True, check=True)
    lines = [f"step {step}/4  objective {step}  and more than a narrow terminal has room for" for step in (1, 2, 3)]
    assert done.stderr.splitlines() == [*lines, "after"]


@pytest.mark.parametrize(("columns", "width"), [(40, 40), (0, 80)])
def test_a_terminal_gets_one_line_within_its_width(columns: int, width: int) -> None:
    """A terminal in a container can say that it has no width."""
    control, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24 if columns else 0, columns, 0, 0))
    subprocess.run([sys.executable, "-c", PROGRAM], stderr=terminal, check=True)
    os.close(terminal)
    shown = b""
    try:
        while part := os.read(control, 4096):
            shown += part
    except OSError:  # how Linux says that the terminal is closed
        pass
    os.close(control)
    text = shown.decode().replace("\r\n", "\n")
    drawn, after = text.split("\n")[:2]
    states = drawn.split("\r")[1:]
    assert after == "after"
    assert "\033" not in text
    assert all(0 < len(state) <= width for state in states)
    assert [state.split("| ")[1].split("/")[0] for state in states] == ["step 1", "step 2", "step 3", "step 3"]
    filled = [state[1:13].rstrip() for state in states]
    assert [round(len(bar) / 12, 2) for bar in filled] == [0.25, 0.5, 0.75, 0.75]


def test_a_line_that_was_not_closed_is_in_no_ones_way() -> None:
    """As after an exception."""
    ProgressLine(Terminal()).show("left alone", 0.5)
    stream = Terminal()
    line = ProgressLine(stream)
    line.show("step 1", 0.5)
    line.show("step 2")
    line.close()
    assert "\033" not in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


def test_what_showed_nothing_ends_nothing() -> None:
    stream = Terminal()
    ProgressLine(stream).close()
    assert stream.getvalue() == ""


def test_a_notebook_gets_a_bar() -> None:
    pytest.importorskip("ipywidgets")
    pytest.importorskip("ipykernel")
    program = """
    import ipykernel.zmqshell
    from stylenet import progress
    line = progress.ProgressLine()
    line.show("step 1", 0.25)
    line.show("step 2", 0.5)
    text = line._drawn.container.children
    assert text[1].value == 0.5, text
    assert "step" in text[2].value and "2" in text[2].value
    line.close()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
