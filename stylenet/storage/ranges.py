"""Read a file in a store by ranges of its bytes."""

from __future__ import annotations

import io
from typing import IO, Any, cast

from stylenet.errors import InputError, RunError
from stylenet.storage.places import is_web
from stylenet.storage.stores import file_system, patiently

# Bytes of a request: a photo of usual size comes in one.
_BLOCK = 2 << 20
_BUFFER = 1 << 16


def open_ranges(address: str) -> IO[bytes]:
    """Open a file in a store for reading. One that is not there or not allowed fails now.

    Raises:
        InputError, RunError: for what cannot be read.
    """
    raw = RangedFile(address)
    raw.expect(0, _BLOCK)
    return cast(IO[bytes], io.BufferedReader(raw, _BUFFER))


class RangedFile(io.RawIOBase):
    """A file in a store, of which a part is in memory.

    Args:
        address: of the file.
    """

    def __init__(self, address: str) -> None:
        self.address, self.place = address, 0
        self._start, self._part = 0, b""
        self._size: int | None = None

    def expect(self, start: int, end: int) -> None:
        """Fetch a range of bytes in one request, as it will be read next.

        Raises:
            InputError, RunError: for what cannot be read.
        """
        self._part = self._fetch(start, end)
        self._start = start
        if start + len(self._part) < end and not is_web(self.address):  # those tell it, and may give less than was asked for
            self._size = start + len(self._part)

    @property
    def size(self) -> int:
        """Return the number of bytes in the file."""
        if self._size is None and is_web(self.address):
            self._fetch(0, 1)
            if self._size is None:
                raise InputError(f"the server of {self.address} does not tell its size: download it yourself first")
        if self._size is None:
            system, path = file_system(self.address)
            self._size = int(patiently(self.address, lambda: system.info(path)["size"]))
        return self._size

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return where the next byte is read."""
        return self.place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.place}.get(whence)
        self.place = offset + (self.size if base is None else base)
        return self.place

    def readinto(self, buffer: Any) -> int:
        """Read some bytes; none at the end.

        Raises:
            OSError: if the store does not give them.
        """
        wanted = len(memoryview(buffer))
        if not self._start <= self.place < self._start + len(self._part):
            if self._size is not None and self.place >= self._size:
                return 0
            try:
                self.expect(self.place, self.place + max(wanted, _BLOCK))
            except (InputError, RunError) as error:
                raise OSError(str(error)) from error
        first = self.place - self._start
        found = self._part[first : first + wanted]
        buffer[: len(found)] = found
        self.place += len(found)
        return len(found)

    def _fetch(self, start: int, end: int) -> bytes:
        if is_web(self.address):
            from stylenet.storage.downloading import download_part

            answer = patiently(self.address, lambda: download_part(self.address, start, end))
            self._size = answer.size if self._size is None else self._size
            return answer.data
        system, path = file_system(self.address)

        def ask() -> bytes:
            try:
                return bytes(system.cat_file(path, start=start, end=end))
            except (FileNotFoundError, PermissionError):
                raise
            except Exception:
                # A range behind the end is an error to some stores, and an empty file has no other.
                if start >= self.size:
                    return b""
                raise

        return patiently(self.address, ask)
