"""Several photos in one call, each by a search of its own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stylenet import storage
from stylenet.errors import UNREADABLE, InputError, Interrupted, RunError, why_unreadable
from stylenet.losses.settings import LossSettings
from stylenet.optimization.observers import SearchLine
from stylenet.optimization.rendering import OptimizeResult, optimize
from stylenet.optimization.saving import state_place
from stylenet.optimization.settings import OptimizeSettings


@dataclass
class Series:
    """The outcome of the searches of several photos.

    Attributes:
        done: pictures that were written.
        skipped: pictures that an earlier call had finished.
        failures: photos that gave no picture, or a broken search, with the reason.
        interrupted: whether Ctrl-C ended the series; the picture of that moment is written.
        seconds: that all took.
    """

    done: int = 0
    skipped: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    interrupted: bool = False
    seconds: float = 0.0


def optimize_series(
    jobs: Sequence[tuple[str, str]],
    styles: Sequence[str],
    loss: LossSettings,
    settings: OptimizeSettings,
    report: Callable[[str, OptimizeResult], None],
    resume: bool = False,
    **options: Any,
) -> Series:
    """Search a picture for every photo, one after the other, with one progress line.

    A photo that cannot be read does not stop the others. With a budget, each photo has it.

    Args:
        jobs: photos, and the files that their pictures are written to.
        styles: style pictures, the same for all.
        loss: what is minimised.
        settings: how it is searched for.
        report: is told of every picture that was written; its notes are those that the progress line has not told.
        resume: pass over pictures that are finished, and go on with the search that was stopped; in a store, where no state
            of it is kept, begin that one anew.
        options: of :func:`~stylenet.optimization.rendering.optimize`.
    """
    began, series, line = time.monotonic(), Series(), SearchLine()
    for number, (source, output) in enumerate(jobs, 1):
        line.begin(f"{number}/{len(jobs)} {Path(source).name}")
        try:
            if resume and _is_finished(output):
                series.skipped += 1
                continue
            goes_on = resume and not storage.is_address(output)
            result = _search(source, output, styles, loss, settings, observe=line, resume=goes_on, **options)
        except UNREADABLE as error:
            series.failures.append((source, why_unreadable(error)))
            if _came_of_interrupt(error):
                series.interrupted = True
                break
            continue
        finally:
            line.close()
        series.done += 1
        report(output, replace(result, notes=line.untold(result.notes)))
        if result.stopped == "broken":
            series.failures.append((source, result.message))
        if result.stopped == "interrupted":
            series.interrupted = True
            break
    series.seconds = time.monotonic() - began
    return series


def _search(source: str, output: str, *arguments: Any, **options: Any) -> OptimizeResult:
    """Search one picture, with a mark beside it as long as it is not finished."""
    if storage.exists(output):  # of another call: until its successor is written it is not what is asked for
        _mark(output, unfinished=True)
    try:
        result = optimize(source, *arguments, output=output, **options)
    except Interrupted as interrupted:
        result = interrupted.result
    _mark(output, unfinished=result.stopped in ("interrupted", "broken"))
    return result


def _came_of_interrupt(error: BaseException | None) -> bool:
    """Return whether an error arose while a search that Ctrl-C had ended was being finished."""
    while error is not None and not isinstance(error, Interrupted):
        error = error.__context__
    return error is not None


def _mark(output: str, unfinished: bool) -> None:
    """Say beside a picture that its search was stopped, or no longer say so.

    On a disk the state of the search says it, or an empty file in its place, from which `resume` begins anew.
    """
    place = state_place(output)
    if not storage.is_address(place):
        if unfinished:
            with contextlib.suppress(OSError):  # where nothing can be written the search says so
                Path(place).touch()
    elif unfinished:
        storage.write(place, b"the search for this picture was stopped")
    else:
        with contextlib.suppress(InputError, RunError):  # who may write may not be allowed to delete
            storage.delete(place)


def _is_finished(output: str) -> bool:
    """Return whether a picture is there, and no search for it was stopped."""
    there = storage.exists(output) if storage.is_address(output) else Path(output).is_file()
    return there and not storage.exists(state_place(output))
