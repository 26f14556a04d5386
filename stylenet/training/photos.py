"""Find training photos: in folders, in zip archives that are read in place, and in lists of files, here and in stores."""

from __future__ import annotations

import glob
import hashlib
import os
import struct
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps

from stylenet.errors import UNREADABLE, InputError, why_unreadable
from stylenet.formats import LINK_TO_FOLDER, is_picture, kind_left_out, picture_endings, tell_links
from stylenet.images.decoding import check_room, opened
from stylenet.images.fetching import read_picture_bytes
from stylenet.storage import is_address, is_archive, join, member_size, members, open_member, open_read, parent_of, walk
from stylenet.storage.places import is_pattern
from stylenet.storage.reading import read_lines


@dataclass(frozen=True)
class Photo:
    """One photo of a set: a file, or a member of a zip archive.

    Attributes:
        path: path or address of the file or the archive.
        member: name inside the archive; empty for a file.
    """

    path: str
    member: str = ""

    def __str__(self) -> str:
        return f"{self.path}/{self.member}" if self.member else self.path


class Unreadable(Exception):
    """Raised for a file that is no photo; the message says which and why."""


def find_photos(sources: str | Path | Sequence[str | Path]) -> list[Photo]:
    """Return all photos of folders (nested ones too), zip archives, ``.txt`` lists of files, patterns such as
    ``album/*.jpg``, and single files, in a fixed order. All but patterns may lie in a store, such as ``s3://bucket/photos``.

    Raises:
        InputError: for a source that is missing or holds no photo.
        RunError: for a store that does not answer.
    """
    return survey_photos(sources)[0]


def survey_photos(sources: str | Path | Sequence[str | Path]) -> tuple[list[Photo], Counter[str]]:
    """Return what :func:`find_photos` does, and how many files were left out: by their ending, or as ``hidden``.

    Raises:
        InputError: for a source that is missing or holds no photo.
    """
    several = [sources] if isinstance(sources, str | Path) else list(sources)
    if not several:
        raise InputError("no photos were given: name a folder, a zip archive or a list of files")
    found: list[Photo] = []
    left_out: Counter[str] = Counter()
    for source in several:
        try:
            for place in _expanded(source):
                found += _find(place, left_out)
        except OSError as error:  # such as a folder that may not be entered
            raise InputError(f"cannot read {str(source)!r}: {error.strerror or error}") from error
    return list(dict.fromkeys(found)), left_out


def _expanded(source: str | Path) -> list[str]:
    """Return a source, or what fits it as a pattern: shells leave those in quotes alone."""
    if is_address(source) or is_archive(source):
        return [str(source)]
    return [str(path) for path in _on_disk(source)]


def _on_disk(source: str | Path) -> list[Path]:
    if not is_pattern(source):
        return [Path(source)]
    fitting = [Path(path) for path in sorted(glob.glob(str(source), recursive=True))]  # noqa: PTH207
    fitting = [path for path in fitting if path.is_dir() or is_picture(path) or path.suffix.lower() in (".zip", ".txt")]
    if not fitting:
        raise InputError(f"no photos at {str(source)!r}: nothing fits that pattern")
    return fitting


def _find(source: str, left_out: Counter[str]) -> list[Photo]:
    ending = PurePosixPath(source).suffix.lower()
    if not is_address(source) and not is_archive(source) and not Path(source).is_dir() and not Path(source).is_file():
        raise InputError(f"no photos at {source!r}: there is no such folder, zip archive or file")
    if not is_address(source) and Path(source).is_dir():
        names = sorted(_in_folder(Path(source), left_out))
        photos = [Photo(join(source, str(name))) for name in _pictures(names, left_out)]
    elif is_archive(source):
        archive = source.removeprefix("zip::")
        names_in = [PurePosixPath(name) for name in members(archive)]
        photos = [Photo(archive, str(name)) for name in _pictures(names_in, left_out)]
    elif ending == ".txt":
        photos = _listed(source)
    elif is_picture(source):
        photos = [Photo(source)]
    elif is_address(source):
        found = [PurePosixPath(name) for name in walk(source)]
        photos = [Photo(join(source, str(name))) for name in _pictures(found, left_out)]
    else:
        raise InputError(f"{source!r} is neither a folder, a zip archive, a .txt list of files, nor a photo")
    if not photos:
        raise InputError(f"{source!r} holds no photos ({picture_endings()}){tell_links(left_out)}")
    return photos


