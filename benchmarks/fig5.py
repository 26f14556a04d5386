"""Draw figure 5 of Johnson et al. (ECCV 2016): the objective against the iterations of the optimizer of Gatys et al., and the
level that a network reaches at once.

    python benchmarks/fig5.py STYLE [STYLE ...] --photos FOLDER [--paintings FOLDER] [--count 20] [--sizes 256 512 1024]
        [--iterations 500 [500 200]] [--start content noise] [--budget 20m] [--curves RECORD ...] [--output benchmarks/results]

Photos are held-out ones, brought to each size (longest side), enlarged where they are smaller. Objectives are of the loss that
the style was trained on, in each photo's own units; curves and levels are medians over the same photos, with quartiles. The
optimizer is L-BFGS on pixels, projected to 0..1 after each step as in the paper (section 4.1), in the precision that ``stylenet
optimize`` picks, from noise, the same for all photos, as the paper has it, or from the photo (``content``), which is ahead.
Equivalent iterations: for each photo the first one whose objective is at most the network's; the last one where none is, and
how many those are.

A full run takes hours on a processor. Results are written after every photo. A budget goes to what fits into the rest of it, by
the seconds measured so far, so that sizes may have different numbers of photos: each says how many.

Curves do not depend on the network: ``--curves`` takes those of earlier records where the search was the same, so that a style
trained on is measured in seconds.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from machine import PAINTINGS, convolutions, file_hash, painting_of, photo_count, record_name, setting, write_record
from torch import Tensor

from stylenet.devices import keep_freed_memory, pick_device
from stylenet.durations import parse_seconds
from stylenet.evaluation.measures import (
    PLAIN_LBFGS,
    iterations_to,
    objective_curve,
    objective_of,
    quartiles,
    spread,
    trained_on,
)
from stylenet.images.picture import read_image
from stylenet.losses.perceptual import PerceptualLoss
from stylenet.losses.terms import Grams, moved
from stylenet.network.styles import Style, load_style
from stylenet.training.photos import Photo, find_photos, photo_source

ROOT = Path(__file__).resolve().parent.parent
STARTS = {"content": "content", "noise": "normal"}

# A curve of another record is of the same search if that began from the same objective, but for rounding.
_SAME = 2e-3


@dataclass(frozen=True)
class Subject:
    """A trained style, and what it was trained on."""

    style: Style
    loss: PerceptualLoss
    painting: Tensor | Grams
    file: str  # the beginning of its hash

    @property
    def problem(self) -> tuple[str, ...]:
        """Return what is equal for styles whose curves are equal: of one painting at one size, and one loss."""
        card = self.style.card
        return (card.style[0]["sha256"], str(card.training["style_size"]), str(self.loss.settings))


@dataclass
class Panel:
    """The measurements of one style at one size from one start."""

    subject: Subject
    size: int
    start: str
    iterations: int
    photos: list[dict[str, Any]] = field(default_factory=list)

    @property
    def search(self) -> Search:
        """Return everything that the curve of a photo depends on."""
        return (*self.subject.problem, self.size, self.start, self.iterations)


Search = tuple[str | int, ...]
# The curve of a search, and the record it was taken from, if from one.
Curves = dict[Search, tuple[list[float], str | None]]


@dataclass(frozen=True)
class Known:
    """A curve of an earlier record."""

    size: int
    start: str
    photo: str
    curve: list[float]
    record: str


class Remaining:
    """The rest of a budget, and whether a curve of so many pixels and iterations fits into it."""

    def __init__(self, budget: float | None) -> None:
        self._end = None if budget is None else time.monotonic() + budget
        self._pace: dict[int, float] = {}  # seconds for an iteration, by size

    def seconds(self) -> float | None:
        """Return the seconds left: None for as many as it takes, next to none where they are spent."""
        return None if self._end is None else max(self._end - time.monotonic(), 1e-3)

    def fits(self, size: int, iterations: int) -> bool:
        """Judge by the seconds of other sizes where none of this one has been measured: a guess that errs towards trying."""
        left = self.seconds()
        if left is None:
            return True
        known = [pace * (size / other) ** 2 for other, pace in self._pace.items()]
        pace = self._pace.get(size, min(known, default=0.0))
        return left > pace * iterations

    def measured(self, size: int, iterations: int, seconds: float) -> None:
        """Take note of a curve."""
        self._pace[size] = seconds / max(iterations, 1)


def main() -> None:
    arguments = _arguments()
    keep_freed_memory()
    remaining = Remaining(parse_seconds(arguments.budget))
    subjects = [_subject(name, arguments.paintings) for name in arguments.styles]
    panels = [
        Panel(subject, size, start, iterations)
        for subject in subjects
        for size, iterations in zip(arguments.sizes, arguments.iterations, strict=True)
        for start in arguments.start
    ]
    known = [curve for path in arguments.curves for curve in _known(path)]
    for photo in spread(find_photos(arguments.photos), arguments.count):
        if not _measure(photo, panels, remaining, known):
            break
        _report(arguments, panels)
    _tell(panels)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("styles", nargs="+", metavar="STYLE", help="name or file")
    parser.add_argument("--photos", required=True, help="folder, zip archive or list of photos not trained on")
    parser.add_argument("--paintings", **PAINTINGS)
    parser.add_argument("--count", type=int, default=20, help="photos, spread over the set")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024], help="longest sides, 64 or more")
    parser.add_argument("--iterations", type=int, nargs="+", default=[500], help="for all sizes, or for each")
    parser.add_argument("--start", nargs="+", choices=list(STARTS), default=list(STARTS))
    parser.add_argument("--budget", help="90s, 20m, 8h: ends in time, with fewer photos")
    parser.add_argument("--curves", type=Path, nargs="+", default=[], metavar="RECORD", help="earlier records (JSON)")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    if len(arguments.iterations) == 1:
        arguments.iterations *= len(arguments.sizes)
    if len(arguments.iterations) != len(arguments.sizes):
        parser.error("--iterations wants one number, or one for each size")
    if min(arguments.sizes) < 64 or min(arguments.iterations) < 1 or arguments.count < 1:
        parser.error("every size must be 64 or more, iterations and count 1 or more")
    return arguments


def _subject(name: str, paintings: Path | None) -> Subject:
    style = load_style(name, pick_device())
    settings, painting = trained_on(style, painting_of(style, paintings))
    return Subject(style, PerceptualLoss(settings).to(pick_device()), moved(painting, pick_device()), file_hash(name))


def _search_settings() -> dict[str, Any]:
    """Return what every search of a record has in common."""
    return {"convolutions": convolutions(loss=True), "history": PLAIN_LBFGS.history, "projected": PLAIN_LBFGS.clamp}


def _known(path: Path) -> Iterator[Known]:
    """Return the curves of a record whose searches had today's settings."""
    record = json.loads(path.read_text())
    if record | _search_settings() != record:
        print(f"{path}: of another search ({_search_settings()} is wanted); nothing is taken from it")
        return
    for result in record["results"]:
        for photo in result["per_photo"]:
            yield Known(result["size"], result["start"], photo["photo"], photo["curve"], photo.get("curve_of", path.name))


