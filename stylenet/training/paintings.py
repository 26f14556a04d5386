"""Find the pictures that a style is learnt from: files, folders, and patterns."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from stylenet.errors import InputError, argument
from stylenet.formats import is_picture, kind_left_out, picture_endings, tell_left_out
from stylenet.storage import is_address, is_folder, join, list_names
from stylenet.storage.places import is_pattern, is_web
from stylenet.training.notes import say


def find_paintings(style: str | Sequence[str], leave_out: Sequence[str]) -> list[str]:
    """Return the paths of style pictures; a folder stands for the pictures in it, in the order of their names.

    Args:
        style: paths, patterns such as ``paintings/*.jpg``, or addresses.
        leave_out: names, without their endings, of pictures to leave out.

    Raises:
        InputError: for a folder without pictures, a pattern that nothing fits, and where all pictures are left out.
    """
    found: list[str] = []
    other_files: Counter[str] = Counter()
    for source in [style] if isinstance(style, str) else style:
        for place in _expanded(source):
            single = is_web(place) or (is_address(place) and is_picture(place)) or not is_folder(place)
            found += [place] if single else _in_folder(place, other_files)
    if other_files:
        say(tell_left_out(other_files, len(found), "style pictures"))
    return _without(found, leave_out)


def _without(pictures: list[str], leave_out: Sequence[str]) -> list[str]:
    """Return the pictures whose names are not among those to leave out, and say which are."""
    if not pictures:
        raise InputError(f"no style picture is named: give {argument('style')} at least one")
    kept = [place for place in pictures if Path(place).stem not in leave_out]
    names = ", ".join(Path(place).stem for place in pictures if Path(place).stem in leave_out)
    if not kept:
        raise InputError(f"{argument('leave_out', group='model')} leaves no style picture: it names {names}")
    if names:
        say(f"left out of the style pictures, as {argument('leave_out', group='model')} asks: {names}")
    return kept


def _expanded(source: str) -> list[str]:
    """Return a source, or what fits it as a pattern: shells leave those in quotes alone."""
    if is_address(source) or not is_pattern(source):
        return [source]
    fitting = [path for path in sorted(glob.glob(source, recursive=True)) if is_picture(path) or Path(path).is_dir()]  # noqa: PTH207
    if not fitting:
        raise InputError(f"no style pictures at {source!r}: nothing fits that pattern")
    return fitting


def _in_folder(folder: str, other_files: Counter[str]) -> list[str]:
    names = [name for name in list_names(folder) if not name.startswith(".")]
    other_files.update(kind_left_out(name) for name in names if not is_picture(name))
    pictures = [join(folder, name) for name in names if is_picture(name)]
    if not pictures:
        raise InputError(f"{folder!r} holds no style pictures ({picture_endings()})")
    return pictures