def _in_folder(folder: Path, left_out: Counter[str]) -> Iterator[Path]:
    """Yield the files below a folder, relative to it; what there is beside them, but cannot be read, is counted."""
    for root, folders, files in os.walk(folder, onerror=lambda _: left_out.update(["folder that may not be entered"])):
        here = Path(root)
        left_out.update(LINK_TO_FOLDER for name in folders if (here / name).is_symlink())
        for path in (here / name for name in files):
            if path.is_file():
                yield path.relative_to(folder)
            else:
                left_out["link that leads nowhere" if path.is_symlink() else "no file"] += 1


_Name = TypeVar("_Name", PurePosixPath, Path)


def _pictures(names: Iterable[_Name], left_out: Counter[str]) -> Iterator[_Name]:
    """Return the names of pictures; the others are counted. Thumbnails in hidden folders are no photos of their own."""
    for name in names:
        if any(part.startswith(".") for part in name.parts):
            left_out["hidden"] += 1
        elif not is_picture(name):
            left_out[kind_left_out(name)] += 1
        else:
            yield name


def _listed(source: str) -> list[Photo]:
    """Read a path or an address a line; paths are relative to the folder of the list. Empty lines and ``#`` comments are left
    out."""
    try:
        wanted = list(read_lines(source))
    except UnicodeDecodeError as error:
        raise InputError(f"{source!r} is not a text file with a path a line") from error
    folder = parent_of(source)
    return [Photo(line if is_address(line) or line.startswith("/") else join(folder, line)) for line in wanted]


# What readers of pictures and archives raise on bytes that make no sense.
_DAMAGE = (
    *(OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, RuntimeError, ArithmeticError),
    *(struct.error, zlib.error, zipfile.BadZipFile, Image.DecompressionBombError),
)

# Bytes of a photo for training. A member of an archive can claim, and unfold to, any size.
_LARGEST = 500_000_000


def photo_source(photo: Photo) -> str | bytes:
    """Return what :func:`~stylenet.images.read_image` takes: a path, or the bytes of an archive's member.

    Raises:
        InputError: for a member that is damaged, or larger than any photo.
    """
    try:
        return _read(photo) if photo.member else photo.path
    except _DAMAGE as error:
        raise InputError(f"{photo} cannot be read ({error})") from error


def open_photo(photo: Photo, least: int) -> Image.Image:
    """Open a photo in RGB, upright. A JPEG may be decoded at a half, quarter or eighth of its size, as long as its shorter side
    keeps ``least`` pixels: the decoder then skips most of its work.

    Raises:
        Unreadable: if it is missing, damaged, larger than Pillow thinks safe or than memory holds, or has a side of one pixel.
    """
    try:
        with warnings.catch_warnings(), opened("it", _read(photo), can_allow=False) as image:
            warnings.simplefilter("ignore")  # of metadata that make no sense
            image.draft("RGB", (least, least))
            check_room("it", image)
            return _to_rgb(ImageOps.exif_transpose(image))
    except (*UNREADABLE, *_DAMAGE) as error:
        reason = getattr(error, "strerror", None) or why_unreadable(error)
        raise Unreadable(f"{photo}: {reason}") from error


def _read(photo: Photo) -> bytes:
    """Return all of a file or a member; of one that is no picture its beginning."""
    with open_member(photo.path, photo.member, _LARGEST) if photo.member else open_read(photo.path) as file:
        return read_picture_bytes(file, "it", _LARGEST)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # grey of 16 bits: Pillow's own conversion clips to 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("32 bits a pixel, whose range is not known")
    if not image.has_transparency_data:
        return image.convert("RGB")
    seen = image.convert("RGBA")  # invisible pixels have colours that nobody chose
    return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")


def sizes_of(photos: Iterable[Photo]) -> str | None:
    """Return a short name for the sizes of photos in bytes, in order; None where one of them is not known without asking a
    store."""
    digest = hashlib.sha256()
    try:
        for photo in photos:
            if is_address(photo.path):
                return None
            size = member_size(photo.path, photo.member) if photo.member else Path(photo.path).stat().st_size
            digest.update(b"%d\n" % size)
    except (InputError, *_DAMAGE):
        return None
    return digest.hexdigest()[:16]


def fingerprint(photos: Iterable[Photo]) -> str:
    """Return a short name for a set of photos: a hash of their file names (not their folders) in order."""
    digest = hashlib.sha256()
    for photo in photos:
        digest.update(PurePosixPath(photo.member or photo.path).name.encode(errors="surrogateescape") + b"\n")
    return digest.hexdigest()[:16]
