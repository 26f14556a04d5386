"""Plan the work: from the words a person typed to pairs of a picture to read and files to write."""

from __future__ import annotations

import glob
import os
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stylenet.errors import InputError
from stylenet.formats import WRITTEN_PICTURES, ending, is_picture, picture_endings

STREAM = "-"


@dataclass(frozen=True)
class Job:
    """One picture to read, and where it goes in each style.

    Attributes:
        source: path, http(s) address, or ``-`` for stdin.
        outputs: a path (or ``-`` for stdout) for each style, in their order.
    """

    source: str
    outputs: tuple[str, ...]


def plan_jobs(inputs: Sequence[str], output: str, styles: Sequence[str], sheet: bool = False) -> list[Job]:
    """Plan which picture is read and where its results are written.

    Args:
        inputs: files, folders (with all below them), patterns like ``*.jpg``, addresses, ``-``.
        output: a file for one picture in one style; else a folder, in which the tree of an input folder is repeated, once for
            each style where there are several; ``-`` for stdout.
        styles: names for the folders of several styles.
        sheet: the output is one picture of all results: jobs have no outputs of their own.

    Raises:
        InputError: if nothing is there to read, or two results, or a result and its photo, would be the same file.
    """
    if len(set(styles)) < len(styles):
        raise InputError(f"a style is named twice: {', '.join(styles)}")
    found = [pair for word in inputs for pair in _find(word, Path(output))]
    if sheet:
        _check_distinct([Job(source, (output,)) for source, _ in found[:1]], [source for source, _ in found])
        return [Job(source, ()) for source, _ in found]
    alone = len(found) == 1 and len(styles) == 1
    if output == STREAM:
        if not alone:
            raise InputError("stdout takes one picture in one style: give a folder as the output")
        return [Job(found[0][0], (STREAM,))]
    if alone and _names_a_file(output):
        jobs = [Job(found[0][0], (output,))]
    else:
        if Path(output).is_file():
            raise InputError(f"{output} is a file: several pictures or styles need a folder")
        folders = [Path(output)] if len(styles) == 1 else [Path(output) / style for style in styles]
        jobs = [Job(source, tuple(str(folder / _written(name)) for folder in folders)) for source, name in found]
    _check_distinct(jobs, [source for source, _ in found])
    return jobs


def _find(word: str, output: Path) -> list[tuple[str, Path]]:
    """Return sources, and their paths below the output folder."""
    if word == STREAM:
        return [(word, Path("stdin.png"))]
    if word.lower().startswith(("http://", "https://")):
        return [(word, Path(Path(urllib.parse.unquote(urllib.parse.urlsplit(word).path)).name or "picture.png"))]
    path = Path(word)
    if path.is_dir():
        return _in_folder(path, output)
    if path.exists() or not glob.has_magic(word):
        return [_single(path)]  # a missing file is reported with the others that cannot be read
    matches = [Path(match) for match in sorted(glob.glob(word, recursive=True))]  # noqa: PTH207 (the pattern may be absolute)
    found = [pair for match in matches for pair in (_in_folder(match, output) if match.is_dir() else [_single(match)])]
    if not found:
        raise InputError(f"nothing matches {word!r}")
    return found


def _single(path: Path) -> tuple[str, Path]:
    return str(path), Path(path.name)


def _in_folder(folder: Path, output: Path) -> list[tuple[str, Path]]:
    """Return all pictures below a folder, but for results of an earlier run in it and for hidden files."""
    results = None if _place(output) == _place(folder) else _place(output)
    found = []
    closed: list[Path] = []  # folders that may not be entered: they fail as pictures do, with the others at the end
    for root, folders, files in os.walk(folder, onerror=lambda error: closed.append(Path(error.filename))):
        here = Path(root)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and _place(here / name) != results)
        names = sorted(name for name in files if is_picture(name))
        found += [(str(here / name), (here / name).relative_to(folder)) for name in names]
    found += [(str(path), path.relative_to(folder)) for path in closed]
    if not found:
        raise InputError(f"{folder} holds no pictures ({picture_endings()})")
    return found


def _place(path: Path | str) -> str:
    """Return where a path leads; a link to itself leads nowhere, and is no error before it is read."""
    return os.path.realpath(path)


def _names_a_file(output: str) -> bool:
    return not Path(output).is_dir() and not output.endswith(("/", os.sep)) and Path(output).suffix != ""


def _written(name: Path) -> Path:
    """Return the name of the result: the photo's; ``cat.gif.png`` for what is read but not written."""
    return name if ending(name) in WRITTEN_PICTURES else name.with_name(f"{name.name}.png")


def _check_distinct(jobs: Sequence[Job], sources: Sequence[str]) -> None:
    photos = {_place(source) for source in sources if source != STREAM}
    writers: dict[str, str] = {}
    for job in jobs:
        for output in job.outputs:
            if _place(output) in photos:
                raise InputError(f"{output} is one of the photos, and would be overwritten by a result: name another output")
            if output in writers:
                raise InputError(f"{writers[output]} and {job.source} would both become {output}: style them one by one")
            writers[output] = job.source
