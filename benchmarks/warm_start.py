"""Measure how soon ``stylenet optimize --init STYLE`` reaches what the search of Gatys et al. has after hundreds of iterations.

    python benchmarks/warm_start.py STYLE --photos FOLDER [--count 5] [--size 256] [--iterations 500] [--steps 100]
        [--history 10 50] [--output benchmarks/results]

Both minimise the loss that the style was trained on, of each photo in its own units, and keep pixels within 0..1 at every step.
Gatys' search is the paper's baseline (Johnson et al., section 4.1): L-BFGS on pixels, from noise and from the photo. Ours
starts from the network's picture, with the defaults of ``stylenet optimize`` and each history given. Counted are steps, which
do not depend on the machine; each of either takes one evaluation. Results are written after every photo.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fig5 import STARTS
from machine import convolutions, photo_count, plot, record_name, setting, write_record
from torch import Tensor

from stylenet.devices import keep_freed_memory, pick_device
from stylenet.evaluation.measures import iterations_to, objective_curve, quartiles, spread, trained_on
from stylenet.images.picture import read_image
from stylenet.losses.settings import LossSettings
from stylenet.losses.terms import Grams
from stylenet.network.styles import Style, load_style
from stylenet.optimization.engine import optimize_pixels
from stylenet.optimization.settings import OptimizeSettings
from stylenet.training.photos import find_photos, photo_source

ROOT = Path(__file__).resolve().parent.parent
# Iterations of Gatys' search whose objectives are to be reached.
MARKS = (50, 100, 200, 300, 500)


def main() -> None:
    arguments = _arguments()
    keep_freed_memory()
    style = load_style(arguments.style, pick_device())
    settings, painting = trained_on(style)
    photos: list[dict[str, Any]] = []
    for photo in spread(find_photos(arguments.photos), arguments.count):
        pixels = read_image(photo_source(photo), arguments.size, upscale=True).pixels.to(pick_device())
        gatys = {
            start: objective_curve(pixels, [painting], settings, arguments.iterations, init) for start, init in STARTS.items()
        }
        ours = {
            str(history): _warm(style, pixels, painting, settings, arguments.steps, history) for history in arguments.history
        }
        photos.append({"photo": Path(str(photo)).name, "gatys": _rounded(gatys), "ours": _rounded(ours)})
        _tell(photos[-1], arguments)
        _report(arguments, style, photos)
    _summarise(photos, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("style", help="name or file")
    parser.add_argument("--photos", required=True, help="folder, zip archive or list of photos not trained on")
    parser.add_argument("--count", type=int, default=5, help="photos, spread over the set")
    parser.add_argument("--size", type=int, default=256, help="longest side")
    parser.add_argument("--iterations", type=int, default=500, help="of Gatys' search")
    parser.add_argument("--steps", type=int, default=100, help="of ours")
    parser.add_argument("--history", type=int, nargs="+", default=[OptimizeSettings().history, 50])
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


def _warm(style: Style, photo: Tensor, painting: Tensor | Grams, loss: LossSettings, steps: int, history: int) -> list[float]:
    """Search from the network's picture, and return the objective after 0, 1, ..., ``steps`` steps."""
    curve: list[float] = []
    styled = style(photo)
    settings = OptimizeSettings(steps=steps + 1, history=history, scales=1, plateau=0.0, device=str(photo.device))
    optimize_pixels(photo, [painting], loss, settings, init=styled, observe=lambda iterate: curve.append(iterate.objective))
    return curve


def _rounded(curves: dict[str, list[float]]) -> dict[str, list[float]]:
    return {name: [float(f"{value:.6g}") for value in curve] for name, curve in curves.items()}


def _marks(arguments: argparse.Namespace) -> Sequence[int]:
    return [mark for mark in MARKS if mark <= arguments.iterations] or [arguments.iterations]


def _needed(photo: dict[str, Any], start: str, history: str, mark: int) -> int:
    """Return how many of our steps reach the objective that Gatys' search has after so many iterations; one more than there
    are for never."""
    curve = photo["ours"][history]
    return iterations_to(min(photo["gatys"][start][: mark + 1]), curve, len(curve))


def _tell(photo: dict[str, Any], arguments: argparse.Namespace) -> None:
    for start in STARTS:
        for history in photo["ours"]:
            needed = (f"{mark}: {_needed(photo, start, history, mark)}" for mark in _marks(arguments))
            print(f"{photo['photo']}  Gatys from {start}: ours, history {history}: {', '.join(needed)} steps", flush=True)


def _summarise(photos: Sequence[dict[str, Any]], arguments: argparse.Namespace) -> None:
    for row in _rows(photos, arguments):
        lower, median, upper = row["steps"]
        print(
            f"{row['iterations']} iterations from {row['start']}: {median:.0f} steps ({lower:.0f} to {upper:.0f}) with a"
            f" history of {row['history']}, not reached for {row['not_reached']} of {len(photos)} photos"
        )


def _rows(photos: Sequence[dict[str, Any]], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for start in STARTS:
        for mark in _marks(arguments):
            for history in map(str, arguments.history):
                needed = [_needed(photo, start, history, mark) for photo in photos]
                never = sum(count > arguments.steps for count in needed)
                row = {"start": start, "iterations": mark, "history": int(history), "steps": quartiles(needed)}
                rows.append({**row, "not_reached": never})
    return rows


def _report(arguments: argparse.Namespace, style: Style, photos: Sequence[dict[str, Any]]) -> None:
    record = {
        **setting(arguments),
        "convolutions": convolutions(loss=True),
        "style": style.card.name,
        "size": arguments.size,
        "iterations": arguments.iterations,
        "steps": arguments.steps,
        "results": _rows(photos, arguments),
        "per_photo": photos,
    }
    name = record_name("warm_start", style.card.name, arguments.size)
    write_record(record, arguments.output, name)
    draw(arguments.output / f"{name}.png", record)


def draw(path: Path, record: dict[str, Any]) -> None:
    """Draw medians over the photos."""
    labels = {"xlabel": "iteration", "ylabel": "objective", "xscale": "log", "yscale": "log"}
    title = f"{record['style']}, {record['size']} pixels, {photo_count(len(record['per_photo']))}"
    with plot(path, title=title, **labels) as axes:
        for engine, label in (("gatys", "Gatys, from"), ("ours", "from the network's picture, history")):
            for name in record["per_photo"][0][engine]:
                curves = zip(*(photo[engine][name] for photo in record["per_photo"]), strict=True)
                medians = [quartiles(values)[1] for values in curves]
                axes.plot(range(1, len(medians) + 1), medians, label=f"{label} {name}")


if __name__ == "__main__":
    main()
