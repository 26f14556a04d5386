"""Several photos in one call, each by a search of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stylenet import storage
from stylenet.errors import UNREADABLE, Interrupted, why_unreadable
from stylenet.losses.settings import LossSettings
from stylenet.optimization.observers import SearchLine
from stylenet.optimization.rendering import OptimizeResult, optimize
from stylenet.optimization.saving import state_path
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
        report: is told of every picture that was written.
        resume: pass over pictures that are finished, and go on with the search that was killed; in a store, where no state of
            it is kept, begin that one anew.
        options: of :func:`~stylenet.optimization.rendering.optimize`.
    """
    began, series, line = time.monotonic(), Series(), SearchLine()
    for number, (source, output) in enumerate(jobs, 1):
        if resume and _is_finished(output):
            series.skipped += 1
            continue
        line.prefix = f"{number}/{len(jobs)} {Path(source).name}  "
        goes_on = resume and not storage.is_address(output)
        try:
            result = optimize(source, styles, loss, settings, output=output, resume=goes_on, observe=line, **options)
        except Interrupted as interrupted:
            result = interrupted.result
        except UNREADABLE as error:
            series.failures.append((source, why_unreadable(error)))
            continue
        line.close()
        series.done += 1
        report(output, result)
        if result.stopped in ("interrupted", "broken") and not storage.is_address(output):
            state_path(Path(output)).touch()  # without a state the same words with `resume` begin it anew
        if result.stopped == "broken":
            series.failures.append((source, result.message))
        if result.stopped == "interrupted":
            series.interrupted = True
            break
    line.close()
    series.seconds = time.monotonic() - began
    return series


def _is_finished(output: str) -> bool:
    """Return whether a picture is there, and no search for it was stopped."""
    if storage.is_address(output):
        return storage.exists(output)
    return Path(output).is_file() and not state_path(Path(output)).exists()
