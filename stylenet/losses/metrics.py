"""Measure what the loss does not see in a styled picture: the faults that are known, and how far the style has come.

All need the loss network at most, and none a download.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from stylenet.losses.gram import gram_matrix

# Every style is measured at these layers, whatever it was trained on, so that styles and other programs can be compared.
STYLE_LAYERS = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]

# Rec. 709, on the encoded values: brightness as a display shows it.
_LUMA = (0.2126, 0.7152, 0.0722)

# Where upsampling leaves its pattern: periods of 2 and 4 pixels, in cycles per pixel down and across. 0.75 is -0.25, the other
# diagonal; the rest mirrors these, as the power of real values at -f is that at f.
_PATTERNS = [(0.5, 0.0), (0.0, 0.5), (0.5, 0.5), (0.25, 0.0), (0.0, 0.25), (0.25, 0.25), (0.25, 0.75), (0.25, 0.5), (0.5, 0.25)]


def checkerboard_index(styled: Tensor, photos: Tensor) -> Tensor:
    """Return how far periods of 2 and 4 pixels stand out of the spectrum (Odena et al., "Deconvolution and Checkerboard
    Artifacts", Distill 2016): 1 is as in the photos, 10 can be seen.

    The power at each of nine frequencies is compared with that of its neighbourhood; the largest of these ratios counts, over
    the photos' largest.

    Args:
        styled, photos: ``[B, 3, H, W]`` from 64 pixels a side.

    Returns:
        A scalar.
    """
    return _largest_peak(styled) / _largest_peak(photos)


def _largest_peak(pictures: Tensor) -> Tensor:
    height, width = (side // 4 * 4 for side in pictures.shape[-2:])
    luma = (pictures[..., :height, :width].float() * pictures.new_tensor(_LUMA).float().view(3, 1, 1)).sum(dim=1)
    down, across = (torch.hann_window(side, device=luma.device, dtype=torch.float32) for side in (height, width))
    window = down[:, None] * across[None]
    power = torch.fft.fft2((luma - luma.mean(dim=(1, 2), keepdim=True)) * window).abs().square().mean(dim=0)
    return torch.stack([_peak(power, round(rows * height), round(columns * width)) for rows, columns in _PATTERNS]).max()


def _peak(power: Tensor, row: int, column: int) -> Tensor:
    """Return the mean power of the 3 x 3 frequencies around one, over that of the 13 x 13 around it without the inner 5 x 5."""
    rows, columns = (
        torch.arange(centre - 6, centre + 7, device=power.device) % length
        for centre, length in zip((row, column), power.shape, strict=True)
    )
    around = power[rows][:, columns]
    outside = (around.sum() - around[4:9, 4:9].sum()) / (13**2 - 5**2)
    return around[5:8, 5:8].mean() / outside.clamp_min(1e-12)


def border_index(styled: Tensor, photos: Tensor, ring: int = 16) -> Tensor:
    """Return by how much more than in the photos the outermost pixels differ from the rest, as padding makes them do. It is the
    mean absolute difference of colour and of contrast, averaged over the batch first, since a frame is the same in every
    picture. 0 is none; 0.05 can be seen.

    Args:
        styled, photos: ``[B, 3, H, W]`` in 0..1.
        ring: width of the ring in pixels.
    """
    ours, theirs = (_ring_minus_inside(pictures.float(), ring) for pictures in (styled, photos))
    return (ours - theirs).abs().mean()


def _ring_minus_inside(pictures: Tensor, ring: int) -> Tensor:
    """Return the mean colour and standard deviation of the ring less those of the inside: ``[2, 3]``."""
    mask = torch.ones(pictures.shape[-2:], dtype=torch.bool, device=pictures.device)
    mask[ring:-ring, ring:-ring] = False
    outer, inner = pictures[..., mask], pictures[..., ~mask]
    colour = (outer.mean(dim=2) - inner.mean(dim=2)).mean(dim=0)
    contrast = (outer.std(dim=2) - inner.std(dim=2)).mean(dim=0)
    return torch.stack([colour, contrast])


def saturation(styled: Tensor) -> Tensor:
    """Return the share of values outside 0..1, which writing will clamp."""
    return ((styled < 0) | (styled > 1)).float().mean()


def style_errors(styled: Mapping[str, Tensor], photos: Mapping[str, Tensor], style: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ``|G_styled - G_style|² / |G_photo - G_style|²`` by layer: 1 for the untouched photo, 0 for the style's own
    statistics.

    Args:
        styled, photos: activations ``[B, C, h, w]`` by layer.
        style: Gram matrices ``[1, C, C]`` by layer.
    """
    result = {}
    for name, target in style.items():
        ours, theirs = ((gram_matrix(features[name]) - target).square().sum(dim=(1, 2)) for features in (styled, photos))
        result[name] = (ours / theirs.clamp_min(1e-30)).mean()
    return result


def content_lost(styled: Tensor, photos: Tensor) -> Tensor:
    """Return the mean squared difference of activations ``[B, C, h, w]`` over the variance of the photo's, averaged over the
    batch: 0 means that all content is kept, 2 is the value of an unrelated photo."""
    photos = photos.float()
    lost = (styled.float() - photos).square().mean(dim=(1, 2, 3))
    spread = (photos - photos.mean(dim=(2, 3), keepdim=True)).square().mean(dim=(1, 2, 3))
    return (lost / spread.clamp_min(1e-30)).mean()
