"""Hold what the optimiser moves: pixels, pixels in a network's input space, or the picture's spectrum."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from stylenet.losses.vgg import InputSpace
from stylenet.optimization.scratch import set_aside

Parametrisation = Literal["pixels", "input_space", "spectrum"]


class Pixels(nn.Module):
    """The picture itself as variables, in the units of an input space where one is given.

    Adam's learning rate is a step in these units, so a recipe that was written for ``(x - mean) / std`` needs them.
    """

    def __init__(self, picture: Tensor, space: InputSpace | None = None) -> None:
        super().__init__()
        self.space = space or InputSpace(1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        self.values = nn.Parameter(set_aside(self.space.preprocess(picture).contiguous()))

    def forward(self) -> Tensor:
        """Return the picture ``[1, 3, H, W]``, about 0..1."""
        return self.space.deprocess(self.values)

    @torch.no_grad()
    def clamp(self) -> None:
        """Move every pixel into 0..1."""
        self.values.copy_(self.space.preprocess(self().clamp(0, 1)))


class Spectrum(nn.Module):
    """A start picture plus a change whose low frequencies move more easily than its high ones.

    Pixels are a badly conditioned basis for this loss: fine texture is found at once, large strokes last. Scaling the
    change's spectrum with about 1/f, as that of natural pictures falls, is the preconditioner of Olah et al., "Feature
    Visualization" (Distill 2017, section "Preconditioning and Parameterization"). Plain L-BFGS then needs fewer steps to
    the same objective (docs/notes).
    """

    # Where the spectrum begins to fall, in cycles per pixel of 0.5 at most: larger features than 20 pixels move alike.
    corner = 0.05

    def __init__(self, picture: Tensor) -> None:
        super().__init__()
        self.start = picture
        height, width = picture.shape[-2:]
        down = torch.fft.fftfreq(height, device=picture.device)[:, None]
        across = torch.fft.rfftfreq(width, device=picture.device)[None]
        gain = self.corner / (self.corner**2 + down**2 + across**2).sqrt()
        self.gain = gain / gain.min()
        # Bytes' units give L-BFGS a sensible first step.
        self.values = nn.Parameter(set_aside(torch.zeros_like(picture, memory_format=torch.contiguous_format)))

    def forward(self) -> Tensor:
        """Return the picture ``[1, 3, H, W]``, about 0..1."""
        # Channel by channel: the transforms of a print take as much memory as ten pictures.
        channels = [
            start.add(torch.fft.irfft2(torch.fft.rfft2(change) * self.gain, s=change.shape[-2:]), alpha=1 / 255)
            for start, change in zip(self.start.unbind(dim=1), self.values.unbind(dim=1), strict=True)
        ]
        return torch.stack(channels, dim=1)

    @torch.no_grad()
    def clamp(self) -> None:
        """Move every pixel into 0..1, by starting afresh from the clamped picture."""
        picture = self()
        self.start = set_aside(picture.clamp(0, 1).sub_(picture).add_(self.start))
