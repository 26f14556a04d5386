"""Measure table 1 of Johnson et al. (ECCV 2016): seconds a picture, by the optimizer of Gatys et al. and by each network, and
how many times faster the networks are.

    python benchmarks/table1.py [--sizes 256x256 512x512 1024x1024 1920x1080] [--presets standard half quarter swift]
        [--repeats 5] [--gatys_steps 5 | --full] [--output benchmarks/results]

Gatys: L-BFGS on pixels, projected to 0..1 after each step, on the loss that networks are trained on, in the precision that
``stylenet optimize`` picks; without reading files and the activations of photo and painting. Networks: as ``stylenet stylize``
runs them, whole.

A few hundred iterations take minutes to hours, so that ``--gatys_steps`` of them are timed after warming up, and the seconds of
100, 300 and 500 iterations are **multiples** of the median step; ``--full`` really takes 500. The first steps have little
curvature to reckon with and to keep, of a history of up to 100 pairs: both the seconds and the memory of Gatys are on the low
side, and so are the speed-ups, unless ``--full`` is given.

Each way has a process of its own, which works only while it is asked to; they are asked in turns. Peak memory is that of the
process, on a GPU that of its tensors.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from machine import SECONDS_BY_SIZE, convolutions, megapixels, plot, record_name, runner, setting, synchronise, write_record

from stylenet.devices import keep_freed_memory, pick_device, pick_loss_precision
from stylenet.evaluation.measures import PLAIN_LBFGS
from stylenet.images.picture import read_image
from stylenet.losses.perceptual import PerceptualLoss
from stylenet.losses.settings import LossSettings
from stylenet.network.transform_net import PRESETS
from stylenet.optimization.descent import Descent
from stylenet.optimization.planning import short_of_memory

ROOT = Path(__file__).resolve().parent.parent
STYLE = ROOT / "examples" / "styles" / "brush_strokes.jpg"
ITERATIONS = (100, 300, 500)
# Seconds of the paper's network on a Titan X, by size.
PAPER = {"256x256": 0.015, "512x512": 0.05, "1024x1024": 0.21}


def main() -> None:
    from stylenet.training.module import TRAINING_LOSS  # not by the processes that are measured: Lightning is large

    arguments = _arguments()
    record = {
        **setting(arguments),
        "convolutions": convolutions(),
        "loss_convolutions": convolutions(loss=True),
        "gatys": "measured to the last iteration" if arguments.full else "multiples of the median step",
        "history": PLAIN_LBFGS.history,
        "memory": "tensors on the GPU" if torch.cuda.is_available() else "the whole process",
        "paper": {"device": "Titan X", "seconds": PAPER},
        "rows": [],
    }
    name = record_name("table1", record["convolutions"])
    for size in arguments.sizes:
        record["rows"].append(_row(size, arguments, TRAINING_LOSS))
        _tell(record["rows"][-1], arguments.full)
        write_record(record, arguments.output, name)  # after each: the next may outgrow the memory
    _plot(arguments.output / f"{name}.png", record)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["256x256", "512x512", "1024x1024", "1920x1080"])
    parser.add_argument("--presets", nargs="+", choices=list(PRESETS), default=list(PRESETS))
    parser.add_argument("--repeats", type=int, default=5, help="of each network")
    parser.add_argument("--gatys_steps", type=int, default=5, help="that are timed")
    parser.add_argument("--full", action="store_true", help=f"time all of {ITERATIONS[-1]} steps")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    if arguments.full:
        arguments.gatys_steps = ITERATIONS[-1]
    return arguments


# --- the processes ----------------------------------------------------------------------------------------------------


# From width and height to what is timed.
Make = Callable[[int, int], Callable[[], object]]


class Worker:
    """One way to style a picture of one size, warmed up, in a process of its own."""

    def __init__(self, make: Make, width: int, height: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, width, height), daemon=True)
        self._process.start()
        theirs.close()  # a process that dies then ends the pipe
        self._pipe.recv()

    def seconds(self) -> float:
        """Return the seconds of one picture, or of one step."""
        self._pipe.send("run")
        return float(self._pipe.recv())

    def peak(self) -> int:
        """Return the peak of memory in bytes so far, and end the process."""
        self._pipe.send("end")
        peak = int(self._pipe.recv())
        self._process.join()
        return peak


def _serve(pipe: Connection, make: Make, width: int, height: int) -> None:
    keep_freed_memory()
    for _ in range(2):  # kernels, memory
        run = make(width, height)
        run()
        synchronise()
    pipe.send("ready")
    while pipe.recv() == "run":
        began = time.perf_counter()
        run()
        synchronise()
        pipe.send(time.perf_counter() - began)
    pipe.send(_peak_bytes())


def _maker(way: str, loss: LossSettings) -> Make:
    return partial(_gatys, loss) if way == "gatys" else partial(_network, way)


def _network(preset: str, width: int, height: int) -> Callable[[], object]:
    """Style one picture."""
    run, photo = runner(preset), torch.rand(1, 3, height, width, device=pick_device())
    return lambda: run(photo)


def _gatys(settings: LossSettings, width: int, height: int) -> Callable[[], object]:
    """Take one step, as ``optimize`` takes it."""
    device = pick_device()
    dtype = pick_loss_precision("auto", device)
    memory_format = torch.contiguous_format if dtype == torch.float32 else torch.channels_last
    loss = PerceptualLoss(settings).to(device)
    loss.vgg.convolutions.to(dtype, memory_format=memory_format)  # type: ignore[call-overload]
    loss.vgg.checkpointing = short_of_memory(loss.vgg, height, width, device)
    photo = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)).to(device)
    targets = loss.targets(photo, [read_image(STYLE, 384).pixels.to(device)])
    descent = Descent(loss, targets, photo, PLAIN_LBFGS, memory_format)
    return lambda: float(descent.step().total)


def _peak_bytes() -> int:
    """Return the peak of memory of this process, or of its tensors on a GPU."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    if sys.platform == "linux":  # where ru_maxrss begins with what the process that started this one had
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# --- the table --------------------------------------------------------------------------------------------------------


