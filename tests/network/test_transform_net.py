"""The network: shape, size, normalisation, against torch's own layers."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from foreign_nets import randomised
from torch import nn

from stylenet.errors import InputError
from stylenet.network import transform_net
from stylenet.network.transform_net import PRESETS, ConvLayer, InstanceNorm, NetSettings, TransformNet, instance_statistics


def pictures(height: int, width: int, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(height * 1000 + width))


def small(**options: object) -> TransformNet:
    return randomised(TransformNet(NetSettings(width=4, residual_blocks=2, **options)))


def test_parameters_of_the_fields_own_network() -> None:
    assert sum(p.numel() for p in TransformNet().parameters()) == 1_679_235
    counts = [sum(p.numel() for p in TransformNet(PRESETS[name]).parameters()) for name in ("half", "quarter", "swift")]
    assert counts == [424_899, 108_771, 244_236]


@pytest.mark.parametrize("height", [8, 9, 10, 11, 12, 13, 31])
@pytest.mark.parametrize("width", [8, 11, 50])
def test_output_has_the_inputs_size(height: int, width: int) -> None:
    for stem in (1, 2):
        assert small(stem=stem)(pictures(height, width)).shape == (2, 3, height, width)


def test_stem_takes_and_gives_squares_of_pixels() -> None:
    net = small(stem=2, space="unit")
    photo = pictures(12, 16)
    squares = net.enter(photo)
    assert squares.shape == (2, 12, 6, 8)
    assert torch.equal(squares[:, 1], photo[:, 0, ::2, 1::2])
    middle = net.leave(squares)[..., 1:-1, 1:-1]
    kernel = torch.tensor([1.0, 2.0, 1.0]) / 4
    blurred = sum(kernel[i] * kernel[j] * photo[..., i : i + 10, j : j + 14] for i in range(3) for j in range(3))
    assert torch.allclose(middle, torch.as_tensor(blurred), atol=1e-6)


def test_places_of_a_square_weave_no_pattern() -> None:
    """Twelve numbers that are the same everywhere are one colour, whatever they are."""
    net = small(stem=2, space="unit")
    styled = net.leave(torch.rand(1, 12, 1, 1, generator=torch.Generator().manual_seed(1)).expand(1, 12, 8, 9))
    assert torch.allclose(styled, styled[..., :1, :1].expand_as(styled), atol=1e-6)


@pytest.mark.parametrize("stem", [0, 3, 4])
def test_stem_is_one_or_two(stem: int) -> None:
    with pytest.raises(InputError, match=f"stem is {stem}"):
        NetSettings(stem=stem)


@pytest.mark.parametrize(
    "options", [{"norm": "batch"}, {"upsample": "transposed"}, {"output": "tanh"}, {"output": "relu"}], ids=str
)
def test_variants(options: dict[str, object]) -> None:
    net, plain = small(**options), small()
    assert net(pictures(21, 34)).shape == (2, 3, 21, 34)
    if "upsample" not in options:
        plain.load_state_dict(net.state_dict(), strict="norm" not in options)
        assert not torch.allclose(net(pictures(21, 34)), plain(pictures(21, 34)), atol=1e-3)


def test_tanh_reaches_a_little_beyond_white() -> None:
    net = small(output="tanh")
    net.last.conv.weight.data.zero_()
    net.last.conv.bias.data.copy_(torch.tensor([-100.0, 0.0, 100.0]))
    values = net(pictures(16, 16))[0, :, 0, 0]
    assert values.tolist() == pytest.approx([0.5 - 150 / 255, 0.5, 0.5 + 150 / 255])


def test_size_below_8_is_an_error() -> None:
    with pytest.raises(InputError, match="7 x 20 pixels is too small"):
        small()(pictures(20, 7))


def test_padding_adds_nothing_that_is_seen() -> None:
    """A size that is no multiple of 4 is what its reflection to one is, cut."""
    net = small()
    x = pictures(21, 30)
    padded = torch.nn.functional.pad(x, (0, 2, 0, 3), mode="reflect")
    assert torch.allclose(net(x), net(padded)[..., :21, :30])


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_the_whole_network_is_torchs(mode: str) -> None:
    """Against the same network of nn.Sequential and nn.InstanceNorm2d, without a line of ours."""
    net = small(space="unit", upsample=mode)

    def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, relu: bool = True) -> list[nn.Module]:
        layers = [nn.ReflectionPad2d(kernel // 2), nn.Conv2d(inputs, outputs, kernel, stride)]
        return [*layers, nn.InstanceNorm2d(outputs, affine=True), *([nn.ReLU()] if relu else [])]

    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(*conv(16, 16), *conv(16, 16, relu=False))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.inner(x)

    reference = nn.Sequential(
        *conv(3, 4, 9), *conv(4, 8, 3, 2), *conv(8, 16, 3, 2), Skip(), Skip(),
        nn.Upsample(scale_factor=2, mode=mode), *conv(16, 8), nn.Upsample(scale_factor=2, mode=mode), *conv(8, 4),
        nn.ReflectionPad2d(4), nn.Conv2d(4, 3, 9),
    )  # fmt: skip
    ours, theirs = list(net.parameters()), list(reference.parameters())
    assert [p.shape for p in ours] == [p.shape for p in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        other.data.copy_(mine.data)
    x = pictures(24, 36)
    assert torch.allclose(net(x), reference(x), atol=1e-5)


def test_training_begins_near_the_middle_grey() -> None:
    """From noise over the whole range the first gradients are a thousand times those that follow, and Adam remembers them."""
    torch.manual_seed(0)
    x = pictures(64, 64)
    styled = TransformNet()(x).detach()
    assert float((styled.mean() - 0.5).abs()) < 0.02
    assert float(styled.std()) < 0.05
    assert float(TransformNet(NetSettings(space="unit"))(x).detach().std()) > 0.2


# --- normalisation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_instance_norm_is_torchs(layout: torch.memory_format, offset: float) -> None:
    values = (torch.randn(3, 6, 17, 19, generator=torch.Generator().manual_seed(0)) * 3 + offset).contiguous(
        memory_format=layout
    )
    values.requires_grad_()
    ours, theirs = randomised(InstanceNorm(6)), nn.InstanceNorm2d(6, affine=True)
    theirs.load_state_dict(ours.state_dict())
    weights = torch.randn(3, 6, 17, 19, generator=torch.Generator().manual_seed(1))
    tolerance = 1e-5 * max(offset, 1)
    assert torch.allclose(ours(values), theirs(values), atol=tolerance)
    gradients = [torch.autograd.grad((norm(values) * weights).sum(), [values, *norm.parameters()]) for norm in (ours, theirs)]
    for mine, other in zip(*gradients, strict=True):
        assert torch.allclose(mine, other, rtol=1e-3, atol=1e-4)


def test_instance_norm_in_bf16_has_statistics_in_float32() -> None:
    values = torch.randn(2, 4, 64, 64, generator=torch.Generator().manual_seed(0)) + 50
    mean, variance = instance_statistics(values.bfloat16())
    assert mean.dtype == variance.dtype == torch.float32
    assert torch.allclose(mean, values.bfloat16().double().mean(dim=(2, 3)).float(), atol=1e-4)
    normalised = InstanceNorm(4)(values.bfloat16())
    assert normalised.dtype == torch.bfloat16
    assert float(normalised.detach().float().std()) == pytest.approx(1, abs=0.05)


def test_statistics_from_outside() -> None:
    """Those of the whole picture make a tile's normalisation the whole's."""
    net = small()
    x = pictures(40, 40, 1)
    given = []

    def note(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        given.append(instance_statistics(inputs[0]))

    hooks = [m.register_forward_hook(note) for m in net.modules() if isinstance(m, InstanceNorm)]
    whole = net(x)
    for hook in hooks:
        hook.remove()
    assert len(given) == 3 + 2 * 2 + 2
    assert torch.allclose(net(x, given), whole, atol=1e-6)
    other = [(mean + 0.1, variance * 2) for mean, variance in given]
    assert not torch.allclose(net(x, other), whole, atol=1e-2)


# --- 16 bits, and what a processor does faster ------------------------------------------------------------------------


@pytest.mark.parametrize("upsample", ["bilinear", "nearest", "transposed"])
def test_all_layers_work_in_autocasts_type(monkeypatch: pytest.MonkeyPatch, upsample: str) -> None:
    """Left to itself, autocast would pad and enlarge in float32."""
    net = small(upsample=upsample)
    seen: dict[str, set[torch.dtype]] = {}
    for name in ("pad", "interpolate", "conv2d", "batch_norm"):
        kept = getattr(transform_net.F, name)

        def noted(values: torch.Tensor, *others: Any, name: str = name, kept: Any = kept, **options: Any) -> torch.Tensor:
            result: torch.Tensor = kept(values, *others, **options)
            seen.setdefault(name, set()).add(result.dtype)
            return result

        monkeypatch.setattr(transform_net.F, name, noted)
    with torch.autocast("cpu", torch.bfloat16):
        styled = net(pictures(24, 36))
    assert styled.dtype == torch.float32
    assert seen.keys() == {"pad", "conv2d", "batch_norm"} | ({"interpolate"} if upsample != "transposed" else set())
    assert set().union(*seen.values()) == {torch.bfloat16}
    monkeypatch.undo()
    assert 1e-4 < float((styled - net(pictures(24, 36))).detach().abs().mean()) < 0.02


def test_the_first_layer_sees_finer_steps_than_16_bits_have() -> None:
    """Around 9 the steps of bfloat16 are 1/16 wide."""
    layer = ConvLayer(3, 8, norm=None, relu=False)
    layer.conv.weight.data.zero_()
    layer.conv.weight.data[:, 0, 1, 1], layer.conv.weight.data[:, 0, 1, 2] = 1.0, -1.0
    layer.conv.bias.data.zero_()
    values = 9 + 0.02 * pictures(16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        steps = layer(values)
    assert steps.dtype == torch.bfloat16
    expected = layer(values)
    assert float(expected.abs().max()) < 1 / 32
    assert torch.allclose(steps.float(), expected, atol=2e-3)


def test_a_gradient_under_autocast_is_near_that_in_float32() -> None:
    net = small()
    gradients = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            value = (net(pictures(24, 36)) * pictures(36, 24).transpose(2, 3)).sum()
        gradients.append(torch.autograd.grad(value, list(net.blocks.parameters()))[4])
        assert gradients[-1].dtype == torch.float32
    assert float(torch.nn.functional.cosine_similarity(*(g.flatten() for g in gradients), dim=0)) > 0.95


@pytest.mark.parametrize("offset", [0.0, 30.0])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("side", [32, 600])  # below and above what batch normalisation is trusted with
def test_instance_norm_in_16_bits(offset: float, count: int, side: int) -> None:
    """As near as rounding to 16 bits allows."""
    values = (torch.randn(count, 4, side, side, generator=torch.Generator().manual_seed(0)) + offset).bfloat16()
    values = values.contiguous(memory_format=torch.channels_last).requires_grad_()
    norm, reference = randomised(InstanceNorm(4)), nn.InstanceNorm2d(4, affine=True).double()
    reference.load_state_dict(norm.state_dict())
    exact = values.detach().double().requires_grad_()
    ours, theirs = norm(values), reference(exact)
    assert float((ours - theirs).detach().abs().max()) < 0.02 * float(theirs.detach().abs().max())
    weights = torch.randn(*values.shape, generator=torch.Generator().manual_seed(1))
    mine = torch.autograd.grad((ours.float() * weights).sum(), [values, norm.weight, norm.bias])
    other = torch.autograd.grad((theirs * weights).sum(), [exact, reference.weight, reference.bias])
    for ours, theirs in zip(mine, other, strict=True):
        assert float((ours - theirs).norm()) < 0.02 * float(theirs.norm())


def test_instance_norm_in_16_bits_with_given_statistics() -> None:
    values = torch.randn(2, 4, 32, 32, generator=torch.Generator().manual_seed(0)).bfloat16()
    given = (torch.rand(2, 4), torch.rand(2, 4) + 0.5)
    norm = randomised(InstanceNorm(4))
    assert torch.allclose(norm(values, given).float(), norm(values.float(), given), rtol=0.01, atol=0.01)
    one = (given[0][:1], given[1][:1])  # for all pictures
    assert torch.allclose(norm(values, one).float(), norm(values.float(), one), rtol=0.01, atol=0.01)


@pytest.mark.parametrize(("height", "width"), [(16, 24), (13, 24), (16, 11), (5, 5)])
def test_few_channels_are_worked_out_in_squares(height: int, width: int) -> None:
    """Even sides by squares of places, odd ones plainly, both the same as torch's convolution."""
    layer = randomised(ConvLayer(6, 3, 9, norm=None, relu=False))
    values = torch.randn(2, 6, height, width, generator=torch.Generator().manual_seed(0), requires_grad=True)
    padded = torch.nn.functional.pad(values, (4, 4, 4, 4), mode="reflect")
    expected = torch.nn.functional.conv2d(padded.double(), layer.conv.weight.double(), layer.conv.bias.double())
    result = layer(values)
    assert torch.allclose(result.double(), expected, atol=1e-5)
    weights = torch.rand(result.shape, generator=torch.Generator().manual_seed(1))
    wanted = [values, layer.conv.weight, layer.conv.bias]
    gradients = [torch.autograd.grad((y * weights).sum(), wanted, retain_graph=True) for y in (result, expected)]
    for mine, other in zip(*gradients, strict=True):
        assert torch.allclose(mine, other, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not transform_net._WIDE_VECTORS, reason="a processor with other vectors")
def test_squares_are_quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    """2.8 times with AVX-512, 1.5 times with AVX2."""
    layer = ConvLayer(32, 3, 9, norm=None, relu=False).to(memory_format=torch.channels_last)
    values = torch.rand(1, 32, 192, 192).contiguous(memory_format=torch.channels_last)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    with torch.inference_mode():
        for _ in range(8):
            for squares, measured in seconds.items():
                monkeypatch.setattr(transform_net, "_WIDE_VECTORS", squares)
                began = time.process_time()
                layer(values)
                measured.append(time.process_time() - began)
    assert min(seconds[False]) > 1.1 * min(seconds[True])
