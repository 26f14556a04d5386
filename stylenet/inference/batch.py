"""Style many pictures in one or several styles, while reading, the network and writing go on at the same time."""

from __future__ import annotations

import errno
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import torch

from stylenet.cores import threads
from stylenet.deprecation import renamed
from stylenet.devices import give_back_memory, processor_cores
from stylenet.errors import InputError, Interrupted, RunError, argument
from stylenet.formats import ending
from stylenet.images.fetching import read_for, stop_waiting
from stylenet.images.picture import Picture, check_format, check_output, encode_image, read_image, write_image
from stylenet.images.sizes import SizeRule
from stylenet.inference.folders import STREAM, Job
from stylenet.inference.groups import Groups, can_group, group_size, join_pictures, split_pictures
from stylenet.inference.lanes import count_lanes, takes_a_lane
from stylenet.inference.stylizer import Stylizer
from stylenet.memory import free_main_memory
from stylenet.storage import exists
from stylenet.storage.stores import is_refusal

# Pictures that are read ahead, and that wait to be written; of large ones, in pixels, there is one at a time. Small ones fit
# anywhere: to ask for the free memory takes two milliseconds, as long as to read and write them.
_AHEAD, _AHEAD_OF_GPU = 2, 16
_SMALL, _LARGE = 500_000, 32_000_000

# An allowance for each pixel while pictures are read ahead, styled and written: 12 bytes in each of eight copies.
_BYTES_A_PIXEL = 100


@dataclass(frozen=True)
class Files:
    """Settings of how pictures are read and written.

    Attributes:
        size: size rule of the pictures before styling.
        allow_huge: accept more than 89 million pixels.
        overwrite: style again what is there already.
        quality: quality of JPEG, WebP and AVIF, 1 to 100.
        bits: 8, or 16 for PNG and TIFF.
    """

    size: str | int | SizeRule = "full"
    allow_huge: bool = False
    overwrite: bool = False
    quality: int = 95
    bits: int = 8

    def __post_init__(self) -> None:
        SizeRule.parse(self.size)
        if not 1 <= self.quality <= 100:
            raise InputError(f"quality is {self.quality}: it goes from 1 to 100")

    def check(self, jobs: Sequence[Job]) -> None:
        """Fail now rather than at the first result.

        Raises:
            InputError: if a result could not be written.
        """
        outputs = [output for job in jobs for output in job.outputs if output != STREAM]
        for example in {ending(output): output for output in outputs}.values():
            check_format(example, self.bits)
        if outputs:
            check_output(outputs[0], self.bits)

    def wanted(self, job: Job) -> bool:
        """Return whether a result of the job is missing. This is asked just before the work, so that two processes can share
        a folder."""
        return self.overwrite or not all(output != STREAM and exists(output) for output in job.outputs)

    def read(self, job: Job) -> Picture:
        """Read the picture of a job.

        Raises:
            InputError: if it cannot be read.
            RunError: if its store does not answer.
        """
        if job.trouble:
            raise InputError(job.trouble)
        source = sys.stdin.buffer if job.source == STREAM else job.source
        return read_image(source, self.size, allow_huge=self.allow_huge)

    def write(self, picture: Picture, output: str) -> None:
        """Write a result, whole or not at all; to stdout as PNG.

        Raises:
            InputError: for a size that its format does not take.
            RunError: for a disk that is full or a place that is not writable.
        """
        if output != STREAM:
            write_image(picture, output, quality=self.quality, bits=self.bits)
            return
        sys.stdout.buffer.write(encode_image(picture, "PNG", bits=self.bits))
        sys.stdout.buffer.flush()


@dataclass
class Summary:
    """The outcome of all jobs.

    Attributes:
        jobs: pictures that there were to style, where that is known.
        done: pictures whose results are all written.
        skipped: pictures whose results were there already.
        failures: source and reason.
        unlisted: pictures that failed beside these, in a set so large that not all are listed.
        notes: what a person should know about single pictures.
        seconds: seconds that everything took.
        message: why the rest was not tried, in one line; empty if all was.
        interrupted: whether that was Ctrl-C.
        broke: whether a failure came in carrying a job out, such as a disk that is full, and not from what was asked for.
    """

    jobs: int = 0
    done: int = 0
    skipped: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    unlisted: int = 0
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    message: str = ""
    interrupted: bool = False
    broke: bool = False

    def take(self, part: Summary) -> None:
        """Add what came of one picture before its results are written."""
        self.skipped += part.skipped
        self.failures += part.failures
        self.notes += part.notes
        self.broke |= part.broke

    @property
    def tried(self) -> int:
        """Return how many pictures are dealt with, one way or the other."""
        return self.done + self.skipped + self.failed

    @property
    def failed(self) -> int:
        """Return how many pictures failed."""
        return len(self.failures) + self.unlisted


