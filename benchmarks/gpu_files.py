"""The checks of a GPU at work on files: a video, photos of one size together, decoders of JPEG."""

from __future__ import annotations

import functools
import io
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from gpu_task import Task, picture, timed
from torch import Tensor

from stylenet.devices import can_compile, pick_device

# Frames of a video, and how many of them pass before the time is taken: a network is compiled, kernels are chosen, and the
# queues of decoder and encoder fill.
_FRAMES, _WARM_UP = 300, 60
_TINY_FRAMES, _TINY_WARM_UP = 6, 2


class Clock:
    """Takes the time of the frames after those that warm up; an observer of a video.

    Args:
        warm_up: frames that are not counted, 1 or more.
    """

    def __init__(self, warm_up: int) -> None:
        self.warm_up, self.frames = warm_up, 0
        self.began = self.ended = 0.0

    def __call__(self, done: int, *_: object) -> None:
        """Take note that so many frames are done."""
        self.ended = time.perf_counter()
        if done == self.warm_up:
            self.began = self.ended
        self.frames = max(done - self.warm_up, 0)

    @property
    def rate(self) -> float:
        """Return the frames a second; 0 where the video ended before any was counted."""
        return self.frames / (self.ended - self.began) if self.frames else 0.0


def measure_video(task: Task) -> None:
    """Measure frames a second of a video from file to file, decoded, styled and encoded, plain and compiled."""
    from stylenet.video.stylize import stylize_video

    rows: list[dict[str, Any]] = []
    frames, warm_up = (_TINY_FRAMES, _TINY_WARM_UP) if task.tiny else (_FRAMES, _WARM_UP)
    sizes = [(64, 48)] if task.tiny else [(1280, 720), (1920, 1080)]
    styles = ["starry_night_swift"] if task.tiny else ["starry_night_swift", "starry_night"]
    ways: list[Literal["true", "false"]] = ["false", "true"] if can_compile(pick_device()) and not task.tiny else ["false"]
    with tempfile.TemporaryDirectory() as scratch:
        for width, height in sizes:
            _write_video(f"{scratch}/{width}.mp4", width, height, frames)
        for compiled in ways:
            for width, height in sizes:
                for style in styles:
                    clock, source = Clock(warm_up), f"{scratch}/{width}.mp4"
                    with _heard("stylenet.video.stylize") as lines:
                        output = f"{scratch}/out.mp4"
                        result = stylize_video(source, style, output, overwrite=True, compile=compiled, observe=clock)
                    failed = any("not compiled" in line for line in lines)
                    row = {"style": style, "size": f"{width}x{height}", "compiled": "failed" if failed else compiled}
                    rows.append({**row, "frames": clock.frames, "a second": clock.rate, "seconds in all": result.seconds})
                    task.keep(rows)


def _write_video(path: str, width: int, height: int, frames: int) -> None:
    """Write a picture that moves to the right as H.264."""
    import av

    still = (picture(height, width)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(still, 2 * index, axis=1))))
        container.mux(stream.encode())


class _Listener(logging.Handler):
    """Keeps the lines that a logger says."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.lines.append(record.getMessage())


@contextmanager
def _heard(name: str) -> Iterator[list[str]]:
    """Yield the lines that a logger says meanwhile."""
    logger, listener = logging.getLogger(name), _Listener()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(listener)
    try:
        yield listener.lines
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)


def measure_groups(task: Task) -> None:
    """Measure photos a second of one size, one by one and in groups, pixels in and out; and the greatest difference."""
    from stylenet.images.picture import Picture
    from stylenet.inference.groups import group_size, join_pictures, split_pictures
    from stylenet.inference.stylizer import Stylizer

    rows: list[dict[str, Any]] = []
    for side in (64,) if task.tiny else (256, 512, 1024):
        for style in ("starry_night_swift",) if task.tiny else ("starry_night_swift", "starry_night"):
            stylizer = Stylizer(style)
            first = picture(side, side)
            count = 2 if task.tiny else group_size(Picture(first))
            photos = [Picture(first.roll(7 * index, dims=3)) for index in range(count)]

            def alone(stylizer: Stylizer = stylizer, photos: list[Picture] = photos) -> list[Picture]:
                return [stylizer(photo) for photo in photos]

            def together(stylizer: Stylizer = stylizer, photos: list[Picture] = photos) -> list[Picture]:
                return split_pictures(stylizer(join_pictures(photos)), photos)

            pairs = zip(alone(), together(), strict=True)
            apart = max(float((one.pixels - other.pixels).abs().max()) for one, other in pairs)
            for way, work in (("one by one", alone), ("groups", together)):
                rate = count / timed(work, 1 if task.tiny else 5)
                rows.append({"style": style, "side": side, "way": way, "group": count, "a second": rate, "apart": 255 * apart})
                task.keep(rows)


def measure_decoders(task: Task) -> None:
    """Measure JPEGs a second: Pillow's decoder on one core, torchvision's, and that of the device (nvJPEG), where it is."""
    from PIL import Image
    from torchvision.io import ImageReadMode, decode_jpeg

    height, width, count = (48, 64, 2) if task.tiny else (1080, 1920, 16)
    still = Image.fromarray((picture(height, width)[0].permute(1, 2, 0) * 255).byte().numpy())
    buffer = io.BytesIO()
    still.save(buffer, "JPEG", quality=90)
    content = torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)

    def by_pillow() -> Tensor:
        with Image.open(buffer) as opened:
            return torch.from_numpy(np.array(opened.convert("RGB"))).permute(2, 0, 1)

    def by_torchvision(device: str = "cpu") -> Tensor:
        decoded: Tensor = decode_jpeg(content, ImageReadMode.RGB, device=device)  # type: ignore[no-untyped-call, unused-ignore]
        return decoded

    ways: dict[str, Callable[[], Tensor]] = {"Pillow": by_pillow, "torchvision": by_torchvision}
    if pick_device("auto").type == "cuda":
        ways["nvJPEG"] = functools.partial(by_torchvision, "cuda")
    rows: list[dict[str, Any]] = [] if "nvJPEG" in ways else [{"way": "nvJPEG", "failed": "no GPU here"}]
    for way, decode in ways.items():
        row: dict[str, Any] = {"way": way, "size": f"{width}x{height}"}
        try:
            apart = (decode().cpu().int() - by_pillow().int()).abs()
            row |= {
                "a second": 1 / timed(decode, count),
                "most apart": int(apart.max()),
                "mean apart": float(apart.float().mean()),
            }
        except RuntimeError as error:  # a build of torchvision without nvJPEG
            row["failed"] = str(error).splitlines()[0][:200]
        rows.append(row)
        task.keep(rows)
