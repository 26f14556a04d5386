"""One training at a time in a folder: two would write the same checkpoints and logs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from stylenet.errors import InputError, argument
from stylenet.storage import is_address

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_NAME = ".training"


@contextlib.contextmanager
def alone_in(run: str) -> Iterator[None]:
    """Hold the folder of a run while a training is at work in it. In stores, and where files cannot be locked, nothing is held.

    The lock is the process's own: those that read photos do not share it, and it ends with the process, however that ends.

    Raises:
        InputError: if another process holds it.
    """
    if fcntl is None or is_address(run):
        yield
        return
    path = Path(run) / _NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:  # a full disk: the training itself says so
        yield
        return
    try:
        _lock(handle, run)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink()
    finally:
        os.close(handle)


def _lock(handle: int, run: str) -> None:
    held = False
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held = os.fstat(handle).st_nlink == 0  # its holder has ended just now, and another may begin
    except (BlockingIOError, PermissionError):
        held = True
    except OSError:  # some network file systems have no locks
        pass
    if held:
        ways = f"wait for it, or name another folder by {argument('run')}"
        raise InputError(f"another training is at work in {run}: {ways}")
