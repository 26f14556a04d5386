"""Measure how much a styled video flickers, and how fast it is made: frames by themselves against ``--smooth``, ``--steady``
and both.

    python benchmarks/video.py STYLE --sintel FOLDER --video VIDEO [--size 512] [--count 40] [--output benchmarks/results]

Warping error: mean squared difference of two neighbouring styled frames, one brought to the other by the true motion, where it
is neither hidden nor outside (Lai et al., "Learning Blind Video Temporal Consistency", ECCV 2018). The folder holds frames of
MPI Sintel named ``frame_0001.png``, ..., with the flow from one of them to the next, its hidden and its invalid pixels:
``flow_0002_to_0003.npz`` (``flow``, ``[H, W, 2]``), ``occlusions_0002.png``, ``invalid_0002.png``.

Flicker: the same on a video whose motion is not known, by the flow that ``--steady`` uses too, where it can be trusted; the
first column is therefore the fairer one. Detail: mean squared slope of the styled frames over that of the plain variant, which
blur lowers. ``video`` as a variant is the video itself: what a flow by itself leaves.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from machine import convolutions, plot, record_name, setting, synchronise, write_record
from torch import Tensor

from stylenet.devices import keep_freed_memory, pick_device, pick_precision
from stylenet.images.picture import read_image
from stylenet.network.styles import Style, load_style
from stylenet.video.frames import Frame
from stylenet.video.reader import open_video
from stylenet.video.steady import Steadied, alike, optical_flow, to_grey, trusted, warp
from stylenet.video.stylize import StyleEngine

ROOT = Path(__file__).resolve().parent.parent
VARIANTS = {"plain": (0.0, 0.0), "smooth": (0.8, 0.0), "steady": (0.0, 0.7), "both": (0.8, 0.7)}


def main() -> None:
    arguments = _arguments()
    keep_freed_memory()
    style = load_style(arguments.style, pick_device())
    video = list(islice(_frames(arguments.video, arguments.size), arguments.count))
    rows = {"video": _row(arguments, video, video, None)}
    for name, (smooth, steady) in VARIANTS.items():
        styled, rate = _style(style, video, smooth, steady)
        rows[name] = {**_row(arguments, video, styled, _engine(style, smooth, steady)), "frames_per_second": rate}
    plain = rows["plain"]["slope"]
    for row in rows.values():
        row["detail"] = row.pop("slope") / plain
    _report(arguments, style, video, rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("style", help="name or file")
    parser.add_argument("--sintel", type=Path, required=True, help="folder with frames and their true flow")
    parser.add_argument("--video", type=Path, required=True, help="video or folder of frames")
    parser.add_argument("--size", default="512", help="of the video's frames; Sintel's are as they are")
    parser.add_argument("--count", type=int, default=40, help="frames of the video")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


def _frames(path: Path, size: str) -> Iterator[Tensor]:
    with open_video(path) as video:
        for part in video:
            if isinstance(part, Frame):
                yield part.picture.resized(size).pixels


def _engine(style: Style, smooth: float, steady: float) -> Steadied:
    device = pick_device()
    return Steadied(StyleEngine(style, smooth, device, pick_precision("auto", device)), steady)


def _style(style: Style, frames: Sequence[Tensor], smooth: float, steady: float) -> tuple[list[Tensor], float]:
    """Return styled frames, and how many a second, reading and writing apart."""
    engine = _engine(style, smooth, steady)
    engine(frames[0])  # kernels, memory
    engine = _engine(style, smooth, steady)
    synchronise()
    begun = time.perf_counter()
    styled = [engine(frame) for frame in frames]
    return styled, len(frames) / (time.perf_counter() - begun)


def _row(
    arguments: argparse.Namespace, video: Sequence[Tensor], styled: Sequence[Tensor], engine: Steadied | None
) -> dict[str, float]:
    return {
        "warping_error": _true_error(arguments.sintel, engine),
        "flicker": statistics.fmean(_flicker(video, styled)),
        "slope": statistics.fmean(_slope(frame) for frame in styled),
    }


def _true_error(folder: Path, engine: Steadied | None) -> float:
    """Return the mean over all flows of the folder; of the frames themselves without an engine."""
    frames = [read_image(str(path)).pixels for path in sorted(folder.glob("frame_*.png"))]
    numbers = [int(path.stem.split("_")[1]) for path in sorted(folder.glob("frame_*.png"))]
    styled = dict(zip(numbers, frames if engine is None else [engine(frame) for frame in frames], strict=True))
    errors = []
    for path in sorted(folder.glob("flow_*_to_*.npz")):
        first, second = (int(number) for number in re.findall(r"\d{4}", path.stem))
        flow = np.load(path)["flow"].astype(np.float32)
        masks = [
            cv2.imread(str(folder / f"{kind}_{first:04d}.png"), cv2.IMREAD_GRAYSCALE) for kind in ("occlusions", "invalid")
        ]
        usable = _inside(flow) & (masks[0] == 0) & (masks[1] == 0)
        errors.append(_difference(styled[first], warp(styled[second], flow), usable))
    return statistics.fmean(errors)


def _inside(flow: np.ndarray) -> np.ndarray:
    """Return where a flow points into the picture."""
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    right, down = columns + flow[..., 0], rows + flow[..., 1]
    return np.asarray((right >= 0) & (right <= width - 1) & (down >= 0) & (down <= height - 1))


def _flicker(video: Sequence[Tensor], styled: Sequence[Tensor]) -> Iterator[float]:
    greys = [to_grey(frame) for frame in video]
    for index in range(1, len(video)):
        before, now = greys[index - 1], greys[index]
        backward = optical_flow(now, before)
        usable = trusted(backward, optical_flow(before, now)) * alike(before, now, backward) > 0
        if usable.any():
            yield _difference(styled[index], warp(styled[index - 1], backward), usable)


def _difference(first: Tensor, second: Tensor, usable: np.ndarray) -> float:
    return float((first - second).square().mean(1)[0][torch.from_numpy(usable)].mean())


def _slope(frame: Tensor) -> float:
    return float(frame.diff(dim=2).square().mean() + frame.diff(dim=3).square().mean())


def _report(arguments: argparse.Namespace, style: Style, video: Sequence[Tensor], rows: dict[str, dict[str, float]]) -> None:
    print(f"{'':<8}{'warping error':>15}{'flicker':>11}{'detail':>9}{'frames/s':>10}")
    for name, row in rows.items():
        speed = f"{row['frames_per_second']:.1f}" if "frames_per_second" in row else ""
        print(f"{name:<8}{row['warping_error']:>15.5f}{row['flicker']:>11.5f}{row['detail']:>9.2f}{speed:>10}")
    record = {
        **setting(arguments),
        "convolutions": convolutions(),
        "style": style.card.name,
        "network": style.card.network,
        "sintel": arguments.sintel.name,
        "video": arguments.video.name,
        "frames": len(video),
        "size": [video[0].shape[3], video[0].shape[2]],
        "options": {name: {"smooth": smooth, "steady": steady} for name, (smooth, steady) in VARIANTS.items()},
        "results": rows,
    }
    name = record_name("video", style.card.name)
    write_record(record, arguments.output, name)
    draw(arguments.output / f"{name}.png", record)


def draw(path: Path, record: dict[str, Any]) -> None:
    """Draw what steadiness costs in detail."""
    with plot(
        path, xlabel="warping error", ylabel="detail", xscale="log", title=f"{record['style']}, {record['video']}"
    ) as axes:
        for name, row in record["results"].items():
            axes.plot(row["warping_error"], row["detail"], "o", label=name)


if __name__ == "__main__":
    main()
