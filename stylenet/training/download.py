"""Download COCO's photos, the usual training set: one large zip archive, in as many goes as it takes, and never unpacked.

Only the standard library is needed, so that a machine without torch can fetch the photos too.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import re
import shutil
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import IO

from stylenet.durations import clock
from stylenet.errors import InputError, RunError, argument
from stylenet.patience import LEAST, SLOW, Patience
from stylenet.progress import ProgressLine

_logger = logging.getLogger(__name__)

# Seconds within which an answer must begin, and then within which it must bring another LEAST bytes.
TIMEOUT = 30.0
PAUSES = (1.0, 5.0, 20.0, 60.0)  # seconds before each further attempt; one that brought LEAST bytes starts the row anew
_CHUNK = 1 << 18
_PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


@dataclass(frozen=True)
class Archive:
    """A zip archive on the net, and how to know it.

    Attributes:
        url: address; the last part is the name of the file.
        size: size in bytes.
        md5: checksum in hexadecimal digits.
        photos: number of photos in it.
    """

    url: str
    size: int
    md5: str
    photos: int

    @property
    def name(self) -> str:
        """Return the name of the file."""
        return self.url.rpartition("/")[2]


COCO = {
    "train2017": Archive(
        url="http://images.cocodataset.org/zips/train2017.zip",
        size=19_336_861_798,
        md5="cced6f7f71b7629ddf16f17bbcfab6b2",
        photos=118_287,
    ),
    "val2017": Archive(
        url="http://images.cocodataset.org/zips/val2017.zip",
        size=815_585_330,
        md5="442b8da7639aecaf257c1dceb8ba8c80",
        photos=5_000,
    ),
}


def is_there(archive: Archive, target: Path) -> bool:
    """Return whether the archive is there as a whole, by its size.

    Raises:
        InputError: for a file of that name and another size.
    """
    if not target.is_file():
        return False
    size = size_of(target)
    if size != archive.size:
        raise InputError(
            f"{target} has {size:,} bytes instead of {archive.size:,}: move it away, or, if it is a download that broke off, "
            f"rename it to {part_of(target).name} and it is continued"
        )
    return True


def part_of(target: Path) -> Path:
    """Return where an archive grows until it is verified."""
    return target.with_name(f"{target.name}.part")


def size_of(path: Path) -> int:
    """Return the size of a file in bytes; 0 for a file that is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def check_space(folder: Path, missing: int) -> None:
    """Fail now rather than after an hour.

    Raises:
        InputError: if so many bytes do not fit.
    """
    free = shutil.disk_usage(folder).free
    if free < missing:
        raise InputError(
            f"{amount(missing)} are to be downloaded and {amount(free)} are free in {folder.resolve()}: "
            f"make room, or choose another disk by {argument('folder')}"
        )


def download(archive: Archive, target: Path) -> None:
    """Download what is missing, verify the whole, and only then give it its name.

    Args:
        archive: what to download.
        target: file that appears.

    Raises:
        RunError: if it fails; unless the archive itself is wrong, what has come is kept for the next time.
    """
    part = part_of(target)
    progress = Progress(archive)
    try:
        _complete(archive, part, progress)
        verify(archive, part, progress)
        part.replace(target)
    except OSError as error:
        reason = error.strerror or error
        raise RunError(f"cannot write {part}: {reason}; run the same command again to go on from there") from error
    finally:
        progress.close()


class _BrokenOff(Exception):
    """Raised when the network or the server failed in a way that may pass."""


def _complete(archive: Archive, part: Path, progress: Progress) -> None:
    """Append to the part file until it is as long as the archive."""
    most = size_of(part)
    failures = 0
    while size_of(part) < archive.size:
        try:
            _attempt(archive, part, progress)
        except _BrokenOff as error:
            failures = failures + 1 if size_of(part) < most + LEAST else 1
            most = max(most, size_of(part))
            if failures > len(PAUSES):
                come = f"{amount(size_of(part))} of {amount(archive.size)} have come"
                raise RunError(
                    f"cannot download {archive.url}: {error}; {come}: run the same command again to go on"
                ) from error
            pause = PAUSES[failures - 1]
            progress.tell(f"{error} at {amount(size_of(part))}: trying again in {pause:g} s")
            time.sleep(pause)


def _attempt(archive: Archive, part: Path, progress: Progress) -> None:
    """Ask once for what is missing and append what comes."""
    size = size_of(part)
    with Patience(TIMEOUT) as patience, _request(archive, size, patience) as response:
        done = _beginning(archive, response, size)
        if done < size:
            progress.tell(f"the server cannot go on from {amount(size)}: starting over")
        with part.open("ab") as file:
            file.truncate(done)
            progress.begin("downloading", done)
            patience.renew()
            while done < archive.size:
                chunk = _read(response, min(_CHUNK, archive.size - done), patience)
                file.write(chunk)
                done += len(chunk)
                progress(done)
                patience.came(len(chunk))


