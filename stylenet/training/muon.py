"""Muon: steps of equal size in all directions of a weight matrix (Jordan et al., "Muon: An optimizer for hidden layers in
neural networks", 2024; the scale of its step after Liu et al., "Muon is Scalable for LLM Training", arXiv:2502.16982)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn

# A step moves a weight by about this share of the rate (root mean square over the matrix), as one of Adam does, so that one
# rate serves both kinds of weights (Liu et al., section 2.2).
_RMS_OF_ADAM = 0.2


class Muon(torch.optim.Optimizer):
    """An optimizer: Muon for matrices, Adam for all else.

    torch's own (2.9 and newer) takes matrices alone, and would need a second optimizer beside it.

    Args:
        matrices: weights ``[O, ...]`` of at least two dimensions, taken as matrices of ``O`` rows: the convolutions but for the
            first and the last one.
        others: what Adam moves.
        lr: learning rate of both.
        tables: ``[K, N]``, of which a step uses a few rows: Adam moves these alone, with moments and a count of steps for each
            row. Plain Adam would move every row at every step by what is left of its momentum.
        table_lr: learning rate of the tables; ``lr`` by default.
        norms, norm_lr: weights that Adam moves at a rate of their own.
        momentum: momentum of the matrices' gradients, in Nesterov's form.
        betas, eps: parameters of Adam.
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        tables: Iterable[nn.Parameter] = (),
        table_lr: float | None = None,
        norms: Iterable[nn.Parameter] = (),
        norm_lr: float | None = None,
    ) -> None:
        groups: list[dict[str, Any]] = [
            {"params": list(matrices), "orthogonal": True},
            {"params": list(others), "orthogonal": False},
            {"params": list(norms), "orthogonal": False, "lr": norm_lr or lr},
            {"params": list(tables), "orthogonal": False, "by_rows": True, "lr": table_lr or lr},
        ]
        groups = [group for group in groups if group["params"]]
        super().__init__(groups, {"lr": lr, "momentum": momentum, "betas": betas, "eps": eps})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step; weights without a gradient stay as they are."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in (weight for weight in group["params"] if weight.grad is not None):
                if group["orthogonal"]:
                    self._muon(weight, weight.grad, group["lr"], group["momentum"])
                elif group.get("by_rows"):
                    self._adam_by_rows(weight, weight.grad, group["lr"], group["betas"], group["eps"])
                else:
                    self._adam(weight, weight.grad, group["lr"], group["betas"], group["eps"])
        return loss

    def _muon(self, weight: Tensor, gradient: Tensor, rate: float, momentum: float) -> None:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        state["momentum"].mul_(momentum).add_(gradient)
        ahead = gradient.add(state["momentum"], alpha=momentum).flatten(1)
        scale = _RMS_OF_ADAM * math.sqrt(max(ahead.shape))
        weight.add_(orthogonalised(ahead).view_as(weight), alpha=-rate * scale)

    def _adam(self, weight: Tensor, gradient: Tensor, rate: float, betas: tuple[float, float], eps: float) -> None:
        """Take a step of Adam (Kingma & Ba, arXiv:1412.6980, algorithm 1)."""
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"], state["square"] = torch.zeros_like(weight), torch.zeros_like(weight)
        state["step"] += 1
        state["mean"].lerp_(gradient, 1 - betas[0])
        state["square"].mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
        mean_share, square_share = (1 - beta ** float(state["step"]) for beta in betas)
        weight.addcdiv_(state["mean"] / mean_share, (state["square"] / square_share).sqrt_().add_(eps), value=-rate)

    def _adam_by_rows(self, table: Tensor, gradient: Tensor, rate: float, betas: tuple[float, float], eps: float) -> None:
        """Take a step of Adam for the rows ``[R, N]`` whose gradient is not zero, as ``torch.optim.SparseAdam`` does."""
        state = self.state[table]
        if not state:
            state["step"] = torch.zeros(len(table), 1, device=table.device)
            state["mean"], state["square"] = torch.zeros_like(table), torch.zeros_like(table)
        rows = gradient.ne(0).any(dim=1).nonzero()[:, 0]
        slope = gradient[rows]
        step = state["step"][rows] + 1
        mean = state["mean"][rows].lerp_(slope, 1 - betas[0])
        square = state["square"][rows].mul_(betas[1]).addcmul_(slope, slope, value=1 - betas[1])
        state["step"][rows], state["mean"][rows], state["square"][rows] = step, mean, square
        mean_share, square_share = (1 - beta**step for beta in betas)
        table[rows] -= rate * (mean / mean_share) / ((square / square_share).sqrt() + eps)


def orthogonalised(matrix: Tensor) -> Tensor:
    """Return a matrix ``[rows, columns]`` with singular values of about 1 (0.7 to 1.2) in place of its own, but for those
    that are next to nothing: five steps of Newton and Schulz' iteration with Jordan et al.'s coefficients. Zeros stay zeros."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(5):
        square = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(square, square, square, beta=-4.7750, alpha=2.0315), wide, beta=3.4445)
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T
