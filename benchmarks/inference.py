"""Time one picture through the network: every preset of stylenet as ``stylenet stylize`` runs it, against the field's network
as the field runs it (``baseline.py``: float32, eager, channels first, ``nn.InstanceNorm2d``), in turns.

    python benchmarks/inference.py [--sizes 256x256 512x512 1024x1024 1920x1080] [--repeats 5] [--compile standard swift]
        [--output benchmarks/results]

``--compile`` measures presets as long videos run them, too: compiled for each size, which is not timed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from baseline import network
from machine import SECONDS_BY_SIZE, convolutions, megapixels, plot, record_name, runner, setting, synchronise, write_record
from torch import Tensor

from stylenet.devices import keep_freed_memory, pick_device
from stylenet.network.transform_net import PRESETS

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    arguments = _arguments()
    keep_freed_memory()
    device = pick_device()
    ways = {"baseline": _baseline(device)} | {name: runner(name) for name in PRESETS}
    ways |= {f"{name} compiled": runner(name, compiled=True) for name in arguments.compile}
    rows = []
    for size in arguments.sizes:
        width, height = (int(side) for side in size.split("x"))
        photo = torch.rand(1, 3, height, width, device=device)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(arguments.repeats + 1):  # the first is warming up
            for name, way in ways.items():
                began = time.perf_counter()
                way(photo)
                synchronise()
                seconds[name].append(time.perf_counter() - began)
        timed = {name: values[1:] for name, values in seconds.items()}
        medians = {name: statistics.median(values) for name, values in timed.items()}
        for name, median in medians.items():
            spread = f"({min(timed[name]):.3f} to {max(timed[name]):.3f})"
            ratio = medians["baseline"] / median
            print(
                f"{size:>10}  {name:<18}{median:>8.3f} s {spread:<18}{1 / median:>7.2f} a second{ratio:>7.2f} times", flush=True
            )
        rows.append({"size": size, "seconds": timed, "median": medians})
    record = {
        **setting(arguments),
        "convolutions": convolutions(),
        "rows": rows,
    }
    name = record_name("inference", record["convolutions"])
    write_record(record, arguments.output, name)
    draw(arguments.output / f"{name}.png", record)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["256x256", "512x512", "1024x1024", "1920x1080"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compile", nargs="*", choices=list(PRESETS), default=[])
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


def _baseline(device: torch.device) -> Callable[[Tensor], Tensor]:
    net = network().to(device).eval()

    def run(photo: Tensor) -> Tensor:
        with torch.no_grad():
            result: Tensor = net(photo)
        return result

    return run


def draw(path: Path, record: dict[str, Any]) -> None:
    """Draw seconds against megapixels."""
    rows = record["rows"]
    pixels = [megapixels(row["size"]) for row in rows]
    with plot(path, title=record["device"], **SECONDS_BY_SIZE) as axes:
        for name in rows[0]["median"]:
            axes.plot(pixels, [row["median"][name] for row in rows], "o-", label=name)


if __name__ == "__main__":
    main()
