"""Plan the work: from the words a person typed to pairs of a picture to read and files to write."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from stylenet import storage
from stylenet.errors import InputError
from stylenet.formats import LINK_TO_FOLDER, WRITTEN_PICTURES, ending, is_picture, kind_left_out, picture_endings, tell_links
from stylenet.storage.archives import is_list, member_place
from stylenet.storage.listing import walk
from stylenet.storage.places import below, is_ordinary, is_pattern, is_web, leads_to, name_on_web
from stylenet.storage.reading import read_lines

STREAM = "-"

# A picture to read, and its path below the folder of results.
Found = tuple[str, PurePath]


@dataclass(frozen=True)
class Job:
    """One picture to read, and where it goes in each style.

    Attributes:
        source: path, address, member of an archive, or ``-`` for stdin.
        outputs: a path or an address (or ``-`` for stdout) for each style, in their order.
        trouble: why it cannot be done, where that is known before.
    """

    source: str
    outputs: tuple[str, ...]
    trouble: str = ""


def plan_jobs(
    inputs: Sequence[str], output: str, styles: Sequence[str], sheet: bool = False, left_out: Counter[str] | None = None
) -> list[Job]:
    """Plan which picture is read and where its results are written.

    Args:
        inputs: files, folders and zip archives (with all in them), patterns like ``*.jpg``, addresses, ``-``.
        output: a file for one picture in one style; else a folder, in which the tree of an input folder is repeated, once for
            each style where there are several; ``-`` for stdout.
        styles: names for the folders of several styles.
        sheet: the output is one picture of all results: jobs have no outputs of their own.
        left_out: counts the files in folders, archives and stores that are no pictures, by their kind.

    Raises:
        InputError: if nothing is there to read, or two results, or a result and its photo, would be the same file.
    """
    if len(set(styles)) < len(styles):
        raise InputError(f"a style is named twice: {', '.join(styles)}")
    found = [pair for word in inputs for pair in find(word, output, left_out)]
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
        folders = result_folders(output, styles)
        jobs = [job_of(source, name, folders) for source, name in found]
    _check_distinct(jobs, [source for source, _ in found])
    return jobs


def result_folders(output: str, styles: Sequence[str]) -> list[str]:
    """Return the folder of each style's results.

    Raises:
        InputError: for an output that is a file or an archive.
    """
    if not storage.is_address(output) and Path(output).is_file():
        raise InputError(f"{output} is a file: several pictures or styles need a folder")
    return [output] if len(styles) == 1 else [storage.join(output, style) for style in styles]


def job_of(source: str, name: PurePath, folders: Sequence[str]) -> Job:
    """Return a job whose results have the photo's own path in each folder."""
    return Job(source, tuple(storage.join(folder, written_name(name).as_posix()) for folder in folders))


def find(word: str, output: str, left_out: Counter[str] | None = None) -> Iterator[Found]:
    """Yield the pictures that a word stands for as they are found, with their paths below the folder of results.

    Args:
        word: a file, folder, zip archive, ``.txt`` list of files, pattern, address, or ``-``.
        output: where results go: they are no photos themselves.
        left_out: counts the files in folders, archives and stores that are no pictures, by their kind.

    Raises:
        InputError: if nothing is there to read.
    """
    if word == STREAM:
        yield word, Path("stdin.png")
    elif is_list(word):
        yield from _in_list(word)
    elif storage.is_archive(word):
        yield from _in_archive(word, left_out)
    elif is_web(word):
        yield word, Path(name_on_web(word) or "picture.png")
    elif storage.is_address(word):
        yield from _in_store(word, output, left_out)
    elif Path(word).is_dir():
        yield from _in_folder(Path(word), Path(output), left_out)
    elif not is_pattern(word):
        yield _single(Path(word))  # a missing file is reported with the others that cannot be read
    else:
        yield from _matching(word, Path(output), left_out)


def names_several(word: str) -> bool:
    """Return whether a word stands for a folder, an archive, a list or a pattern; nothing is asked of a store for that."""
    if is_web(word) or word == STREAM:
        return False
    if storage.is_archive(word) or is_list(word):
        return True
    if storage.is_address(word):
        return glob.has_magic(word) or not is_picture(storage.name_of(word))
    return Path(word).is_dir() or is_pattern(word)


def _matching(word: str, output: Path, left_out: Counter[str] | None) -> Iterator[Found]:
    matches = [Path(match) for match in sorted(glob.glob(word, recursive=True))]  # noqa: PTH207 (the pattern may be absolute)
    if not matches:
        raise InputError(f"nothing matches {word!r}")
    for match in matches:
        yield from _in_folder(match, output, left_out) if match.is_dir() else [_single(match)]


def _single(path: Path) -> Found:
    return str(path), Path(path.name)


