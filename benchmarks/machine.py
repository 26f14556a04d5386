"""What a benchmark ran on."""

from __future__ import annotations

import datetime
import json
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from stylenet.devices import pick_device, pick_precision
from stylenet.monitor import versions


def processor() -> str:
    """The GPU's name, or the processor's with what of it matters here."""
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    name = platform.processor() or platform.machine()
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


def synchronise() -> None:
    """Waits for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def convolutions() -> str:
    """The type that networks compute in here: ``float32``, ``bfloat16``."""
    return str(pick_precision("auto", pick_device())).removeprefix("torch.")


def setting() -> dict[str, Any]:
    """When, on what and with which versions: the head of every record."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": processor(),
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


# Labels of :func:`plot` for what a picture costs by its size.
SECONDS_BY_SIZE = {"xlabel": "megapixels", "ylabel": "seconds", "xscale": "log", "yscale": "log"}


def megapixels(size: str) -> float:
    """Of ``512x512``."""
    width, height = (int(side) for side in size.split("x"))
    return width * height / 1e6


def photo_count(count: int) -> str:
    """``1 photo``, ``2 photos``."""
    return f"{count} photo" if count == 1 else f"{count} photos"


def write_record(record: dict[str, Any], folder: Path, name: str) -> None:
    """Writes ``name.json`` and says where."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written: {path}")


@contextmanager
def plot(path: Path, **labels: Any) -> Iterator[Any]:
    """Axes with these labels (those of matplotlib's ``Axes.set``), written as a picture of 800 x 500 pixels at the end."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    yield axes
    axes.set(**labels)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=100)
    print(f"written: {path}")
