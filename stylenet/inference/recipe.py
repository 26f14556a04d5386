"""Hold all that decides what becomes of a photo: it can travel to another machine, and be told from other work by its notes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stylenet.choices import check_choice
from stylenet.devices import Precision
from stylenet.errors import InputError
from stylenet.images.masks import load_mask
from stylenet.images.sizes import SizeRule
from stylenet.inference.file_rules import Files
from stylenet.inference.finish import Finish
from stylenet.inference.stylizer import Stylizer
from stylenet.network.styles import Style, as_style
from stylenet.network.tiling import Tile, check_tile

# Levels that a mask is told apart by: no more than 16 bits have, and coarser than how machines round.
_LEVELS = 65_535


@dataclass(frozen=True)
class Recipe:
    """The parts that stylizers are made from.

    Attributes:
        styles: loaded, on the processor.
        finish: how they are laid on the picture.
        outside: style for where the mask is black.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: see :class:`~stylenet.inference.Stylizer`.
        tile: see :class:`~stylenet.inference.Stylizer`.
        files: how pictures are read and written.
    """

    styles: tuple[Style, ...]
    finish: Finish
    outside: Style | None
    device: str
    precision: Precision
    tile: Tile
    files: Files

    def stylizers(self) -> list[Stylizer]:
        """Return a stylizer for each style."""
        options = (self.outside, self.device, self.precision, self.tile)
        return [Stylizer(style, self.finish, *options) for style in self.styles]

    @property
    def work(self) -> str:
        """Return a text that is the same for the same pixels of a result, and for no others.

        It has the weights of the styles and the levels of the mask, whatever their files are called. It does not have the
        device and the strips, between which results differ by rounding alone, nor which photos are read and written.
        """
        finish, files = self.finish, self.files
        told = {
            "styles": [_digest_of_style(style) for style in self.styles],
            "outside": None if self.outside is None else _digest_of_style(self.outside),
            "mask": None if finish.mask is None else _digest_of_mask(load_mask(finish.mask)),
            "strength": float(finish.strength),
            "keep_colors": finish.keep_colors,
            "feather": float(finish.feather),
            "scale": float(finish.scale),
            "precision": self.precision,
            "size": repr(SizeRule.parse(files.size)),
            "quality": files.quality,
            "bits": files.bits,
        }
        return json.dumps(told, sort_keys=True)


def recipe_of(
    styles: Sequence[Style | str],
    finish: Finish | None,
    outside: Style | str | None,
    device: str,
    precision: Precision,
    tile: Tile,
    files: Files,
) -> Recipe:
    """Return a recipe whose styles and mask are read here, as another machine may not have their files.

    Raises:
        InputError: for a style or mask that cannot be read, or options that do not go together.
    """
    finish = finish or Finish()
    if outside is not None and finish.mask is None:
        raise InputError("a style for outside the mask needs a mask")
    check_tile(tile)
    check_choice("precision", precision, Precision)
    if finish.mask is not None:
        finish = replace(finish, mask=load_mask(finish.mask)[0, 0])
    loaded = tuple(as_style(style) for style in styles)
    return Recipe(loaded, finish, None if outside is None else as_style(outside), device, precision, tile, files)


def _digest_of_style(style: Style) -> str:
    digest = hashlib.sha256(repr(style.net.settings).encode())
    for name, values in sorted(style.net.state_dict().items()):
        digest.update(f"{name} {tuple(values.shape)} ".encode())
        digest.update(values.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _digest_of_mask(mask: Tensor) -> str:
    levels = (mask * _LEVELS).round().to(torch.int32)
    return hashlib.sha256(f"{tuple(levels.shape)} ".encode() + levels.contiguous().numpy().tobytes()).hexdigest()
