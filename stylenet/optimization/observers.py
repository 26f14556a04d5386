"""Observers of a search: a progress line, pictures on the way, and a log folder."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import logging
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from stylenet import storage
from stylenet.devices import versions
from stylenet.durations import clock
from stylenet.errors import InputError, RunError, one_line
from stylenet.files import write_atomic
from stylenet.images.picture import write_image
from stylenet.observing import ends_work
from stylenet.optimization.engine import Iterate, Observer, Result
from stylenet.progress import ProgressLine

_logger = logging.getLogger(__name__)


def together(observers: Sequence[Observer]) -> Observer:
    """Return one observer that tells each of several, and ends the search where one of them does."""

    def observe(iterate: Iterate) -> bool:
        answers = [observer(iterate) for observer in observers]
        return not any(ends_work(answer) for answer in answers)

    return observe


class Extra:
    """Something beside the picture of a search. If it cannot be written, this is told once, and the search goes on without.

    Attributes:
        what: it, in words.
        lost: whether it was given up.
    """

    def __init__(self, what: str) -> None:
        self.what, self.lost = what, False

    @contextlib.contextmanager
    def tried(self) -> Iterator[None]:
        """Tell a disk that is full, a place that has gone, or a store that refuses, where it is met inside of the ``with``."""
        try:
            yield
        except (OSError, InputError, RunError) as error:
            self.lost = True
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            _logger.warning("%s is given up, and the search goes on without: %s", self.what, reason)

    def observing(self, observer: Observer) -> Observer:
        """Return an observer that is asked until it fails."""

        def observe(iterate: Iterate) -> object:
            with self.tried():
                return None if self.lost else observer(iterate)
            return None

        return observe


# The terms that compare with style pictures, by the first word of their names.
STYLE_TERMS = ("style", "moments")


def share(parts: Mapping[str, float], kinds: Sequence[str], total: float) -> float:
    """Return the part of the objective that terms of some kinds make up, 0..1."""
    return sum(value for name, value in parts.items() if name.split("/")[0] in kinds) / total if total else 0.0


class SearchLine(ProgressLine):
    """A line with step, objective, share of content and of style, speed and time left of an optimization. Above it stands
    what a person should know of the search, as soon as a step was taken after it became known.
    """

    def __init__(self, stream: IO[str] | None = None, seconds: float = 5.0) -> None:
        super().__init__(stream, seconds)
        self._prefix = ""
        self._told: set[str] = set()

    def begin(self, prefix: str) -> None:
        """Begin another search, whose lines have a prefix, such as which of several photos it is of."""
        self._prefix = f"{one_line(prefix)}  "
        self._told.clear()

    def untold(self, notes: Iterable[str]) -> list[str]:
        """Return those of the notes that were not returned before."""
        new = [note for note in dict.fromkeys(notes) if note not in self._told]
        self._told.update(new)
        return new

    def __call__(self, iterate: Iterate) -> None:
        for note in self.untold(iterate.notes):
            self.say(f"{self._prefix}{one_line(note, 1000)}")
        if not self.due(always=iterate.step in (1, iterate.steps)):
            return
        line = (
            f"{self._prefix}{iterate.width}x{iterate.height} (scale {iterate.scale}/{iterate.scales})"
            f"  step {iterate.step}/{iterate.steps}  objective {iterate.objective:.5g}"
            f"  content {share(iterate.parts, ('content',), iterate.objective):.0%}"
            f"  style {share(iterate.parts, STYLE_TERMS, iterate.objective):.0%}"
            f"  {iterate.rate:.2f} it/s  {clock(iterate.remaining)} left"
        )
        self.show(line, iterate.seconds / max(iterate.seconds + iterate.remaining, 1e-9))


def snapshots_of(output: str | Path) -> list[Path]:
    """Return the files beside an output whose place pictures on the way to it may take; none are looked for in a store."""
    target = Path(output)
    if storage.is_address(output) or not target.parent.is_dir():
        return []
    name = re.compile(rf"{re.escape(target.stem)}_\d{{5,}}{re.escape(target.suffix)}")
    return [path for path in target.parent.iterdir() if name.fullmatch(path.name)]


class Snapshots:
    """Writes the picture so far, every so many steps, beside the output: ``photo_00010.png``, ``photo_00020.png``, ..."""

    def __init__(self, output: str | Path, every: int, **write: Any) -> None:
        self.output, self.every, self.write = output, every, write

    def __call__(self, iterate: Iterate) -> None:
        if iterate.taken % self.every == 0:
            write_image(iterate.picture(), storage.marked(self.output, f"_{iterate.taken:05d}"), **self.write)


# What a log folder has beside the files of TensorBoard.
LOG_FILES = ("trace.json", "loss.png")

# Bytes of a trace that is read again; a step takes some 500.
_LARGEST_LOG = 2**27


class RunLog:
    """A folder with TensorBoard scalars and pictures, ``trace.json`` (settings, versions, every step) and ``loss.png``.

    A search that goes on keeps the rows of its steps before, where Ctrl-C let them be written.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any], pictures_every: int = 20) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.about, self.pictures_every = folder, dict(about), pictures_every
        self.writer = SummaryWriter(str(folder))
        self.rows: list[dict[str, Any]] = []

    def __call__(self, iterate: Iterate) -> None:
        count = iterate.taken
        row = {
            "step": count,
            "scale": iterate.scale,
            "width": iterate.width,
            "height": iterate.height,
            "seconds": round(iterate.seconds, 3),
            "objective": iterate.objective,
            **iterate.parts,
        }
        if not self.rows and count > 1:
            self.rows = self._rows_before(row)
        self.rows.append(row)
        self._scalar("objective", iterate.objective, count)
        for name, value in iterate.parts.items():
            self._scalar(name, value, count)
        self._scalar("steps_per_second", iterate.rate, count)
        if (count - 1) % self.pictures_every == 0:
            self.writer.add_image("picture", iterate.picture()[0].clamp(0, 1), count)

    def _rows_before(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of the same search's steps before, if its log is here; that of another loss is not gone on with."""
        path = self.folder / LOG_FILES[0]
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            if path.stat().st_size <= _LARGEST_LOG:
                trace = json.loads(path.read_bytes())
                same = trace.get("loss") == json.loads(json.dumps(self.about.get("loss"), default=str))
                return [old for old in trace["trace"] if same and old.keys() == row.keys() and old["step"] < row["step"]]
        return []

    def _scalar(self, name: str, value: float, count: int) -> None:
        self.writer.add_scalar(name, value, count)

    def close(self, result: Result) -> None:
        """Write the last picture, the trace and the plot."""
        self.writer.add_image("picture", result.picture[0].clamp(0, 1), result.steps)
        self.writer.close()
        trace = {
            **self.about,
            "versions": versions(),
            "stopped": result.stopped,
            "seconds": round(result.seconds, 3),
            "objective": result.objective if math.isfinite(result.objective) else None,  # JSON has no NaN
            "parts": result.parts,
            "notes": result.notes,
            "trace": self.rows,
        }
        trace_file, plot_file = (self.folder / name for name in LOG_FILES)
        write_atomic(trace_file, json.dumps(trace, indent=1, default=str).encode())
        if self.rows:
            write_atomic(plot_file, loss_plot(self.rows))


# What a row of the log holds beside the weighted terms.
_NO_PARTS = ("step", "scale", "width", "height", "seconds", "objective")


def loss_plot(rows: list[dict[str, Any]]) -> bytes:
    """Return a PNG of the objective and its parts against the step, with a line where a scale begins."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    steps = [row["step"] for row in rows]
    names = [name for name in rows[0] if name not in _NO_PARTS]
    for name in names:
        axes.plot(steps, [row[name] for row in rows], linewidth=1, label=name)
    axes.plot(steps, [row["objective"] for row in rows], color="black", linewidth=2, label="objective")
    for before, after in itertools.pairwise(rows):
        if after["scale"] != before["scale"]:
            axes.axvline(after["step"], color="grey", linestyle=":", linewidth=1)
    axes.set(xlabel="step", ylabel="weighted loss", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", ncols=2)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
