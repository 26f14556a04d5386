"""Read places: a file as a stream, as bytes, or copied to this machine."""

from __future__ import annotations

import atexit
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from stylenet.errors import InputError
from stylenet.files import delete_folder, open_regular, temporary_folder
from stylenet.storage.archives import MEMBER, is_member, members, open_member, split_member
from stylenet.storage.places import Place, is_address, is_web, name_of
from stylenet.storage.ranges import open_ranges
from stylenet.storage.stores import file_system, patiently

# Style files and paintings are far below it.
_LARGEST = 2_000_000_000

# Characters of a line of a list: paths have 4,096 bytes at most, addresses may be longer.
_LONGEST_LINE = 65_536


def open_read(place: Place) -> IO[bytes]:
    """Open a file for reading: a path, an address, or ``zip://MEMBER::ARCHIVE``. Nothing of a store's file is kept on disk.

    What lies on a web server is downloaded whole, within limits of time and size.

    Raises:
        InputError: for what is no regular file, or is not there or not allowed in a store.
        RunError: for a store that does not answer.
        OSError: if a path cannot be opened.
    """
    if is_member(place):
        return open_member(*split_member(str(place)))
    if is_web(place):
        from stylenet.storage.downloading import download

        return io.BytesIO(patiently(str(place), lambda: download(str(place))))
    if is_address(place):
        return open_ranges(str(place))
    return open_regular(os.fspath(place))


def read(place: Place, limit: int = _LARGEST) -> bytes:
    """Return the bytes of a file.

    Raises:
        InputError: for more than ``limit`` bytes, and as :func:`open_read` does.
        RunError: for a store that does not answer.
        OSError: if a path cannot be read.
    """
    with open_read(place) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise InputError(f"{place} is larger than {limit // 1_000_000:,} MB")
    return content


def exists(place: Place) -> bool:
    """Return whether there is a file or a folder at a place.

    Raises:
        InputError, RunError: for a store that refuses or does not answer.
    """
    if not is_address(place):
        return Path(place).exists()
    if is_member(place):
        archive, member = split_member(str(place))
        return exists(archive) and member in members(archive)
    return bool(_info(str(place)))


def _info(address: str) -> dict[str, Any]:
    """Return what a store tells of a file or folder; nothing where there is none."""
    if is_web(address):
        return {"type": "file"} if _is_on_web(address) else {}
    system, path = file_system(address)

    def ask() -> dict[str, Any]:
        try:
            found: dict[str, Any] = system.info(path)
        except FileNotFoundError:
            return {}
        return found

    return patiently(address, ask)


def _is_on_web(address: str) -> bool:
    """Return whether a web server has a file, of which it is asked for the first byte alone."""
    from stylenet.storage.downloading import MissingError, WholeError, download_part

    try:
        patiently(address, lambda: download_part(address, 0, 1))
    except MissingError:
        return False
    except WholeError:  # it has one, and would give no parts
        pass
    return True


def is_folder(place: Place) -> bool:
    """Return whether a place is a folder; in a store, whether anything lies below it.

    Raises:
        InputError, RunError: for a store that refuses or does not answer.
    """
    if not is_address(place):
        return Path(place).is_dir()
    return _info(str(place)).get("type") == "directory"


# Copies of files in stores, by address, and their addresses. They are deleted when the process ends.
_copies: dict[tuple[int, str], Path] = {}
_origins: dict[Path, str] = {}


def fetched(place: Place) -> Path:
    """Return a path with the content of a place: itself for a path; a copy of a file in a store, which this process makes
    once, and keeps under the file's own name until it ends.

    Raises:
        InputError, RunError: for what cannot be read.
    """
    if not is_address(place):
        return Path(place)
    key = (os.getpid(), str(place))
    if key not in _copies:
        content = read(place)
        folder = temporary_folder("stylenet-")
        atexit.register(delete_folder, folder)
        copy = folder / name_of(str(place).removeprefix(MEMBER))
        copy.write_bytes(content)
        _copies[key], _origins[copy] = copy, str(place)
    return _copies[key]


def forget(place: Place) -> None:
    """Let go of the copy of a file in a store, which is written anew."""
    _copies.pop((os.getpid(), str(place)), None)


def origin(path: Path) -> str:
    """Return the address that a copy came from; for other paths themselves."""
    return _origins.get(path, str(path))


def read_lines(place: Place) -> Iterator[str]:
    """Yield the lines of a list in UTF-8, with or without a mark of it at its beginning: without their ends, empty ones and
    ``#`` comments.

    Raises:
        InputError: for a line that is longer than any path, as in what is no text.
        UnicodeDecodeError, RunError, OSError: as :func:`open_read` and its reader do.
    """
    with io.TextIOWrapper(open_read(place), encoding="utf-8-sig") as opened:
        while line := opened.readline(_LONGEST_LINE + 1):
            if len(line) > _LONGEST_LINE:
                raise InputError(
                    f"{place} is no list with a path a line: it has a line of more than {_LONGEST_LINE:,} characters"
                )
            if (told := line.strip()) and not told.startswith("#"):
                yield told


def hash_of(place: Place) -> str:
    """Return the SHA-256 of a file in hexadecimal.

    Raises:
        InputError, RunError, OSError: as :func:`read` does.
    """
    return hashlib.sha256(read(place)).hexdigest()
