"""Oklab, a space of colours in which mixtures look mixed (Björn Ottosson, "A perceptual color space for image processing",
2020)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Matrix = Sequence[Sequence[float]]

# Linear sRGB to cone responses, and their cube roots to lightness, green-red and blue-yellow.
_CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_OPPONENT = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)


def to_oklab(picture: Tensor) -> Tensor:
    """Convert ``[B, 3, H, W]`` from sRGB in 0..1 to Oklab: lightness in 0..1 and two opponent colours of about -0.4..0.4."""
    # IEC 61966-2-1.
    linear = torch.where(picture <= 0.04045, picture / 12.92, ((picture.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)
    return channels(channels(linear, _CONES).clamp_min(0) ** (1 / 3), _OPPONENT)


def from_oklab(values: Tensor) -> Tensor:
    """Convert Oklab back to sRGB, the inverse of :func:`to_oklab`. Colours that sRGB does not have are cut to 0..1."""
    linear = channels(channels(values, _inverse(_OPPONENT)) ** 3, _inverse(_CONES)).clamp(0, 1)
    encoded = torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055)
    return encoded.clamp(0, 1)


def mix(pictures: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Return the weighted mean of pictures in Oklab. Where one weight is 1, the result is that picture to the bit.

    Args:
        pictures: ``[B, 3, H, W]`` each, in 0..1.
        weights: ``[B, 1, H, W]`` each, or of a shape that expands to it; they sum up to 1 at every pixel.
    """
    whole = [bool((weight >= 1).all()) for weight in weights]
    if any(whole):
        return pictures[whole.index(True)]
    result = from_oklab(sum((to_oklab(p) * w for p, w in zip(pictures, weights, strict=True)), torch.zeros(())))
    for picture, weight in zip(pictures, weights, strict=True):
        result = torch.where(weight >= 1, picture, result)
    return result


def channels(picture: Tensor, matrix: Matrix) -> Tensor:
    """Multiply ``[B, C, H, W]`` by a matrix of ``D`` rows and ``C`` columns, which gives ``[B, D, H, W]``."""
    result: Tensor = torch.einsum("dc,bchw->bdhw", picture.new_tensor(matrix), picture)
    return result


def _inverse(matrix: Matrix) -> Matrix:
    inverse: list[list[float]] = torch.linalg.inv(torch.tensor(matrix, dtype=torch.float64)).tolist()
    return inverse