# --- measuring --------------------------------------------------------------------------------------------------------


def _measure(photo: Photo, panels: Sequence[Panel], remaining: Remaining, known: Sequence[Known]) -> bool:
    """Measure one photo in every panel; return False if the budget suffices for none."""
    begun = False
    curves: Curves = {}
    for panel in panels:
        if panel.search in curves or remaining.fits(panel.size, panel.iterations):
            _add(panel, photo, remaining, curves, known)
            begun = True
    return begun


def _add(panel: Panel, photo: Photo, remaining: Remaining, curves: Curves, known: Sequence[Known]) -> None:
    """Add one photo's curve and the network's objective; nothing if the budget or a value that is not finite ends it early."""
    picture = read_image(photo_source(photo), panel.size, upscale=True)
    pixels, subject = picture.pixels.to(pick_device()), panel.subject
    objective = _level(subject, pixels)
    if panel.search not in curves:
        taken = _taken(panel, photo, pixels, known)
        curves[panel.search] = taken or (_searched(panel, pixels, remaining), None)
    curve, record = curves[panel.search]
    head = f"{subject.style.card.name}  {panel.size}  from {panel.start:<8}{photo}"
    if len(curve) <= panel.iterations:
        print(f"{head}  left out: it ended after {len(curve)} of {panel.iterations} iterations", flush=True)
        return
    equivalent = iterations_to(objective, curve, panel.iterations)
    panel.photos.append(
        {
            "photo": Path(str(photo)).name,
            "width": picture.width,
            "height": picture.height,
            "network": objective,
            "equivalent": equivalent,
            "reached": min(curve) <= objective,
            "curve": [float(f"{value:.6g}") for value in curve],
            **({"curve_of": record} if record else {}),
        }
    )
    print(
        f"{head}  {curve[0]:.4g} to {curve[-1]:.4g}, network {objective:.4g}: {equivalent}"
        f"{'' if min(curve) <= objective else ' and more'} iterations",
        flush=True,
    )


def _searched(panel: Panel, pixels: Tensor, remaining: Remaining) -> list[float]:
    """Search for a new curve, shorter than asked for where the budget ends it."""
    began, start, left, subject = time.monotonic(), STARTS[panel.start], remaining.seconds(), panel.subject
    curve = objective_curve(pixels, [subject.painting], subject.loss.settings, panel.iterations, start, budget=left)
    remaining.measured(panel.size, len(curve), time.monotonic() - began)
    return curve


def _taken(panel: Panel, photo: Photo, pixels: Tensor, known: Sequence[Known]) -> tuple[list[float], str] | None:
    """Return the known curve of this photo and its record, if one is long enough and began where this search would."""
    wanted = (panel.size, panel.start, Path(str(photo)).name)
    candidates = [one for one in known if (one.size, one.start, one.photo) == wanted and len(one.curve) > panel.iterations]
    if not candidates:
        return None
    subject = panel.subject
    (first,) = objective_curve(pixels, [subject.painting], subject.loss.settings, 0, STARTS[panel.start])
    same = (one for one in candidates if math.isclose(one.curve[0], first, rel_tol=_SAME))
    return next(((one.curve[: panel.iterations + 1], one.record) for one in same), None)


