"""List stores page by page, so that ten million names take no more memory than ten."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from stylenet.errors import InputError
from stylenet.storage.places import is_address, is_ordinary
from stylenet.storage.stores import file_system, patiently, scheme_of

# Names that S3 hands out at a time, at most.
_PAGE = 1000


def walk(folder: str) -> Iterator[str]:
    """Yield the names of all files below a folder, relative to it, with ``/``, in the same order every time.

    S3 hands out a thousand names at a time. Of other stores there is a folder of names in memory at a time. Names that would
    lead out of a folder that they are joined to are left out.

    Raises:
        InputError: for a folder that is not there, or may not be listed.
        RunError: for a store that does not answer.
    """
    if not is_address(folder):
        yield from _on_disk(folder)
        return
    address = folder
    system, path = file_system(address)
    root = path.rstrip("/")
    by_pages = scheme_of(address) in ("s3", "s3a")
    names = _pages_of_s3(system, address, root) if by_pages else _by_folders(system, address, root, "")
    yield from (name for name in names if is_ordinary(name))


def list_names(folder: str) -> list[str]:
    """Return the names of the files in a folder itself, sorted.

    Raises:
        InputError, RunError, OSError: as :func:`walk` does.
    """
    if not is_address(folder):
        return sorted(path.name for path in Path(folder).iterdir() if path.is_file())
    system, path = file_system(folder)
    entries = patiently(folder, lambda: system.ls(path, detail=True))
    return sorted(str(entry["name"]).rpartition("/")[2] for entry in entries if entry["type"] == "file")


def _on_disk(folder: str) -> Iterator[str]:
    for here, folders, files in os.walk(folder):
        folders.sort()
        yield from (Path(here, name).relative_to(folder).as_posix() for name in sorted(files))


def _pages_of_s3(system: Any, address: str, root: str) -> Iterator[str]:
    bucket, _, prefix = root.partition("/")
    if not bucket:
        raise InputError(f"{address} names no bucket")
    prefix = f"{prefix}/" if prefix else ""
    ask = partial(system.call_s3, "list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=_PAGE)
    more: dict[str, str] = {}
    while True:
        page = patiently(address, partial(ask, **more))
        yield from (entry["Key"][len(prefix) :] for entry in page.get("Contents", ()))
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def _by_folders(system: Any, address: str, root: str, below: str) -> Iterator[str]:
    here = f"{root}/{below}" if below else root
    entries = patiently(address, lambda: system.ls(here, detail=True))
    for entry in sorted(entries, key=lambda entry: str(entry["name"])):
        last = str(entry["name"]).rstrip("/").rpartition("/")[2]
        name = f"{below}/{last}" if below else last
        if entry["type"] == "directory":
            yield from _by_folders(system, address, root, name)
        else:
            yield name
