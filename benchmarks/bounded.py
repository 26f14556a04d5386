"""Run a command that ends in time, and with it everything that it has started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path


def run_bounded(
    words: Sequence[str], seconds: float, folder: Path, errors: Path, environment: Mapping[str, str] | None = None
) -> int | None:
    """Run a command, and return its exit code, or None where it was ended because its time was over.

    It leads a session of its own. When it ends, is ended, or Ctrl-C ends the wait for it, whatever is left of that session is
    killed: the programs that a command runs in turn would else go on, and take the time of those that follow.

    Args:
        words: the command.
        seconds: how long it may take.
        folder: where it works.
        errors: file for what it says on stderr; what it prints is lost.
        environment: that of this process by default.
    """
    with errors.open("wb") as stream:
        process = subprocess.Popen(
            words,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stream,
            start_new_session=True,
        )
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            kill_session(process)
            process.wait()


def kill_session(leader: subprocess.Popen[bytes]) -> None:
    """End whatever is left of the session that a process leads, or led, by SIGKILL."""
    with suppress(ProcessLookupError, PermissionError):  # nothing is left
        os.killpg(leader.pid, signal.SIGKILL)
