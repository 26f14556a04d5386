"""Style a video frame by frame in constant memory, steadier than the frames by themselves."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor

from stylenet.choices import check_choice
from stylenet.deprecation import renamed
from stylenet.devices import Precision, can_compile, pick_device, pick_precision
from stylenet.errors import InputError, Interrupted
from stylenet.images.picture import Picture
from stylenet.images.sizes import SizeRule
from stylenet.inference.graphs import FixedSizeNetwork
from stylenet.interrupts import uninterrupted
from stylenet.modes import guest
from stylenet.network.styles import Style, as_style
from stylenet.network.tiling import style_picture
from stylenet.network.transform_net import TransformNet
from stylenet.observing import ends_work
from stylenet.storage import check_apart
from stylenet.video.frames import Frame, Video, VideoWriter
from stylenet.video.reader import open_video
from stylenet.video.steady import PooledStatistics, Steadied
from stylenet.video.writer import open_writer

_logger = logging.getLogger(__name__)

# Called after each frame with how many are done and how many there are, if that is known.
Progress = Callable[[int, int | None], object]

_LARGEST_CRF = 51

# Pixels of all frames together from which compiling saves more time than it takes, by the network's stem.
_COMPILING_PAYS = {1: 100e6, 2: 400e6}

# Whether a network is compiled.
Compile = Literal["auto", "true", "false"]

Stopped = Literal["done", "damaged", "observer", "interrupted"]


@dataclass(frozen=True)
class VideoResult:
    """The outcome of a styled video.

    Attributes:
        frames: number of frames in the output.
        seconds: seconds that it took in all.
        scenes: number of scenes that were told apart.
        notes: what a person should know: what was left out or changed.
        stopped: ``done``; ``damaged``, if not all of the video could be read; ``observer``, by what watched; or
            ``interrupted``, by Ctrl-C. What was finished is in the output whichever it is.
        message: why it is not ``done``, in one line.
    """

    frames: int
    seconds: float
    scenes: int
    notes: tuple[str, ...]
    stopped: Stopped = "done"
    message: str = ""


class StyleEngine:
    """A style as a function from frame to frame.

    Args:
        style: a loaded style, on the device.
        smooth: share of the statistics of the frames before, 0 (each frame its own) to below 1.
        device: where it is computed.
        dtype: type of the convolutions.

    Attributes:
        coming: frames that will come. From a number for which it pays the network is compiled at the first one, if a compiler
            is at hand and statistics are not pooled.
    """

    def __init__(self, style: Style, smooth: float, device: torch.device, dtype: torch.dtype) -> None:
        self.net = style.net
        self.smooth, self.device, self.dtype = smooth, device, dtype
        self.coming = 0.0
        self.statistics: list[PooledStatistics] | None = None
        self._fixed = FixedSizeNetwork(self.net, dtype)
        self.new_scene()

    def new_scene(self) -> None:
        """Forget the frames before."""
        # A network with batch normalisation has no statistics of a frame.
        if self.smooth and self.net.norm_count:
            self.statistics = [PooledStatistics(self.smooth) for _ in range(self.net.norm_count)]

    def __call__(self, frame: Tensor) -> Tensor:
        """Style a frame ``[1, 3, H, W]`` in 0..1; the result is in main memory."""
        pixels, self.coming = self.coming * frame.shape[-2] * frame.shape[-1], 0
        if pixels >= _COMPILING_PAYS[self.net.settings.stem] and self.statistics is None and can_compile(self.device):
            return self._compiled(frame)
        if self.statistics is not None:
            return style_picture(self.net, frame, "auto", self.dtype, self.statistics)
        return self._fixed(frame)

    def _compiled(self, frame: Tensor) -> Tensor:
        """Style the first frame by a compiled network, and keep that for those to come if compiling goes well."""
        try:
            compiled = FixedSizeNetwork(cast(TransformNet, torch.compile(self.net, dynamic=False)), self.dtype)
            styled = compiled(frame)
        except Exception as error:  # a compiler that does not work raises what it likes
            _logger.info("the network is not compiled (%s): frames take longer", type(error).__name__)
            return self._fixed(frame)
        self._fixed = compiled
        return styled


@renamed(progress="observe")
@guest
def stylize_video(
    source: str | Path,
    style: str | Path | Style,
    output: str | Path,
    size: str | int = "full",
    smooth: float = 0.0,
    steady: float = 0.0,
    crf: int = 18,
    fps: float | str = 25,
    overwrite: bool = False,
    device: str = "auto",
    precision: Precision = "auto",
    compile: Compile = "auto",
    observe: Progress | None = None,
) -> VideoResult:
    """Style a video. Times, sound and subtitles are carried over as they are; rotated videos are written upright.

    Args:
        source: a video, an animated GIF, or a folder of pictures.
        style: name or file of a style.
        output: file to write (.mp4, .m4v, .mov, .mkv, .webm or .gif), or a folder for PNGs.
        size: size of the frames: 512 (longest side), short:400, 640x480, 0.25mp or full. All but the last and an exact one give
            even sides, which H.264 wants.
        smooth: pool each layer's statistics over the frames of a scene: share of the frames before, 0 (off) to below 1. For
            light that changes; try 0.8.
        steady: blend the styled frame before in, moved by optical flow: its share where the flow can be trusted, 0 (off) to 1.
            Try 0.7; more holds the strokes better, and blurs them.
        crf: CRF of the video: 0 (lossless in H.264) to 51 (worst).
        fps: frames a second of a folder of pictures, such as 25 or 30000/1001.
        overwrite: replace an output that exists.
        device: ``auto``, ``cpu``, ``cuda``, ...
        precision: ``auto`` (bf16 or fp16 where the device gains from it), ``32``, ``bf16`` or ``fp16``.
        compile: compile the network: quicker frames after half a minute of waiting. ``auto``: for long videos, where a
            compiler is at hand. Not together with ``smooth``.
        observe: called after each frame with the number done and the number there are, or None; False ends the video there.

    Raises:
        InputError: for a video, style, option or output that cannot be.
        RunError: if the output cannot be written; nothing is then left of it.
        Interrupted: after Ctrl-C, with the result so far; what was finished is in the output.
    """
    if not isinstance(source, str | Path) or not isinstance(output, str | Path):
        kinds = " and ".join(sorted({type(one).__name__ for one in (source, output)}))
        raise InputError(f"a video is read from a path and written to one, not from or to {kinds}")
    _check(smooth, steady, crf)
    check_choice("compile", compile, Compile)
    if compile == "true" and smooth:
        raise InputError("compile and smooth do not go together: leave one of them out")
    rule, begun, where = SizeRule.parse(size), time.monotonic(), pick_device(device)
    check_apart(output, [style])
    loaded = as_style(style, where)
    styling = StyleEngine(loaded, smooth, where, pick_precision(precision, where))
    engine = Steadied(styling, steady)
    with open_video(source, fps) as video:
        styling.coming = {"true": math.inf, "auto": video.frames or 0, "false": 0}[compile]
        if rule.kind == "exact":  # the pixels that were asked for, as they are
            video.aspect = Fraction(1)
        with open_writer(output, video, crf, overwrite) as writer:
            stopped = _run(video, writer, engine, rule, observe)
        if smooth and not loaded.net.norm_count:
            writer.notes.append(f"smooth changes nothing: the style {loaded.card.name} has no instance normalisation")
        result = VideoResult(writer.count, time.monotonic() - begun, engine.scenes, (*video.notes, *writer.notes))
        judged = _judged(result, video, output, stopped)
    if judged.stopped == "interrupted":
        raise Interrupted(judged.message, judged)
    return judged


def _check(smooth: float, steady: float, crf: int) -> None:
    if not 0 <= smooth < 1:
        raise InputError(f"smooth is {smooth}: it goes from 0 (off) to below 1")
    if not 0 <= steady <= 1:
        raise InputError(f"steady is {steady}: it goes from 0 (off) to 1")
    if not 0 <= crf <= _LARGEST_CRF:
        raise InputError(f"crf is {crf}: it goes from 0 (lossless) to {_LARGEST_CRF} (worst)")


def _run(video: Video, writer: VideoWriter, engine: Steadied, rule: SizeRule, observe: Progress | None) -> Stopped:
    """Style frame after frame; return whether a person stopped it."""
    resize = _Resizer(rule, writer)
    try:
        for part in video:
            if not isinstance(part, Frame):
                with uninterrupted():
                    writer.copy(part)
                continue
            picture = resize(part.picture)
            styled = dataclasses.replace(picture, pixels=engine(picture.filled()))
            with uninterrupted():
                writer.write(dataclasses.replace(part, picture=styled))
            if observe is not None and ends_work(observe(writer.count, video.frames)):
                return "observer"
    except KeyboardInterrupt:
        if not writer.count:
            raise KeyboardInterrupt("interrupted before the first frame was finished; nothing is written") from None
        writer.interrupt()
        return "interrupted"
    if not writer.count:
        raise InputError(f"{video.path} holds no frame that can be read" + "".join(f"; {loss}" for loss in video.losses[:1]))
    return "done"


class _Resizer:
    """Brings frames to a size: those of a container all to that of the first."""

    def __init__(self, rule: SizeRule, writer: VideoWriter) -> None:
        self.rule, self.writer = rule, writer
        self.fixed: SizeRule | None = None
        self.first: Picture | None = None

    def __call__(self, picture: Picture) -> Picture:
        rule = self.fixed or self._of(picture)
        if self.writer.one_size:
            self._note_another_shape(picture)
            self.fixed = rule
        return picture.resized(rule, upscale=True)

    def _note_another_shape(self, picture: Picture) -> None:
        """Say once that frames are stretched: a file has one size for all of them."""
        self.first = self.first or picture
        width, height = self.first.width, self.first.height
        # A side of another picture of the same shape is off by less than a pixel.
        if abs(picture.width * height - picture.height * width) < max(width, height):
            return
        note = f"frames of another shape than the first ({width} x {height}) are stretched to it: a folder of PNGs keeps theirs"
        self.writer.notes += [] if note in self.writer.notes else [note]

    def _of(self, picture: Picture) -> SizeRule:
        width, height = self.rule.apply(picture.width, picture.height)
        if self.writer.even and self.rule.kind not in ("exact", "full") and (width, height) != (picture.width, picture.height):
            width, height = (max(2 * round(side / 2), 2) for side in (width, height))
        return SizeRule("exact", width, height)


def _judged(result: VideoResult, video: Video, output: str | Path, stopped: Stopped) -> VideoResult:
    """Add what a person should hear of a video that is not whole."""
    held = f"{output} holds the first {result.frames}"
    of = f" of {video.frames} frames" if video.frames else " frames"
    if stopped == "observer":
        return dataclasses.replace(result, stopped="observer", message=f"stopped by the observer: {held}{of}")
    if stopped == "interrupted":
        return dataclasses.replace(result, stopped="interrupted", message=f"interrupted: {held}{of}")
    if video.losses:
        more = f" and {len(video.losses) - 1} more" if len(video.losses) > 1 else ""
        message = f"{video.losses[0]}{more}: {output} holds the {result.frames} frames that could be read"
        return dataclasses.replace(result, stopped="damaged", message=message)
    return result
