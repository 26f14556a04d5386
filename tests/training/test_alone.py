"""Two trainings in one folder would write the same checkpoints."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from stop_kit import holder

from stylenet.errors import InputError
from stylenet.training.alone import alone_in

pytestmark = pytest.mark.skipif(os.name == "nt", reason="locks of POSIX")


def test_one_at_a_time(tmp_path: Path) -> None:
    process = holder(tmp_path / "run")
    try:
        with pytest.raises(InputError, match=r"another training is at work in .*run: wait for it, or name another"):
            alone_in(str(tmp_path / "run")).__enter__()
        with alone_in(str(tmp_path / "other")):
            pass
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    with alone_in(str(tmp_path / "run")):  # whoever is killed holds nothing
        pass
    assert list((tmp_path / "run").iterdir()) == []


def test_what_reads_photos_does_not_hold_it(tmp_path: Path) -> None:
    with alone_in(str(tmp_path)):
        process = os.fork()
        if process == 0:
            signal.pause()
    try:
        other = holder(tmp_path)
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def test_stores_are_not_held() -> None:
    with alone_in("s3://bucket/run"), alone_in("s3://bucket/run"):
        pass
