"""Write files whole or not at all, and know them by their SHA-256."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from stylenet.errors import InputError, RunError


def write_atomic(path: Path, content: bytes) -> None:
    """Write beside the target, then replace it, so that a crash or a full disk leaves nothing half-written.

    Raises:
        RunError: if it cannot be written; the target is then as it was.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Open an empty file beside the target, to be filled inside the ``with``. It becomes the target at the end, and vanishes if
    the block raises.

    Raises:
        RunError: in place of an OSError, the block's own included; the target is then as it was.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part")
        os.close(handle)
        yield Path(temporary)
        Path(temporary).chmod(0o666 & ~_umask())  # mkstemp makes files for the owner alone
        Path(temporary).replace(path)
    except BaseException as error:
        if temporary:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        if isinstance(error, OSError):
            raise RunError(f"cannot write {path}: {error.strerror or error}") from error
        raise


def check_writable(path: Path) -> None:
    """Fail now if a file at this path could not be written later, rather than after minutes of work.

    Raises:
        InputError: if a file at this path could not be written.
    """
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
