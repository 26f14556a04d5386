"""The terms of the loss, as plain functions of tensors: content, Gram matrices, total variation, and the lattice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from stylenet.choices import check_choice
from stylenet.losses.gram import gram_matrix

ContentForm = Literal["mean", "sum", "half_sum"]

StyleDistance = Literal["gram", "wasserstein"]

StyleForm = Literal["gatys", "johnson", "raw", "keras"]

VariationForm = Literal["l1", "l2", "power"]

# Looked up here, so that compilers of torch meet nothing but a comparison.
_CONTENT_FORMS, _STYLE_FORMS, _VARIATION_FORMS = get_args(ContentForm), get_args(StyleForm), get_args(VariationForm)


def content_loss(features: Tensor, target: Tensor, form: ContentForm = "mean") -> Tensor:
    """Return the squared distance of activations ``[B, C, h, w]``, averaged over the batch.

    ``half_sum`` is Gatys et al., CVPR 2016, eq. 1; ``mean`` is Johnson et al., ECCV 2016, eq. 2.

    Raises:
        InputError: for another form.
    """
    if form not in _CONTENT_FORMS:
        check_choice("form", form, ContentForm)
    squared = (features.float() - target.float()).square()
    if form == "mean":
        return squared.mean()
    total = squared.sum() / len(features)
    return total / 2 if form == "half_sum" else total


@dataclass(frozen=True, eq=False)
class GramTarget:
    """The statistics that a style is compared by at one layer: sums over the places of pictures, divided by their number.

    Attributes:
        matrix: Gram matrices ``[B, C, C]``, of one style picture ``[1, C, C]``.
        positions: the places that they were averaged over.
        mean: means ``[B, C]`` of the activations, or None where only the matrix is known, as in older style files.
        root: the square roots of the covariances ``[B, C, C]``, where they have been computed already
            (:func:`~stylenet.losses.style_terms.covariance_root`).
    """

    matrix: Tensor
    positions: int
    mean: Tensor | None = None
    root: Tensor | None = None

    def to(self, device: torch.device | str) -> GramTarget:
        """Return a copy on another device."""
        mean, root = (None if one is None else one.to(device) for one in (self.mean, self.root))
        return replace(self, matrix=self.matrix.to(device), mean=mean, root=root)


def gram_target(features: Tensor, mean: bool = True) -> GramTarget:
    """Return the Gram matrices of activations ``[B, C, h, w]`` with the places, and their means if they are wanted."""
    places = features.shape[2] * features.shape[3]
    means = features.mean(dim=(2, 3), dtype=torch.float32) if mean else None
    return GramTarget(gram_matrix(features), places, means)


# What a loss needs to know of a style picture: the target of each layer by its name.
Grams = dict[str, GramTarget]


def moved(style: Tensor | Grams, device: torch.device) -> Tensor | Grams:
    """Return a style picture, or its Gram matrices, on a device."""
    if isinstance(style, Tensor):
        return style.to(device)
    return {name: target.to(device) for name, target in style.items()}


def style_loss(features: Tensor, target: GramTarget, form: StyleForm = "johnson", pixels: int | None = None) -> Tensor:
    """Return the squared distance between the Gram matrix of ``features [B, C, h, w]`` and a target, averaged over the batch.

    With N channels, M positions and unnormalised Gram matrices G and A:

    - ``gatys``: ``1 / (4 N² M²) sum (G - A)²`` (CVPR 2016, eq. 4); for a style picture of another size each of G and A
      is divided by its own M.
    - ``johnson``: mean of the squared difference of ``G / (N M)`` and ``A / (N M)`` (ECCV 2016, eqs. 3 and 4).
    - ``raw``: mean of ``(G - A)²``, divided by ``N M``.
    - ``keras``: ``sum (G - A)² / (4 * 3² * pixels²)`` with the pixels of the whole picture (Keras' example code).

    Raises:
        InputError: for another form.
    """
    return gram_distance(gram_matrix(features), features.shape[2] * features.shape[3], target, form, pixels)


def gram_distance(
    gram: Tensor, positions: int, target: GramTarget, form: StyleForm = "johnson", pixels: int | None = None
) -> Tensor:
    """Return what :func:`style_loss` does from a Gram matrix ``[B, C, C]`` that is at hand, averaged over ``positions``.

    Raises:
        InputError: for another form.
    """
    channels = gram.shape[1]
    if form not in _STYLE_FORMS:
        check_choice("form", form, StyleForm)
    if form == "gatys":
        return (gram - target.matrix).square().mean() / 4
    if form == "johnson":
        return (gram - target.matrix).square().mean() / channels**2
    unnormalised = (gram * positions - target.matrix * target.positions).square()
    if form == "raw":
        return unnormalised.mean() / (channels * positions)
    if pixels is None:
        raise ValueError("the form 'keras' needs the number of pixels of the picture")
    return unnormalised.sum() / len(gram) / (4 * 3**2 * pixels**2)


def total_variation(picture: Tensor, form: VariationForm = "l2", reduction: Literal["mean", "sum"] = "mean") -> Tensor:
    """Return the roughness of pictures ``[B, 3, H, W]`` from the differences of neighbours across and down.

    ``l1``: absolute, ``l2``: squared; each direction is reduced by itself and both are added. ``power``:
    ``(dx² + dy²)^1.25`` (Keras' example code). ``mean`` does not depend on the size of the picture; ``sum`` is a sum over
    one picture, averaged over the batch.

    Raises:
        InputError: for another form or reduction.
    """
    if form not in _VARIATION_FORMS:
        check_choice("form", form, VariationForm)
    if reduction not in ("mean", "sum"):
        check_choice("reduction", reduction, Literal["mean", "sum"])
    across = picture[..., :, 1:] - picture[..., :, :-1]
    down = picture[..., 1:, :] - picture[..., :-1, :]
    if form == "power":
        terms = [(across[..., :-1, :].square() + down[..., :, :-1].square()).pow(1.25)]
    else:
        terms = [d.abs() if form == "l1" else d.square() for d in (across, down)]
    if reduction == "mean":
        return torch.stack([term.mean() for term in terms]).sum()
    return torch.stack([term.sum() for term in terms]).sum() / len(picture)


# Period 2 against period 4 in :func:`lattice`: pictures have so much less power there that a pattern shows much sooner.
_PERIOD_TWO = 100.0


def lattice(picture: Tensor, window: int = 64) -> Tensor:
    """Return how strongly pictures ``[B, 3, H, W]`` repeat every 4 or 2 pixels, as upsampling leaves it: 0 for not at all, 1
    for a pattern of period 4 with a contrast (rms) of a hundredth of the range.

    The mean of each of the 4 x 4 places in windows of ``window`` pixels a side; its variance is the power of the patterns that
    hold their phase all over a window. Texture does not. Coarser things are taken away first by a smooth copy, in which
    periods of 2 and 4 pixels are exactly zero. 0 for pictures below 8 pixels a side.
    """
    side = min(window, *((length - 4) // 4 * 4 for length in picture.shape[-2:]))
    if side < 4:
        return picture.new_zeros(())
    picture = picture.float()
    smooth = F.avg_pool2d(F.avg_pool2d(picture, 4, stride=1), 2, stride=1)
    detail = picture[..., 2:-2, 2:-2] - smooth
    batch, channels, height, width = detail.shape
    rows, columns = height // side, width // side
    windows = detail[..., : rows * side, : columns * side].reshape(batch, channels, rows, side // 4, 4, columns, side // 4, 4)
    places = windows.mean(dim=(3, 6))  # [B, 3, rows, 4, columns, 4]
    four = places - places.mean(dim=(3, 5), keepdim=True)
    two = four.reshape(batch, channels, rows, 2, 2, columns, 2, 2).mean(dim=(3, 6))
    return (four.square().mean() + _PERIOD_TWO * two.square().mean()) * 1e4
