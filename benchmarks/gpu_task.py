"""Share what the checks of a GPU have in common: what they are asked for, how they time, what they run on."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from machine import synchronise
from torch import Tensor

from stylenet.inference.graphs import REPEATS

ROOT = Path(__file__).resolve().parent.parent
STYLES = ROOT / "examples" / "styles"


class Keep(Protocol):
    """Takes the rows so far, which stay if the check is ended."""

    def __call__(self, rows: list[dict[str, Any]], **more: Any) -> None: ...


@dataclass(frozen=True)
class Task:
    """A description of what a check is to do.

    Attributes:
        keep: takes what was found.
        folder: for pictures.
        photos: real ones, if there are any.
        tiny: measure nothing worth keeping, in seconds on a processor.
    """

    keep: Keep
    folder: Path
    photos: Path | None
    tiny: bool


Run = Callable[[Task], None]


@dataclass(frozen=True)
class Check:
    """One thing to measure.

    Attributes:
        name: what ``--only`` calls it.
        title: what it is.
        share: its share of the time.
        run: does it.
        needs: packages beside those that every check needs; without them it is left out.
    """

    name: str
    title: str
    share: float
    run: Run
    needs: tuple[str, ...] = ()


def timed(work: Callable[[], object], repeats: int) -> float:
    """Return the median seconds of a call, after those that warm up and in which a CUDA graph is recorded."""
    for _ in range(REPEATS + 1):
        work()
    synchronise()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        synchronise()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def peak_gb() -> float | None:
    """Return the peak of the GPU's memory in gigabytes since :func:`reset_peak`, where there is one."""
    return round(torch.cuda.max_memory_allocated() / 1e9, 3) if torch.cuda.is_available() else None


def reset_peak() -> None:
    """Begin to measure the peak of the GPU's memory."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def picture(height: int, width: int) -> Tensor:
    """Return soft shapes with fine noise ``[1, 3, height, width]``, always the same."""
    generator = torch.Generator().manual_seed(0)
    shapes = torch.nn.functional.interpolate(torch.rand(1, 3, 6, 6, generator=generator), (height, width), mode="bicubic")
    return (shapes + 0.05 * torch.randn(1, 3, height, width, generator=generator)).clamp(0, 1)


def find_photos_for(task: Task) -> Path:
    """Return the photos that were given, photos of scikit-image where it is installed, or else the project's style pictures,
    which are no photos but will do."""
    if task.photos is not None:
        return task.photos
    try:
        from skimage import data
    except ImportError:
        return STYLES
    from stylenet.images.picture import write_image

    folder = Path(tempfile.gettempdir()) / "stylenet_gpu_check_photos"
    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        path = folder / f"{name}.png"
        if not path.is_file():
            write_image(torch.from_numpy(getattr(data, name)()).permute(2, 0, 1)[None].float() / 255, path)
    return folder


def run_stylenet(*words: str) -> None:
    """Run the command line; its last lines are the error."""
    command = [sys.executable, "-m", "stylenet", *words]
    told = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    if told.returncode:
        raise SystemExit(told.stderr[-1500:])


def environment() -> dict[str, str]:
    """Return the environment of programs that import the project, which need not be installed."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
