"""Measure where the processor's time goes, by kind of operation: a picture through each network, and a training step.

    python benchmarks/where.py [--presets standard swift] [--size 512] [--crop 256] [--output benchmarks/results]

One thread, in the precision that the commands pick, by ``torch.profiler``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from machine import convolutions, plot, record_name, runner, setting, write_record
from torch.profiler import ProfilerActivity, profile
from training import stylenet_step

from stylenet.devices import keep_freed_memory
from stylenet.network.transform_net import PRESETS

ROOT = Path(__file__).resolve().parent.parent
# Kinds by what the names of torch's operations begin with, the first that fits.
KINDS = {
    "convolutions, backward": ("aten::convolution_backward", "aten::mkldnn_convolution_backward"),
    "convolutions": ("aten::mkldnn_convolution", "aten::convolution", "aten::_convolution", "aten::thnn_conv"),
    "matrix products": ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm"),
    "normalisation": ("aten::native_batch_norm", "aten::batch_norm", "aten::_batch_norm"),
    "enlarging": ("aten::upsample", "aten::_upsample"),
    "reflection padding": ("aten::reflection_pad",),
    "ReLU, pooling": ("aten::clamp_min", "aten::relu", "aten::threshold", "aten::max_pool"),
    "copies": ("aten::copy_", "aten::clone", "aten::contiguous", "aten::cat", "aten::pixel"),
    "additions, products": ("aten::add", "aten::mul", "aten::sub", "aten::div", "aten::sum", "aten::mean", "aten::lerp"),
}


def main() -> None:
    arguments = _arguments()
    keep_freed_memory()
    torch.set_num_threads(1)
    photo = torch.rand(1, 3, arguments.size, arguments.size)
    ways: dict[str, Callable[[], object]] = {
        f"{preset}, {arguments.size} pixels": partial(runner(preset), photo) for preset in arguments.presets
    }
    ways[f"training step, {arguments.crop} pixels"] = stylenet_step(torch.rand(1, 3, arguments.crop, arguments.crop), False)
    results = {name: _shares(way) for name, way in ways.items()}
    print(f"{'':<24}" + "".join(f"{name:>28}" for name in results))
    for kind in [*KINDS, "other"]:
        print(f"{kind:<24}" + "".join(f"{shares.get(kind, 0.0):>28.1%}" for shares in results.values()))
    record = {**setting(arguments), "convolutions": convolutions(), "results": results}
    name = record_name("where", record["convolutions"])
    write_record(record, arguments.output, name)
    draw(arguments.output / f"{name}.png", record)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", choices=list(PRESETS), default=["standard", "swift"])
    parser.add_argument("--size", type=int, default=512, help="of the pictures, pixels a side")
    parser.add_argument("--crop", type=int, default=256, help="of the training step's photo")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


def _shares(way: Callable[[], object]) -> dict[str, float]:
    """Return the share of the time of each kind, after warming up."""
    way()
    way()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        way()
    spent: dict[str, float] = {}
    for event in profiled.key_averages():
        kind = next((kind for kind, names in KINDS.items() if event.key.startswith(names)), "other")
        spent[kind] = spent.get(kind, 0.0) + event.self_cpu_time_total
    return {kind: value / sum(spent.values()) for kind, value in spent.items()}


def draw(path: Path, record: dict[str, Any]) -> None:
    """Draw a bar for each way, in layers."""
    with plot(path, ylabel="share of the time", title=f"{record['device']}, one thread, {record['convolutions']}") as axes:
        below = [0.0] * len(record["results"])
        for kind in [*KINDS, "other"]:
            shares = [result.get(kind, 0.0) for result in record["results"].values()]
            axes.bar(list(record["results"]), shares, bottom=below, label=kind)
            below = [start + share for start, share in zip(below, shares, strict=True)]


if __name__ == "__main__":
    main()
