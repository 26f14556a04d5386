"""Picture files, URLs and bytes to tensors and back.

Between reading and writing a picture is ``[1, 3, H, W]``, float32, RGB, sRGB-encoded, 0..1. Everything a file can hide is
settled here: orientation, colour profile, bit depth, palette, CMYK, transparency. Rounding happens once, on writing.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from stylenet.errors import InputError
from stylenet.files import check_writable, write_atomic
from stylenet.formats import WRITTEN_PICTURES, ending
from stylenet.images.decoding import HUGE, decode
from stylenet.images.fetching import Source, fetch
from stylenet.images.sizes import SizeRule

_BAND = 256  # rows
_WITH_ALPHA = {"PNG", "WEBP", "TIFF", "AVIF"}


@dataclass(frozen=True)
class Picture:
    """A picture in memory.

    Attributes:
        pixels: ``[1, 3, H, W]``, float32, RGB, sRGB-encoded, 0..1; not multiplied by alpha.
        alpha: ``[1, 1, H, W]`` in 0..1, or None for a picture without transparency.
        name: where it came from, for messages.
        notes: what a person should know about the reading (``first of 12 frames``).
    """

    pixels: Tensor
    alpha: Tensor | None = None
    name: str = "picture"
    notes: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        return int(self.pixels.shape[3])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[2])

    def resized(self, size: str | int | SizeRule, upscale: bool = False) -> Picture:
        """The picture by a size rule (see :class:`~stylenet.images.SizeRule`), antialiased; itself where nothing changes."""
        width, height = SizeRule.parse(size).apply(self.width, self.height, upscale)
        if (width, height) == (self.width, self.height):
            return self
        if self.alpha is None:
            return replace(self, pixels=resize(self.pixels, height, width))
        # Colours are averaged in proportion to their alpha: what is invisible must not bleed into the edges.
        alpha = resize(self.alpha, height, width)
        premultiplied = resize(self.pixels * self.alpha, height, width)
        plain = resize(self.pixels, height, width)
        pixels = torch.where(alpha > 1 / 255, premultiplied / alpha.clamp_min(1 / 255), plain).clamp(0, 1)
        return replace(self, pixels=pixels, alpha=alpha)


def resize(tensor: Tensor, height: int, width: int) -> Tensor:
    """``[B, C, H, W]`` to another size: bicubic, antialiased, kept within 0..1."""
    return F.interpolate(tensor, (height, width), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


# --- reading ----------------------------------------------------------------------------------------------------------


def read_image(
    source: Source, size: str | int | SizeRule = "full", *, upscale: bool = False, allow_huge: bool = False
) -> Picture:
    """Reads a picture from a path, an http(s) URL, bytes or a binary file object.

    Args:
        source: PNG, JPEG, WebP, TIFF, BMP, GIF (first frame), AVIF, or HEIC where ``pillow-heif`` is installed.
        size: a size rule: ``512``, ``short:400``, ``640x480``, ``0.25mp`` or ``full``.
        upscale: let the rule enlarge the picture too.
        allow_huge: accept more than 89 million pixels.

    Raises:
        InputError: in one line, for anything that is not a readable picture.
    """
    name, data = fetch(source)
    if not data:
        raise InputError(f"{name} is empty (0 bytes)")
    colours, alpha, notes = decode(name, data, allow_huge)
    height, width = colours.shape[:2]
    if min(height, width) < 2:
        raise InputError(f"{name} is {width} x {height} pixels: a picture needs at least 2 pixels a side")
    wanted = SizeRule.parse(size).apply(width, height, upscale)
    if wanted[0] * wanted[1] > HUGE and not allow_huge:
        raise InputError(f"size {size} makes {name} {wanted[0]} x {wanted[1]} pixels: that many need --allow_huge")
    pixels = torch.from_numpy(np.ascontiguousarray(colours.transpose(2, 0, 1)))[None]
    opacity = None if alpha is None else torch.from_numpy(np.ascontiguousarray(alpha))[None, None]
    return Picture(pixels, opacity, name, tuple(notes)).resized(size, upscale)


# --- writing ----------------------------------------------------------------------------------------------------------


def check_output(path: str | Path, bits: int = 8) -> None:
    """Fails now rather than after minutes of work.

    Raises:
        InputError: if a picture could not be written there.
    """
    check_format(path, bits)
    check_writable(Path(path))


def check_format(path: str | Path, bits: int = 8) -> str:
    """Pillow's name of the format that a file name asks for.

    Raises:
        InputError: if pictures cannot be written under that name, or not with so many bits.
    """
    suffix = ending(path)
    if suffix not in WRITTEN_PICTURES:
        raise InputError(f"cannot write {path}: its ending must be one of {', '.join(WRITTEN_PICTURES)}")
    if bits not in (8, 16):
        raise InputError(f"{bits} bits are not possible: use 8 or 16")
    if bits == 16 and WRITTEN_PICTURES[suffix] not in ("PNG", "TIFF"):
        raise InputError(f"cannot write 16 bits to {path}: use .png or .tiff")
    return WRITTEN_PICTURES[suffix]


def write_image(
    picture: Picture | Tensor, path: str | Path, *, quality: int = 95, bits: int = 8, alpha: Tensor | None = None
) -> Path:
    """Writes a picture, whole or not at all; the suffix picks the format.

    Args:
        picture: a :class:`Picture`, or ``[1, 3, H, W]`` in 0..1 (values outside are clipped).
        path: ``.png .jpg .webp .tiff .bmp .avif``; missing folders are made.
        quality: of JPEG (without chroma subsampling), WebP and AVIF.
        bits: 8, or 16 for PNG and TIFF.
        alpha: ``[1, 1, H, W]``; formats without transparency get the picture on white.

    Raises:
        InputError: for a suffix, depth or size that cannot be written, or pixels that are not finite.
        RunError: if the disk is full or the folder not writable; nothing is left behind.
    """
    kind = check_format(path, bits)
    if not isinstance(picture, Picture):
        picture = Picture(picture)
    if alpha is not None:
        picture = replace(picture, alpha=alpha)
    try:
        content = encode_image(picture, kind, quality=quality, bits=bits)
    except ValueError as error:
        raise InputError(f"cannot write {path}: {error}") from error
    write_atomic(Path(path), content)
    return Path(path)


def encode_image(picture: Picture, kind: str, *, quality: int = 95, bits: int = 8) -> bytes:
    """A picture as the bytes of a file.

    Args:
        picture: values outside 0..1 are clipped.
        kind: Pillow's name of the format.
        quality: of JPEG, WebP and AVIF.
        bits: 8, or 16 for PNG and TIFF.

    Raises:
        ValueError: for a size that the format does not take, or pixels that are not finite.
    """
    array = _rounded(picture, bits, with_alpha=kind in _WITH_ALPHA)
    try:
        return _encode(array, kind, quality)
    except (OSError, ValueError, RuntimeError) as error:  # such as WebP's limit of 16383 pixels a side
        raise ValueError(f"{array.shape[1]} x {array.shape[0]} pixels as {kind}: {error}") from error


def _rounded(picture: Picture, bits: int, with_alpha: bool) -> np.ndarray:
    """``[H, W, 3 or 4]`` integers, made in bands: beside a picture of 100 megapixels a second one in float32 is 1.2 GB."""
    channels = 4 if with_alpha and picture.alpha is not None else 3
    array = np.empty((picture.height, picture.width, channels), np.uint16 if bits == 16 else np.uint8)
    for top in range(0, picture.height, _BAND):
        band = picture.pixels[0, :, top : top + _BAND].detach().float().cpu()
        if not torch.isfinite(band).all():
            raise ValueError("the picture has pixels that are NaN or infinite")
        if picture.alpha is not None:
            opacity = picture.alpha[0, :, top : top + _BAND].detach().float().cpu()
            band = torch.cat([band, opacity]) if with_alpha else band * opacity + (1 - opacity)
        array[top : top + _BAND] = (band.clamp(0, 1) * (2**bits - 1)).round().permute(1, 2, 0).numpy()
    return array


def _encode(array: np.ndarray, kind: str, quality: int) -> bytes:
    if array.dtype == np.uint16:
        import cv2

        encoded, data = cv2.imencode(f".{kind.lower()}", array[..., [2, 1, 0, 3][: array.shape[2]]])
        if not encoded:
            raise ValueError(f"OpenCV could not encode 16 bits as {kind}")
        return bytes(data)
    options: dict[str, Any] = {"quality": quality} if kind in ("JPEG", "WEBP", "AVIF") else {}
    if kind == "JPEG":
        options["subsampling"] = "4:4:4"
    if kind == "TIFF":
        options["compression"] = "tiff_deflate"
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()
