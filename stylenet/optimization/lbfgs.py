"""L-BFGS for pictures whose curvature pairs would not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from stylenet.optimization.scratch import new_tensor

# Values that are widened from 16 bits at once.
_PART = 2**22

# torch's own bound for the curvature of a pair that is kept.
_LEAST_CURVATURE = 1e-10


class CompactLBFGS(torch.optim.Optimizer):
    """The steps of ``torch.optim.LBFGS`` with ``max_iter=1`` and no line search, in a fraction of its memory.

    The vectors of curvature pairs are kept in float16 with a scale for each. Beside them there are two vectors as large as the
    variables, where torch has five. All of them lie in temporary files where they are large. Nocedal & Wright, Numerical
    Optimization (2006), algorithm 7.4, with pairs as they are stored, so that rounding does not break the secant equation.

    Args:
        values: the one tensor of variables, contiguous, float32.
        lr: factor of every step.
        history_size: pairs that are kept.
        dtype: of the vectors in pairs.
        state: that of another one of the same size, to go on from; its tensors are taken over.
    """

    def __init__(
        self,
        values: Tensor,
        lr: float = 1.0,
        history_size: int = 10,
        dtype: torch.dtype = torch.float16,
        state: dict[str, Any] | None = None,
    ) -> None:
        super().__init__([values], {"lr": lr})
        self.values, self.history = values, history_size
        self.state[values] = state or _new_state(values, history_size, dtype)
        # Rows 2 i and 2 i + 1 are the step and the change of the gradient of pair i.
        self.pairs: Tensor = self.state[values]["pairs"]

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor]) -> Tensor:  # type: ignore[override]
        """Move the variables once, from the gradient that the closure leaves in them; return what it returns."""
        with torch.enable_grad():
            value = closure()
        assert self.values.grad is not None
        gradient, state = self.values.grad.reshape(-1), self.state[self.values]
        rate = float(self.param_groups[0]["lr"])
        if state["steps"]:
            self._remember(gradient)
        else:
            total = sum(float(gradient[part].abs().sum()) for part in _parts(gradient.numel()))
            rate *= min(1.0, 1.0 / max(total, torch.finfo(torch.float32).tiny))
        state["steps"] += 1
        direction: Tensor = state["moved"]
        self._find_direction(gradient, direction)
        if _dot(direction, gradient) >= 0:  # rounding has spoilt the curvature
            state["order"] = []
            torch.neg(gradient, out=direction)
        state["gradient"].copy_(gradient)
        direction.mul_(rate)
        self.values.view(-1).add_(direction)
        return value

    def _remember(self, gradient: Tensor) -> None:
        """Keep the last step and the change of the gradient over it as the newest pair."""
        state = self.state[self.values]
        change = state["gradient"].sub_(gradient).neg_()
        order: list[int] = state["order"]
        slot = order[0] if len(order) == self.history else len(order)
        # What is in a slot is lost even if its new pair is of no use.
        state["order"] = order = [one for one in order if one != slot]
        for row, vector in ((2 * slot, state["moved"]), (2 * slot + 1, change)):
            largest = max(float(vector[part].abs().max()) for part in _parts(vector.numel()))
            scale = max(largest, torch.finfo(torch.float32).tiny)
            state["scales"][row] = scale
            for part in _parts(vector.numel()):
                self.pairs[row, part] = (vector[part] / scale).to(self.pairs.dtype)
        curvature, square = self._pair_product(2 * slot, 2 * slot + 1), self._pair_product(2 * slot + 1, 2 * slot + 1)
        if curvature > _LEAST_CURVATURE:
            order.append(slot)
            state["products"][str(slot)] = [curvature, square]

    def _find_direction(self, gradient: Tensor, direction: Tensor) -> None:
        """Write minus the inverse Hessian times the gradient into ``direction``, by the two loops."""
        state = self.state[self.values]
        torch.neg(gradient, out=direction)
        weights: dict[int, float] = {}
        for slot in reversed(state["order"]):
            curvature, _ = state["products"][str(slot)]
            weights[slot] = self._row_dot(2 * slot, direction) / curvature
            self._add_row(direction, 2 * slot + 1, -weights[slot])
        if state["order"]:
            curvature, square = state["products"][str(state["order"][-1])]
            direction.mul_(curvature / square)
        for slot in state["order"]:
            curvature, _ = state["products"][str(slot)]
            back = self._row_dot(2 * slot + 1, direction) / curvature
            self._add_row(direction, 2 * slot, weights[slot] - back)

    def _row_dot(self, row: int, vector: Tensor) -> float:
        total = sum(float(self.pairs[row, part].float() @ vector[part]) for part in _parts(vector.numel()))
        return total * float(self.state[self.values]["scales"][row])

    def _pair_product(self, first: int, second: int) -> float:
        scales = self.state[self.values]["scales"]
        parts = _parts(self.pairs.shape[1])
        total = sum(float(self.pairs[first, part].float() @ self.pairs[second, part].float()) for part in parts)
        return total * float(scales[first]) * float(scales[second])

    def _add_row(self, vector: Tensor, row: int, factor: float) -> None:
        scaled = factor * self.state[self.values]["scales"][row]
        for part in _parts(vector.numel()):
            vector[part].add_(self.pairs[row, part].float(), alpha=scaled)


def _new_state(values: Tensor, history: int, dtype: torch.dtype) -> dict[str, Any]:
    """Return the state before the first step: no pairs yet, and room for them."""
    pairs = new_tensor((2 * history, values.numel()), dtype, values.device)
    gradient, moved = (new_tensor((values.numel(),), values.dtype, values.device) for _ in range(2))
    numbers = {"steps": 0, "order": [], "scales": [1.0] * (2 * history), "products": {}}
    return {"pairs": pairs, "gradient": gradient, "moved": moved, **numbers}


def _parts(length: int) -> Iterator[slice]:
    for start in range(0, length, _PART):
        yield slice(start, min(start + _PART, length))


def _dot(one: Tensor, other: Tensor) -> float:
    return sum(float(one[part] @ other[part]) for part in _parts(one.numel()))
