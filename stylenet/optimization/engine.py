"""Engine 1: the pixels of one picture are the variables (Gatys, Ecker & Bethge, CVPR 2016).

L-BFGS or Adam on :class:`~stylenet.losses.PerceptualLoss`, coarse to fine for larger pictures, within a time budget if one is
given, and never without the best picture so far.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from stylenet.devices import pick_device, pick_loss_precision
from stylenet.durations import parse_seconds
from stylenet.errors import InputError, Interrupted
from stylenet.images.picture import resize
from stylenet.losses.perceptual import Grams, Losses, LossSettings, PerceptualLoss, Targets, moved
from stylenet.losses.vgg import VGG
from stylenet.modes import guest
from stylenet.optimization.descent import Descent, NotFinite
from stylenet.optimization.planning import Clock, plan_scales, short_of_memory, style_dimensions
from stylenet.optimization.settings import OptimizeSettings

Stopped = Literal["steps", "plateau", "budget", "observer", "interrupted", "broken"]

# Called after every step; what returns False ends the search.
Observer = Callable[["Iterate"], object]


@dataclass(frozen=True, eq=False)
class Iterate:
    """The state that an observer sees after each step.

    Attributes:
        scale, scales: which of how many, from 1.
        step, steps: within the scale; steps is what is planned.
        width, height: width and height of this scale.
        objective: the weighted sum, before this step's update.
        parts: weighted terms by name.
        seconds: since the start.
        rate: steps a second at this scale.
        remaining: estimated seconds to the end.
        picture: a function that returns the picture ``[1, 3, H, W]`` in 0..1.
    """

    scale: int
    scales: int
    step: int
    steps: int
    width: int
    height: int
    objective: float
    parts: dict[str, float]
    seconds: float
    rate: float
    remaining: float
    picture: Callable[[], Tensor]


@dataclass(eq=False)
class Result:
    """The picture ``[1, 3, H, W]`` in 0..1 and how it came about.

    Attributes:
        picture: the best picture of the last scale that ran, at the size asked for.
        objective: objective of that picture at that scale, NaN if none was evaluated.
        parts: weighted terms of the objective.
        steps: taken at all scales.
        seconds: wall-clock time.
        stopped: why it ended: ``steps``, ``plateau``, ``budget``, ``observer``, ``interrupted`` or ``broken``.
        message: message for people, where there is something to say.
        notes: what was decided on the way: conversion of weights, memory.
    """

    picture: Tensor
    objective: float = math.nan
    parts: dict[str, float] = field(default_factory=dict)
    steps: int = 0
    seconds: float = 0.0
    stopped: Stopped = "steps"
    message: str = ""
    notes: list[str] = field(default_factory=list)


@guest
def optimize_pixels(
    content: Tensor,
    styles: Sequence[Tensor | Grams],
    loss: LossSettings | None = None,
    settings: OptimizeSettings | None = None,
    *,
    style_weights: Sequence[float] | None = None,
    init: Tensor | None = None,
    observe: Observer | None = None,
    started: float | None = None,
    vgg: VGG | None = None,
) -> Result:
    """Search for the picture that has the content of one picture and the style of others.

    Args:
        content: ``[1, 3, H, W]`` in 0..1, at the size of the result (``settings.size`` is for readers of files).
        styles: ``[1, 3, h, w]`` each, in 0..1, of any size; or Gram matrices by layer, at the scale that is wanted.
        loss: what is minimised.
        settings: how.
        style_weights: share of each style picture; equal by default.
        init: a picture to start from, of any size; without it ``settings.init`` decides.
        observe: called after every step; what returns False ends the search.
        started: ``time.monotonic()`` from which the budget counts; now by default.
        vgg: a network to use instead of the one that ``loss`` names.

    Returns:
        The picture and what is known about it. A loss that is not finite ends the search with the best picture and
        ``stopped`` set, not with an exception.

    Raises:
        InputError: for settings that cannot be met, such as a picture too small for a layer.
        Interrupted: after Ctrl-C, with the result so far.
    """
    loss, settings = loss or LossSettings(), settings or OptimizeSettings()
    if not styles and loss.style_layers:
        raise InputError("no style picture was given")
    return _Search(content, styles, loss, settings, style_weights, observe, started, vgg).run(init)


class _Search:
    """The state that all scales of one call of :func:`optimize_pixels` share."""

    def __init__(
        self,
        content: Tensor,
        styles: Sequence[Tensor | Grams],
        loss: LossSettings,
        settings: OptimizeSettings,
        style_weights: Sequence[float] | None,
        observe: Observer | None,
        started: float | None,
        vgg: VGG | None,
    ) -> None:
        self.started = time.monotonic() if started is None else started
        self.settings, self.style_weights, self.observe = settings, style_weights, observe
        self.device = pick_device(settings.device)
        dtype = pick_loss_precision(settings.precision, self.device)
        self.memory_format = torch.contiguous_format if dtype == torch.float32 else torch.channels_last
        self.content = content.to(self.device)
        self.styles = [moved(style, self.device) for style in styles]
        # A copy of the caller's: its type, layout and checkpointing change.
        self.loss = PerceptualLoss(loss, copy.deepcopy(vgg)).to(self.device)
        # The network alone computes in a shorter type; Gram matrices, losses and pixels are float32.
        self.loss.vgg.convolutions.to(dtype, memory_format=self.memory_format)  # type: ignore[call-overload]
        self.plan = plan_scales(content.shape[-2], content.shape[-1], settings.scales)
        self.clock = Clock(self.plan, settings.steps, self.started, parse_seconds(settings.budget))
        self.result = Result(self.content, notes=self.loss.conversion_note(self.content))

    def run(self, init: Tensor | None) -> Result:
        result = self.result
        result.picture = self._start(init)
        carried: dict[str, Tensor] = {}
        try:
            for index, (height, width) in enumerate(self.plan):
                if not self.clock.begin(index):
                    result.notes.append(f"the budget ends before {width} x {height} pixels: the result is enlarged to it")
                    result.stopped = "budget"
                    break
                result.picture = self._enlarged(index) if index else resize(result.picture, height, width)
                carried = self._descend(index, carried)
                if result.stopped == "observer":
                    break
        except KeyboardInterrupt as error:
            result.stopped, result.message = "interrupted", "interrupted: this is the picture so far"
            raise Interrupted(result.message, self._finished()) from error
        except NotFinite as error:
            result.stopped, result.message = "broken", str(error)
        return self._finished()

    def _finished(self) -> Result:
        """Return the result at the size that was asked for."""
        self.result.picture = resize(self.result.picture.float(), *self.plan[-1])
        self.result.seconds = time.monotonic() - self.started
        return self.result

    def _start(self, init: Tensor | None) -> Tensor:
        """Return the first picture ``[1, 3, H, W]``, at the size of the result."""
        shape, kind = self.content.shape, self.settings.init
        if init is not None:
            return resize(init.to(self.device), shape[-2], shape[-1])
        if kind == "content":
            return self.content.clone()
        if kind == "style" and self.styles and isinstance(self.styles[0], Tensor):
            return resize(self.styles[0], shape[-2], shape[-1])
        # Noise is drawn on the processor, so that a seed means the same picture on every device.
        generator = torch.Generator().manual_seed(self.settings.seed)
        if kind == "uniform":
            return torch.rand(shape, generator=generator).to(self.device)
        if kind == "normal":
            mean = self.loss.vgg.space.deprocess(torch.zeros(1, 3, 1, 1))
            return (mean + torch.randn(shape, generator=generator) * self.settings.init_std).to(self.device)
        raise InputError(f"init is {kind!r}: use content, uniform, normal or style, or give a picture to start from")

    def _enlarged(self, index: int) -> Tensor:
        """Return the result of the scale before at this scale, with the detail of the photo that the coarse one could not hold.

        Without that detail the first dozen steps go into fine texture, which the loss of shallow layers misses most.
        """
        height, width = self.plan[index]
        coarse = resize(self.content, *self.plan[index - 1])
        detail = resize(self.content, height, width) - resize(coarse, height, width)
        return (resize(self.result.picture, height, width) + detail).clamp(0, 1)

    def _targets(self, index: int) -> Targets:
        height, width = self.plan[index]
        shrink = height / self.plan[-1][0]
        styles: list[Tensor | Grams] = []
        for style in self.styles:
            if not isinstance(style, Tensor):
                styles.append(style)
                continue
            full = (int(style.shape[-2]), int(style.shape[-1]))
            wanted = style_dimensions(self.settings.style_size, self.plan[-1], full, self.settings.upscale)
            styles.append(resize(style, max(round(wanted[0] * shrink), 1), max(round(wanted[1] * shrink), 1)))
        return self.loss.targets(resize(self.content, height, width), styles, self.style_weights)

    def _descend(self, index: int, carried: dict[str, Tensor]) -> dict[str, Tensor]:
        """Search at one scale until steps, plateau or deadline; return what the next scale takes over."""
        self.loss.vgg.checkpointing = short_of_memory(self.loss.vgg, *self.plan[index], self.device)
        targets = self._targets(index)
        descent = Descent(self.loss, targets, self.result.picture, self.settings, self.memory_format, carried)
        begun = time.monotonic()
        objectives: list[float] = []
        self.result.stopped = "steps"
        try:
            while len(objectives) < self.settings.steps:
                if self.clock.expired():
                    self.result.stopped = "budget"
                    break
                before = time.monotonic()
                losses = descent.step()
                self.clock.measured(time.monotonic() - before)
                self.result.steps += 1
                objectives.append(float(losses.total))
                if self._tell(index, len(objectives), losses, time.monotonic() - begun, descent) is False:
                    self.result.stopped = "observer"
                    break
                if _flat(objectives, self.settings.plateau):
                    self.result.stopped = "plateau"
                    break
            descent.finish()
        finally:
            self._keep(descent)
        return descent.state()

    def _keep(self, descent: Descent) -> None:
        """Make the best picture the result, with its losses if it has been evaluated."""
        self.result.picture = descent.best
        if descent.best_losses:
            self.result.objective = float(descent.best_losses.total)
            self.result.parts = {name: float(value) for name, value in descent.best_losses.parts.items()}

    def _tell(self, index: int, step: int, losses: Losses, seconds: float, descent: Descent) -> object:
        if self.observe is None:
            return None
        height, width = self.plan[index]
        iterate = Iterate(
            scale=index + 1,
            scales=len(self.plan),
            step=step,
            steps=self.settings.steps,
            width=width,
            height=height,
            objective=float(losses.total),
            parts={name: float(value) for name, value in losses.parts.items()},
            seconds=time.monotonic() - self.started,
            rate=step / max(seconds, 1e-9),
            remaining=self.clock.remaining(self.settings.steps - step),
            picture=descent.picture,
        )
        return self.observe(iterate)


def _flat(objectives: list[float], plateau: float) -> bool:
    """Return whether ten steps have lowered the lowest objective by less than the plateau's share; overshooting does not
    count."""
    return bool(plateau) and len(objectives) > 10 and min(objectives[-10:]) > min(objectives[:-10]) * (1 - plateau)
