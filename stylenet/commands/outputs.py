"""Choose where results go when a person names no output: into the current folder, never over a file that is there."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path, PurePosixPath

from stylenet.formats import WRITTEN_PICTURES, WRITTEN_VIDEOS, ending
from stylenet.inference.folders import STREAM, names_several
from stylenet.network.look_blends import parse_blend
from stylenet.storage.places import is_pattern, name_on_web

_SEVERAL = "styled"


def default_picture(photo: str, label: str) -> str:
    """Return ``photo_starry_night.jpg`` for a photo and the name, file or address of a style; numbered if that is taken."""
    return _free(f"{_stem(photo)}_{_stem(label)}", _kept(photo, WRITTEN_PICTURES, ".jpg"))


def default_video(source: str, styles: Sequence[str]) -> str:
    """Return the same for a video and a style, or a blend; for a folder of frames the name of a folder."""
    return _free(f"{_stem(source)}_{_label(styles)}", "" if Path(source).is_dir() else _kept(source, WRITTEN_VIDEOS, ".mp4"))


def default_results(inputs: Sequence[str], styles: Sequence[str], sheet: bool) -> str:
    """Return where pictures in one or several styles go.

    A folder is the same in the next run, which then goes on where this one ends.
    """
    single = len(inputs) == 1 and not names_several(inputs[0])
    if sheet:
        return default_picture(inputs[0], "sheet")
    if single and _label(styles) != _SEVERAL:
        return default_picture(inputs[0], _label(styles))
    named = f"{_stem(inputs[0])}_{_label(styles)}"
    return named if len(inputs) == 1 and not is_pattern(inputs[0]) else _SEVERAL


def _label(styles: Sequence[str]) -> str:
    """Return the name of a style, the names of those in a blend, or a word for several styles."""
    shares = parse_blend(styles)
    if shares is None:
        return _stem(styles[0]) if len(styles) == 1 else _SEVERAL
    return "_".join(map(_stem, shares))


def _stem(source: str) -> str:
    """Return the name of a file, folder, address or style without its ending."""
    if source == STREAM:
        return "stdin"
    if source.lower().startswith(("http://", "https://")):
        return PurePosixPath(name_on_web(source)).stem or "picture"
    return Path(source).stem or Path(source).resolve().stem or "picture"


def _kept(source: str, endings: Container[str], otherwise: str) -> str:
    """Return the ending of the source, where a file of that kind can be written."""
    suffix = ending(PurePosixPath(name_on_web(source))) if "://" in source else ending(source)
    return suffix if suffix in endings else otherwise


def _free(stem: str, suffix: str) -> str:
    number = 1
    path = Path(f"{stem}{suffix}")
    while path.exists():
        number += 1
        path = Path(f"{stem}_{number}{suffix}")
    return str(path)