def _row(size: str, arguments: argparse.Namespace, loss: LossSettings) -> dict[str, Any]:
    """Measure one size: all ways in turns."""
    width, height = (int(side) for side in size.split("x"))
    times = {"gatys": arguments.gatys_steps} | dict.fromkeys(arguments.presets, arguments.repeats)
    workers = {way: Worker(_maker(way, loss), width, height) for way in times}
    seconds: dict[str, list[float]] = {way: [] for way in times}
    for turn in range(max(times.values())):
        for way, worker in workers.items():
            if turn < times[way]:
                seconds[way].append(worker.seconds())
    peaks = {way: worker.peak() / 1e9 for way, worker in workers.items()}
    gatys = _gatys_row(seconds.pop("gatys"), arguments.full)
    networks = {preset: _network_row(values, gatys["seconds"]) for preset, values in seconds.items()}
    return {
        "size": size,
        "gatys": {**gatys, "peak_gb": peaks["gatys"]},
        "networks": {preset: {**row, "peak_gb": peaks[preset]} for preset, row in networks.items()},
    }


def _gatys_row(steps: list[float], full: bool) -> dict[str, Any]:
    median = statistics.median(steps)
    seconds = {str(count): sum(steps[:count]) if full else count * median for count in ITERATIONS}
    return {
        "seconds_per_step": steps,
        "median_step": median,
        "seconds": seconds,
        "frames_per_second": {count: 1 / value for count, value in seconds.items()},
    }


def _network_row(values: list[float], gatys: dict[str, float]) -> dict[str, Any]:
    median = statistics.median(values)
    return {
        "seconds": values,
        "median": median,
        "frames_per_second": 1 / median,
        "speed_up": {count: seconds / median for count, seconds in gatys.items()},
    }


def _tell(row: dict[str, Any], full: bool) -> None:
    gatys = row["gatys"]
    steps = f"{min(gatys['seconds_per_step']):.3f} to {max(gatys['seconds_per_step']):.3f}"
    print(f"{row['size']:<12}{'seconds':>10}{'a second':>11}{'peak GB':>9}")
    for count, seconds in gatys["seconds"].items():
        how = "all taken" if full else f"{count} x {gatys['median_step']:.3f} s a step ({steps})"
        print(f"{'  Gatys ' + count:<12}{seconds:>10.1f}{1 / seconds:>11.4f}{gatys['peak_gb']:>9.2f}  {how}")
    for preset, network in row["networks"].items():
        spread = f"({min(network['seconds']):.3f} to {max(network['seconds']):.3f})"
        faster = ", ".join(f"{times:.0f}" for times in network["speed_up"].values())
        numbers = f"{network['median']:>10.3f}{network['frames_per_second']:>11.2f}{network['peak_gb']:>9.2f}"
        print(f"  {preset:<10}{numbers}  {spread}, {faster} times as fast")
    if row["size"] in PAPER:
        seconds = PAPER[row["size"]]
        print(f"  {'paper':<10}{seconds:>10.3f}{1 / seconds:>11.2f}{'':>9}  Johnson et al.'s network on their Titan X")
    sys.stdout.flush()


def _plot(path: Path, record: dict[str, Any]) -> None:
    rows = record["rows"]
    pixels = [megapixels(row["size"]) for row in rows]
    with plot(path, title=record["device"], **SECONDS_BY_SIZE) as axes:
        for count in ITERATIONS:
            values = [row["gatys"]["seconds"][str(count)] for row in rows]
            axes.plot(pixels, values, "o--", label=f"Gatys, {count} iterations ({record['gatys']})")
        for preset in rows[0]["networks"]:
            axes.plot(pixels, [row["networks"][preset]["median"] for row in rows], "o-", label=f"network {preset}")
        axes.plot([megapixels(size) for size in PAPER], list(PAPER.values()), "kx", label="Johnson et al.'s network, Titan X")


if __name__ == "__main__":
    main()
