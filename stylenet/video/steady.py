"""Keep a styled video from flickering: by statistics that change slowly, and by the frame before, moved along.

A network styles each frame anew, and answers a small change of the picture with another stroke. Two remedies, apart or
together: instance normalisation by statistics pooled over the frames so far, and the output of the frame before, warped by
optical flow and blended in where the flow can be trusted (the idea of Ruder, Dosovitskiy & Brox, GCPR 2016, after the fact
instead of in the loss).
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from stylenet.images.color import luminance
from stylenet.network.transform_net import Statistics, instance_statistics

# Mean absolute difference, in 0..1, of thumbnails of neighbouring frames above which a new scene begins. In fast videos it
# reached 0.072 (a BMX race) and 0.058 (a fox); of 1711 pairs of unrelated photos none came below 0.103.
_CUT = 0.09
_THUMBNAIL = (32, 18)

# DIS reads out of bounds on pictures whose shorter side is below its patches.
_SMALLEST_FLOW = 32

# Largest difference of grey, of 255, between a pixel and where it came from.
_ALIKE = 20


class FrameEngine(Protocol):
    """A function from frame to frame, ``[1, 3, H, W]`` in 0..1, which may remember the frames before."""

    def __call__(self, frame: Tensor) -> Tensor:
        """Return the styled frame."""
        ...

    def new_scene(self) -> None:
        """Forget the frames before."""
        ...


class PooledStatistics:
    """Mean and variance of the values of one layer over the frames so far, of which earlier ones count less and less. They are
    exactly the statistics of all values together under weights that fall by ``keep`` a frame.

    Args:
        keep: share that stays of the frames before, 0..1.
    """

    def __init__(self, keep: float) -> None:
        self.keep = keep
        self.pooled: Statistics | None = None

    def __call__(self, values: Tensor) -> Statistics:
        """Turn ``[B, C, h, w]`` of the next frame into mean and variance, each ``[B, C]``."""
        return self.pool(instance_statistics(values))

    def pool(self, statistics: Statistics) -> Statistics:
        """Merge the statistics of the next frame into those of all so far, and return the latter."""
        mean, variance = statistics
        if self.pooled is not None:
            old_mean, old_variance = self.pooled
            # The variance of a mixture is the mean of the variances plus the variance of the means.
            variance = torch.lerp(variance, old_variance, self.keep) + self.keep * (1 - self.keep) * (mean - old_mean).square()
            mean = torch.lerp(mean, old_mean, self.keep)
        self.pooled = mean, variance
        return self.pooled


class Steadied:
    """An engine whose output follows the motion of the video.

    Args:
        engine: what styles a frame; told of every new scene.
        steady: share of the frame before where the flow can be trusted, 0 (off) to 1.
    """

    def __init__(self, engine: FrameEngine, steady: float = 0.0) -> None:
        self.engine, self.steady = engine, steady
        self.scenes = 0
        self._before: np.ndarray | None = None
        self._styled: Tensor | None = None

    def __call__(self, frame: Tensor) -> Tensor:
        """Return the frame ``[1, 3, H, W]`` in 0..1, styled and steadied."""
        grey = to_grey(frame)
        before, styled_before = self._before, self._styled
        cut = before is None or is_cut(before, grey)
        if cut:
            self.scenes += 1
            self.engine.new_scene()
        styled = self.engine(frame)
        if self.steady and not cut and before is not None and styled_before is not None:
            styled = self._follow(styled, styled_before, before, grey)
        self._before, self._styled = grey, styled if self.steady else None
        return styled

    def _follow(self, styled: Tensor, styled_before: Tensor, before: np.ndarray, now: np.ndarray) -> Tensor:
        backward = optical_flow(now, before)
        share = self.steady * trusted(backward, optical_flow(before, now)) * alike(before, now, backward)
        moved = warp(styled_before, backward)
        return torch.lerp(styled, moved, torch.from_numpy(share)[None, None])


def to_grey(frame: Tensor) -> np.ndarray:
    """Convert ``[1, 3, H, W]`` in 0..1 to grey bytes ``[H, W]``."""
    return (luminance(frame.float().cpu())[0, 0] * 255).round().clamp(0, 255).byte().numpy()


def is_cut(before: np.ndarray, now: np.ndarray) -> bool:
    """Return whether another scene begins between two grey frames ``[H, W]``, or the size changes."""
    if before.shape != now.shape:
        return True
    small = [cv2.resize(grey, _THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32) for grey in (before, now)]
    return bool(np.abs(small[0] - small[1]).mean() > _CUT * 255)


def optical_flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Find for each pixel of the first of two grey pictures where it is in the second, as ``[H, W, 2]`` pixels right and
    down (DIS: Kroeger, Timofte, Dai & Van Gool, ECCV 2016)."""
    height, width = first.shape
    pad = (0, max(_SMALLEST_FLOW - height, 0), 0, max(_SMALLEST_FLOW - width, 0))
    padded = [cv2.copyMakeBorder(grey, *pad, cv2.BORDER_REFLECT) for grey in (first, second)]
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(padded[0], padded[1], None)
    return np.asarray(flow[:height, :width])


def trusted(backward: np.ndarray, forward: np.ndarray) -> np.ndarray:
    """Return 1 where the way back and forth ends where it began, inside the picture, and not at the edge of a motion; else 0.

    The thresholds are those of Sundaram, Brox & Keutzer (ECCV 2010), which Ruder et al. use for videos too.

    Args:
        backward: flow from the present frame to the one before, ``[H, W, 2]``.
        forward: flow from the frame before to the present.
    """
    height, width = backward.shape[:2]
    columns, rows = _targets(backward)
    returned = cv2.remap(forward, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    length = (backward**2).sum(-1)
    consistent = ((backward + returned) ** 2).sum(-1) < 0.01 * (length + (returned**2).sum(-1)) + 0.5
    inside = (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)
    slopes = sum((np.gradient(backward, axis=axis) ** 2).sum(-1) for axis in (0, 1))
    smooth = slopes < 0.01 * length + 0.002
    return np.asarray(consistent & inside & smooth, dtype=np.float32)


def alike(before: np.ndarray, now: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """Return 1 where a grey frame ``[H, W]`` looks like the one before where the flow points, else 0. DIS finds the edges of
    motions to a few pixels only, and what a thing uncovers would drag the thing along."""
    moved = cv2.remap(before, *_targets(backward), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    difference = cv2.blur(cv2.absdiff(moved, now), (3, 3))  # single pixels differ by noise
    return np.asarray(difference <= _ALIKE, dtype=np.float32)


def warp(picture: Tensor, flow: np.ndarray) -> Tensor:
    """Fetch for each pixel what is where the flow points; bicubic, since each frame is built on the one before and would blur.

    Args:
        picture: ``[1, C, H, W]``, with up to four channels.
        flow: ``[H, W, 2]``.
    """
    array = np.ascontiguousarray(picture[0].permute(1, 2, 0).numpy())
    columns, rows = _targets(flow)
    moved = cv2.remap(array, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    moved = moved.reshape(array.shape).clip(array.min(), array.max())
    return torch.from_numpy(np.ascontiguousarray(moved.transpose(2, 0, 1)))[None]


def _targets(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns and rows that a flow points to, each ``[H, W]``."""
    rows, columns = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    return columns + flow[..., 0], rows + flow[..., 1]
