"""Turn a path, an address, bytes or a file object into bytes."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import IO

from stylenet.errors import InputError, RunError
from stylenet.files import open_regular
from stylenet.images.decoding import is_known
from stylenet.memory import free_main_memory
from stylenet.storage.archives import DAMAGE
from stylenet.storage.reading import open_read

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]

# Larger than any picture that is read, an uncompressed one of 16 bits and 200 megapixels with transparency included.
LIMIT_BYTES = 2_000_000_000

_DOWNLOADING = "stylenet.storage.downloading"

# The work that a thread reads pictures for.
_thread = threading.local()

# A file that does not begin as pictures do is read no further.
_BEGINNING = 4096

# After so many bytes it is looked whether memory holds them, and as many again to work with.
_STRETCH = 1 << 26


def fetch(source: Source, name: str = "the picture") -> tuple[str, bytes]:
    """Return a name for messages, and the bytes.

    Args:
        source: path, address (http(s), or of a store such as ``s3://``), bytes or binary file.
        name: name used in messages, where the source has none.

    Raises:
        InputError: for what is missing, too large, too slow, or neither a file nor an address that is known.
        RunError: for a store that does not answer.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return name, bytes(source)
    if not isinstance(source, str | os.PathLike):
        return _read_file(source, name)
    text = os.fspath(source)
    if not isinstance(text, str):
        text = os.fsdecode(text)
    if not text:
        raise InputError(f"{name} has an empty path")
    if isinstance(source, str) and text.lower().startswith(("http://", "https://")):
        from stylenet.storage.downloading import download  # aiohttp takes half a second

        return text, download(text, getattr(_thread, "stopped", None))
    if isinstance(source, str) and "://" in text:
        return text, _read_store(text)
    path = Path(text)
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > LIMIT_BYTES:
                raise _too_large(text, LIMIT_BYTES)
            return text, read_picture_bytes(file, text)
    except InputError:
        raise
    except IsADirectoryError as error:
        if not os.access(path, os.R_OK | os.X_OK):
            raise InputError(f"{path} is a folder that may not be entered: change its permissions") from error
        raise InputError(f"{path} is a folder, not a picture: name a file in it") from error
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {text!r}: {getattr(error, 'strerror', None) or error}") from error


def _read_store(place: str) -> bytes:
    """Return the bytes of a picture in a store, or in an archive."""
    try:
        with open_read(place) as file:
            return read_picture_bytes(file, place)
    except (InputError, RunError):
        raise
    except (*DAMAGE, NotImplementedError) as error:
        raise InputError(f"{place} cannot be read ({error})") from error


def _read_file(file: IO[bytes], name: str) -> tuple[str, bytes]:
    """Return what is left to read of an open file."""
    named = getattr(file, "name", name)
    name = named if isinstance(named, str) else name  # a pipe's is a number
    try:
        return name, read_picture_bytes(file, name)
    except InputError:
        raise
    except (OSError, ValueError, UnicodeDecodeError) as error:  # closed, or opened for writing or as text
        raise InputError(f"{name} cannot be read ({error}): give a file opened with mode 'rb'") from error


def read_picture_bytes(file: IO[bytes], name: str, limit: int = LIMIT_BYTES) -> bytes:
    """Return all of a file; only its beginning if it does not begin as a picture does.

    Raises:
        InputError: for more than ``limit`` bytes or than memory holds, or a file that is open as text.
        OSError, ValueError: if it cannot be read.
    """
    data = bytearray()
    while len(data) < _BEGINNING and (chunk := _some(file, _BEGINNING - len(data), name)):
        data += chunk
    if is_known(bytes(data)):
        while chunk := _some(file, 1 << 20, name):
            data += chunk
            if len(data) > limit:
                raise _too_large(name, limit)
            if len(data) % _STRETCH < len(chunk) and free_main_memory() < 2 * len(data):
                raise InputError(f"{name} is larger than free memory allows: {len(data) // 1_000_000:,} MB are read")
    return bytes(data)


def _too_large(name: str, limit: int) -> InputError:
    return InputError(f"{name} is larger than {limit // 1_000_000:,} MB, more than any picture that is read")


def _some(file: IO[bytes], most: int, name: str) -> bytes:
    chunk: object = file.read(most)
    if not isinstance(chunk, bytes | bytearray | memoryview):
        raise InputError(f"{name} is open as text: open it with mode 'rb'")
    return bytes(chunk)


def read_for(stopped: threading.Event) -> None:
    """Let this thread read pictures for some work that :func:`stop_waiting` can stop."""
    _thread.stopped = stopped


def stop_waiting(stopped: threading.Event) -> None:
    """End what the threads of some work download, and are about to: a slow server would keep the process from ending."""
    stopped.set()
    if _DOWNLOADING in sys.modules:
        sys.modules[_DOWNLOADING].stop_downloads(stopped)
