"""The image transformation network: downsample, residual blocks, upsample (Johnson, Alahi & Fei-Fei, ECCV 2016, and its
supplementary material, table 1), the whole of it in this file.

It differs from the paper as the field's networks do: instance instead of batch normalisation (Ulyanov et al.,
arXiv:1607.08022), bilinear upsampling and a convolution instead of a transposed one (Odena et al., "Deconvolution
and Checkerboard Artifacts", Distill 2016), reflection padding at every convolution, and a linear output. The paper's own
choices are there on request.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylenet.choices import check_choices
from stylenet.errors import InputError
from stylenet.losses.vgg import INPUT_SPACES, InputSpace
from stylenet.network.padding import Padding, pad_by_reflection

# Mean and variance of one normalisation layer, each ``[B, C]`` in float32.
Statistics = tuple[Tensor, Tensor]

# What a normalisation layer can be given instead of using its values' own: statistics, or a function from the values to them.
GivenStatistics = Statistics | Callable[[Tensor], Statistics]

# Below this the padding of the deepest convolution would have nothing to reflect.
SMALLEST_SIDE = 8

# One unit of ``centred``, as a share of the range. Adam moves each weight by about its rate, and the last layer sums 2,592 of
# them: with numbers in 0..1 one step repaints the whole picture. Larger and smaller units learn more slowly (docs/notes).
_TWENTIETH = 0.05

# Beyond these a network would not fit into any memory: of width 512 it has 430 million parameters.
_WIDEST, _DEEPEST = 512, 100

_SPACES = {
    "centred": InputSpace(1.0, (0.5,) * 3, (_TWENTIETH,) * 3),
    "unit": InputSpace(1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "bytes": InputSpace(255.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "imagenet": INPUT_SPACES["torchvision"],
}


@dataclass(frozen=True)
class NetSettings:
    """The shape of a transformation network.

    Attributes:
        width: channels after the first convolution; doubled at each of the two downsamplings.
        residual_blocks: number of residual blocks, at a quarter of the resolution.
        norm: ``instance`` (Ulyanov et al.) or ``batch`` (Johnson et al.).
        upsample: ``bilinear`` or ``nearest``, then a 3x3 convolution (Odena et al., Distill 2016), or ``transposed``
            (convolution of stride 2, as in the paper). After ``nearest`` the convolution weighs even and odd pixels
            differently, which leaves a weave of 4 pixels for a thousand steps: its checkerboard index was 52 where that of
            ``bilinear`` was 19.
        output: ``linear``; ``tanh``, scaled to reach a little beyond 0..1 (the paper's "scaled tanh"); or ``relu``.
        space: the numbers that the convolutions work on: ``centred`` (-10..10 around the middle grey), ``unit`` (0..1),
            ``bytes`` (0..255) or ``imagenet`` (mean and standard deviation). Pictures are 0..1 outside, whatever it is.
        residual_relu: ReLU after a block's second normalisation too, before the addition.
        stem: 1, or 2 for a network whose first and last layer take and give squares of 2 x 2 pixels as channels (Shi et al.,
            arXiv:1609.05158), and average neighbours at the exit: no convolution works at full resolution, and one layer less
            is needed each way.
    """

    width: int = 32
    residual_blocks: int = 5
    norm: Literal["instance", "batch"] = "instance"
    upsample: Literal["bilinear", "nearest", "transposed"] = "bilinear"
    output: Literal["linear", "tanh", "relu"] = "linear"
    space: Literal["centred", "unit", "bytes", "imagenet"] = "centred"
    residual_relu: bool = False
    stem: Literal[1, 2] = 1

    def __post_init__(self) -> None:
        check_choices(self)
        if not (1 <= self.width <= _WIDEST and 0 <= self.residual_blocks <= _DEEPEST):
            raise InputError(
                f"a network of width {self.width:,} with {self.residual_blocks:,} residual blocks: width must be from 1 to"
                f" {_WIDEST}, residual_blocks from 0 to {_DEEPEST}"
            )


Preset = Literal["standard", "half", "quarter", "swift"]

# ``standard`` has the 1,679,235 parameters of the field's networks (pytorch/examples and its descendants).
PRESETS: dict[str, NetSettings] = {
    "standard": NetSettings(),
    "half": NetSettings(width=16),
    "quarter": NetSettings(width=8),
    # An eighth of the arithmetic of ``standard``, hardly any of it at full resolution.
    "swift": NetSettings(width=24, stem=2),
}


class TransformNet(nn.Module):
    """Turns pictures ``[B, 3, H, W]`` in 0..1 into styled ones of exactly the same size, about 0..1.

    Any height and width from 8 pixels: inside, the picture is padded by reflection to a multiple of 4.

    Args:
        settings: shape of the network; ``standard`` by default.
    """

    def __init__(self, settings: NetSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or NetSettings()
        width, norm, up, stem = self.settings.width, self.settings.norm, self.settings.upsample, self.settings.stem
        colours, kernel = 3 * stem**2, 9 if stem == 1 else 5
        deepest = 4 * width // stem
        self.down1 = ConvLayer(colours, width, kernel, norm=norm)
        self.down2 = ConvLayer(width, 2 * width, stride=2, norm=norm)
        self.down3 = ConvLayer(2 * width, 4 * width, stride=2, norm=norm) if stem == 1 else None
        self.blocks = nn.ModuleList(
            ResidualBlock(deepest, norm, self.settings.residual_relu) for _ in range(self.settings.residual_blocks)
        )
        self.up1 = ConvLayer(deepest, deepest // 2, norm=norm, upsample=up)
        self.up2 = ConvLayer(2 * width, width, norm=norm, upsample=up) if stem == 1 else None
        self.last = ConvLayer(width, colours, kernel, norm=None, relu=False)
        nn.init.zeros_(self.last.conv.bias)  # type: ignore[arg-type]  # training begins near the space's middle
        self.space = _SPACES[self.settings.space]

    def forward(self, picture: Tensor, statistics: Sequence[GivenStatistics] | None = None) -> Tensor:
        """Return the styled picture.

        Args:
            picture: ``[B, 3, H, W]``, RGB, sRGB-encoded, 0..1.
            statistics: mean and variance for every instance normalisation in order (:attr:`norm_count` of them), instead of the
                picture's own, or functions that work them out from the values: a tile wants those of the whole picture, a video
                those of its neighbours.

        Raises:
            InputError: for a picture below 8 pixels a side.
        """
        given: Iterator[GivenStatistics | None] = itertools.repeat(None) if statistics is None else iter(statistics)
        height, width = picture.shape[-2:]
        values = self._enter(picture)
        for layer in self.down:
            values = layer(values, next(given))
        for block in self.blocks:
            values = block(values, next(given), next(given))
        for layer in self.up:
            values = layer(values, next(given))
        styled = self.leave(self.last(values))
        return _cropped(styled, height, width) if _exporting() else styled[..., :height, :width]

    @property
    def down(self) -> list[ConvLayer]:
        """Return the layers before the blocks."""
        return [layer for layer in (self.down1, self.down2, self.down3) if layer is not None]

    @property
    def up(self) -> list[ConvLayer]:
        """Return the layers between the blocks and the last one."""
        return [layer for layer in (self.up1, self.up2) if layer is not None]

    @property
    def inner_convolutions(self) -> list[nn.Parameter]:
        """Return the kernels between the first layer, which reads colours, and the last, which writes them."""
        outer = (self.down1.conv.weight, self.last.conv.weight)
        return [weight for weight in self.parameters() if weight.ndim == 4 and all(weight is not other for other in outer)]

    @property
    def norm_count(self) -> int:
        """How many instance normalisations there are, in the order of the forward pass."""
        return sum(isinstance(module, InstanceNorm) for module in self.modules())

    def _enter(self, picture: Tensor) -> Tensor:
        height, width = picture.shape[-2:]
        if _exporting():
            return self.enter(_to_multiples_of_4(picture))
        below, right = -height % 4, -width % 4
        check_sides(height, width)
        return self.enter(pad_by_reflection(picture, (0, right, 0, below)) if below or right else picture)

    def enter(self, picture: Tensor) -> Tensor:
        """Bring a picture ``[B, 3, H, W]`` in 0..1 into the network's space, ``[B, 3 stem², H / stem, W / stem]``."""
        values = self.space.preprocess(picture)
        return F.pixel_unshuffle(values, self.settings.stem) if self.settings.stem > 1 else values

    def leave(self, values: Tensor) -> Tensor:
        """Bring values back from the network's space, in float32. With a stem of 2 a pixel takes its neighbours' part as
        well."""
        values = values.float()
        if self.settings.stem > 1:
            values = _unwoven(F.pixel_shuffle(values, self.settings.stem))
        if self.settings.output == "tanh":
            # Johnson et al. and their code: 150 tanh around the middle grey of bytes.
            return 0.5 + 150 / 255 * torch.tanh(values)
        if self.settings.output == "relu":
            values = F.relu(values)
        return self.space.deprocess(values)


def _unwoven(values: Tensor) -> Tensor:
    """Average pixels ``[B, C, H, W]`` with their neighbours, 1 : 2 : 1 each way.

    Each place of a square of pixels has a kernel of its own, and different ones weave a pattern of 2 pixels, of which this
    filter lets nothing through (Sugawara et al., arXiv:1806.02658, with a kernel that does not shift the picture). Starting
    with equal kernels (Aitken et al., arXiv:1707.02937) and punishing the pattern in the loss were not enough (docs/notes).
    """
    padded = pad_by_reflection(values, (1, 1, 1, 1))  # slices: pooling takes ten times as long for three channels
    rows = padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]
    return (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 16


def _exporting() -> bool:
    """Return whether a program is made of the network that is to take pictures of any size. No size may be asked for then: the
    answer would be written into the program."""
    return bool(torch.compiler.is_exporting()) if hasattr(torch.compiler, "is_exporting") else torch.compiler.is_compiling()


def _to_multiples_of_4(picture: Tensor) -> Tensor:
    """Continue a picture ``[B, C, H, W]`` by reflection to multiples of 4, by looking pixels up.

    An exporter that traces F.pad by 0 to 3 pixels cannot tell for which sizes its program holds.
    """
    for dim in (2, 3):
        side = picture.shape[dim]
        index = torch.arange((side + 3) // 4 * 4, device=picture.device)
        picture = picture.index_select(dim, torch.where(index < side, index, 2 * (side - 1) - index))
    return picture


def _cropped(picture: Tensor, height: int, width: int) -> Tensor:
    """Return the upper left of a picture by looking pixels up: exporters want proof that a slice is not too long."""
    for dim, side in ((2, height), (3, width)):
        picture = picture.index_select(dim, torch.arange(side, device=picture.device))
    return picture


def check_sides(height: int, width: int) -> None:
    """Fail for a picture that the padding of the deepest convolution could not reflect.

    Raises:
        InputError: below 8 pixels a side.
    """
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(f"a picture of {width} x {height} pixels is too small: each side needs {SMALLEST_SIDE} or more")


class ConvLayer(nn.Module):
    """Upsampling if asked for, reflection padding, convolution, normalisation, ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        norm: str | None = "instance",
        relu: bool = True,
        upsample: str | None = None,
    ) -> None:
        super().__init__()
        self.padding, self.relu, self.upsample = kernel // 2, relu, upsample
        self.conv: nn.Conv2d | nn.ConvTranspose2d
        if upsample == "transposed":
            self.conv = nn.ConvTranspose2d(inputs, outputs, kernel, stride=2, padding=kernel // 2, output_padding=1)
        else:
            self.conv = nn.Conv2d(inputs, outputs, kernel, stride)
        self.norm = None if norm is None else InstanceNorm(outputs) if norm == "instance" else nn.BatchNorm2d(outputs)

    def forward(self, values: Tensor, statistics: GivenStatistics | None = None) -> Tensor:
        """Turn ``[B, inputs, h, w]`` into ``[B, outputs, h', w']``."""
        values = self.convolve(self.enlarge(values), (self.padding,) * 4)
        if isinstance(self.norm, InstanceNorm):
            values = self.norm(values, statistics)
        elif self.norm is not None:
            values = self.norm(values)
        return F.relu(values, inplace=True) if self.relu else values  # nothing else holds what the normalisation gave

    def enlarge(self, values: Tensor) -> Tensor:
        """Double the size where the layer begins with that, in the type of the convolution."""
        if self.upsample not in ("bilinear", "nearest"):
            return values
        values = values.to(_convolution_type(values))
        with torch.autocast(values.device.type, enabled=False):
            return F.interpolate(values, scale_factor=2, mode=self.upsample)

    def convolve(self, values: Tensor, padding: Padding) -> Tensor:
        """Convolve after a padding by reflection, given as left, right, above, below.

        Under autocast both are in its type. Left to itself, autocast would pad and enlarge in float32 on a processor, and
        copy to and fro.
        """
        dtype, conv = _convolution_type(values), self.conv
        with torch.autocast(values.device.type, enabled=False):
            assert conv.bias is not None
            weight, bias = conv.weight.to(dtype), conv.bias.to(dtype)
            if isinstance(conv, nn.ConvTranspose2d):
                return F.conv_transpose2d(values.to(dtype), weight, bias, conv.stride, self.padding, conv.output_padding)
            if values.dtype != dtype and values.shape[1] == _COLOURS:
                values, weight = _in_two_parts(values, weight)
            values = pad_by_reflection(values.to(dtype), padding)
            if conv.stride == (1, 1) and _pays_in_squares(values, weight):
                return _in_squares(values, weight, bias)
            return F.conv2d(values, weight, bias, conv.stride)


def _in_two_parts(values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Split float32 values ``[B, I, h, w]`` into ``[B, 2 I, h, w]`` of the kernel's shorter type, the rounded values and what
    rounding left; return them with the kernel ``[O, 2 I, k, k]`` that adds them up.

    Only the first layer gets float32. bfloat16 has fewer levels than a photo, and a network paints the steps that rounding
    leaves in an even sky. Squares of pixels (``stem``) are rounded as they are: they suffer less from it, and twice as many
    channels would cost them more (docs/notes).
    """
    rounded = values.to(weight.dtype)
    left = (values - rounded.float()).to(weight.dtype)
    both = torch.cat([rounded, left], dim=1)
    return both.contiguous(memory_format=torch.channels_last), torch.cat([weight, weight], dim=1)


_COLOURS = 3

# Instructions that work out 8 or 16 channels at once, whether so many are wanted or not.
_WIDE_VECTORS = torch.backends.cpu.get_cpu_capability().startswith("AVX")


def _pays_in_squares(values: Tensor, weight: Tensor) -> bool:
    """Tell whether a convolution gives so few channels that four places at once are cheaper, and height and width are even."""
    outputs, _, *kernel = weight.shape
    if _exporting():
        return False
    even = all((side - size) % 2 == 1 for side, size in zip(values.shape[2:], kernel, strict=True))
    return values.device.type == "cpu" and _WIDE_VECTORS and outputs <= 4 and even


def _in_squares(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve ``[B, I, h, w]`` with ``[O, I, k, k]``, squares of 2 x 2 places at a time.

    The same kernel at the four places of a square is one of ``k + 1`` a side with 4 O channels and a stride of 2. Vector
    instructions work out at least 8 channels, whether they are wanted or not.
    """
    places = [F.pad(weight, (right, 1 - right, below, 1 - below)) for below in (0, 1) for right in (0, 1)]
    squares = F.conv2d(values, torch.stack(places, dim=1).flatten(0, 1), bias.repeat_interleave(4), stride=2)
    return F.pixel_shuffle(squares, 2)


def _convolution_type(values: Tensor) -> torch.dtype:
    """Return autocast's type where it is on, else that of the values."""
    kind = values.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else values.dtype


class ResidualBlock(nn.Module):
    """Two convolutions and the way around them; no ReLU after the addition (Gross & Wilber, torch.ch, 2016)."""

    def __init__(self, channels: int, norm: str, relu: bool = False) -> None:
        super().__init__()
        self.first = ConvLayer(channels, channels, norm=norm)
        self.second = ConvLayer(channels, channels, norm=norm, relu=relu)

    def forward(self, values: Tensor, first: GivenStatistics | None = None, second: GivenStatistics | None = None) -> Tensor:
        """Return ``[B, C, h, w]`` plus what the two convolutions make of it."""
        result: Tensor = values + self.second(self.first(values, first), second)
        return result


class InstanceNorm(nn.Module):
    """Normalises each channel of each picture, then scales and shifts it (Ulyanov et al., arXiv:1607.08022).

    The same as ``nn.InstanceNorm2d(channels, affine=True)``, which copies channels-last tensors to the other layout and back:
    half of the time of a network in training. Statistics are float32 whatever the type of the values.

    ``weight`` and ``bias`` are ``[C]``, or ``[B, C]`` where each picture of a batch has a scale and shift of its own
    (Dumoulin, Shlens & Kudlur, "A Learned Representation for Artistic Style", ICLR 2017, eq. 5).
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, values: Tensor, statistics: GivenStatistics | None = None) -> Tensor:
        """Normalise ``[B, C, h, w]``, by the statistics of the values unless others are given."""
        given = statistics(values) if callable(statistics) else statistics
        if given is None and _exporting():
            return self._by_instance_norm(values)
        if _batch_norm_serves(values):
            return self._by_batch_norm(values, given)
        if given is None:
            normalised: Tensor = _Normalise.apply(values, self.weight, self.bias, self.eps)[0]
            return normalised
        mean, variance = given
        return _scaled(values.float(), mean, (variance + self.eps).rsqrt(), self.weight, self.bias).to(values.dtype)

    def _by_instance_norm(self, values: Tensor) -> Tensor:
        """Normalise by torch's own operator, which exporters know; scale and shift may be of one picture or of each."""
        normalised = F.instance_norm(values.float(), eps=self.eps)
        return torch.addcmul(self.bias[..., None, None], normalised, self.weight[..., None, None]).to(values.dtype)

    def _by_batch_norm(self, values: Tensor, given: Statistics | None) -> Tensor:
        """Normalise one picture at a time; statistics, scale and shift of one picture are for all."""
        count, own = len(values), given is None
        weights, biases = self.weight.expand(count, -1), self.bias.expand(count, -1)
        means, variances = ([None] * count,) * 2 if given is None else (part.expand(count, -1) for part in given)
        return joined(
            [
                F.batch_norm(picture, mean, variance, weight, bias, own, 0.0, self.eps)
                for picture, mean, variance, weight, bias in zip(
                    torch.split(values, 1), means, variances, weights, biases, strict=True
                )
            ]
        )


# Positions up to which torch's batch normalisation sums a channel well enough for 16 bits: it adds one to the next in float32,
# and at an offset of 30 standard deviations its mean is off by 1e-4 of one at 256 x 256, by 0.85 at 2048 x 2048.
_SUMS_WELL = 2**18


def _batch_norm_serves(values: Tensor) -> bool:
    """Tell whether batch normalisation of one picture at a time, which is the same, is good enough and faster: on a
    processor it reads and writes 16 bits where the passes below are over 32."""
    positions = values.shape[2] * values.shape[3]
    return values.device.type == "cpu" and values.dtype in (torch.bfloat16, torch.float16) and 1 < positions <= _SUMS_WELL


def joined(pictures: Sequence[Tensor]) -> Tensor:
    """Join batches into one; a single one is not copied."""
    return pictures[0] if len(pictures) == 1 else torch.cat(list(pictures))


def instance_statistics(values: Tensor) -> Statistics:
    """Return mean and (biased) variance over the positions of ``[B, C, h, w]``: two tensors ``[B, C]`` in float32."""
    _, mean, variance = _centred(values.float())
    return mean, variance


def _centred(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return float32 values less their mean, the mean, and the variance.

    Two passes over values and squares: torch.var_mean goes through channels-last tensors on one lane at a time, which is slow
    on a processor.
    """
    mean = values.mean(dim=(2, 3), keepdim=True)
    centred = values - mean
    return centred, mean[..., 0, 0], (centred * centred).mean(dim=(2, 3))


def _scaled(values: Tensor, mean: Tensor, inverse: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Compute ``weight (values - mean) inverse + bias`` as one multiply-add."""
    scale = weight * inverse
    shift = bias - mean * scale
    return torch.addcmul(shift[..., None, None], values, scale[..., None, None])


class _Normalise(torch.autograd.Function):
    """Instance normalisation with a gradient written out: autograd's passes over the whole tensor are twice as many.

    The gradient can be differentiated itself, by the slower way of :func:`_normalise_plainly`.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(values: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        centred, mean, variance = _centred(values.float())
        inverse = (variance + eps).rsqrt()
        if torch._C._functorch.maybe_current_level() is None:
            result = torch.addcmul(bias[..., None, None], centred, (weight * inverse)[..., None, None], out=centred)
        else:  # vmap knows no out=
            result = torch.addcmul(bias[..., None, None], centred, (weight * inverse)[..., None, None])
        return result.to(values.dtype), mean, inverse

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
        values, weight, bias, ctx.eps = inputs
        _, mean, inverse = output
        ctx.mark_non_differentiable(mean, inverse)
        ctx.save_for_backward(values, weight, bias, mean, inverse)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        values, weight, bias, mean, inverse = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient is to be differentiated itself
            plain = _normalise_plainly(values, weight, bias, ctx.eps)
            wanted = [tensor for tensor, needed in zip((values, weight, bias), ctx.needs_input_grad, strict=False) if needed]
            found = iter(torch.autograd.grad(plain, wanted, gradient, create_graph=True))
            return *(next(found) if needed else None for needed in ctx.needs_input_grad[:3]), None
        wide = gradient.float()
        standard = torch.addcmul((-mean * inverse)[..., None, None], values.float(), inverse[..., None, None])
        by_bias, by_weight = wide.sum(dim=(2, 3)), (wide * standard).sum(dim=(2, 3))
        # d values = weight inverse (gradient - mean(gradient) - standard mean(gradient standard))
        positions = values.shape[2] * values.shape[3]
        factor = (weight * inverse)[..., None, None]
        lowered = torch.addcmul(
            wide - by_bias[..., None, None] / positions, standard, by_weight[..., None, None], value=-1 / positions
        )
        if weight.ndim == 1:  # one scale and shift for all pictures
            by_weight, by_bias = by_weight.sum(dim=0), by_bias.sum(dim=0)
        return lowered.mul_(factor).to(values.dtype), by_weight, by_bias, None


def _normalise_plainly(values: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Return what :class:`_Normalise` does, by operations that autograd can differentiate as often as it likes."""
    centred, _, variance = _centred(values.float())
    standard = centred * (variance + eps).rsqrt()[..., None, None]
    return (weight[..., None, None] * standard + bias[..., None, None]).to(values.dtype)
