"""Hold what a person can choose about the search for a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from stylenet.choices import check_choices
from stylenet.devices import Precision
from stylenet.durations import parse_seconds
from stylenet.errors import InputError
from stylenet.images.sizes import SizeRule
from stylenet.losses.settings import LossSettings
from stylenet.optimization.variables import Parametrisation

# What a search minimises unless it is told. The 2-Wasserstein distance (Givens & Shortt 1984; as a style loss it is that of
# github.com/crowsonkb/style-transfer-pytorch) makes larger forms and calmer skies than Gram matrices do, and average pooling
# and a little smoothness leave less noise in flat places. Two blind judges preferred it in nine and in ten of ten pairs,
# and others in 16 of 30 verdicts where both had a lower octave, as docs/notes/search_loss.md tells.
SEARCH_LOSS = LossSettings(pooling="average", style_distance="wasserstein", style_weight=3.0, tv_weight=3.0)


@dataclass(frozen=True)
class OptimizeSettings:
    """Settings of how the picture is searched for. The defaults are stylenet's own recipe.

    Attributes:
        size: size of the result: ``512`` (longest side), ``short:400``, ``640x480``, ``0.25mp`` or ``full``.
        style_size: size of the style pictures: ``area`` (as many pixels as the result), ``same`` (the result's width and
            height, squashed as some sources do), or a size.
        upscale: let sizes enlarge pictures too.
        optimizer: ``lbfgs`` or ``adam``.
        steps: number of steps at each scale; or a list from coarse to fine, whose last number is that of all scales beyond.
        learning_rate: a factor of the step for L-BFGS; for Adam a step in the units of the variables.
        history: curvature pairs that L-BFGS keeps.
        line_search: strong-Wolfe line search for L-BFGS: several evaluations a step, no overshooting.
        variables: ``pixels``, ``input_space`` (pixels in the units of ``numbers_for``) or ``spectrum`` (preconditioned).
        init: ``content``, ``uniform`` or ``normal`` noise, ``style``, the path of a picture, or a trained style (its name or
            file): the photo through that network.
        init_std: standard deviation of normal noise, white being 1, around the mean colour of the network's data.
        clamp: keep pixels within 0..1 after every step, not only at the end: L-BFGS then minimises the loss of the picture
            that is written, and gets there sooner.
        scales: number of scales, each half the size of the next, or ``auto``: more than one above 192 pixels,
            unless ``init`` is a trained style.
        plateau: a scale ends early when 10 steps lower the objective by less than this share; 0 never.
        budget: seconds, or ``90s``, ``5m``: ends in time, with the scales planned to fit.
        tile: pixels a side of the tiles that a large picture is worked out in, with the result of the whole; 0 for the whole at
            once; ``auto`` for the whole where half of the free memory holds it, else for tiles of a quarter or 1.5 GB.
        seed: seed of the noise.
        precision: ``auto``, ``32`` or ``bf16``, of the convolutions; all else is float32.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``, ...
    """

    size: str | int = 512
    style_size: str | int = "area"
    upscale: bool = False
    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    steps: int | list[int] = 100
    learning_rate: float = 1.0
    history: int = 10
    line_search: bool = False
    variables: Parametrisation = "spectrum"
    init: str = "content"
    init_std: float = 0.25
    clamp: bool = True
    scales: Literal["auto"] | int = "auto"
    plateau: float = 0.02
    budget: str | float | None = None
    tile: Literal["auto"] | int = "auto"
    seed: int = 0
    precision: Precision = "auto"
    device: str = "auto"

    def __post_init__(self) -> None:
        check_choices(self)
        for name, least in (("history", 1), ("learning_rate", 0), ("plateau", 0), ("init_std", 0)):
            value = getattr(self, name)
            if not math.isfinite(value) or value < least:
                raise InputError(f"{name} is {value}: it must be {least} or more")
        counts = self.steps if isinstance(self.steps, list) else [self.steps]
        if not counts or min(counts) < 0:
            raise InputError(f"steps is {self.steps}: it must be 0 or more, or a list of such numbers from coarse to fine")
        if self.tile != "auto" and self.tile < 0:
            raise InputError(f"tile is {self.tile}: it is a number of pixels, 0 for the whole picture, or auto")
        if self.scales != "auto" and not 1 <= self.scales <= 16:
            raise InputError(f"scales is {self.scales}: it must be from 1 to 16, or auto")
        SizeRule.parse(self.size)
        if self.style_size not in ("area", "same"):
            SizeRule.parse(self.style_size)
        parse_seconds(self.budget)

    def steps_at(self, scale: int) -> int:
        """Return the steps of a scale, counted from 0 at the coarsest."""
        return self.steps if isinstance(self.steps, int) else self.steps[min(scale, len(self.steps) - 1)]
