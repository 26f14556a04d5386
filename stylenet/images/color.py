"""Give a picture the colours of another one, and blend pictures, as functions of tensors ``[B, 3, H, W]`` in 0..1.

The three ways to keep a photo's colours are those of Gatys, Bethge, Hertzmann & Shechtman, "Preserving Color in Neural Artistic
Style Transfer" (arXiv:1606.05897). An optimization can bring the style pictures to the photo's colours before it begins
(:func:`match_colors`); a trained network is what it is, and its result is brought to them after (:func:`keep_colors`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from stylenet.errors import InputError
from stylenet.images.oklab import channels, mix
from stylenet.images.picture import resample

ColorMatch = Literal["luminance", "histogram", "covariance"]
KeepColors = Literal["none", "luminance", "histogram", "covariance"]

# Luminance as the Y of YIQ, the space of Gatys et al.: ITU-R BT.601, of sRGB-encoded values.
_LUMA = (0.299, 0.587, 0.114)

# A standard deviation below a quarter of one level of 8 bits is rounding: there is nothing in it to stretch.
_FLAT = 0.25 / 255

# Where the styled picture has nothing to do with the photo the fit is chance, and must not amplify.
_MOST = 2.0


def keep_colors(styled: Tensor, photo: Tensor, how: ColorMatch) -> Tensor:
    """Return a styled picture in the colours of its photo.

    Args:
        styled: ``[B, 3, H, W]`` in 0..1.
        photo: a picture of the same size.
        how: ``luminance``: light and dark from the styled picture, brought to the photo's mean and contrast, and the photo's
            colour pixel by pixel, so that every colour stays where it was; ``histogram`` or ``covariance``: the palette as a
            whole, as :func:`match_colors` does it.

    Returns:
        ``[B, 3, H, W]`` in 0..1.

    Raises:
        InputError: for another ``how``, or pictures of different sizes.
    """
    if how != "luminance":
        return match_colors(styled, photo, how)
    return exchange_luminance(photo, match_colors(styled, photo, "luminance"))


def exchange_luminance(photo: Tensor, styled: Tensor) -> Tensor:
    """Return the photo's colour with the luminance of a styled picture, both ``[B, 3, H, W]`` in 0..1.

    Raises:
        InputError: for pictures of different sizes.
    """
    if styled.shape[-2:] != photo.shape[-2:]:
        raise InputError(f"the photo is {_size(photo)} and the styled picture {_size(styled)}: luminance needs the same size")
    # In YIQ, exchanging Y alone adds the same number to red, green and blue.
    return _within_range(luminance(styled), photo - luminance(photo))


def match_colors(picture: Tensor, reference: Tensor, how: ColorMatch) -> Tensor:
    """Return a picture in the colours of another one, which may have any size.

    Args:
        picture: ``[B, 3, H, W]`` in 0..1.
        reference: ``[B, 3, h, w]`` in 0..1, or one for all.
        how: ``covariance``: the linear map that gives the picture the mean and covariance of the reference's RGB values, by
            symmetric square roots, which Gatys et al. prefer to Cholesky's. ``histogram``: after that, the distribution along
            each principal axis of the reference's colours; closer to it, and less smooth. ``luminance``: grey, with mean and
            standard deviation of the reference's luminance: what an optimization on luminance takes as its style.

    Returns:
        ``[B, 3, H, W]``, cut to 0..1.

    Raises:
        InputError: for another ``how``.
    """
    if how not in _MATCHES:
        raise InputError(f"colours cannot be matched by {how!r}: use {', '.join(get_args(ColorMatch))}")
    references = reference.to(picture).expand(picture.shape[0], -1, -1, -1)
    matched = [_MATCHES[how](one[None], other[None]) for one, other in zip(picture, references, strict=True)]
    return torch.cat(matched).clamp(0, 1)


def luminance(picture: Tensor) -> Tensor:
    """Return the luminance of a picture, the Y of YIQ, as ``[B, 1, H, W]`` in 0..1."""
    return torch.einsum("bchw,c->bhw", picture, picture.new_tensor(_LUMA))[:, None]


def blend(photo: Tensor, styled: Tensor, strength: float | Tensor) -> Tensor:
    """Return a picture between two others, mixed in Oklab (Ottosson 2020), where half way looks half way.

    Args:
        photo: ``[B, 3, H, W]`` in 0..1.
        styled: a picture of the same size.
        strength: 0 gives the photo and 1 the styled picture, to the bit; a number, or ``[B, 1, H, W]`` for each pixel.

    Raises:
        InputError: for a strength outside 0..1.
    """
    weights = strength if isinstance(strength, Tensor) else photo.new_full((1, 1, 1, 1), strength)
    if not bool(((weights >= 0) & (weights <= 1)).all()):
        raise InputError(f"strength is {'outside' if isinstance(strength, Tensor) else strength}: it must be from 0 to 1")
    return mix([photo, styled], [1 - weights, weights])


def combine(photo: Tensor, styled: Sequence[Tensor], masks: Sequence[Tensor]) -> Tensor:
    """Return the photo with each style where its mask is; where masks are grey, mix in Oklab
    (:func:`~stylenet.images.oklab.mix`).

    Args:
        photo: ``[B, 3, H, W]`` in 0..1.
        styled: pictures of the same size, one for each style.
        masks: ``[B, 1, H, W]`` or ``[1, 1, H, W]`` in 0..1, one for each style; or one less, and the last style goes wherever
            the others do not (two styles and one mask: its white is the first, its black the second). Where masks overlap,
            styles share the place in proportion.

    Returns:
        ``[B, 3, H, W]`` in 0..1: the photo or a styled picture to the bit where no other has a part.

    Raises:
        InputError: for another number of masks, or another size.
    """
    if not styled or len(masks) not in (len(styled), len(styled) - 1):
        raise InputError(f"{len(masks)} masks for {len(styled)} styles: give one for each style, or one less")
    for each in (*styled, *masks):
        if each.shape[-2:] != photo.shape[-2:]:
            wanted, found = (f"{t.shape[-1]} x {t.shape[-2]}" for t in (photo, each))
            raise InputError(f"the photo has {wanted} pixels, and a styled picture or a mask {found}: they must be alike")
    weights = [mask.to(photo) for mask in masks]
    covered = sum(weights, torch.zeros_like(photo[:, :1]))
    weights = [weight / covered.clamp_min(1) for weight in weights]
    rest = (1 - covered).clamp_min(0)
    if len(weights) < len(styled):
        return mix(list(styled), [*weights, rest])
    return mix([photo, *styled], [rest, *weights])


def restore_detail(photo: Tensor, styled: Tensor, radius: int = 4, smoothness: float = 1e-3, strength: float = 1.0) -> Tensor:
    """Bring a picture that was styled at another scale to the size of its photo, with the photo's edges.

    In every window of the small pictures a line is fitted from the photo's luminance to each styled channel, as in the guided
    filter (He, Sun & Tang, "Guided Image Filtering", PAMI 2013), computed small as in the fast one (He & Sun,
    arXiv:1505.00996). Both replace the picture by that line, which wipes out strokes that the photo knows nothing of. Here the
    styled picture is enlarged as it is, and the line's slope says how much of the detail that the photo lost in the same
    enlargement belongs on it: none where strokes ignore the photo, all of it on an edge that both have.

    Args:
        photo: ``[B, 3, H, W]`` in 0..1.
        styled: ``[B, 3, h, w]`` in 0..1; one that is larger than the photo is made smaller and left as it is.
        radius: half the window's side, in pixels of the styled picture.
        smoothness: variance of luminance below which a window counts as without edges.
        strength: strength of the detail; 0 for a plain enlargement.

    Returns:
        ``[B, 3, H, W]`` in 0..1.
    """
    height, width = photo.shape[-2:]
    enlarged = resample(styled, height, width)
    if styled.shape[-2] >= height or styled.shape[-1] >= width or not strength:
        return enlarged
    full = luminance(photo)
    guide = resample(full, int(styled.shape[-2]), int(styled.shape[-1]))
    detail = full - resample(guide, height, width)
    slope = F.interpolate(_slope(guide, styled, radius, smoothness), (height, width), mode="bilinear", align_corners=False)
    return (enlarged + strength * slope * detail).clamp(0, 1)


# --- the three ways ---------------------------------------------------------------------------------------------------


def _match_luminance(picture: Tensor, reference: Tensor) -> Tensor:
    own, other = luminance(picture), luminance(reference)
    spread = own.std(correction=0)
    factor = other.std(correction=0) / spread if spread > _FLAT else 0.0
    return ((own - own.mean()) * factor + other.mean()).expand_as(picture)


def _match_covariance(picture: Tensor, reference: Tensor) -> Tensor:
    mean, covariance = _moments(picture)
    other_mean, other_covariance = _moments(reference)
    matrix = _power(other_covariance, 0.5) @ _power(covariance, -0.5)
    return channels(picture - mean, matrix.tolist()) + other_mean


def _moments(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean ``[1, 3, 1, 1]`` and covariance ``[3, 3]`` of one picture; the covariance in float64 and on the processor."""
    mean = picture.mean(dim=(2, 3), keepdim=True)
    centred = (picture - mean).flatten(2)[0]
    return mean, (centred @ centred.T / centred.shape[1]).double().cpu()