@renamed(report="observe")
def stylize_many(
    jobs: Sequence[Job],
    stylizers: Sequence[Stylizer],
    files: Files | None = None,
    observe: Callable[[Summary, int], None] | None = None,
) -> Summary:
    """Style every picture in every style. What cannot be read, styled or written is noted, and the rest goes on. A full disk
    and Ctrl-C end the work early; what is written by then is whole.

    Args:
        jobs: jobs from :func:`~stylenet.inference.plan_jobs`.
        stylizers: one for each output of a job.
        files: how pictures are read and written.
        observe: is told the state and the number of jobs after each.

    Raises:
        InputError: if results could not be written there.
        Interrupted: after Ctrl-C, with the summary so far.
    """
    files = files or Files()
    files.check(jobs)
    return style_jobs(jobs, stylizers, files, observe)


def style_jobs(
    jobs: Sequence[Job], stylizers: Sequence[Stylizer], files: Files, observe: Callable[[Summary, int], None] | None = None
) -> Summary:
    """Do what :func:`stylize_many` does, where it was looked before whether results can be written.

    Raises:
        Interrupted: after Ctrl-C, with the summary so far.
    """
    work = _Work(jobs, stylizers, files, observe or (lambda *_: None))
    try:
        work.do()
    except _HopelessError as error:
        work.summary.message = str(error)
    except KeyboardInterrupt:
        work.summary.message, work.summary.interrupted = "interrupted", True
    finally:
        work.end()
    work.tell()
    if work.summary.interrupted:
        raise Interrupted(work.summary.message, work.summary)
    return work.summary


class _Work:
    """All jobs, with the threads that read, style and write.

    On a processor pictures of moderate size are styled beside each other, one on each core; a larger one has all cores. On a
    GPU pictures of one size are styled together.
    """

    def __init__(
        self, jobs: Sequence[Job], stylizers: Sequence[Stylizer], files: Files, observe: Callable[[Summary, int], None]
    ) -> None:
        self.jobs, self.stylizers, self.files, self.observe = jobs, stylizers, files, observe
        self.summary, self.started = Summary(), time.monotonic()
        self.cores, self.lanes = torch.get_num_threads(), count_lanes(stylizers)
        self.groups: Groups[tuple[Job, Picture]] | None = Groups() if can_group(stylizers) else None
        self.most_ahead, self.stopped = max(_most_ahead(stylizers), self.lanes), threading.Event()
        self.readers = ThreadPoolExecutor(self.most_ahead, initializer=read_for, initargs=(self.stopped,))
        self.stylers, self.writers = ThreadPoolExecutor(self.lanes), ThreadPoolExecutor(self.most_ahead)
        self.styling: deque[Future[_Styled]] = deque()
        self.writing: deque[_Writing] = deque()

    def do(self) -> None:
        """Do all jobs, and settle them in their order."""
        with threads(1 if self.lanes > 1 else self.cores):
            for job, handed in _read_ahead(self.jobs, self.files, self.readers, self.most_ahead):
                if self.lanes > 1 and takes_a_lane(handed[0]):
                    self.styling.append(self.stylers.submit(self._style, job, handed))
                    self._settle_styled(self.lanes)
                elif self.groups is not None and isinstance(handed[0], Picture) and group_size(handed[0]) > 1:
                    for group in self.groups.add((job, handed[0]), handed[0]):
                        self._style_group(group)
                else:
                    self._settle_styled(0)
                    self._style_alone(job, handed)
            self._settle_styled(0)
            for group in self.groups.rest() if self.groups is not None else ():
                self._style_group(group)
        self._settle_written(0)

    def end(self) -> None:
        """Stop all threads; what a writer has begun is finished."""
        if self.summary.interrupted:
            stop_waiting(self.stopped)
        self.readers.shutdown(wait=False, cancel_futures=True)
        self.stylers.shutdown(cancel_futures=True)
        self.writers.shutdown(cancel_futures=True)

    def tell(self) -> None:
        """Tell the state."""
        self.summary.seconds = time.monotonic() - self.started
        self.observe(self.summary, len(self.jobs))

    def _style(self, job: Job, handed: list[Read], large: bool = False) -> _Styled:
        """Style one picture, and hand its results to the writers."""
        part, results = Summary(), _Writing(job.source)
        for styled, output in try_to_style(job, handed, self.stylizers, part):
            if large:  # before the last result the photo was let go of
                give_back_memory()
            results.futures.append(self.writers.submit(self.files.write, styled, output))
            del styled
        return _Styled(part, results)

    def _style_alone(self, job: Job, handed: list[Read]) -> None:
        """Style a picture on all cores."""
        large = _is_large(handed[0])
        if large:
            give_back_memory()
        with threads(self.cores):
            styled = self._style(job, handed, large)
        self._settle(styled, 0 if large else self.most_ahead)

    def _style_group(self, group: Sequence[tuple[Job, Picture]]) -> None:
        """Style pictures of one size together; one by one where that fails, so that a failure is told of the right one."""
        pictures = [picture for _, picture in group]
        try:
            results = [split_pictures(stylizer(join_pictures(pictures)), pictures) for stylizer in self.stylizers]
        except (InputError, RunError, MemoryError, RuntimeError):
            for job, picture in group:
                self._style_alone(job, [picture])
            return
        for (job, picture), styled in zip(group, zip(*results, strict=True), strict=True):
            writing = zip(styled, job.outputs, strict=True)
            futures = [self.writers.submit(self.files.write, result, output) for result, output in writing]
            self._settle(_Styled(Summary(notes=list(picture.notes)), _Writing(job.source, futures)), self.most_ahead)

    def _settle_styled(self, most: int) -> None:
        """Settle pictures in lanes until few are left."""
        while len(self.styling) > most:
            self._settle(self.styling.popleft().result(), self.most_ahead)

    def _settle(self, styled: _Styled, most: int) -> None:
        """Take note of what came of a picture, and wait until few are left to be written."""
        self.summary.take(styled.part)
        if styled.results.futures:
            self.writing.append(styled.results)
        self._settle_written(most)
        self.tell()

    def _settle_written(self, most: int) -> None:
        while len(self.writing) > most:
            self.writing.popleft().settle(self.summary)


