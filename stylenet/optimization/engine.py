"""Engine 1: the pixels of one picture are the variables (Gatys, Ecker & Bethge, CVPR 2016).

L-BFGS or Adam on :class:`~stylenet.losses.PerceptualLoss`, coarse to fine for larger pictures, within a time budget if one is
given, and never without the best picture so far.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from stylenet.devices import pick_device, pick_loss_precision
from stylenet.durations import parse_seconds
from stylenet.errors import InputError, Interrupted, RunError
from stylenet.images.picture import resample
from stylenet.losses.perceptual import PerceptualLoss
from stylenet.losses.settings import LossSettings
from stylenet.losses.targets import Losses, Targets
from stylenet.losses.terms import Grams, moved
from stylenet.losses.vgg import VGG
from stylenet.modes import guest
from stylenet.observing import ends_work
from stylenet.optimization.descent import Descent, NotFinite
from stylenet.optimization.planning import (
    Clock,
    check_search,
    count_scales,
    pick_tile,
    plan_scales,
    short_of_memory,
    style_dimensions,
)
from stylenet.optimization.saving import SearchState, StateFile, fingerprint
from stylenet.optimization.scratch import set_aside
from stylenet.optimization.settings import SEARCH_LOSS, OptimizeSettings
from stylenet.optimization.tiled_loss import TiledLoss
from stylenet.optimization.tiles import plan_tiles

Stopped = Literal["steps", "plateau", "budget", "observer", "interrupted", "broken"]

# Called after every step; what returns False ends the search.
Observer = Callable[["Iterate"], object]


@dataclass(frozen=True, eq=False)
class Iterate:
    """The state that an observer sees after each step.

    Attributes:
        scale, scales: which of how many, from 1.
        step, steps: within the scale; steps is what is planned.
        taken: steps at all scales, with those before a search that goes on was stopped.
        width, height: width and height of this scale.
        objective: the weighted sum, before this step's update.
        parts: weighted terms by name.
        seconds: since the start.
        rate: steps a second at this scale.
        remaining: estimated seconds to the end.
        picture: a function that returns the picture ``[1, 3, H, W]`` in 0..1.
        notes: what a person should know of the search, as far as it is known by now.
    """

    scale: int
    scales: int
    step: int
    steps: int
    taken: int
    width: int
    height: int
    objective: float
    parts: dict[str, float]
    seconds: float
    rate: float
    remaining: float
    picture: Callable[[], Tensor]
    notes: tuple[str, ...] = ()


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
    style_shares: Sequence[float] | None = None,
    init: Tensor | None = None,
    observe: Observer | None = None,
    started: float | None = None,
    vgg: VGG | None = None,
    state: Path | None = None,
    keep_state: bool = False,
    resume: bool = False,
    start_name: str | None = None,
) -> Result:
    """Search for the picture that has the content of one picture and the style of others.

    Args:
        content: ``[1, 3, H, W]`` in 0..1, at the size of the result (``settings.size`` is for readers of files).
        styles: ``[1, 3, h, w]`` each, in 0..1, of any size; or Gram matrices by layer, at the scale that is wanted.
        loss: what is minimised; :data:`~stylenet.optimization.settings.SEARCH_LOSS` by default.
        settings: how.
        style_shares: share of each style picture; equal by default.
        init: a picture to start from, of any size; without it ``settings.init`` decides.
        observe: called after every step; what returns False ends the search.
        started: ``time.monotonic()`` from which the budget counts; now by default.
        vgg: a network to use instead of the one that ``loss`` names.
        state: file that keeps all that the search needs to go on after it was killed. It is written every minute, or less
            often where that would cost more than a twentieth of the time, and deleted when the search has ended.
        keep_state: leave it to the caller to delete that file, once the result is where it should be.
        resume: go on from that file, if it is there: to the step, as if nothing had happened.
        start_name: what ``init`` is told from others by when a search goes on, in place of its pixels: a trained style gives
            them with other rounding where memory is another.

    Returns:
        The picture and what is known about it. A loss that is not finite ends the search with the best picture and
        ``stopped`` set, not with an exception.

    Raises:
        InputError: for settings that cannot be met, such as a picture too small for a layer, or a state of another search.
        Interrupted: after Ctrl-C, with the result so far.
    """
    loss, settings = loss or SEARCH_LOSS, settings or OptimizeSettings()
    if not styles and loss.style_layers:
        raise InputError("no style picture was given")
    keeper = None
    if state is not None:
        # A budget may be prolonged, and tiles give the same result.
        told = {**asdict(loss), **asdict(settings), "budget": None, "tile": None, "style_shares": style_shares}
        start = [] if init is None or start_name is not None else [init]
        named = {} if start_name is None else {"start": start_name}
        keeper = StateFile(state, fingerprint({**told, **named}, [content, *start, *_tensors(styles)]))
    search = _Search(content, styles, loss, settings, style_shares, observe, started, vgg, keeper)
    result = search.run(init, keeper.load() if keeper and resume else None)
    if keeper is not None and not keep_state:
        keeper.remove()
    return result


def _tensors(styles: Sequence[Tensor | Grams]) -> list[Tensor]:
    return [one for style in styles for one in ([style] if isinstance(style, Tensor) else [t.matrix for t in style.values()])]


class _Search:
    """The state that all scales of one call of :func:`optimize_pixels` share."""

    def __init__(
        self,
        content: Tensor,
        styles: Sequence[Tensor | Grams],
        loss: LossSettings,
        settings: OptimizeSettings,
        style_shares: Sequence[float] | None,
        observe: Observer | None,
        started: float | None,
        vgg: VGG | None,
        keeper: StateFile | None,
    ) -> None:
        self.keeper = keeper
        self.started = time.monotonic() if started is None else started
        self.settings, self.style_shares, self.observe = settings, style_shares, observe
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
        check_search(self.loss.vgg, *self.plan[-1], self.device, settings)
        wanted = count_scales(content.shape[-2], content.shape[-1], settings.scales)
        self.steps = [settings.steps_at(index) for index in range(wanted - len(self.plan), wanted)]
        self.clock = Clock(self.plan, self.steps, self.started, parse_seconds(settings.budget))
        self.result = Result(self.content, notes=self.loss.conversion_note(self.content))

    def run(self, init: Tensor | None, saved: SearchState | None = None) -> Result:
        result, first = self.result, 0
        if saved is None:
            result.picture = self._start(init)
        else:
            first = self._go_back_to(saved)
        carried: dict[str, Tensor] = {}
        try:
            for index, (height, width) in list(enumerate(self.plan))[first:]:
                if not self.clock.begin(index):
                    self._tell_end_before(index + (saved is not None))  # the picture of a scale that goes on is there
                    result.stopped = "budget"
                    break
                if saved is None:
                    result.picture = set_aside(self._enlarged(index) if index else resample(result.picture, height, width))
                carried = self._descend(index, carried, saved)
                saved = None
                if result.stopped == "observer":
                    break
        except KeyboardInterrupt as error:
            result.stopped, result.message = "interrupted", "interrupted: this is the picture so far"
            raise Interrupted(result.message, self._finished()) from error
        except NotFinite as error:
            result.stopped, result.message = "broken", str(error)
        return self._finished()

    def _tell_end_before(self, index: int) -> None:
        """Say which scale there is no time for, if one is left."""
        if index < len(self.plan):
            height, width = self.plan[index]
            self._note(f"the budget ends before {width} x {height} pixels: the result is enlarged to it")

    def _finished(self) -> Result:
        """Return the result at the size that was asked for."""
        self.result.picture = resample(self.result.picture.float(), *self.plan[-1])
        self.result.seconds = time.monotonic() - self.started
        return self.result

    def _go_back_to(self, saved: SearchState) -> int:
        """Take over what a killed search had done; return the scale that it was at."""
        values = saved.values
        self.started -= values["seconds"]
        self.clock.go_back(values["seconds"], values["pace"])
        self.result.steps = values["taken"]
        if values["total"] is not None:
            self.result.objective, self.result.parts = values["total"], dict(values["parts"])
        self.result.picture = saved.tensors["best"].to(self.device)
        self.result.notes.append(f"goes on from step {len(values['objectives'])} of scale {values['scale'] + 1}")
        return int(values["scale"])

    def _start(self, init: Tensor | None) -> Tensor:
        """Return the first picture ``[1, 3, H, W]``, at the size of the result."""
        shape, kind = self.content.shape, self.settings.init
        if init is not None:
            return resample(init.to(self.device), shape[-2], shape[-1])
        if kind == "content":
            return self.content.clone()
        if kind == "style" and self.styles and isinstance(self.styles[0], Tensor):
            return resample(self.styles[0], shape[-2], shape[-1])
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
        coarse = resample(self.content, *self.plan[index - 1])
        detail = resample(self.content, height, width) - resample(coarse, height, width)
        return (resample(self.result.picture, height, width) + detail).clamp(0, 1)

    def _targets(self, index: int, loss: PerceptualLoss | TiledLoss) -> Targets:
        height, width = self.plan[index]
        shrink = height / self.plan[-1][0]
        styles: list[Tensor | Grams] = []
        for style in self.styles:
            if not isinstance(style, Tensor):
                styles.append(style)
                continue
            full = (int(style.shape[-2]), int(style.shape[-1]))
            wanted = style_dimensions(self.settings.style_size, self.plan[-1], full, self.settings.upscale)
            styles.append(resample(style, max(round(wanted[0] * shrink), 1), max(round(wanted[1] * shrink), 1)))
        return loss.targets(resample(self.content, height, width), styles, self.style_shares)

    def _loss_at(self, index: int, saved: SearchState | None) -> PerceptualLoss | TiledLoss:
        """Return the loss of a scale: whole, recomputing blocks, or tile by tile, as memory allows."""
        height, width = self.plan[index]
        vgg, tile = self.loss.vgg, self.settings.tile
        if tile == "auto":  # those of a search that was stopped, as others round otherwise
            tile = pick_tile(vgg, height, width, self.device) if saved is None else saved.values["tile"]
        vgg.checkpointing = not tile and short_of_memory(vgg, height, width, self.device)
        if not tile:
            return self.loss
        count = len(plan_tiles(height, width, tile, vgg.stride, vgg.reach))
        if count > 1:  # a scale that fits into one is for its paintings alone, which may be larger
            self._note(
                f"{width} x {height} pixels are worked out in {count} tiles of at most {tile}, with the result of the whole"
            )
        return TiledLoss(self.loss, tile)

    def _note(self, note: str) -> None:
        if note not in self.result.notes:
            self.result.notes.append(note)

    def _descend(self, index: int, carried: dict[str, Tensor], saved: SearchState | None) -> dict[str, Tensor]:
        """Search at one scale until steps, plateau or deadline; return what the next scale takes over."""
        loss = self._loss_at(index, saved)
        layout = torch.contiguous_format if isinstance(loss, TiledLoss) else self.memory_format
        descent = Descent(loss, self._targets(index, loss), self.result.picture, self.settings, layout, carried, saved)
        objectives: list[float] = []
        if saved is not None:
            saved.tensors.clear()  # of a print, gigabytes that the descent has taken over
            objectives = list(saved.values["objectives"])
        for note in descent.notes:
            self._note(note)
        begun, done = time.monotonic(), len(objectives)
        self.result.stopped = "steps"
        try:
            while len(objectives) < self.steps[index]:
                if _flat(objectives, self.settings.plateau):
                    self.result.stopped = "plateau"
                    break
                if self.clock.expired():
                    self.result.stopped = "budget"
                    break
                before = time.monotonic()
                losses = descent.step()
                self.clock.measured(time.monotonic() - before)
                self.result.steps += 1
                objectives.append(float(losses.total))
                rate = (len(objectives) - done) / max(time.monotonic() - begun, 1e-9)
                if ends_work(self._tell(index, len(objectives), losses, rate, descent)):
                    self.result.stopped = "observer"
                    break
                if self.keeper is not None and self.keeper.due():
                    self._save_state(self.keeper, self._state(index, objectives, loss, descent))
            descent.finish()
        finally:
            self._keep(descent)
        return descent.state()

    def _save_state(self, keeper: StateFile, state: SearchState) -> None:
        """Keep the state. On a disk that is full the search goes on, and a resume would begin at the state before."""
        try:
            keeper.save(state)
        except RunError as error:
            keeper.saved = time.monotonic()  # not after every step
            self._note(f"the state of the search is not kept: {error}")

    def _state(self, index: int, objectives: list[float], loss: PerceptualLoss | TiledLoss, descent: Descent) -> SearchState:
        """Return what :meth:`run` needs to go on after this step."""
        state = descent.save()
        values = {
            "scale": index,
            "objectives": objectives,
            "taken": self.result.steps,
            "tile": loss.side if isinstance(loss, TiledLoss) else 0,
            "seconds": time.monotonic() - self.started,
            "pace": self.clock.pace,
        }
        return SearchState(state.tensors, {**state.values, **values})

    def _keep(self, descent: Descent) -> None:
        """Make the best picture the result, with its losses if it has been evaluated."""
        self.result.picture = descent.best
        if descent.best_losses:
            self.result.objective = float(descent.best_losses.total)
            self.result.parts = {name: float(value) for name, value in descent.best_losses.parts.items()}

    def _tell(self, index: int, step: int, losses: Losses, rate: float, descent: Descent) -> object:
        if self.observe is None:
            return None
        height, width = self.plan[index]
        iterate = Iterate(
            scale=index + 1,
            scales=len(self.plan),
            step=step,
            steps=self.steps[index],
            taken=self.result.steps,
            width=width,
            height=height,
            objective=float(losses.total),
            parts={name: float(value) for name, value in losses.parts.items()},
            seconds=time.monotonic() - self.started,
            rate=rate,
            remaining=self.clock.remaining(self.steps[index] - step),
            picture=descent.picture,
            notes=tuple(self.result.notes),
        )
        return self.observe(iterate)


def _flat(objectives: list[float], plateau: float) -> bool:
    """Return whether ten steps have lowered the lowest objective by less than the plateau's share; overshooting does not
    count."""
    return bool(plateau) and len(objectives) > 10 and min(objectives[-10:]) > min(objectives[:-10]) * (1 - plateau)