def _in_folder(folder: Path, output: Path, left_out: Counter[str] | None = None) -> Iterator[Found]:
    """Yield all pictures below a folder, but for results of an earlier run in it and for hidden files."""
    results = None if leads_to(output) == leads_to(folder) else leads_to(output)
    count = 0
    seen: Counter[str] = Counter()
    closed: list[Path] = []  # folders that may not be entered: they fail as pictures do, with the others at the end
    for root, folders, files in os.walk(folder, onerror=lambda error: closed.append(Path(error.filename))):
        here = Path(root)
        seen.update(LINK_TO_FOLDER for name in folders if (here / name).is_symlink())
        folders[:] = sorted(name for name in folders if not name.startswith(".") and leads_to(here / name) != results)
        for name in sorted(name for name in files if is_picture(name)):
            yield str(here / name), (here / name).relative_to(folder)
            count += 1
        seen.update(kind_left_out(name) for name in files if not is_picture(name) and not name.startswith("."))
    if left_out is not None:
        left_out.update(seen)
    yield from ((str(path), path.relative_to(folder)) for path in closed)
    if not count and not closed:
        raise InputError(f"{folder} holds no pictures ({picture_endings()}){tell_links(seen)}")


def _in_list(word: str) -> Iterator[Found]:
    """Yield the files that a list has, a path or an address a line, as they are read; empty lines and comments are left out.

    Results have the paths that the list has, without the root or the bucket that they begin with.
    """
    count = 0
    try:
        for place in read_lines(word):
            name = place.partition("://")[2].partition("/")[2] if storage.is_address(place) else place.lstrip("/")
            beside = storage.is_address(place) or place.startswith("/")
            yield place if beside else storage.join(storage.parent_of(word), place), _in_list_named(word, name)
            count += 1
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or "it is not a text file with a path a line"
        raise InputError(f"cannot read {word}: {what}") from error
    if not count:
        raise InputError(f"{word} names no pictures")


def _in_list_named(word: str, name: str) -> PurePosixPath:
    if not is_ordinary(name):
        raise InputError(f"{word} names {name!r}: in a list, paths go without .. and ., as results are put at the same paths")
    return PurePosixPath(name)


def _in_archive(archive: str, left_out: Counter[str] | None) -> Iterator[Found]:
    names = [name for name in storage.members(archive) if _is_shown(name, left_out)]
    if not names:
        raise InputError(f"{archive} holds no pictures ({picture_endings()})")
    yield from ((member_place(archive, name), PurePosixPath(name)) for name in names)


def _in_store(address: str, output: str, left_out: Counter[str] | None) -> Iterator[Found]:
    """Yield a picture of a store, or those below a folder or that a pattern fits, page by page as they are listed."""
    if is_picture(storage.name_of(address)) and not glob.has_magic(address):
        yield address, PurePosixPath(storage.name_of(address))
        return
    root, pattern = _without_pattern(address)
    count = 0
    for name in walk(root):
        place = storage.join(root, name)
        inside = fnmatch.fnmatchcase(place, pattern) and (output == root or not below(place, output))
        if inside and _is_shown(name, left_out):
            yield place, PurePosixPath(name)
            count += 1
    if not count:
        raise InputError(f"{address} holds no pictures ({picture_endings()})")


def _without_pattern(address: str) -> tuple[str, str]:
    """Return the folder that a pattern in a store begins with, and the pattern; one that fits all for a plain address."""
    if not glob.has_magic(address):
        root = address.rstrip("/")
        return root, glob.escape(root) + "/*"
    plain = address[: min(address.find(sign) for sign in "*?[" if sign in address)]
    return plain.rpartition("/")[0], address


def _is_shown(name: str, left_out: Counter[str] | None) -> bool:
    """Return whether a name in a store or an archive is that of a picture which is not hidden, and stays below its folder;
    others are counted, but for hidden ones."""
    if any(part.startswith(".") and part not in (".", "..") for part in name.split("/")):
        return False
    if is_picture(name) and is_ordinary(name):
        return True
    if left_out is not None:
        left_out[kind_left_out(name) if is_ordinary(name) else "name that leads elsewhere"] += 1
    return False


def _names_a_file(output: str) -> bool:
    if storage.is_address(output):
        return ending(storage.name_of(output)) in WRITTEN_PICTURES and not output.endswith("/")
    return not Path(output).is_dir() and not output.endswith(("/", os.sep)) and Path(output).suffix != ""


def written_name(name: PurePath) -> PurePath:
    """Return the name of the result: the photo's; ``cat.gif.png`` for what is read but not written."""
    return name if ending(name) in WRITTEN_PICTURES else name.with_name(f"{name.name}.png")


def _check_distinct(jobs: Sequence[Job], sources: Sequence[str]) -> None:
    photos = {leads_to(source) for source in sources if source != STREAM}
    writers: dict[str, str] = {}
    for job in jobs:
        for output in job.outputs:
            if leads_to(output) in photos:
                raise InputError(f"{output} is one of the photos, and would be overwritten by a result: name another output")
            if output in writers:
                raise InputError(f"{writers[output]} and {job.source} would both become {output}: style them one by one")
            writers[output] = job.source
