"""Free main memory: the least of what the machine has left, a container allows, and the shell allows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import psutil

# Where Linux tells it; tests put folders of their own here.
_GROUPS, _OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")

# Files of the two versions of control groups: the limit, the use, and what of the use is a cache that is given back.
_VERSION_2 = ("memory.max", "memory.current", "inactive_file")
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def free_main_memory() -> int:
    """Return the bytes that are free for this process; 0 where a limit is reached already."""
    bounds = [int(psutil.virtual_memory().available), *_left_in_groups(), *_left_of_address_space()]
    return max(0, min(bounds))


def _left_in_groups() -> Iterator[int]:
    """Yield what is left in every control group that this process is in, those around them included."""
    try:
        lines = _OWN_GROUPS.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if not controllers:  # version 2 has one tree for all
            yield from _left_above(_GROUPS, group, _VERSION_2)
        elif "memory" in controllers.split(","):
            yield from _left_above(_GROUPS / "memory", group, _VERSION_1)


def _left_above(root: Path, group: str, files: tuple[str, str, str]) -> Iterator[int]:
    """Yield what is left in a group and in those around it. Inside a container the path may be that outside, and the root of
    what is mounted is the container's own group."""
    path = PurePosixPath(group.lstrip("/"))
    for folder in (root / path, *(root / parent for parent in path.parents), root):
        limit, used = (_number(folder / name) for name in files[:2])
        if limit is not None and used is not None:
            yield limit - used + _cached(folder / "memory.stat", files[2])


def _number(path: Path) -> int | None:
    """Return the number in a file; None for ``max``, and where there is no file."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _cached(path: Path, entry: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.split()[:1] == [entry]), 0)


def _left_of_address_space() -> Iterator[int]:
    """Yield what ``ulimit -v`` leaves."""
    if sys.platform == "win32":
        return
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        yield limit - int(psutil.Process().memory_info().vms)