def _power(covariance: Tensor, exponent: float) -> Tensor:
    """Return a power of a symmetric matrix. Directions of colour without variance, as a grey picture has two, stay without."""
    variances, directions = torch.linalg.eigh(covariance)
    powers = torch.where(variances > _FLAT**2, variances.clamp_min(_FLAT**2) ** exponent, 0.0)
    result: Tensor = (directions * powers) @ directions.T
    return result


def _match_histogram(picture: Tensor, reference: Tensor) -> Tensor:
    # Red, green and blue go together: matched one by one they make colours that neither picture has.
    axes = torch.linalg.eigh(_moments(reference)[1])[1].T.tolist()
    own, other = channels(_match_covariance(picture, reference), axes), channels(reference, axes)
    matched = [_match_distribution(own[0, c].flatten(), other[0, c].flatten()) for c in range(3)]
    return channels(torch.stack(matched).view_as(own), list(zip(*axes, strict=True)))


def _match_distribution(values: Tensor, reference: Tensor) -> Tensor:
    """Give numbers ``[n]`` the distribution of ``[m]`` others, and keep their order of size.

    Equal numbers stay equal: all have the middle of their ranks, so that a flat picture gets the reference's median.
    """
    _, index, counts = torch.unique(values, return_inverse=True, return_counts=True)
    ranks = _middle_ranks(counts)
    numbers, number_counts = torch.unique(reference, return_counts=True)
    knots = _middle_ranks(number_counts)
    above = torch.searchsorted(knots, ranks).clamp(max=len(knots) - 1)
    below = (above - 1).clamp(min=0)
    share = ((ranks - knots[below]) / (knots[above] - knots[below]).clamp_min(1e-12)).clamp(0, 1)
    result: Tensor = torch.lerp(numbers[below], numbers[above], share.to(values.dtype))[index]
    return result


