"""Read zip archives in place, on this machine or in a store: of their members only what is asked for is fetched."""

from __future__ import annotations

import io
import os
import struct
import threading
import zipfile
import zlib
from pathlib import Path
from typing import IO, cast

from stylenet.errors import InputError
from stylenet.files import open_regular
from stylenet.storage.places import Place, is_address
from stylenet.storage.ranges import RangedFile

# A member as a place of its own: ``zip://photos/1.jpg::s3://bucket/photos.zip``, as fsspec writes it.
MEMBER, _OF = "zip://", "::"

# An archive as a folder may be marked as one: ``zip::s3://bucket/photos.zip``.
_FOLDER = "zip::"

# The local header of a member (APPNOTE.TXT 6.3.10, 4.3.7): mark, version, flags, method, time, date, checksum, two sizes, and
# the lengths of its name and of an extra field, which the directory does not tell: it is guessed.
_HEADER, _MARK, _LOCKED = struct.Struct("<4s2xH2x2x2x4x4x4xHH"), b"PK\x03\x04", 1
_EXTRA = 256

# What a reader of archives raises on bytes that make no sense.
DAMAGE = (OSError, ValueError, EOFError, LookupError, RuntimeError, struct.error, zlib.error, zipfile.BadZipFile)

# Archives that this process has open, and a lock for each. A handle must not cross a fork: both sides would move one position.
_archives: dict[tuple[int, str], _Archive] = {}
_opening = threading.Lock()


def is_archive(place: Place) -> bool:
    """Return whether a place is named as a zip archive, and is no folder of this machine."""
    text = os.fspath(place)
    if text.startswith(_FOLDER):
        return True
    return text.lower().endswith(".zip") and not text.startswith(MEMBER) and (is_address(text) or not Path(text).is_dir())


def is_list(place: Place) -> bool:
    """Return whether a place is named as a list of files, and is no folder of this machine."""
    text = os.fspath(place)
    return text.lower().endswith(".txt") and (is_address(text) or not Path(text).is_dir())


def is_member(place: Place) -> bool:
    """Return whether a place is a member of an archive."""
    return isinstance(place, str) and place.startswith(MEMBER) and _OF in place


def member_place(archive: str, member: str) -> str:
    """Return the place of a member of an archive."""
    return f"{MEMBER}{member}{_OF}{archive.removeprefix(_FOLDER)}"


def split_member(place: str) -> tuple[str, str]:
    """Return the archive and the name of a member."""
    member, _, archive = place.removeprefix(MEMBER).partition(_OF)
    return archive, member


def members(archive: Place) -> list[str]:
    """Return the names of all files in an archive, sorted.

    Raises:
        InputError: for what is no zip archive, or not whole.
        OSError: if a path cannot be opened.
    """
    place = os.fspath(archive).removeprefix(_FOLDER)
    try:
        return sorted(info.filename for info in _archive(place, anew=True).zip.infolist() if not info.is_dir())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError) as error:  # or nonsense in its directory
        if isinstance(error, InputError):
            raise
        raise InputError(f"{str(archive)!r} is no zip archive, or was not downloaded to its end ({error})") from error


def member_size(archive: Place, member: str) -> int:
    """Return the bytes of a file in an archive, as the archive's directory has them.

    Raises:
        InputError: for a member that is not there.
        OSError, ValueError, zipfile.BadZipFile: for an archive that is damaged.
    """
    return _info_of(_archive(os.fspath(archive).removeprefix(_FOLDER)), archive, member).file_size


def _info_of(opened: _Archive, archive: Place, member: str) -> zipfile.ZipInfo:
    try:
        return opened.zip.getinfo(member)
    except KeyError as error:
        raise InputError(f"{archive} holds no {member}") from error


def open_member(archive: Place, member: str, limit: int = 2_000_000_000) -> IO[bytes]:
    """Open a file in an archive for reading. In a store its bytes come in one request.

    Args:
        archive: the archive.
        member: name of the file.
        limit: bytes that it may unfold to.

    Raises:
        InputError: for a member that is not there, larger than ``limit``, or packed in a way that photos are not.
        OSError, ValueError, zipfile.BadZipFile: for an archive that is damaged.
    """
    opened = _archive(os.fspath(archive).removeprefix(_FOLDER))
    info = _info_of(opened, archive, member)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("it is packed by another method than zip archives of photos have")
    if info.file_size > limit:
        raise ValueError(f"it has {info.file_size // 1_000_000:,} MB, more than any photo")
    if opened.store is None:
        return opened.zip.open(info)
    return io.BytesIO(opened.fetched(info))


class _Archive:
    """An open archive.

    Args:
        place: of its file.
        version: what changes with a file on this machine; None for one in a store.
    """

    def __init__(self, place: str, version: tuple[int, ...] | None) -> None:
        self.version = version
        self.store = RangedFile(place) if is_address(place) else None
        if self.store is None:
            open_regular(place).close()  # a pipe would keep the archive's reader waiting for ever
        self.zip = zipfile.ZipFile(place if self.store is None else cast(IO[bytes], io.BufferedReader(self.store)))

    def fetched(self, info: zipfile.ZipInfo) -> bytes:
        """Return the content of a member of an archive in a store, after one request for its bytes.

        ``zipfile`` would read the header, the name and the content one after the other. Threads do not share a position here.

        Raises:
            ValueError, zlib.error, struct.error, zipfile.BadZipFile: for what is damaged or locked by a password.
        """
        assert self.store is not None
        name = len(info.orig_filename.encode())
        part = RangedFile(self.store.address)
        part.expect(info.header_offset, info.header_offset + _HEADER.size + name + _EXTRA + info.compress_size)
        part.seek(info.header_offset)
        file = io.BufferedReader(part)
        mark, flags, name, extra = _HEADER.unpack(file.read(_HEADER.size))
        if mark != _MARK or flags & _LOCKED:
            raise zipfile.BadZipFile("it is locked by a password" if mark == _MARK else "a part is not where it should be")
        file.read(name + extra)
        content = file.read(info.compress_size)
        if info.compress_type == zipfile.ZIP_DEFLATED:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, info.file_size + 1)
        if len(content) != info.file_size or zlib.crc32(content) != info.CRC:
            raise zipfile.BadZipFile("its checksum is wrong")
        return content


def _archive(place: str, anew: bool = False) -> _Archive:
    """Return an open archive. One on this machine that has changed since is opened again; a store is only asked where its
    directory is wanted ``anew``."""
    key = (os.getpid(), place)
    version = None if is_address(place) else _version(Path(place))
    with _opening:
        known = _archives.get(key)
        if known is None or known.version != version or (anew and version is None):
            _archives[key] = _Archive(place, version)
        return _archives[key]


def _version(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino
