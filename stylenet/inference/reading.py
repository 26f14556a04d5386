"""Read pictures ahead of their turn, no more of them than memory has room for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from stylenet.devices import processor_cores
from stylenet.errors import UNREADABLE, why_unreadable
from stylenet.images.picture import Picture
from stylenet.inference.file_rules import Files
from stylenet.inference.folders import STREAM, Job
from stylenet.inference.stylizer import Stylizer
from stylenet.memory import free_main_memory

# A picture, None where nothing is to do, or the reason why it cannot be read.
Read = Picture | str | None

# Pictures that are read ahead, and that wait to be written; of large ones, in pixels, there is one at a time. Small ones fit
# anywhere: to ask for the free memory takes two milliseconds, as long as to read and write them.
_AHEAD, _AHEAD_OF_GPU = 2, 16
_SMALL, _LARGE = 500_000, 32_000_000

# An allowance for each pixel while pictures are read ahead, styled and written: 12 bytes in each of eight copies.
_BYTES_A_PIXEL = 100


def is_large(picture: Read) -> bool:
    """Return whether there is room for one such picture at a time alone."""
    if not isinstance(picture, Picture) or (pixels := picture.width * picture.height) <= _SMALL:
        return False
    return pixels > min(_LARGE, free_main_memory() // _BYTES_A_PIXEL)


def most_ahead(stylizers: Sequence[Stylizer]) -> int:
    """Return how many pictures are read ahead, and how many wait to be written. A GPU is done with one sooner than a core has
    decoded the next: there all cores read and write."""
    devices = {getattr(stylizer, "device", None) for stylizer in stylizers}
    if all(device is None or device.type == "cpu" for device in devices):
        return _AHEAD
    return max(_AHEAD, min(_AHEAD_OF_GPU, processor_cores()))


def read_ahead(jobs: Sequence[Job], files: Files, readers: ThreadPoolExecutor, most: int) -> Iterator[tuple[Job, list[Read]]]:
    """Yield jobs with what was read, in a list of one that :func:`try_to_style` empties."""
    if any(job.source == STREAM for job in jobs):  # a thread that waits for stdin cannot be interrupted
        yield from ((job, [try_to_read(job, files)]) for job in jobs)
        return
    waiting: deque[tuple[Job, Future[Read]]] = deque()
    coming = iter(jobs)
    ahead = 0  # how large they are is known after the first
    while True:
        while len(waiting) <= ahead and (job := next(coming, None)) is not None:
            waiting.append((job, readers.submit(try_to_read, job, files)))
        if not waiting:
            return
        job, future = waiting.popleft()
        handed = [future.result()]
        del future
        ahead = 0 if is_large(handed[0]) else most
        yield job, handed


def try_to_read(job: Job, files: Files) -> Read:
    """Return the picture; None where nothing is to do; the reason where it cannot be read."""
    try:
        return files.read(job) if files.wanted(job) else None
    except UNREADABLE as error:
        return why_unreadable(error)
