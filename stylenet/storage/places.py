"""Name places: what is a path, what is an address, and the parts of either."""

from __future__ import annotations

import os
import urllib.parse
from glob import has_magic
from pathlib import Path, PurePosixPath

Place = str | os.PathLike[str]


def is_address(place: Place) -> bool:
    """Return whether a place is an address such as ``s3://bucket/key`` rather than a path of this machine."""
    return isinstance(place, str) and "://" in place


def is_web(place: Place) -> bool:
    """Return whether a place is a plain http(s) address."""
    return isinstance(place, str) and place.lower().startswith(("http://", "https://"))


def is_pattern(word: Place) -> bool:
    """Return whether a word stands for what fits it; ``photo[1].jpg`` is a name where there is such a file."""
    return not is_web(word) and has_magic(os.fspath(word)) and not Path(word).exists()


def name_on_web(address: str) -> str:
    """Return the last part of the path of an http(s) address; empty where there is none, or the address makes no sense."""
    try:
        return PurePosixPath(urllib.parse.unquote(urllib.parse.urlsplit(address).path)).name
    except ValueError:  # the download says what is wrong with it
        return ""


def join(place: Place, *names: str) -> str:
    """Return a place below another one.

    Args:
        place: a path or an address.
        names: names or relative paths with ``/``.
    """
    if not is_address(place):
        return str(Path(place, *names))
    return "/".join([str(place).rstrip("/"), *names])


def name_of(place: Place) -> str:
    """Return the last part of a place, such as ``1.jpg``."""
    return PurePosixPath(_path(place)).name if is_address(place) else Path(place).name


def marked(place: Place, mark: str) -> str:
    """Return a place beside another one, whose name has a mark before its ending: ``out/cat_00010.png``."""
    name = PurePosixPath(name_of(place))
    return join(parent_of(place), f"{name.stem}{mark}{name.suffix}")


def parent_of(place: Place) -> str:
    """Return the place above another one; that of a bucket or host is the same."""
    if not is_address(place):
        return str(Path(place).parent)
    scheme, path = str(place).rstrip("/").split("://", 1)
    return f"{scheme}://{path.rpartition('/')[0] or path}"


def below(place: Place, root: Place) -> bool:
    """Return whether a place is another one, or lies below it."""
    if is_address(place) != is_address(root):
        return False
    if is_address(place):
        return f"{place}/".startswith(f"{str(root).rstrip('/')}/")
    return Path(os.path.realpath(place)).is_relative_to(os.path.realpath(root))


def leads_to(place: Place) -> str:
    """Return where a place leads through links and shorter names, so that two of one file are equal.

    A link to itself leads nowhere, and is no error before it is read. An address leads there.
    """
    return str(place) if is_address(place) else os.path.realpath(place)


def is_ordinary(name: str) -> bool:
    """Return whether a relative name stays below the folder that it is joined to: keys of stores may be anything."""
    return bool(name) and not name.startswith("/") and all(part not in ("", ".", "..") for part in name.split("/"))


def _path(address: Place) -> str:
    return str(address).rstrip("/").split("://", 1)[1]