def _middle_ranks(counts: Tensor) -> Tensor:
    """Return the share of the numbers below each distinct one, half of its own included."""
    # Whole numbers on the way: float32 loses count after 16 million.
    twice = 2 * counts.cumsum(0) - counts
    return (twice.double() if counts.device.type != "mps" else twice.float()) / (2 * counts.sum())


def _within_range(light: Tensor, chroma: Tensor) -> Tensor:
    """Add chroma ``[B, 3, H, W]`` of luminance 0 to luminance ``[B, 1, H, W]``, made paler where the sum would leave 0..1.

    Cutting channels off would change luminance, and with it strokes.
    """
    room = torch.where(chroma > 0, 1 - light, light)
    share = (room / chroma.abs().clamp_min(1e-12)).amin(dim=1, keepdim=True).clamp(0, 1)
    return (light + share * chroma).clamp(0, 1)


_MATCHES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "luminance": _match_luminance,
    "histogram": _match_histogram,
    "covariance": _match_covariance,
}


# --- sizes and windows ---------------------------------------------------------------------------------------------------


def _size(picture: Tensor) -> str:
    return f"{picture.shape[-1]} x {picture.shape[-2]} pixels"


def _slope(guide: Tensor, styled: Tensor, radius: int, smoothness: float) -> Tensor:
    """Fit lines from the guide ``[B, 1, h, w]`` to each channel ``[B, 3, h, w]``; return their slopes, averaged over a
    pixel's windows."""
    mean, styled_mean = _box(guide, radius), _box(styled, radius)
    variance = _box(guide * guide, radius) - mean * mean
    covariance = _box(guide * styled, radius) - mean * styled_mean
    return _box((covariance / (variance.clamp_min(0) + smoothness)).clamp(-_MOST, _MOST), radius)


def _box(values: Tensor, radius: int) -> Tensor:
    """Return means over windows of ``2 radius + 1`` pixels a side; at the border, over the part of the window inside the
    picture."""
    side = 2 * radius + 1
    across = F.avg_pool2d(values, (1, side), stride=1, padding=(0, radius), count_include_pad=False)
    return F.avg_pool2d(across, (side, 1), stride=1, padding=(radius, 0), count_include_pad=False)
