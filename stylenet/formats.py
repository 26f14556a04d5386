"""The endings of files: which pictures and videos are read, and which are written. Every room asks here."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePath

# Pictures that are written, with Pillow's name of each format.
WRITTEN_PICTURES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".avif": "AVIF",
}

# Pictures that are read: to be styled, learned from, or used as frames. HEIC needs the package pillow-heif.
READ_PICTURES = frozenset({*WRITTEN_PICTURES, ".gif", ".heic", ".heif"})

# Videos that are written: FFmpeg's name of the container, and the codec of its pictures. Whatever FFmpeg knows is read.
WRITTEN_VIDEOS = {
    ".mp4": ("mp4", "libx264"),
    ".m4v": ("mp4", "libx264"),
    ".mov": ("mov", "libx264"),
    ".mkv": ("matroska", "libx264"),
    ".webm": ("webm", "libvpx-vp9"),
    ".gif": ("gif", "gif"),
}


def ending(path: str | PurePath) -> str:
    """Return the ending of a file's name in lower case, with its dot."""
    return PurePath(path).suffix.lower()


def is_picture(path: str | PurePath) -> bool:
    """Return whether a file is a picture by its ending; hidden files, and the twins ``._NAME`` that macOS adds, are none."""
    return ending(path) in READ_PICTURES and not PurePath(path).name.startswith(".")


def picture_endings() -> str:
    """Return the endings of pictures that are read, for messages."""
    return ", ".join(sorted(READ_PICTURES))


def kind_left_out(path: str | PurePath) -> str:
    """Return the kind of a file that is no picture, as it is counted where it is left out: its ending, or ``hidden``."""
    if PurePath(path).name.startswith("."):
        return "hidden"
    return ending(path) or "no ending"


LINK_TO_FOLDER = "link to a folder"


def tell_links(left_out: Counter[str] | None) -> str:
    """Return what to say where a folder holds nothing but links to others, which may lead in a circle; else nothing."""
    return "; links to folders are not followed: name those folders themselves" if left_out and left_out[LINK_TO_FOLDER] else ""


def tell_left_out(left_out: Counter[str], found: int, what: str = "pictures") -> str:
    """Return a line on files that are no pictures: a folder whose photos are of a kind that is not read should not pass for a
    small one."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in left_out.most_common(5))
    total = sum(left_out.values())
    return f"{total} file{'s are' if total > 1 else ' is'} left out beside the {found} {what}: {kinds}"
