"""Compare a training step of stylenet with the same recipe as the field runs it (``baseline.py``), in alternating stretches.

    python benchmarks/training.py [--batch 4] [--size 256] [--repeats 5] [--compile] [--output benchmarks/results]

Both minimise content and Gram losses at the same layers with the same network on the same photos. stylenet's step is the one
that ``stylenet train`` takes: the LightningModule's own, with its optimizer, under the precision that the device gains from.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from baseline import Step
from machine import convolutions, plot, record_name, setting, synchronise, write_record

from stylenet.devices import keep_freed_memory, pick_device, pick_loss_precision
from stylenet.images.picture import read_image
from stylenet.training.module import TRAINING_LOSS, StyleTraining

ROOT = Path(__file__).resolve().parent.parent
STYLE = ROOT / "examples" / "styles" / "brush_strokes.jpg"


def main() -> None:
    arguments = _arguments()
    keep_freed_memory()
    photos = torch.rand(arguments.batch, 3, arguments.size, arguments.size, device=pick_device())
    steps = {"baseline": _baseline(photos), "stylenet": stylenet_step(photos, arguments.compile)}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():  # kernels, memory, the compiler
        step()
        step()
    synchronise()
    for _ in range(arguments.repeats):
        for name, step in steps.items():
            before = time.perf_counter()
            step()
            step()
            synchronise()
            seconds[name].append((time.perf_counter() - before) / 2)
    _report(arguments, seconds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5, help="stretches of two steps each, in turns")
    parser.add_argument("--compile", action="store_true", help="compile stylenet's step")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


def _baseline(photos: torch.Tensor) -> Callable[[], object]:
    step = Step(TRAINING_LOSS.content_layers, TRAINING_LOSS.style_layers, read_image(STYLE, 384).pixels)
    step.net.to(photos.device)
    step.vgg.to(photos.device)
    step.grams = {name: gram.to(photos.device) for name, gram in step.grams.items()}
    return lambda: step(photos)


def stylenet_step(photos: torch.Tensor, compiled: bool) -> Callable[[], object]:
    """Return the module's own step, with what the trainer adds: autocast, clipping, the optimizer."""
    dtype = pick_loss_precision("auto", photos.device)
    module = StyleTraining(str(STYLE))
    module.prepare(photos[:2].cpu(), photos.device, dtype)
    module.network.to(photos.device)
    optimizer = module.optimizer()
    batch = photos.contiguous(memory_format=torch.channels_last)
    function = torch.compile(module.losses, dynamic=False) if compiled else module.losses

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(photos.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            losses, _ = function(batch)
        losses.total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(module.network.parameters(), 1.0)
        optimizer.step()

    return step


def _report(arguments: argparse.Namespace, seconds: dict[str, list[float]]) -> None:
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratio = medians["baseline"] / medians["stylenet"]
    for name, values in seconds.items():
        print(f"{name:<10}{medians[name]:>8.3f} s a step  ({min(values):.3f} to {max(values):.3f})")
    print(f"ratio {ratio:.2f}")
    record = {
        **setting(arguments),
        "convolutions": convolutions(loss=True),
        "seconds_per_step": seconds,
        "median": medians,
        "ratio": ratio,
    }
    name = record_name("training", record["convolutions"])
    write_record(record, arguments.output, name)
    draw(arguments.output / f"{name}.png", record)


def draw(path: Path, record: dict[str, Any]) -> None:
    """Draw a bar for each way, and every stretch that was measured."""
    with plot(path, ylabel="seconds a step", title=record["device"]) as axes:
        for name, values in record["seconds_per_step"].items():
            axes.bar(name, record["median"][name], alpha=0.5)
            axes.plot([name] * len(values), values, "k.")


if __name__ == "__main__":
    main()
