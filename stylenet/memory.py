"""Free main memory: the least of what the machine has left, a container allows, and the shell allows."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import psutil

# No machine has so much: version 1 says so where there is no limit.
_ENDLESS = 2**60

# Where Linux tells it; tests put folders of their own here.
_GROUPS, _OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


class _Files(NamedTuple):
    """Files of a version of control groups: the limit, the use, and what of the use is a cache that is given back; limit and
    use of swap, which version 1 counts together with memory."""

    limit: str
    used: str
    cached: str
    swap_limit: str
    swap_used: str
    swap_with_memory: bool


_VERSION_2 = _Files("memory.max", "memory.current", "inactive_file", "memory.swap.max", "memory.swap.current", False)
_VERSION_1 = _Files(
    *("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    *("memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes", True),
)


def free_main_memory(swap: bool = False) -> int:
    """Return the bytes that are free for this process; 0 where a limit is reached already.

    Args:
        swap: count what can be swapped out, where this is allowed, as free.
    """
    groups = list(_groups())
    swappable = min([int(psutil.swap_memory().free), *_swap_left(groups)]) if swap else 0
    bounds = [int(psutil.virtual_memory().available) + swappable, *(left + swappable for left in _left(groups))]
    return max(0, min([*bounds, *_left_by_shell()]))


def _groups() -> Iterator[tuple[Path, _Files]]:
    """Yield the folder of every control group that this process is in, those around them included, with the names of its files.

    Inside a container the path may be that outside, and the root of what is mounted is the container's own group.
    """
    try:
        lines = _OWN_GROUPS.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if not controllers:  # version 2 has one tree for all
            root, files = _GROUPS, _VERSION_2
        elif "memory" in controllers.split(","):
            root, files = _GROUPS / "memory", _VERSION_1
        else:
            continue
        path = PurePosixPath(group.lstrip("/"))
        for folder in dict.fromkeys((root / path, *(root / parent for parent in path.parents), root)):
            yield folder, files


def _left(groups: Iterable[tuple[Path, _Files]]) -> Iterator[int]:
    """Yield the memory that is left in each group that limits it."""
    for folder, files in groups:
        left = _difference(folder / files.limit, folder / files.used)
        if left is not None:
            yield left + _cached(folder / "memory.stat", files.cached)


def _swap_left(groups: Iterable[tuple[Path, _Files]]) -> Iterator[int]:
    """Yield the swap that is left in each group that limits it."""
    for folder, files in groups:
        left = _difference(folder / files.swap_limit, folder / files.swap_used)
        if left is not None and files.swap_with_memory:
            # Both together, of which what is left of memory alone is no swap; without a limit both are next to endless.
            memory = _difference(folder / files.limit, folder / files.used)
            left = None if memory is None or memory > _ENDLESS else left - memory
        if left is not None:
            yield max(0, left)


def _difference(limit: Path, used: Path) -> int | None:
    numbers = (_number(limit), _number(used))
    return None if numbers[0] is None or numbers[1] is None else numbers[0] - numbers[1]


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


def _left_by_shell() -> Iterator[int]:
    """Yield what ``ulimit -v`` (addresses) and ``ulimit -d`` (private memory that can be written) leave."""
    if sys.platform == "win32":
        return
    import resource

    for kind, used in ((resource.RLIMIT_AS, "vms"), (resource.RLIMIT_DATA, "data")):
        limit, _ = resource.getrlimit(kind)
        if limit != resource.RLIM_INFINITY:
            yield limit - int(getattr(psutil.Process().memory_info(), used, 0))  # macOS does not tell the second
