"""Many pictures through one or several styles: reading, the network and writing go on at the same time."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from stylenet.errors import InputError, RunError
from stylenet.images import Picture, check_output, encode_image, read_image, resize, write_image
from stylenet.jobs import STREAM, Job
from stylenet.sheets import contact_sheet
from stylenet.sizes import SizeRule
from stylenet.stylizer import Stylizer

# Pictures that are read ahead, and that wait to be written.
_AHEAD = 2


@dataclass(frozen=True)
class Files:
    """How pictures are read and written.

    Attributes:
        size: size rule of the pictures before styling.
        allow_huge: accept more than 89 million pixels.
        overwrite: style again what is there already.
        quality: of JPEG, WebP and AVIF.
        bits: 8, or 16 for PNG and TIFF.
    """

    size: str | int | SizeRule = "full"
    allow_huge: bool = False
    overwrite: bool = False
    quality: int = 95
    bits: int = 8

    def check(self, jobs: Sequence[Job]) -> None:
        """Fails now rather than at the first result.

        Raises:
            InputError: if it could not be written.
        """
        for output in jobs[0].outputs if jobs else ():
            if output != STREAM:
                check_output(output, self.bits)

    def wanted(self, job: Job) -> bool:
        """Whether a result of the job is missing. Asked just before the work, so that two processes can share a folder."""
        return self.overwrite or not all(output != STREAM and Path(output).exists() for output in job.outputs)

    def read(self, job: Job) -> Picture:
        """The picture of a job.

        Raises:
            InputError: if it cannot be read.
        """
        source = sys.stdin.buffer.read() if job.source == STREAM else job.source
        return read_image(source, self.size, allow_huge=self.allow_huge)

    def write(self, picture: Picture, output: str) -> None:
        """Writes a result, whole or not at all; to stdout as PNG.

        Raises:
            InputError: for a size that its format does not take.
            RunError: for a disk that is full or a folder that is not writable.
        """
        if output != STREAM:
            write_image(picture, output, quality=self.quality, bits=self.bits)
            return
        sys.stdout.buffer.write(encode_image(picture, "PNG", bits=self.bits))
        sys.stdout.buffer.flush()


@dataclass
class Summary:
    """What came of the jobs.

    Attributes:
        done: pictures styled, each in every style.
        skipped: pictures whose results were there already.
        failures: source and reason.
        seconds: in all.
    """

    done: int = 0
    skipped: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0


def stylize_many(
    jobs: Sequence[Job],
    stylizers: Sequence[Stylizer],
    files: Files | None = None,
    report: Callable[[Summary, int], None] | None = None,
) -> Summary:
    """Styles every picture in every style. What cannot be read or styled is noted, and the rest goes on.

    Args:
        jobs: from :func:`~stylenet.jobs.plan_jobs`.
        stylizers: one for each output of a job.
        files: how pictures are read and written.
        report: is told the state and the number of jobs after each.

    Raises:
        InputError: if results could not be written there.
        RunError: if a result cannot be written after all: the disk is full, or the folder not writable. What was written before
            is whole.
        KeyboardInterrupt: after Ctrl-C, likewise, with a message that says how far it came.
    """
    files, summary, started = files or Files(), Summary(), time.monotonic()
    files.check(jobs)
    writing: deque[tuple[str, Future[None]]] = deque()
    with ThreadPoolExecutor(_AHEAD) as readers, ThreadPoolExecutor(_AHEAD) as writers:
        try:
            for job, picture in _read_ahead(jobs, files, readers):
                for styled, output in try_to_style(job, picture, stylizers, summary):
                    writing.append((job.source, writers.submit(files.write, styled, output)))
                while len(writing) > _AHEAD * len(stylizers):
                    _settle(*writing.popleft(), summary)
                summary.seconds = time.monotonic() - started
                if report is not None:
                    report(summary, len(jobs))
            while writing:
                _settle(*writing.popleft(), summary)
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(f"interrupted after {summary.done} of {len(jobs)} pictures, which are whole") from error
        finally:
            readers.shutdown(cancel_futures=True)
    summary.seconds = time.monotonic() - started
    return summary


def contact_sheet_of(
    jobs: Sequence[Job], stylizers: Sequence[Stylizer], names: Sequence[str], output: str, files: Files, height: int = 360
) -> Summary:
    """Writes one picture of all: a row for each photo, a column for each style, each labelled.

    Args:
        jobs: their outputs are not looked at.
        stylizers: one a column.
        names: of the styles.
        output: file to write.
        files: how pictures are read and written.
        height: of a row in pixels.

    Raises:
        InputError: if the sheet cannot be written there, or no picture could be styled.
    """
    check_output(output, files.bits)
    summary, started = Summary(), time.monotonic()
    cells: list[Tensor] = []
    labels: list[str] = []
    for job in jobs:
        try:
            photo = files.read(job)
            row = [photo, *(stylizer(photo) for stylizer in stylizers)]
        except (InputError, MemoryError) as error:
            summary.failures.append((job.source, str(error) or "not enough memory"))
            continue
        cells += [resize(picture.pixels, height, max(1, round(picture.width * height / picture.height))) for picture in row]
        labels += [Path(photo.name).name, *names]
        summary.done += 1
    if cells:
        files.write(Picture(contact_sheet(cells, labels, len(stylizers) + 1, height)), output)
    summary.seconds = time.monotonic() - started
    return summary


def _read_ahead(jobs: Sequence[Job], files: Files, readers: ThreadPoolExecutor) -> Iterator[tuple[Job, Picture | str | None]]:
    """Jobs with their pictures; None for one that needs no work, a reason for one that cannot be read."""
    waiting: deque[tuple[Job, Future[Picture | str | None]]] = deque()
    for job in jobs:
        waiting.append((job, readers.submit(try_to_read, job, files)))
        if len(waiting) > _AHEAD:
            first, future = waiting.popleft()
            yield first, future.result()
    while waiting:
        first, future = waiting.popleft()
        yield first, future.result()


def try_to_read(job: Job, files: Files) -> Picture | str | None:
    """The picture; None where nothing is to do; the reason where it cannot be read."""
    if not files.wanted(job):
        return None
    try:
        return files.read(job)
    except (InputError, MemoryError) as error:
        return str(error) or "not enough memory to read it"


def try_to_style(
    job: Job, picture: Picture | str | None, stylizers: Sequence[Stylizer], summary: Summary
) -> Iterator[tuple[Picture, str]]:
    """Results of a job and where they go, one by one; what happened is noted."""
    if picture is None:
        summary.skipped += 1
        return
    if isinstance(picture, str):
        summary.failures.append((job.source, picture))
        return
    try:
        for stylizer, output in zip(stylizers, job.outputs, strict=True):
            yield stylizer(picture), output
        summary.done += 1
    except (InputError, MemoryError) as error:
        summary.failures.append((job.source, str(error) or "not enough memory to style it: try a smaller --tile"))


def _settle(source: str, writing: Future[None], summary: Summary) -> None:
    """Waits for a file to be written. A size that its format does not take concerns that picture alone."""
    try:
        writing.result()
    except InputError as error:
        if all(source != failed for failed, _ in summary.failures):
            summary.done -= 1
        summary.failures.append((source, str(error)))
    except RunError as error:
        raise RunError(f"{error}; {summary.done} pictures are done") from error
