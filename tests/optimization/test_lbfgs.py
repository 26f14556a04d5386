"""L-BFGS with its pairs in 16 bits, against torch's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stylenet.optimization import scratch
from stylenet.optimization.lbfgs import CompactLBFGS

SIZE = 60


def bowl(values: Tensor) -> Tensor:
    """A badly conditioned function with a curved valley."""
    strengths = torch.logspace(0, 2, SIZE)
    return (strengths * (values - 1).square()).sum() + (values[1:] - values[:-1].square()).square().sum()


def path(make: Callable[[Tensor], torch.optim.Optimizer], steps: int) -> tuple[list[float], Tensor]:
    values = torch.zeros(SIZE, requires_grad=True)
    optimizer = make(values)
    told: list[float] = []

    def closure() -> Tensor:
        values.grad = None
        loss = bowl(values)
        loss.backward()
        told.append(loss.item())
        return loss

    for _ in range(steps):
        optimizer.step(closure)
    return told, values.detach()


def of_torch(history: int, rate: float = 1.0) -> Callable[[Tensor], torch.optim.Optimizer]:
    none = {"tolerance_grad": 0, "tolerance_change": 0}
    return lambda values: torch.optim.LBFGS([values], lr=rate, max_iter=1, history_size=history, **none)


@pytest.mark.parametrize("history", [1, 3, 10])
@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_the_steps_of_torch(history: int, rate: float) -> None:
    """With pairs in float32, also when the oldest ones go."""
    expected, end = path(of_torch(history, rate), 15)
    told, values = path(lambda values: CompactLBFGS(values, rate, history, torch.float32), 15)
    assert told == pytest.approx(expected, rel=1e-3)
    torch.testing.assert_close(values, end, rtol=1e-2, atol=1e-3)


def test_16_bits_get_as_far() -> None:
    expected, _ = path(of_torch(10), 40)
    told, _ = path(lambda values: CompactLBFGS(values, history_size=10), 40)
    assert min(told) < 1.05 * min(expected)
    assert min(told) < 0.02 * told[0]


def test_pairs_in_a_file_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, _ = path(lambda values: CompactLBFGS(values, history_size=4), 12)
    monkeypatch.setattr(scratch, "IN_MEMORY", 100)
    monkeypatch.setattr("stylenet.optimization.lbfgs._PART", 7)
    told, _ = path(lambda values: CompactLBFGS(values, history_size=4), 12)
    assert told == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("gradient", [0.0, 1e-30])
def test_nothing_to_gain(gradient: float) -> None:
    values = torch.zeros(SIZE, requires_grad=True)
    optimizer = CompactLBFGS(values)

    def closure() -> Tensor:
        values.grad = torch.full_like(values, gradient)
        return values.sum()

    for _ in range(3):
        optimizer.step(closure)
    assert torch.isfinite(values).all()