def _request(archive: Archive, begin: int, patience: Patience) -> http.client.HTTPResponse:
    headers = {"User-Agent": "stylenet"} | ({"Range": f"bytes={begin}-"} if begin else {})
    try:
        request = urllib.request.Request(archive.url, headers=headers)
        response: http.client.HTTPResponse = patience.open(request)
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and begin:
            return _request(archive, 0, patience)
        answer = f"the server answered {error.code} {error.reason}"
        if error.code in _PASSING or error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _BrokenOff(answer) from error
        raise RunError(f"cannot download {archive.url}: {answer}; https://cocodataset.org/#download may know why") from error
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOff(_reason(error, patience)) from error
    return response


def _beginning(archive: Archive, response: http.client.HTTPResponse, asked: int) -> int:
    """Return where in the archive an answer begins: at 0, whatever was asked, for a server that does not know ranges.

    Raises:
        RunError: if it is an answer of which nothing should be written: a page of a proxy, say, or another file.
    """
    begin, total = 0, response.headers.get("Content-Length")
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) > asked:
            raise RunError(f"{archive.url} answered with another part than was asked for: delete the .part file and start over")
        begin, total = int(found[1]), None if found[2] == "*" else found[2]
    if total not in (None, str(archive.size)):
        raise RunError(
            f"{archive.url} answered with a file of {total} bytes instead of {archive.size}: a proxy may have answered, "
            "or the archive has changed; nothing was written"
        )
    return begin


def _read(response: http.client.HTTPResponse, most: int, patience: Patience) -> bytes:
    """Return some bytes, as soon as there are any."""
    try:
        chunk = response.read1(most)
    except (OSError, http.client.HTTPException, ValueError) as error:  # the last for nonsense as the length of a chunk
        raise _BrokenOff(_reason(error, patience)) from error
    if not chunk:
        raise _BrokenOff(SLOW if patience.over else "the connection was closed")
    return chunk


def _reason(error: Exception, patience: Patience) -> str:
    """Return the reason in one line: it may quote what the server sent."""
    if patience.timed_out(error):
        return SLOW
    return " ".join(str(getattr(error, "reason", None) or error).split()) or type(error).__name__


def verify(archive: Archive, part: Path, progress: Progress) -> None:
    """Compare size and checksum. A file that is wrong is deleted, as no part of it can be trusted.

    Raises:
        RunError: if it is wrong.
    """
    if fault := _fault(archive, part, progress):
        part.unlink()
        raise RunError(
            f"{part} {fault}, and was deleted: run the same command again; if this comes twice, {archive.url} has changed"
        )


def _fault(archive: Archive, part: Path, progress: Progress) -> str:
    size = size_of(part)
    if size != archive.size:
        return f"has {size:,} bytes instead of {archive.size:,}"
    digest = hashlib.md5(usedforsecurity=False)
    progress.begin("verifying", 0)
    done = 0
    with part.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            progress(done)
    return "" if digest.hexdigest() == archive.md5 else f"has the MD5 checksum {digest.hexdigest()} instead of {archive.md5}"


class Progress(ProgressLine):
    """Share, amount, speed and time left."""

    def __init__(self, archive: Archive, stream: IO[str] | None = None) -> None:
        super().__init__(stream)
        self.archive = archive
        self.begin("downloading", 0)

    def begin(self, doing: str, done: int) -> None:
        """Count the speed from here."""
        self.close()
        self.doing, self.start = doing, done
        self.begun = self.shown = time.monotonic()

    def __call__(self, done: int) -> None:
        if not self.due(always=done >= self.archive.size):
            return
        speed = (done - self.start) / max(time.monotonic() - self.begun, 1e-3)
        share = done / self.archive.size
        self.show(
            f"{self.archive.name}  {self.doing} {share:.0%}  {amount(done)} of {amount(self.archive.size)}"
            f"  {amount(speed)}/s  {clock((self.archive.size - done) / speed)} left",
            share,
        )

    def tell(self, message: str) -> None:
        """Report what happened, below the line."""
        self.close()
        _logger.info(message)


def amount(size: float) -> str:
    """Return bytes as ``18 GB`` or ``777.8 MB``, in powers of 1024 as COCO's own page counts."""
    value, unit = (size / 2**30, "GB") if size >= 2**30 else (size / 2**20, "MB")
    return f"{value:.1f}".removesuffix(".0") + f" {unit}"
