"""Write places: a file appears whole or not at all, on this machine and in a store."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from stylenet import files
from stylenet.errors import InputError, RunError
from stylenet.storage.archives import is_archive, is_member
from stylenet.storage.places import Place, is_address, is_web, join, leads_to, name_of, parent_of
from stylenet.storage.reading import forget
from stylenet.storage.stores import file_system, patiently


def write(place: Place, content: bytes) -> None:
    """Write a file. On this machine it is written beside the target, which it then replaces; a store has it when the upload is
    complete, and the old one until then.

    Raises:
        InputError: for a store that refuses, or where nothing can be written.
        RunError: if it cannot be written; the target is then as it was.
    """
    if not is_address(place):
        files.write_atomic(Path(place), content)
        return
    system, path = file_system(str(place))
    patiently(str(place), lambda: system.pipe_file(path, content))
    forget(place)


@contextlib.contextmanager
def replacing(place: Place, durable: bool = False) -> Iterator[Path]:
    """Open an empty file of this machine, to be filled inside the ``with``. It becomes the target at the end, and vanishes if
    the block raises.

    Args:
        place: the target.
        durable: see :func:`stylenet.files.replacing`; a store has what it has confirmed.

    Raises:
        InputError: for a store that refuses.
        RunError: if it cannot be written; the target is then as it was.
    """
    if not is_address(place):
        with files.replacing(Path(place), durable) as temporary:
            yield temporary
        return
    folder = files.temporary_folder("stylenet-")
    try:
        temporary = folder / name_of(place)
        try:
            yield temporary
        except OSError as error:
            raise RunError(f"cannot write {place}: {error.strerror or error}") from error
        system, path = file_system(str(place))
        patiently(str(place), lambda: system.put_file(os.fspath(temporary), path))
        forget(place)
    finally:
        files.delete_folder(folder)


def copy(place: str, target: str) -> None:
    """Copy a file of a store to another place in it, without moving its bytes to this machine.

    Raises:
        InputError, RunError: for a store that refuses or does not answer.
    """
    system, path = file_system(place)
    _, other = file_system(target)
    patiently(place, lambda: system.cp_file(path, other))
    forget(target)


def delete(place: Place) -> None:
    """Delete a file; one that is not there is no error.

    Raises:
        InputError, RunError: for a store that refuses or does not answer.
        OSError: if a path cannot be deleted.
    """
    if not is_address(place):
        Path(place).unlink(missing_ok=True)
        return
    system, path = file_system(str(place))

    def ask() -> None:
        with contextlib.suppress(FileNotFoundError):
            system.rm_file(path)

    patiently(str(place), ask)


def check_writable(place: Place) -> None:
    """Fail now if a file at this place could not be written later, rather than after minutes of work. In a store a small file
    is written beside it and deleted.

    Raises:
        InputError: if a file could not be written there.
        RunError: for a store that does not answer.
    """
    if not is_address(place):
        files.check_writable(Path(place))
        return
    if is_member(place) or is_web(place):
        raise InputError(f"cannot write {place}: name a file, or the address of a store such as s3://")
    probe = join(parent_of(place), f".stylenet-{secrets.token_hex(4)}")
    write(probe, b"stylenet looks whether it may write here")
    with contextlib.suppress(InputError, RunError):  # who may write may not be allowed to delete
        delete(probe)


def check_apart(place: Place, sources: Iterable[object]) -> None:
    """Fail for a result that would take the place of a file that it is made from, by whichever name or link.

    Args:
        place: of the result.
        sources: paths and addresses; whatever else, such as a picture in memory, has no file to lose.

    Raises:
        InputError: naming the file.
    """
    check_apart_from(sources)(place)


def check_apart_from(sources: Iterable[object]) -> Callable[[Place], None]:
    """Return :func:`check_apart` for the results of the same sources, which are looked for once."""
    read = {leads_to(source) for source in sources if isinstance(source, str | os.PathLike)}

    def check(place: Place) -> None:
        if read and leads_to(place) in read:
            raise InputError(f"{place} is what the result is made from, and would be overwritten by it: name another output")

    return check


def check_folder(place: Place) -> None:
    """Fail for a place that cannot be the folder of results.

    Raises:
        InputError: for a file or an archive.
    """
    if is_archive(place) or is_member(place) or is_web(place):
        raise InputError(f"cannot write into {place}: name a folder, or the address of a store such as s3://")