class _HopelessError(Exception):
    """Raised when the disk is full, or a store refuses what is written, so that there is no point in going on."""


@dataclass
class _Writing:
    """The results of one picture on their way to the disk."""

    source: str
    futures: list[Future[None]] = field(default_factory=list)

    def settle(self, summary: Summary) -> None:
        """Wait for the results to be written."""
        for future in self.futures:
            try:
                future.result()
            except (InputError, RunError) as error:
                summary.broke |= isinstance(error, RunError)
                if all(self.source != source for source, _ in summary.failures):
                    summary.failures.append((self.source, str(error)))
                if is_hopeless(error):
                    raise _HopelessError(str(error)) from error
        if all(self.source != source for source, _ in summary.failures):
            summary.done += 1


@dataclass(frozen=True)
class _Styled:
    """A picture that was styled; its results are on their way to the disk."""

    part: Summary
    results: _Writing


def is_hopeless(error: Exception) -> bool:
    """Return whether a failure to write will meet every other result too: a full disk, or a store that refuses access."""
    return is_refusal(error) or (
        isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    )


# A picture, None where nothing is to do, or the reason why it cannot be read.
Read = Picture | str | None


def _is_large(picture: Read) -> bool:
    """Return whether there is room for one such picture at a time alone."""
    if not isinstance(picture, Picture) or (pixels := picture.width * picture.height) <= _SMALL:
        return False
    return pixels > min(_LARGE, free_main_memory() // _BYTES_A_PIXEL)


def _most_ahead(stylizers: Sequence[Stylizer]) -> int:
    """Return how many pictures are read ahead, and how many wait to be written. A GPU is done with one sooner than a core has
    decoded the next: there all cores read and write."""
    devices = {getattr(stylizer, "device", None) for stylizer in stylizers}
    if all(device is None or device.type == "cpu" for device in devices):
        return _AHEAD
    return max(_AHEAD, min(_AHEAD_OF_GPU, processor_cores()))


def _read_ahead(
    jobs: Sequence[Job], files: Files, readers: ThreadPoolExecutor, most_ahead: int
) -> Iterator[tuple[Job, list[Read]]]:
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
        ahead = 0 if _is_large(handed[0]) else most_ahead
        yield job, handed


def try_to_read(job: Job, files: Files) -> Read:
    """Return the picture; None where nothing is to do; the reason where it cannot be read."""
    try:
        return files.read(job) if files.wanted(job) else None
    except (InputError, RunError, MemoryError) as error:
        return str(error) or "not enough memory to read it"


def try_to_style(
    job: Job, handed: list[Read], stylizers: Sequence[Stylizer], summary: Summary
) -> Iterator[tuple[Picture, str]]:
    """Yield the results of a job and where they go, one by one; what happened is noted.

    The picture is taken out of the list, so that nothing holds it beside its last result: at 100 megapixels it has 1.2 GB.
    """
    picture = handed.pop()
    if picture is None:
        summary.skipped += 1
        return
    if isinstance(picture, str):
        summary.failures.append((job.source, picture))
        return
    summary.notes += picture.notes
    try:
        for stylizer, output in zip(stylizers[:-1], job.outputs[:-1], strict=True):
            yield stylizer(picture), output
        styled = stylizers[-1](picture)
        del picture
        yield styled, job.outputs[-1]
    except (InputError, RunError) as error:
        summary.broke |= isinstance(error, RunError)
        summary.failures.append((job.source, str(error)))
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        advice = f"try {argument('tile', 64)}, or a smaller {argument('size')}"
        summary.failures.append((job.source, f"not enough memory to style it: {advice}"))
