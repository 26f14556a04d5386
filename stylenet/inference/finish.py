"""Lay a style on a picture: strength, colours, mask and the size of the strokes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stylenet.choices import check_choices
from stylenet.errors import InputError
from stylenet.images.color import ColorMatch
from stylenet.images.masks import MaskLike


@dataclass(frozen=True, eq=False)
class Finish:
    """Settings of how a style is laid on a picture.

    Attributes:
        strength: 0 (the photo) to 1 (the style), mixed in Oklab.
        keep_colors: give the result the photo's colours: ``luminance``, ``histogram`` or ``covariance``.
        mask: picture of where the style goes: white is style, black is not; any size. Also an array or a tensor ``[H, W]``.
        feather: width of the mask's soft edge, in pixels.
        scale: size of the strokes: 2 for twice as large, 0.5 for half.
    """

    strength: float = 1.0
    keep_colors: ColorMatch | Literal["none"] = "none"
    mask: MaskLike | None = None
    feather: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_choices(self)
        if not 0 <= self.strength <= 1:
            raise InputError(f"strength is {self.strength}: it goes from 0 (the photo) to 1 (the style)")
        if not 0.1 <= self.scale <= 10:
            raise InputError(f"scale is {self.scale}: it goes from 0.1 to 10")
        if self.feather < 0:
            raise InputError(f"feather is {self.feather}: it is a number of pixels")
        if self.feather and self.mask is None:
            raise InputError("feather softens a mask: give one")
