"""Padding by reflection in two ways, which give the same numbers and the same gradients."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import stylenet
from stylenet.network.padding import join_reflections, pad_by_reflection
from stylenet.network.transform_net import NetSettings, TransformNet

CASES = [
    ((8, 8), (1, 1, 1, 1)),
    ((5, 7), (4, 4, 4, 4)),
    ((9, 4), (3, 0, 0, 2)),
    ((3, 11), (0, 3, 1, 0)),
    ((1, 6), (5, 5, 0, 0)),
    ((7, 5), (0, 0, 0, 0)),
]


@pytest.mark.parametrize(("size", "padding"), CASES)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_both_ways_are_the_same(
    size: tuple[int, int], padding: tuple[int, int, int, int], memory_format: torch.memory_format
) -> None:
    """Of whole numbers, so that no order of adding makes a difference."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(-9, 10, (2, 3, *size), generator=generator).float().contiguous(memory_format=memory_format)
    values.requires_grad_()
    expected = F.pad(values, padding, mode="reflect")
    weights = torch.randint(-9, 10, expected.shape, generator=generator).float()
    [slope] = torch.autograd.grad((expected * weights).sum(), values)
    for pad in (pad_by_reflection, join_reflections):
        result = pad(values, padding)
        assert torch.equal(result, expected)
        assert torch.equal(torch.autograd.grad((result * weights).sum(), values)[0], slope)


@pytest.mark.parametrize(("size", "padding"), [((1, 1), (0, 1, 0, 0)), ((4, 2), (2, 0, 0, 0)), ((3, 5), (0, 0, 0, 3))])
def test_what_is_too_wide_is_refused_by_both(size: tuple[int, int], padding: tuple[int, int, int, int]) -> None:
    for pad in (pad_by_reflection, join_reflections):
        with pytest.raises(RuntimeError):
            pad(torch.rand(1, 1, *size), padding)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("stem", [1, 2])
def test_a_network_whose_padding_is_joined(stem: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a deterministic training on a GPU, at a size that is no multiple of 4."""
    net = TransformNet(NetSettings(width=4, residual_blocks=1, stem=stem))
    photo = torch.rand(1, 3, 21, 18, generator=torch.Generator().manual_seed(0))
    results = []
    for joined in (False, True):
        if joined:
            monkeypatch.setattr("stylenet.network.transform_net.pad_by_reflection", join_reflections)
        net.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            styled = net(photo)
        styled.square().sum().backward()
        results.append((styled.detach(), net.down1.conv.weight.grad.clone()))
    (one, slope), (other, other_slope) = results
    assert torch.equal(one, other)
    assert float((slope - other_slope).norm()) <= (1e-5 if dtype == torch.float32 else 0.05) * float(slope.norm())


def test_a_training_pads_in_no_other_way() -> None:
    """Torch's own padding by reflection is refused in a deterministic training on a GPU. Strips are without a gradient."""
    rooms = Path(stylenet.__file__).parent
    files = [path for room in ("losses", "network", "training") for path in (rooms / room).glob("*.py")]
    using = {path.name for path in files if re.search(r'pad\(.*"reflect"', path.read_text())}
    assert using == {"padding.py", "tiling.py"}
