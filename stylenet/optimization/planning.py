"""Plan which scales a picture is searched at, for how long each, and whether memory suffices."""

from __future__ import annotations

import math
import time
from typing import Literal

import torch

from stylenet.devices import check_memory, free_memory
from stylenet.images.sizes import SizeRule
from stylenet.losses.vgg import VGG
from stylenet.optimization.scratch import stays_in_memory
from stylenet.optimization.settings import OptimizeSettings

# Below this many steps a scale is not worth starting: the picture of the scale before is enlarged instead.
_FEWEST_STEPS = 4

# The evaluation that follows the last step, in steps: it needs no gradient.
_LAST_LOOK = 0.4


def plan_scales(height: int, width: int, scales: Literal["auto"] | int) -> list[tuple[int, int]]:
    """Return heights and widths from coarse to fine, each half of the next; ``auto`` starts at 192 pixels or less."""
    count = count_scales(height, width, scales)
    plan = [(max(round(height / 2**i), 1), max(round(width / 2**i), 1)) for i in reversed(range(count))]
    # VGG's fifth block needs 16 pixels a side; below 64 there is nothing to plan.
    return [size for size in plan[:-1] if min(size) >= 64] + plan[-1:]


def count_scales(height: int, width: int, scales: Literal["auto"] | int) -> int:
    """Return how many scales are wanted; those too small for the loss network are left out of the plan."""
    return scales if scales != "auto" else max(math.ceil(math.log2(max(height, width) / 192)), 0) + 1


def style_dimensions(rule: str | int, content: tuple[int, int], style: tuple[int, int], upscale: bool) -> tuple[int, int]:
    """Return the height and width that a style picture gets for a result of height and width ``content``."""
    if rule == "same":
        return content
    height, width = style
    if rule == "area":
        scale = math.sqrt(content[0] * content[1] / (height * width))
        scale = scale if upscale else min(scale, 1.0)
        return max(round(height * scale), 1), max(round(width * scale), 1)
    new_width, new_height = SizeRule.parse(rule).apply(width, height, upscale)
    return new_height, new_width


class Clock:
    """Tells which scale may run until when.

    Without a budget every scale takes its steps. With one, the time left is shared in proportion to the pixels of the scales,
    and a scale that would not get a handful of steps is left out.

    Args:
        plan: heights and widths from coarse to fine.
        steps: number of steps at each scale, or those of each.
        started: ``time.monotonic()`` from which the budget counts.
        budget: seconds, or None.
    """

    def __init__(self, plan: list[tuple[int, int]], steps: int | list[int], started: float, budget: float | None) -> None:
        self.pixels = [height * width for height, width in plan]
        self.steps = steps if isinstance(steps, list) else [steps] * len(plan)
        # A reserve for enlarging and writing the picture.
        self.end = None if budget is None else started + budget - min(1.0, 0.05 * budget)
        self.deadline = self.end
        self.pace = 0.0  # seconds per step and pixel, as measured
        self.scale = 0

    def begin(self, scale: int) -> bool:
        """Set the deadline of a scale; return False if there is no time for it."""
        self.scale = scale
        if self.end is None:
            return True
        left = self.end - time.monotonic()
        if scale and not self._worth_starting(scale):
            return False
        rest = self.pixels[scale:]
        # A coarse scale shapes the picture at a fraction of the cost, so it may have a fifth at least.
        self.deadline = time.monotonic() + max(rest[0] / sum(rest), 0.2) * left
        return left > 0

    def expired(self) -> bool:
        """Return whether another step, and the look at its picture, would end after the deadline. A scale whose next one is
        not worth starting has all the time that is left."""
        if self.end is None or self.deadline is None:
            return False
        deadline = self.deadline if self._worth_starting(self.scale + 1) else self.end
        return time.monotonic() + (1 + _LAST_LOOK) * self.pace * self.pixels[self.scale] > deadline

    def _worth_starting(self, scale: int) -> bool:
        if self.end is None or scale >= len(self.pixels):
            return True
        return self.end - time.monotonic() >= _FEWEST_STEPS * self.pace * self.pixels[scale]

    def measured(self, seconds: float) -> None:
        """Take in what a step has cost; the mean moves slowly, as the first steps of a scale are slower."""
        pace = seconds / self.pixels[self.scale]
        self.pace = pace if not self.pace else 0.7 * self.pace + 0.3 * pace

    def go_back(self, seconds: float, pace: float) -> None:
        """Count time that was spent before, and a pace that was measured then."""
        self.pace = pace
        if self.end is not None:
            self.end -= seconds

    def remaining(self, steps_left: int) -> float:
        """Estimate the seconds to the end of everything."""
        scales = range(self.scale + 1, len(self.pixels))
        later = sum(self.pixels[scale] * self.steps[scale] for scale in scales)
        estimate = self.pace * (self.pixels[self.scale] * steps_left + later)
        return estimate if self.end is None else min(estimate, max(self.end - time.monotonic(), 0.0))


