"""Bounds of what a page accepts: sizes, counts and times, and the types of files, by allow-list."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, fields
from pathlib import Path

from stylenet import InputError
from stylenet.formats import READ_PICTURES, WRITTEN_PICTURES

PICTURES = READ_PICTURES
VIDEOS = frozenset({".mp4", ".mov", ".mkv", ".webm", ".gif"})

# A result is written in the format of the photo where that can be written and is not much larger than others, else as PNG.
_WRITTEN = WRITTEN_PICTURES.keys() - {".bmp"}


@dataclass(frozen=True)
class Limits:
    """Bounds of what one server does.

    Attributes:
        upload_mb: size of one uploaded file, in MB.
        megapixels: megapixels of one picture.
        most_photos: number of photos that are uploaded at once.
        job_minutes: after which a search, a training or a video is stopped; what it has is kept.
        queue: searches, trainings and videos that may wait, and requests for pictures that may.
        idle_hours: after which what a page has uploaded and made is deleted, unless somebody looks at it.
    """

    upload_mb: float = 100.0
    megapixels: float = 40.0
    most_photos: int = 500
    job_minutes: float = 240.0
    queue: int = 16
    idle_hours: float = 12.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise InputError(f"{field.name} is {getattr(self, field.name)}: it must be more than 0")


def checked(path: str | None, kinds: frozenset[str], what: str) -> Path:
    """Return an uploaded file.

    Raises:
        InputError: without one, or for a file of a type that is not in the list.
    """
    if not path:
        raise InputError(f"no {what} yet: choose one first")
    file = Path(path)
    if file.suffix.lower() not in kinds:
        raise InputError(f"{file.name} is no {what}: use one of {', '.join(sorted(kinds))}")
    return file


def safe_name(text: str, otherwise: str) -> str:
    """Return letters, digits, ``-`` and ``_`` of a name, 40 at most: a name of a file, and never a path or an option."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_-]+", "_", plain).strip("_-")[:40] or otherwise


def written_suffix(photo: Path) -> str:
    """Return the ending of a result: the photo's, where pictures are written in that format."""
    suffix = photo.suffix.lower()
    return suffix if suffix in _WRITTEN else ".png"
