"""Ask of a network that a photo which is slightly noisy, or moved by a few pixels, becomes the same picture (noise-resilience
training: Rainy & de Berker, Element AI 2018). Videos then flicker less, and no optical flow is needed to train for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stylenet.network.padding import pad_by_reflection

# The standard deviation of the noise, in 0..1: about that of a phone's camera indoors. The farthest move, in pixels: the
# network's strides are 4, so that moves by less show it the photo at another phase.
_NOISE, _FARTHEST = 0.02, 3

# Variances below that of a difference of one 255th do not count, so that a picture of one colour divides by no zero.
_LEAST_VARIANCE = (1 / 255) ** 2


@dataclass(frozen=True, eq=False)
class Disturbed:
    """Photos that were disturbed, ``[B, 3, H, W]`` in about 0..1, and by how many pixels they were moved up and to the left."""

    photos: Tensor
    up: int
    left: int


def disturb(photos: Tensor, seed: Sequence[int]) -> Disturbed:
    """Return photos ``[B, 3, H, W]`` in 0..1 with noise, moved by up to three pixels; the same ones for the same seed."""
    random = np.random.default_rng(seed)
    up, left = (int(step) for step in random.integers(0, _FARTHEST + 1, 2))
    generator = torch.Generator().manual_seed(int(random.integers(2**62)))
    noise = torch.randn(photos.shape, generator=generator).to(photos)
    moved = pad_by_reflection(photos[..., up:, left:], (0, left, 0, up))
    return Disturbed((moved + _NOISE * noise).contiguous(memory_format=torch.channels_last), up, left)


def instability(styled: Tensor, again: Tensor, disturbed: Disturbed) -> Tensor:
    """Return how far styled photos are from those that were styled from disturbed ones: 0 for the same pictures, about 1 for
    pictures that have nothing to do with each other.

    Args:
        styled: ``[B, 3, H, W]``, of the photos as they are.
        again: ``[B, 3, H, W]``, of the disturbed photos.
        disturbed: how these were moved.
    """
    height, width = styled.shape[-2:]
    before = styled[..., disturbed.up :, disturbed.left :]
    after = again[..., : height - disturbed.up, : width - disturbed.left]
    variance = styled.detach().var().clamp_min(_LEAST_VARIANCE)
    return (before - after).square().mean() / (2 * variance)
