"""Write files whole or not at all, and know them by their SHA-256."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from stylenet.errors import InputError, RunError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# The scheme of an address; a single letter is a drive.
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:")

# What `replacing` names its files, and how old they are before they count as left behind, in seconds.
_LEFTOVER = re.compile(r"\..+\.[a-z0-9_]{8}\.part", re.DOTALL)
_YOUNG = 60.0
_cleared: set[Path] = set()

# What temporary folders are named like, the file in each that its process keeps locked, and the locks of this process.
_FOLDER = re.compile(r"stylenet[-_].+")
_HELD = ".stylenet-held"
_locks: dict[Path, int] = {}


def write_atomic(path: Path, content: bytes) -> None:
    """Write beside the target, then replace it, so that a crash or a full disk leaves nothing half-written.

    Raises:
        RunError: if it cannot be written; the target is then as it was.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def replacing(path: Path, durable: bool = False) -> Iterator[Path]:
    """Open an empty file beside the target, to be filled inside the ``with``. It becomes the target at the end, and vanishes if
    the block raises.

    Args:
        path: the target.
        durable: wait until the content is on the disk before the target is replaced, so that a power cut leaves the old file
            or the new one.

    Raises:
        RunError: in place of an OSError, the block's own included; the target is then as it was.
    """
    temporary = ""
    held = -1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(path.parent)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part")
        held = _held(handle)
        yield Path(temporary)
        Path(temporary).chmod(0o666 & ~_umask())  # mkstemp makes files for the owner alone
        if durable:
            _sync(temporary)
        Path(temporary).replace(path)
    except BaseException as error:
        if temporary:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        if isinstance(error, OSError):
            raise RunError(f"cannot write {path}: {error.strerror or error}") from error
        raise
    finally:
        if held >= 0:
            os.close(held)


def _held(handle: int) -> int:
    """Keep an open file locked until it is closed, so that others see that its process lives.

    Returns its handle, or -1 where files cannot be locked: there it is closed.
    """
    if fcntl is None:
        os.close(handle)
        return -1
    with contextlib.suppress(OSError):  # some network file systems have no locks
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return handle


def temporary_folder(prefix: str, parent: str | None = None) -> Path:
    """Return a new folder for temporary files, to be deleted by :func:`delete_folder`. Those of processes that were killed are
    deleted before.

    Args:
        prefix: beginning of its name, ``stylenet-`` or ``stylenet_``.
        parent: where it lies; :func:`scratch_folder` by default.

    Raises:
        OSError: if it cannot be made.
    """
    parent = parent or scratch_folder()
    _clear_folders(Path(parent))
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent)).resolve()
    _locks[folder] = _held(os.open(folder / _HELD, os.O_CREAT | os.O_RDWR, 0o600))
    return folder


def delete_folder(folder: Path) -> None:
    """Delete what :func:`temporary_folder` has made."""
    shutil.rmtree(folder, ignore_errors=True)
    if (handle := _locks.pop(folder, -1)) >= 0:
        with contextlib.suppress(OSError):
            os.close(handle)


def _clear_folders(parent: Path) -> None:
    """Delete the temporary folders whose processes were killed, once in the life of this process."""
    if fcntl is None or (place := parent.resolve() / _HELD) in _cleared:
        return
    _cleared.add(place)
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                own = entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.getuid()
                if own and _FOLDER.fullmatch(entry.name):
                    _delete_if_left(Path(entry.path, _HELD), Path(entry.path))


def clear_leftovers(folder: Path) -> None:
    """Delete what :func:`replacing` has left in a folder where its process was killed, once in the life of this process."""
    if fcntl is None or (place := folder.resolve()) in _cleared:
        return
    _cleared.add(place)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _LEFTOVER.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    _delete_if_left(Path(entry.path))


def _delete_if_left(path: Path, folder: Path | None = None) -> None:
    """Delete a file that no process holds, or the folder that it stands for; a young one may not be locked yet.

    Raises:
        OSError: if a process holds it, or there is none.
    """
    handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if time.time() - os.fstat(handle).st_mtime <= _YOUNG:
            return
        if folder is None:
            path.unlink()
        else:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(handle)


def _sync(path: str) -> None:
    handle = os.open(path, os.O_RDWR)  # Windows syncs only what may be written
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_writable(path: Path) -> None:
    """Fail now if a file at this path could not be written later, rather than after minutes of work.

    Raises:
        InputError: if a file at this path could not be written.
    """
    first = path.parts[0] if path.parts else ""
    if _SCHEME.fullmatch(first) and not Path(first).exists():  # an address that became a path: s3:/bucket/a.png
        raise InputError(f"cannot write {first}//{Path(*path.parts[1:])}: this goes to a file of this machine, not to a store")
    try:
        if path.is_dir():
            raise InputError(f"cannot write {path}: it is a folder; give the name of a file")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"cannot write {path}: a part of that path is a file, not a folder") from error
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def open_regular(path: str | Path) -> IO[bytes]:
    """Open a file for reading; pipes, devices and sockets, which may never end or never begin, are refused.

    Raises:
        InputError: for what is no regular file.
        OSError: if it cannot be opened.
    """
    # Without O_NONBLOCK opening a pipe waits for its writer.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            kind = "a pipe" if stat.S_ISFIFO(mode) else "a device"
            raise InputError(f"{path} is {kind}, not a file: write what it gives to one")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def scratch_folder() -> str:
    """Return where large temporary files belong: ``/tmp`` may be a part of memory."""
    usual = "/var/tmp"
    return usual if "TMPDIR" not in os.environ and os.access(usual, os.W_OK) else tempfile.gettempdir()


# The mask can only be read by setting it, and it is that of all threads.
_reading_mask = threading.Lock()


def _umask() -> int:
    with _reading_mask:
        mask = os.umask(0)
        os.umask(mask)
    return mask
