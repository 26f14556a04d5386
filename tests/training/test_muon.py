"""Muon against the polar factor and torch's own Adam."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from stylenet.network.transform_net import PRESETS, TransformNet
from stylenet.training.muon import Muon, orthogonalised


def matrix(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(16, 144), (144, 16), (1, 9)])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_orthogonalised_is_near_the_polar_factor(shape: tuple[int, int], size: float) -> None:
    given = matrix(*shape) * size
    left, _, right = torch.linalg.svd(given, full_matrices=False)
    singular = torch.linalg.svdvals(orthogonalised(given))
    assert float(singular.min()) > 0.65
    assert float(singular.max()) < 1.25
    assert float((orthogonalised(given) - left @ right).norm()) < 0.35 * float((left @ right).norm())


def test_nothing_stays_nothing() -> None:
    assert not orthogonalised(torch.zeros(3, 5)).any()


def test_a_step_has_the_size_of_one_of_adam() -> None:
    """0.2 times the rate, root mean square over the matrix, whatever the gradient's size."""
    for scale in (1e-4, 1e4):
        weight = nn.Parameter(torch.zeros(32, 16, 3, 3))
        weight.grad = matrix(32, 144).reshape(32, 16, 3, 3) * scale
        Muon([weight], [], lr=0.1).step()
        assert float(weight.detach().square().mean().sqrt()) == pytest.approx(0.02, rel=0.2)
        assert float((weight.detach() * weight.grad).sum()) < 0


def test_momentum_is_nesterovs() -> None:
    first, second = matrix(4, 9, 1), matrix(4, 9, 2)
    weight = nn.Parameter(torch.zeros(4, 9))
    optimizer = Muon([weight], [], lr=1.0, momentum=0.9)
    weight.grad = first.clone()
    optimizer.step()
    before = weight.detach().clone()
    weight.grad = second.clone()
    optimizer.step()
    expected = -0.2 * 3 * orthogonalised(second + 0.9 * (second + 0.9 * first))
    assert torch.allclose(weight.detach() - before, expected, atol=1e-5)


def test_the_others_are_moved_by_torchs_adam() -> None:
    ours = [nn.Parameter(matrix(3, 5)), nn.Parameter(matrix(1, 7)[0])]
    theirs = copy.deepcopy(ours)
    optimizers = [Muon([], ours, lr=0.02), torch.optim.Adam(theirs, lr=0.02)]
    for step in range(5):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.sin(mine.detach() * (step + 1))
            other.grad = torch.sin(other.detach() * (step + 1))
        for optimizer in optimizers:
            optimizer.step()
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, other, atol=1e-6)


def test_weights_without_a_gradient_stay() -> None:
    weights = [nn.Parameter(matrix(3, 5)), nn.Parameter(matrix(3, 5))]
    Muon(weights[:1], weights[1:], lr=1.0).step()
    assert all(torch.equal(weight, matrix(3, 5)) for weight in weights)


def test_it_goes_on_from_its_state() -> None:
    def steps(optimizer: Muon, weights: list[nn.Parameter], count: int) -> None:
        for _ in range(count):
            for weight in weights:
                weight.grad = torch.sin(3 * weight.detach())
            optimizer.step()

    weights = [nn.Parameter(matrix(4, 9)), nn.Parameter(matrix(1, 9)[0])]
    optimizer = Muon(weights[:1], weights[1:], lr=0.1)
    steps(optimizer, weights, 3)
    resumed = copy.deepcopy(weights)
    other = Muon(resumed[:1], resumed[1:], lr=0.5)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    steps(optimizer, weights, 3)
    steps(other, resumed, 3)
    assert all(torch.equal(weight, again) for weight, again in zip(weights, resumed, strict=True))


@pytest.mark.parametrize(("preset", "count"), [("standard", 14), ("swift", 12)])
def test_the_inner_convolutions_of_a_network(preset: str, count: int) -> None:
    net = TransformNet(PRESETS[preset])
    inner = net.inner_convolutions
    assert len(inner) == count
    assert not any(weight is net.down1.conv.weight or weight is net.last.conv.weight for weight in inner)
    assert any(weight is net.blocks[0].first.conv.weight for weight in inner)
