"""Say how many of the processor's cores torch uses, in one thread or in all."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use so many threads in this thread, and in those that begin meanwhile."""
    before = torch.get_num_threads()
    if count != before:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if count != before:
            torch.set_num_threads(before)


def _take_one_core() -> None:
    """Let torch use one core in this thread. A thread's first question takes over the number of the whole process."""
    torch.get_num_threads()
    torch.set_num_threads(1)


def start_lanes(count: int) -> ThreadPoolExecutor:
    """Return threads of which each works on one core; other threads keep what torch may use."""
    before, all_there = torch.get_num_threads(), threading.Barrier(count)
    lanes = ThreadPoolExecutor(count, "lane", initializer=_take_one_core)
    for _ in range(count):  # now, as it sets what threads that begin later may use
        lanes.submit(all_there.wait)
    lanes.submit(lambda: None).result()
    torch.set_num_threads(before)
    return lanes
