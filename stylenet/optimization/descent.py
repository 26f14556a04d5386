"""Search at one scale: variables, optimiser, and never a step without the best picture so far."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from stylenet.devices import free_memory
from stylenet.errors import RunError, argument
from stylenet.losses.perceptual import PerceptualLoss
from stylenet.losses.targets import Losses, Targets
from stylenet.losses.vgg import INPUT_SPACES
from stylenet.optimization.lbfgs import CompactLBFGS
from stylenet.optimization.saving import SearchState, pack_optimizer, unpack_optimizer
from stylenet.optimization.scratch import set_aside
from stylenet.optimization.settings import OptimizeSettings
from stylenet.optimization.tiled_loss import TiledLoss
from stylenet.optimization.variables import Pixels, Spectrum

# torch's L-BFGS drops curvature pairs with y.s below 1e-10, an absolute bound. Calibrated losses are of order 1 spread over
# a million pixels, so they are scaled up for the optimiser alone; L-BFGS itself does not care about the scale.
_LBFGS_SCALE = 1e5

# How far the first step of L-BFGS moves a value of a spectrum, in bytes' units on average. torch's own first step moves all of
# them together by 1, which is next to nothing, and the curvature of the second is that of this one.
_FIRST_STEP = 0.5

# Larger curvature pairs are kept in 16 bits.
_PAIR_BYTES = 2e9

# Adam's rate where it takes the place of L-BFGS: about a two-hundredth of the range, in the units of the variables.
_ADAM_RATES = {"spectrum": 1.0, "pixels": 0.005, "input_space": 1.0}


class NotFinite(Exception):
    """Raised when a term of the loss, or the gradient, is NaN or infinite."""

    def __init__(self, what: str) -> None:
        precision, rate, search = argument("precision", "32"), argument("learning_rate"), argument("line_search", True)
        advice = f"try {precision}, a smaller {rate} or {search}"
        super().__init__(f"{what} is not finite: this is the best picture before that; {advice}")


class Descent:
    """A search that moves one picture downhill at one size.

    Args:
        loss: what is minimised.
        targets: targets of the loss, at this size.
        picture: to start from, ``[1, 3, H, W]`` in 0..1.
        settings: optimiser and variables.
        memory_format: memory format that the loss network likes best.
        carried: Adam's state from the scale before, or nothing.
        saved: what :meth:`save` of a descent with the same settings returned, to go on from.

    Attributes:
        best: the picture ``[1, 3, H, W]`` of the lowest finite objective so far. L-BFGS without a line search overshoots at
            times, by orders of magnitude, and comes back a step later.
        best_losses: losses of that picture; None before the first evaluation.
        notes: what was decided for want of memory.
    """

    def __init__(
        self,
        loss: PerceptualLoss | TiledLoss,
        targets: Targets,
        picture: Tensor,
        settings: OptimizeSettings,
        memory_format: torch.memory_format,
        carried: dict[str, Tensor] | None = None,
        saved: SearchState | None = None,
    ) -> None:
        self.loss, self.targets, self.settings, self.memory_format = loss, targets, settings, memory_format
        self.rate = settings.learning_rate
        self.best = picture
        self.best_losses: Losses | None = None
        self.notes: list[str] = []
        self.variables = self._make_variables(picture)
        self.optimizer = self._make_optimizer(carried or {}) if saved is None else self._go_on(saved)
        scaled = settings.optimizer == "lbfgs" and loss.settings.calibrated
        self._scale = _LBFGS_SCALE if scaled else 1.0
        self._evaluated: list[Losses] = []

    def step(self) -> Losses:
        """Take one step of the optimiser; return the losses that it started from.

        Raises:
            NotFinite: naming what broke; :attr:`best` is then the picture to keep.
        """
        self._evaluated.clear()
        self.optimizer.param_groups[0]["lr"] = self.rate * self._stride()
        self.optimizer.step(self._closure)  # type: ignore[arg-type]
        if self.settings.clamp:
            self.variables.clamp()
        return self._evaluated[0]

    @torch.no_grad()
    def finish(self) -> None:
        """Evaluate the picture after the last step and keep it if it is the best.

        Raises:
            NotFinite: if they are not finite.
        """
        picture = self.variables()
        self._keep(picture, self._losses(picture))

    @torch.no_grad()
    def picture(self) -> Tensor:
        """Return the picture ``[1, 3, H, W]`` as it stands, in 0..1; the best one if a step went out of the finite numbers."""
        picture = self.variables()
        return (picture if torch.isfinite(picture).all() else self.best).float().clamp(0, 1)

    def state(self) -> dict[str, Tensor]:
        """Return Adam's moments for the next scale; nothing for L-BFGS, whose curvature from a coarser scale brings nothing
        once the photo's detail is added back (``docs/notes/``)."""
        if not isinstance(self.optimizer, torch.optim.Adam):
            return {}
        return {name: value for name, value in self.optimizer.state[self.variables.values].items() if torch.is_tensor(value)}

    def _stride(self) -> float:
        """Return a factor of the optimiser's next step. Recipes that move pixels keep the first step of their sources."""
        first = self.best_losses is None and not isinstance(self.optimizer, torch.optim.Adam)
        return _FIRST_STEP * self.variables.values.numel() if first and self.settings.variables == "spectrum" else 1.0

    def _make_variables(self, picture: Tensor) -> Pixels | Spectrum:
        if self.settings.variables == "spectrum":
            return Spectrum(picture)
        space = INPUT_SPACES[self.loss.settings.numbers_for]
        return Pixels(picture, space if self.settings.variables == "input_space" else None)

    def _make_optimizer(self, carried: dict[str, Tensor]) -> torch.optim.Optimizer:
        if self.settings.optimizer == "adam":
            return self._make_adam(carried)
        try:
            return self._make_compact_lbfgs() if self._pairs_are_large() else self._make_lbfgs()
        except RunError as error:
            optimizer = self._make_adam(carried)
            self.notes.append(f"{error}; until then Adam takes the place of L-BFGS, with a rate of {self.rate}")
            return optimizer

    def _make_adam(self, carried: dict[str, Tensor]) -> torch.optim.Optimizer:
        values = self.variables.values
        if self.settings.optimizer != "adam":  # in the place of L-BFGS, whose rate is a factor
            self.rate = _ADAM_RATES[self.settings.variables]
        optimizer = torch.optim.Adam([values], lr=self.rate)
        if carried:
            optimizer.state[values] = _enlarged_moments(carried, values)
        return optimizer

    def _pair_bytes(self) -> int:
        values = self.variables.values
        return 2 * self.settings.history * values.numel() * values.element_size()

    def _pairs_are_large(self) -> bool:
        free = free_memory(self.variables.values.device)
        return not self.settings.line_search and self._pair_bytes() > min(free / 8, _PAIR_BYTES)

    def _make_compact_lbfgs(self, state: dict[str, Any] | None = None) -> torch.optim.Optimizer:
        """Return an L-BFGS whose pairs lie in 16 bits and, where they are large, in a file.

        Raises:
            RunError: if there is no room for them.
        """
        history, gigabytes = self.settings.history, self._pair_bytes() / 2e9
        optimizer = CompactLBFGS(self.variables.values, self.rate, history, state=state)
        self.notes.append(f"the {history} curvature pairs of L-BFGS are kept in 16 bits: {gigabytes:.1f} GB")
        return optimizer

    def _make_lbfgs(self) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(
            [self.variables.values],
            lr=self.rate,
            max_iter=1,
            max_eval=25,
            history_size=self.settings.history,
            # Steps end by count, budget or plateau: torch's absolute tolerances would end calibrated losses at once.
            tolerance_grad=0,
            tolerance_change=0,
            line_search_fn="strong_wolfe" if self.settings.line_search else None,
        )

    def save(self) -> SearchState:
        """Return all that the next step depends on."""
        tensors, numbers = pack_optimizer(self.optimizer.state[self.variables.values])
        tensors |= {"values": self.variables.values.detach(), "best": self.best}
        if isinstance(self.variables, Spectrum):
            tensors["start"] = self.variables.start
        best = self.best_losses
        parts = None if best is None else {name: float(value) for name, value in best.parts.items()}
        total = None if best is None else float(best.total)
        kind = type(self.optimizer).__name__
        return SearchState(tensors, {"kind": kind, "optimizer": numbers, "total": total, "parts": parts})

    @torch.no_grad()
    def _go_on(self, state: SearchState) -> torch.optim.Optimizer:
        """Take over what :meth:`save` returned; return the optimiser of its kind, whatever this memory would have."""
        values = self.variables.values
        values.copy_(state.tensors["values"])
        self.best = state.tensors["best"].to(values.device)
        if isinstance(self.variables, Spectrum):
            self.variables.start = state.tensors["start"].to(values.device)
        if state.values["total"] is not None:
            parts = {name: values.new_tensor(value) for name, value in state.values["parts"].items()}
            self.best_losses = Losses(values.new_tensor(state.values["total"]), parts)
        packed = unpack_optimizer(state.tensors, state.values["optimizer"], values.device)
        if state.values["kind"] == "CompactLBFGS":
            return self._make_compact_lbfgs(packed)
        optimizer = self._make_adam({}) if state.values["kind"] == "Adam" else self._make_lbfgs()
        if isinstance(optimizer, torch.optim.Adam) and self.settings.optimizer != "adam":
            self.notes.append(f"Adam goes on in the place of L-BFGS, with a rate of {self.rate}")
        if "old_dirs" in packed or "d" in packed:  # torch's L-BFGS: lists that were empty, and scratch space
            packed = {"old_dirs": [], "old_stps": [], "ro": [], **packed, "al": [None] * self.settings.history}
        if packed:
            optimizer.state[values] = packed
        return optimizer

    def _losses(self, picture: Tensor) -> Losses:
        losses = self.loss(picture.contiguous(memory_format=self.memory_format), self.targets)
        assert isinstance(losses, Losses)
        for name, value in losses.parts.items():
            if not torch.isfinite(value):
                raise NotFinite(name)
        return losses

    def _closure(self) -> Tensor:
        """Compute loss and gradient at the current picture, and keep it if both are finite and it is the best."""
        values = self.variables.values
        values.grad = None
        picture = self.variables()
        losses = self._losses(picture)
        (losses.total * self._scale).backward()  # type: ignore[no-untyped-call]
        if values.grad is None or not torch.isfinite(values.grad).all():
            raise NotFinite("the gradient")
        values.grad = values.grad.contiguous()  # L-BFGS views it as one vector
        losses = losses.detached()
        self._keep(picture.detach(), losses)
        self._evaluated.append(losses)
        return losses.total * self._scale

    def _keep(self, picture: Tensor, losses: Losses) -> None:
        if self.best_losses is None or losses.total < self.best_losses.total:
            self.best, self.best_losses = set_aside(picture), losses


def _enlarged_moments(carried: dict[str, Tensor], values: Tensor) -> dict[str, Tensor]:
    """Enlarge Adam's moments to a finer scale. The objective is a mean over pixels, so with four times as many each one's
    gradient is a quarter."""
    ratio = carried["exp_avg"].numel() / values.numel()
    first, second = (F.interpolate(carried[name], values.shape[-2:], mode="bilinear") for name in ("exp_avg", "exp_avg_sq"))
    return {"step": carried["step"], "exp_avg": first * ratio, "exp_avg_sq": second * ratio**2}
