"""Ask of a network that a photo with a little noise, moved by a few pixels, becomes the same picture, so that videos flicker
less. It needs no optical flow (after Jeffrey Rainy and Archy de Berker, "Stabilizing neural style-transfer for video",
Element AI, 2018, who add noise; the move is ours)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stylenet.network.padding import pad_by_reflection

# The standard deviation of the noise, in 0..1, and the farthest move, in pixels. The strides of a network multiply to 4, so a
# photo that moves by 4 pixels gives the same picture, moved. Only smaller moves disturb it.
_NOISE, _FARTHEST = 0.02, 3

# The least variance that is divided by: a grey picture has none.
_LEAST_VARIANCE = (1 / 255) ** 2


@dataclass(frozen=True, eq=False)
class Disturbed:
    """Photos that were disturbed, ``[B, 3, H, W]`` in about 0..1, and by how many pixels they were moved up and to the left."""

    photos: Tensor
    up: int
    left: int


def disturb(photos: Tensor, seed: Sequence[int]) -> Disturbed:
    """Return photos ``[B, 3, H, W]`` in 0..1 with noise, moved by 0 to 3 pixels; the same ones for the same seed."""
    random = np.random.default_rng(seed)
    up, left = (int(step) for step in random.integers(0, _FARTHEST + 1, 2))
    generator = torch.Generator(photos.device).manual_seed(int(random.integers(2**62)))
    noise = torch.randn(photos.shape, generator=generator, device=photos.device, dtype=photos.dtype)
    moved = pad_by_reflection(photos[..., up:, left:], (0, left, 0, up))
    return Disturbed((moved + _NOISE * noise).contiguous(memory_format=torch.channels_last), up, left)


def instability(styled: Tensor, again: Tensor, disturbed: Disturbed) -> Tensor:
    """Return how far styled photos are from those that were styled from disturbed ones: 0 for the same pictures, about 1 for
    pictures that have nothing to do with each other. It is the mean over the pictures.

    Args:
        styled: ``[B, 3, H, W]``, of the photos as they are.
        again: ``[B, 3, H, W]``, of the disturbed photos.
        disturbed: how these were moved.
    """
    height, width = styled.shape[-2:]
    before = styled[..., disturbed.up :, disturbed.left :]
    after = again[..., : height - disturbed.up, : width - disturbed.left]
    # Without a gradient, or a network would gain by contrast.
    variances = styled.detach().var(dim=(1, 2, 3)).clamp_min(_LEAST_VARIANCE)
    return ((before - after).square().mean(dim=(1, 2, 3)) / (2 * variances)).mean()
