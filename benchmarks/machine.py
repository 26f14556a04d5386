"""Share what all benchmarks need: what they ran on, and how they write what they found."""

from __future__ import annotations

import argparse
import datetime
import functools
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from stylenet.devices import pick_device, pick_loss_precision, pick_precision, versions
from stylenet.files import sha256
from stylenet.formats import is_picture
from stylenet.network.shipped import find_style
from stylenet.network.styles import Style
from stylenet.network.tiling import style_picture
from stylenet.network.transform_net import PRESETS, TransformNet

# When this process began.
_BEGAN = datetime.datetime.now(datetime.UTC)


def processor() -> str:
    """Return the GPU's name, or the processor's with what of it matters here."""
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
    """Wait for the GPU, where there is one."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def convolutions(loss: bool = False) -> str:
    """Return the type that networks compute in here, or the loss network: ``float32``, ``bfloat16``."""
    pick = pick_loss_precision if loss else pick_precision
    return str(pick("auto", pick_device())).removeprefix("torch.")


def setting(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the head of every record: when, on what, with which versions and of which commit, and what was asked for."""
    return {
        "date": _BEGAN.date().isoformat(),
        "time": _BEGAN.strftime("%H:%M:%S"),
        "device": processor(),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "commit": _commit(),
        "arguments": {name: _plain(value) for name, value in vars(arguments).items() if name != "output"},
    }


def record_name(benchmark: str, *parts: object) -> str:
    """Return a file's name without its suffix: with day and time, so that no run writes over another's record."""
    return "_".join([benchmark, _BEGAN.strftime("%Y-%m-%d_%H%M%S"), *map(str, parts)])


def _commit() -> str:
    """Return the commit of the checkout, ``+`` with changes; empty outside of one."""
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return told.stdout.strip()


def _plain(value: Any) -> Any:
    """Return an argument for JSON; of a path its last part, as the rest is of this machine alone."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return Path(value).name if isinstance(value, Path) or (isinstance(value, str) and os.sep in value) else value


def file_hash(style: str) -> str:
    """Return the beginning of a style file's SHA-256, which tells the trainings of one name apart."""
    return sha256(find_style(style))[:12]


def painting_of(style: Style, folder: Path | None) -> Path | None:
    """Return the picture in a folder that a style was trained on, by its hash; None where there is none.

    Raises:
        SystemExit: with one line, for a look without its picture, and for a folder that is none.
    """
    if folder and not folder.is_dir():
        raise SystemExit(f"--paintings: there is no folder {folder}")
    hashes = [one.get("sha256", "") for one in style.card.style]
    found = next((file for digest, file in _by_hash(folder).items() if digest in hashes), None) if folder else None
    if found is None and style.card.body:
        files = ", ".join(one.get("file", "a picture") for one in style.card.style)
        raise SystemExit(
            f"--paintings: {style.card.name} is a look, measured by the picture it was trained on: name a folder with {files}"
        )
    return found


@functools.cache
def _by_hash(folder: Path) -> dict[str, Path]:
    """Return the pictures of a folder by their SHA-256."""
    return {sha256(file): file for file in sorted(folder.iterdir()) if is_picture(file)}


# The option of benchmarks of trained styles that :func:`painting_of` wants.
PAINTINGS: dict[str, Any] = {"type": Path, "help": "folder with the pictures that styles were trained on, which looks need"}


def runner(preset: str, compiled: bool = False) -> Callable[[Tensor], Tensor]:
    """Return an untrained network as a function of ``[B, 3, H, W]``, run as ``stylenet stylize`` runs it, whole."""
    device = pick_device()
    dtype = pick_precision("auto", device)
    net = TransformNet(PRESETS[preset]).to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    ready = cast(TransformNet, torch.compile(net, dynamic=False)) if compiled else net
    return lambda photo: style_picture(ready, photo, 0, dtype)


# Labels of :func:`plot` for what a picture costs by its size.
SECONDS_BY_SIZE = {"xlabel": "megapixels", "ylabel": "seconds", "xscale": "log", "yscale": "log"}


def megapixels(size: str) -> float:
    """Return the megapixels of a size such as ``512x512``."""
    width, height = (int(side) for side in size.split("x"))
    return width * height / 1e6


def photo_count(count: int) -> str:
    """Return ``1 photo`` or ``2 photos``."""
    return f"{count} photo" if count == 1 else f"{count} photos"


def write_record(record: dict[str, Any], folder: Path, name: str) -> None:
    """Write ``name.json`` and say where."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written: {path}")


@contextmanager
def plot(path: Path, **labels: Any) -> Iterator[Any]:
    """Yield axes with these labels (those of matplotlib's ``Axes.set``), written as a picture of 800 x 500 pixels at the
    end."""
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
