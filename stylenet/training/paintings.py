"""Find the pictures that a style is learnt from: files, folders, and patterns."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from stylenet.errors import InputError
from stylenet.formats import is_picture, kind_left_out, picture_endings, tell_left_out
from stylenet.storage import is_address, is_folder, join, list_names
from stylenet.storage.places import is_pattern, is_web
from stylenet.training.notes import say


def find_paintings(style: str | Sequence[str], leave_out: Sequence[str]) -> list[str]:
    """Return the paths of style pictures; a folder stands for the pictures in it, in the order of their names.

    Args:
        style: paths, patterns such as ``paintings/*.jpg``, or addresses.
        leave_out: names, without their endings, of pictures in folders to leave out.

    Raises:
        InputError: for a folder without pictures, and a pattern that nothing fits.
    """
    found: list[str] = []
    left_out: Counter[str] = Counter()
    for source in [style] if isinstance(style, str) else style:
        for place in _expanded(source):
            single = is_web(place) or (is_address(place) and is_picture(place)) or not is_folder(place)
            found += [place] if single else _in_folder(place, leave_out, left_out)
    if left_out:
        say(tell_left_out(left_out, len(found), "style pictures"))
    return found


def _expanded(source: str) -> list[str]:
    """Return a source, or what fits it as a pattern: shells leave those in quotes alone."""
    if is_address(source) or not is_pattern(source):
        return [source]
    fitting = [path for path in sorted(glob.glob(source, recursive=True)) if is_picture(path) or Path(path).is_dir()]  # noqa: PTH207
    if not fitting:
        raise InputError(f"no style pictures at {source!r}: nothing fits that pattern")
    return fitting


def _in_folder(folder: str, leave_out: Sequence[str], left_out: Counter[str]) -> list[str]:
    names = [name for name in list_names(folder) if not name.startswith(".")]
    left_out.update(kind_left_out(name) for name in names if not is_picture(name))
    pictures = [join(folder, name) for name in names if is_picture(name) and PurePosixPath(name).stem not in leave_out]
    if not pictures:
        raise InputError(f"{folder!r} holds no style pictures ({picture_endings()})")
    return pictures
