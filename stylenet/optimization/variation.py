"""Total variation from tiles, with its gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from stylenet.losses.settings import LossSettings
from stylenet.optimization.tiles import Tile


class VariationSums:
    """:func:`~stylenet.losses.terms.total_variation` of one picture ``[1, 3, H, W]``, tile by tile.

    A difference of neighbours belongs to the tile of its left or upper pixel.
    """

    def __init__(self, picture: Tensor, settings: LossSettings) -> None:
        self.picture, self.settings = picture, settings
        _, channels, height, width = picture.shape
        if settings.tv_form == "power":
            counts = [channels * (height - 1) * (width - 1)]
        else:
            counts = [channels * height * (width - 1), channels * (height - 1) * width]
        self.factors = [1 / max(count, 1) if settings.tv_reduction == "mean" else 1.0 for count in counts]
        self.sum = 0.0

    def add(self, tile: Tile) -> None:
        """Add one tile's differences."""
        self.sum += float(self._of(tile, self._block(self.picture, tile)))

    def value(self) -> Tensor:
        """Return the total variation, after all tiles."""
        return self.picture.new_tensor(self.sum)

    def add_gradient(self, tile: Tile, gradient: Tensor, slope: Tensor) -> None:
        """Add to the gradient ``[1, 3, H, W]`` of an objective what one tile's differences give, times a slope."""
        block = self._block(self.picture, tile).detach().clone().requires_grad_()
        with torch.enable_grad():
            (seen,) = torch.autograd.grad(self._of(tile, block), block)
        self._block(gradient, tile).add_(seen * slope)

    @staticmethod
    def _block(picture: Tensor, tile: Tile) -> Tensor:
        """Return the tile with the neighbours to its right and below."""
        return picture[..., tile.rows.start : tile.rows.end + 1, tile.columns.start : tile.columns.end + 1]

    def _of(self, tile: Tile, block: Tensor) -> Tensor:
        block = block.float() * self.settings.tv_range
        height, width = tile.rows.end - tile.rows.start, tile.columns.end - tile.columns.start
        across = block[..., :height, 1:] - block[..., :height, :-1]
        down = block[..., 1:, :width] - block[..., :-1, :width]
        if self.settings.tv_form == "power":
            both = across[..., : down.shape[-2], :].square() + down[..., :, : across.shape[-1]].square()
            terms = [both.pow(1.25)]
        else:
            terms = [d.abs() if self.settings.tv_form == "l1" else d.square() for d in (across, down)]
        return torch.stack([term.sum() * factor for term, factor in zip(terms, self.factors, strict=True)]).sum()
