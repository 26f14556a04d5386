"""Use a trained style on one picture: device, precision, size in memory, and what a person may want besides."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylenet.deprecation import renamed, warn_renamed
from stylenet.devices import Precision, pick_device, pick_precision
from stylenet.errors import InputError
from stylenet.images.color import blend, combine, keep_colors, restore_detail
from stylenet.images.decoding import HUGE
from stylenet.images.fetching import Source
from stylenet.images.masks import load_mask, soften
from stylenet.images.picture import Picture, PictureLike, check_output, check_single, read_image, resample, write_image
from stylenet.images.sizes import SizeRule
from stylenet.inference.finish import Finish
from stylenet.inference.graphs import FixedSizeNetwork
from stylenet.modes import guest
from stylenet.network.styles import Style, as_style, restyle
from stylenet.network.tiling import Tile, check_tile, style_picture
from stylenet.network.transform_net import TransformNet

# Pictures, or groups of them, up to this many pixels are recorded as CUDA graphs, which hold their memory; a call is short
# beside the work of larger ones.
_RECORDED_PIXELS = 2**22


class Stylizer:
    """A style on a device, as a function from pictures to pictures.

    Args:
        style: a loaded style, which stays as it is; the name of one that comes with stylenet; or a file.
        finish: how it is laid on the picture.
        outside: style for where the mask is black, instead of the photo itself.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ...
        precision: ``auto`` (bf16 or fp16 where the device gains from it), ``32``, ``bf16`` or ``fp16``.
        tile: rows of the picture worked on at a time, ``0`` for all, ``auto`` for what memory allows. The result is the same.
        observe: is told the share of a picture that is done, 0..1, where it is taken in strips.

    Raises:
        InputError: for a style or device that is not there.
    """

    @renamed(look="finish", report="observe")
    @guest
    def __init__(
        self,
        style: Style | str | Path,
        finish: Finish | None = None,
        outside: Style | str | Path | None = None,
        device: str = "auto",
        precision: Precision = "auto",
        tile: Tile = "auto",
        observe: Callable[[float], None] | None = None,
    ) -> None:
        self.device = pick_device(device)
        self.dtype = pick_precision(precision, self.device)
        self.finish, self.tile, self.observe = finish or Finish(), tile, observe
        check_tile(tile)
        if outside is not None and self.finish.mask is None:
            raise InputError("a style for outside the mask needs a mask")
        # Read now and once: a mistake must not wait for the first photo, nor an address be asked for each.
        self._mask = None if self.finish.mask is None else load_mask(self.finish.mask)
        self.style = as_style(style, self.device)
        self.outside = None if outside is None else as_style(outside, self.device)
        self._recorded: dict[TransformNet, FixedSizeNetwork] = {}

    def move_to(self, device: torch.device) -> None:
        """Work on another device from now on."""
        self.device = device
        self._recorded.clear()
        for style in (self.style, self.outside):
            if style is not None:
                style.net.to(device)

    @overload
    def __call__(self, picture: Tensor) -> Tensor: ...

    @overload
    def __call__(self, picture: Picture | np.ndarray | Image.Image | Source) -> Picture: ...

    @guest
    @torch.no_grad()
    def __call__(self, picture: PictureLike) -> Picture | Tensor:
        """Return the picture in the style, of the same size, with its transparency.

        Args:
            picture: whatever :func:`~stylenet.read_image` takes.

        Returns:
            A tensor of the same shape for a tensor, a :class:`~stylenet.Picture` for all else.

        Raises:
            InputError: for what is no picture, or one below 8 pixels a side.
        """
        return restyle(picture, self._finished)

    def _finished(self, picture: Picture) -> Picture:
        photo = picture.filled()
        styled = self._styled(self.style, photo)
        if self._mask is not None:
            mask = soften(resample(self._mask, picture.height, picture.width), self.finish.feather)
            other = photo if self.outside is None else self._styled(self.outside, photo)
            styled = combine(other, [styled], [mask.to(photo.device)])
        if self.finish.strength < 1:
            styled = blend(photo, styled, self.finish.strength)
        return dataclasses.replace(picture, pixels=styled)

    def _styled(self, style: Style, photo: Tensor) -> Tensor:
        styled = self._scaled(style, photo) if self.finish.scale != 1 else self._network(style, photo)
        return styled if self.finish.keep_colors == "none" else keep_colors(styled, photo, self.finish.keep_colors)

    def _scaled(self, style: Style, photo: Tensor) -> Tensor:
        """Style the picture at another size: a smaller picture gets larger strokes, whose missing detail the photo lends."""
        height, width = photo.shape[-2:]
        other = [max(8, round(side / self.finish.scale)) for side in (height, width)]
        if other[0] * other[1] > max(HUGE, height * width):
            raise InputError(
                f"scale {self.finish.scale} makes the picture {other[1]} x {other[0]} pixels to style: take a larger one"
            )
        styled = self._network(style, resample(photo, *other))
        return restore_detail(photo, styled) if self.finish.scale > 1 else resample(styled, height, width)

    def _network(self, style: Style, photo: Tensor) -> Tensor:
        if self.tile == "auto" and self.device.type == "cuda" and photo[:, 0].numel() <= _RECORDED_PIXELS:
            return self._of_one_size(style.net, photo)
        return style_picture(style.net, photo, self.tile, self.dtype, observe=self.observe)

    def _of_one_size(self, net: TransformNet, photo: Tensor) -> Tensor:
        """Style a picture of moderate size: those that follow in the same size, as from a camera, replay what this one did."""
        if net not in self._recorded:
            self._recorded[net] = FixedSizeNetwork(net, self.dtype)
        return self._recorded[net](photo)


@renamed(look="finish")
@guest
def stylize(
    source: PictureLike,
    style: Style | str | Path,
    output: str | Path | None = None,
    *,
    size: str | int | SizeRule = "full",
    finish: Finish | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    tile: Tile = "auto",
    allow_huge: bool = False,
    quality: int = 95,
) -> Picture:
    """Read a picture, style it, and write it where an output is given.

    Args:
        source: a path, an http(s) address, bytes, a binary file, or a picture in memory: whatever :func:`~stylenet.read_image`
            takes.
        style: a loaded style, the name of one that comes with stylenet, or a file.
        output: file to write; its ending picks the format.
        size: size rule of the picture before styling: ``full``, ``1024``, ``short:400``, ...
        finish: strength, colours, mask, scale.
        device: ``auto``, ``cpu``, ``cuda``, ...
        precision: ``auto`` (bf16 or fp16 where the device gains from it), ``32``, ``bf16`` or ``fp16``.
        tile: rows of the picture at a time, ``0`` for all, ``auto`` for what memory allows.
        allow_huge: accept more than 89 million pixels.
        quality: quality of JPEG, WebP and AVIF.

    Raises:
        InputError: for what cannot be read, styled or written.
        RunError: for a disk that is full.
    """
    if output is not None:
        check_output(output, sources=[source, style, None if finish is None else finish.mask])
    stylizer = Stylizer(style, finish, device=device, precision=precision, tile=tile)
    picture = read_image(source, size, allow_huge=allow_huge)
    if output is not None:
        check_single(picture)
    styled = stylizer(picture)
    if output is not None:
        write_image(styled, output, quality=quality)
    return styled


def __getattr__(name: str) -> Any:
    if name == "Look":
        warn_renamed("stylenet.Look", "stylenet.Finish: a look is what a style changes of a network", level=4)
        return Finish
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
