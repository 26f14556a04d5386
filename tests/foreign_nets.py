"""The networks of three other repositories, written from their descriptions with torch's own layers: what our loaders are held
against."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


class Reflected(nn.Module):
    """``conv2d`` behind a reflection padding, after an upsampling."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, upsample: int = 1) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(inputs, outputs, kernel, stride)
        self.kernel, self.upsample = kernel, upsample

    def forward(self, x: Tensor) -> Tensor:
        if self.upsample > 1:
            x = F.interpolate(x, scale_factor=self.upsample)
        return self.conv2d(F.pad(x, [self.kernel // 2] * 4, "reflect"))


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = Reflected(channels, channels, 3), Reflected(channels, channels, 3)
        self.in1, self.in2 = nn.InstanceNorm2d(channels, affine=True), nn.InstanceNorm2d(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.in2(self.conv2(F.relu(self.in1(self.conv1(x)))))


class Nested(nn.Module):
    """A layer whose convolution lies one level deeper."""

    def __init__(self, *args: int) -> None:
        super().__init__()
        self.conv2d = Reflected(*args)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2d(x)


class Numbered(nn.Module):
    """pytorch/examples (``ups`` = deconv, bytes) and gordicaleksa (``ups`` = up, ImageNet statistics)."""

    def __init__(self, ups: str, width: int = 8) -> None:
        super().__init__()
        self.ups = ups
        layer = Reflected if ups == "deconv" else Nested
        self.conv1, self.in1 = Reflected(3, width, 9), nn.InstanceNorm2d(width, affine=True)
        self.conv2, self.in2 = Reflected(width, 2 * width, 3, 2), nn.InstanceNorm2d(2 * width, affine=True)
        self.conv3, self.in3 = Reflected(2 * width, 4 * width, 3, 2), nn.InstanceNorm2d(4 * width, affine=True)
        for index in range(1, 6):
            setattr(self, f"res{index}", Residual(4 * width))
        setattr(self, f"{ups}1", layer(4 * width, 2 * width, 3, 1, 2))
        self.in4 = nn.InstanceNorm2d(2 * width, affine=True)
        setattr(self, f"{ups}2", layer(2 * width, width, 3, 1, 2))
        self.in5 = nn.InstanceNorm2d(width, affine=True)
        setattr(self, f"{ups}3", Reflected(width, 3, 9))

    def forward(self, x: Tensor) -> Tensor:
        for index in (1, 2, 3):
            x = F.relu(getattr(self, f"in{index}")(getattr(self, f"conv{index}")(x)))
        for index in range(1, 6):
            x = getattr(self, f"res{index}")(x)
        for index in (1, 2):
            x = F.relu(getattr(self, f"in{index + 3}")(getattr(self, f"{self.ups}{index}")(x)))
        return getattr(self, f"{self.ups}3")(x)

    def picture(self, x: Tensor) -> Tensor:
        """0..1 to 0..1."""
        return self(x * 255) / 255 if self.ups == "deconv" else self((x - MEAN) / STD) * STD + MEAN


class Block(nn.Module):
    """eriklindernoren's ConvBlock; its ``relu=False`` is never None, so that it applies a ReLU all the same."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, upsample: bool = False, norm: bool = True
    ) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.ReflectionPad2d(kernel // 2), nn.Conv2d(inputs, outputs, kernel, stride))
        self.norm = nn.InstanceNorm2d(outputs, affine=True) if norm else None
        self.upsample = upsample

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(F.interpolate(x, scale_factor=2) if self.upsample else x)
        return F.relu(x if self.norm is None else self.norm(x))


class Skip(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(Block(channels, channels, 3), Block(channels, channels, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) + x


class Sequenced(nn.Module):
    """eriklindernoren."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.model = nn.Sequential(
            Block(3, width, 9),
            Block(width, 2 * width, 3, 2),
            Block(2 * width, 4 * width, 3, 2),
            *[Skip(4 * width) for _ in range(5)],
            Block(4 * width, 2 * width, 3, upsample=True),
            Block(2 * width, width, 3, upsample=True),
            Block(width, 3, 9, norm=False),
        )

    def picture(self, x: Tensor) -> Tensor:
        """0..1 to 0..1."""
        return self.model((x - MEAN) / STD) * STD + MEAN


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """With weights that nothing is neutral to: normalisations scale and shift too."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return network.eval()