def short_of_memory(vgg: VGG, height: int, width: int, device: torch.device) -> bool:
    """Return whether the activations kept for the gradient would fill half of what is free, or 3 GB on a processor. Then
    they are recomputed block by block instead, which costs a third more time."""
    limit = free_memory(device) / 2
    if device.type == "cpu":
        limit = min(limit, 3e9)
    return vgg.activation_bytes(height, width) > limit


# Bytes for a pixel and byte of a value at the peak of a step that recomputes blocks: the first block's activations, 64 channels
# wide, and their gradients. Indices of max pooling come on top.
_FIRST_BLOCK, _INDICES = 512, 128

# What the activations of one tile may take, at most.
_TILE_BYTES = 1.5e9


# Bytes for a pixel that a search takes the room of beside activations: the picture, its variables in both domains, gradients,
# directions, the latest curvature pairs, and what the system keeps for them. 255 were measured between 0.2 and 0.7 megapixels,
# in float32, where pairs are few.
_SEARCH = 300

# The same where pictures and vectors that a step does not work on lie in files: up to 131 were measured between 0.3 and 4
# megapixels.
_SEARCH_IN_FILES = 150

# Bytes of a pixel in float32.
_PIXEL = 12


# Strides of the loss network a side of the smallest tile.
_SMALLEST_TILE = 4


def check_search(vgg: VGG, height: int, width: int, device: torch.device, settings: OptimizeSettings) -> None:
    """Fail for a picture that no memory is there for, not even in the smallest tiles.

    Raises:
        RunError: naming both numbers. A GPU says so itself.
    """
    if device.type == "cpu":
        window = _SMALLEST_TILE * vgg.stride + 2 * vgg.reach
        activations = 2 * vgg.activation_bytes(min(height, window), min(width, window))
        check_memory(f"{width} x {height} pixels", height * width * _bytes_each(height * width, settings) + activations)


def _bytes_each(pixels: int, settings: OptimizeSettings) -> int:
    """Return the bytes that each pixel of a picture takes in memory, beside activations."""
    pairs = 2 * settings.history * _PIXEL if settings.line_search else 0  # torch's L-BFGS alone searches along lines
    moments = 2 * _PIXEL if settings.optimizer == "adam" else 0
    return pairs + moments + (_SEARCH if pairs or stays_in_memory(pixels * _PIXEL) else _SEARCH_IN_FILES)


def pick_tile(vgg: VGG, height: int, width: int, device: torch.device) -> int:
    """Return the pixels a side of the tiles that a picture must be worked out in; 0 where memory holds the whole.

    The whole picture needs its first block's activations at once, even if blocks are recomputed. A tile has them all, for the
    window around it too.
    """
    size = next(vgg.convolutions.parameters()).element_size()
    free = free_memory(device)
    if height * width * (_FIRST_BLOCK * size + _INDICES) <= free / 2:
        return 0
    # A gradient beside every activation.
    window = math.sqrt(min(free / 4, _TILE_BYTES) / (2 * vgg.activation_bytes(1, 1)))
    return max(int(window - 2 * vgg.reach) // vgg.stride * vgg.stride, _SMALLEST_TILE * vgg.stride)
