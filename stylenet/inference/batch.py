"""Style many pictures in one or several styles, while reading, the network and writing go on at the same time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch

from stylenet.cores import threads
from stylenet.deprecation import renamed
from stylenet.devices import give_back_memory
from stylenet.errors import InputError, Interrupted, RunError, argument
from stylenet.images.fetching import read_for, stop_waiting
from stylenet.images.picture import Picture
from stylenet.inference.file_rules import Files
from stylenet.inference.folders import Job
from stylenet.inference.groups import Groups, can_group, group_size, join_pictures, split_pictures
from stylenet.inference.lanes import count_lanes, takes_a_lane
from stylenet.inference.reading import Read, is_large, most_ahead, read_ahead
from stylenet.inference.stylizer import Stylizer
from stylenet.inference.summary import Summary
from stylenet.inference.writing import HopelessError, Writing


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
    except HopelessError as error:
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
        self.most_ahead, self.stopped = max(most_ahead(stylizers), self.lanes), threading.Event()
        self.readers = ThreadPoolExecutor(self.most_ahead, initializer=read_for, initargs=(self.stopped,))
        self.stylers, self.writers = ThreadPoolExecutor(self.lanes), ThreadPoolExecutor(self.most_ahead)
        self.styling: deque[Future[_Styled]] = deque()
        self.writing: deque[Writing] = deque()

    def do(self) -> None:
        """Do all jobs, and settle them in their order."""
        with threads(1 if self.lanes > 1 else self.cores):
            for job, handed in read_ahead(self.jobs, self.files, self.readers, self.most_ahead):
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
        part, results = Summary(), Writing(job.source)
        for styled, output in try_to_style(job, handed, self.stylizers, part):
            if large:  # before the last result the photo was let go of
                give_back_memory()
            results.futures.append(self.writers.submit(self.files.write, styled, output))
            del styled
        return _Styled(part, results)

    def _style_alone(self, job: Job, handed: list[Read]) -> None:
        """Style a picture on all cores."""
        large = is_large(handed[0])
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
            self._settle(_Styled(Summary(notes=list(picture.notes)), Writing(job.source, futures)), self.most_ahead)

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


@dataclass(frozen=True)
class _Styled:
    """A picture that was styled; its results are on their way to the disk."""

    part: Summary
    results: Writing


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