def _level(subject: Subject, photo: Tensor) -> float:
    return objective_of(subject.style(photo), photo, subject.painting, subject.loss)


# --- results ----------------------------------------------------------------------------------------------------------


def _report(arguments: argparse.Namespace, panels: Sequence[Panel]) -> None:
    """Write everything so far, over what was written before."""
    measured = [panel for panel in panels if panel.photos]
    record = {
        **setting(arguments),
        **_search_settings(),
        "results": [_result(panel) for panel in measured],
    }
    names = dict.fromkeys([panel.subject.style.card.name for panel in panels] + [str(panel.size) for panel in panels])
    name = record_name("fig5", *names)
    write_record(record, arguments.output, name)
    if measured:
        _plot(arguments.output / f"{name}.png", measured)


def _result(panel: Panel) -> dict[str, Any]:
    lower, median, upper = zip(*_quartiles(panel), strict=True)
    return {
        "style": panel.subject.style.card.name,
        "file": panel.subject.file,
        "size": panel.size,
        "start": panel.start,
        "iterations": panel.iterations,
        "photos": len(panel.photos),
        "network": _named([photo["network"] for photo in panel.photos]),
        "equivalent": _named([photo["equivalent"] for photo in panel.photos]),
        "not_reached": sum(not photo["reached"] for photo in panel.photos),
        "curve": {"lower": lower, "median": median, "upper": upper},
        "per_photo": panel.photos,
    }


def _named(values: Sequence[float]) -> dict[str, float]:
    return dict(zip(("lower", "median", "upper"), quartiles(values), strict=True))


def _quartiles(panel: Panel) -> Iterator[tuple[float, float, float]]:
    """Return quartiles of the objective, iteration by iteration."""
    for values in zip(*(photo["curve"] for photo in panel.photos), strict=True):
        yield quartiles(values)


def _tell(panels: Sequence[Panel]) -> None:
    print(f"{'style':<16}{'size':>5}  {'start':<9}{'photos':>6}{'network':>9}  Gatys-equivalent iterations (quartiles)")
    for panel in panels:
        head = f"{panel.subject.style.card.name:<16}{panel.size:>5}  {panel.start:<9}{len(panel.photos):>6}"
        if not panel.photos:
            print(f"{head}  none to its end")
            continue
        result = _result(panel)
        level, equivalent = result["network"], result["equivalent"]
        missed = f", not reached by {result['not_reached']} in {panel.iterations}" if result["not_reached"] else ""
        print(
            f"{head}{level['median']:>9.4g}  {equivalent['median']:g}"
            f" ({equivalent['lower']:g} to {equivalent['upper']:g}){missed}"
        )


def _plot(path: Path, panels: Sequence[Panel]) -> None:
    """Draw a row for each style, a column for each size; where L-BFGS overshoots, by orders of magnitude, it leaves the
    plot."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(panel.subject.style.card.name for panel in panels))
    sizes = list(dict.fromkeys(panel.size for panel in panels))
    figure = Figure(figsize=(5 * len(sizes), 4 * len(names)), layout="constrained")
    grid = figure.subplots(len(names), len(sizes), squeeze=False)
    for panel in panels:
        name = panel.subject.style.card.name
        axes = grid[names.index(name)][sizes.index(panel.size)]
        _draw(axes, panel, f"C{list(STARTS).index(panel.start)}")
        axes.set(title=f"{name}, {panel.size} pixels", xlabel="iteration of L-BFGS", ylabel="objective", yscale="log")
        starts = [photo["curve"][0] for other in panels if other.subject is panel.subject for photo in other.photos]
        axes.set_ylim(top=2 * max(starts))
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


def _draw(axes: Any, panel: Panel, colour: str) -> None:
    """Draw a curve and the network's level with their quartiles, and the equivalent iterations."""
    result = _result(panel)
    curve, level, equivalent = result["curve"], result["network"], result["equivalent"]
    steps = range(panel.iterations + 1)
    axes.plot(steps, curve["median"], color=colour, label=f"Gatys from {panel.start} ({photo_count(result['photos'])})")
    axes.fill_between(steps, curve["lower"], curve["upper"], color=colour, alpha=0.2, linewidth=0)
    axes.axhline(level["median"], color="black", linestyle="--", linewidth=1)
    axes.axhspan(level["lower"], level["upper"], color="black", alpha=0.07, linewidth=0)
    more = " or more" if result["not_reached"] * 2 >= result["photos"] else ""
    label = f"network: {equivalent['median']:g}{more} iterations from {panel.start}"
    axes.plot(equivalent["median"], level["median"], "o", color=colour, label=label)


if __name__ == "__main__":
    main()
