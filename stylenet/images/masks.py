"""Masks say where in a photo a style goes: ``[1, 1, H, W]``, 1 where the style is, 0 where it is not."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from stylenet.errors import InputError
from stylenet.images.color import luminance
from stylenet.images.picture import PictureLike, as_picture, check_single, resample

MaskLike = PictureLike

# A Gaussian is cut off beyond this many standard deviations.
_REACH = 3.0

# Sums in float32 miss 0 and 1 by less than this, and a mask that is not quite 1 is not the styled picture to the bit.
_ROUNDING = 1e-5


def read_mask(source: MaskLike, width: int, height: int, feather: float = 0.0) -> Tensor:
    """Read where a style goes: white there, black not, grey in between.

    Args:
        source: picture of the mask; see :func:`load_mask`.
        width, height: width and height of the photo, which the mask is stretched to.
        feather: softness of its edges: standard deviation of a Gaussian, in pixels of the photo.

    Returns:
        ``[1, 1, height, width]``, float32, 0..1.

    Raises:
        InputError: for what is no mask, or a feather that makes no sense.
    """
    if not 0 <= feather < math.inf:
        raise InputError(f"feather is {feather}: it must be 0 or more pixels")
    return soften(resample(load_mask(source), height, width), feather)


def load_mask(source: MaskLike) -> Tensor:
    """Return a mask ``[1, 1, h, w]``, float32, 0..1, at its own size.

    A picture with transparency is a cut-out: its opacity is the mask, whatever its colours are.

    Args:
        source: any picture that :func:`~stylenet.images.read_image` takes; also an array or a tensor ``[H, W]`` of bool,
            uint8 or float in 0..1.

    Raises:
        InputError: for anything else.
    """
    if isinstance(source, np.ndarray | Tensor):
        source = _three_channels(source)
    picture = as_picture(source, "the mask", allow_huge=True)  # of a photo that may be as large
    check_single(picture)
    cut_out = picture.alpha is not None and bool((picture.alpha < 1).any())
    return picture.alpha if cut_out and picture.alpha is not None else luminance(picture.pixels).clamp(0, 1)


def _three_channels(mask: np.ndarray | Tensor) -> np.ndarray | Tensor:
    """Return a mask ``[H, W]`` as a grey picture, and a picture as it is."""
    if isinstance(mask, np.ndarray):
        mask = mask.astype(np.uint8) * 255 if mask.dtype == np.bool_ else mask
        return np.repeat(mask[..., None], 3, axis=2) if mask.ndim == 2 else mask
    mask = mask.to(torch.uint8) * 255 if mask.dtype == torch.bool else mask
    return mask.expand(3, *mask.shape) if mask.ndim == 2 else mask


def soften(mask: Tensor, feather: float) -> Tensor:
    """Blur a mask ``[B, 1, H, W]`` by a Gaussian of ``feather`` pixels. Beyond its border the mask continues as it ends
    there."""
    reach = math.ceil(_REACH * feather)
    if reach:
        offsets = torch.arange(-reach, reach + 1, device=mask.device, dtype=mask.dtype)
        kernel = torch.exp(-0.5 * (offsets / feather) ** 2)
        kernel = kernel / kernel.sum()
        mask = F.conv2d(F.pad(mask, (reach, reach, 0, 0), mode="replicate"), kernel.view(1, 1, 1, -1))
        mask = F.conv2d(F.pad(mask, (0, 0, reach, reach), mode="replicate"), kernel.view(1, 1, -1, 1))
    return torch.where(mask > 1 - _ROUNDING, 1.0, torch.where(mask < _ROUNDING, 0.0, mask))
