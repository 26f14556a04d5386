"""Picture files, URLs and bytes to tensors and back.

Between reading and writing a picture is ``[1, 3, H, W]``, float32, RGB, sRGB-encoded, 0..1. Everything a file can hide is
settled here: orientation, colour profile, bit depth, palette, CMYK, transparency. Rounding happens once, on writing.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from stylenet.errors import InputError, argument
from stylenet.formats import WRITTEN_PICTURES, ending
from stylenet.images.decoding import HUGE, opened
from stylenet.images.fetching import Source, fetch
from stylenet.images.inputs import check_range, check_shape, check_tensor, to_tensors
from stylenet.images.sizes import SizeRule
from stylenet.modes import guest
from stylenet.storage import check_apart, check_writable, is_address, write

_BAND = 256  # rows

# Alpha, in 0..1, up to which a pixel's colour cannot be told from none.
_HARDLY_SEEN = 1 / 255
_SHOWN = 1024  # pixels of the longest side in a notebook

# What networks and interpolation leave beyond 0..1 is cut off on writing; bytes as floats reach further, and are a mistake.
_LEAST_WRITTEN, _MOST_WRITTEN = -1.0, 2.0
_WITH_ALPHA = {"PNG", "WEBP", "TIFF", "AVIF"}


@dataclass(frozen=True, eq=False, repr=False)
class Picture:
    """A picture in memory. Two pictures are equal if their pixels and their transparency are.

    In a notebook it shows itself.

    Attributes:
        pixels: ``[1, 3, H, W]``, float32, RGB, sRGB-encoded, 0..1; not multiplied by alpha. A batch
            ``[B, 3, H, W]`` of pictures can be styled, but neither shown nor written.
        alpha: ``[1, 1, H, W]`` in 0..1, or None for a picture without transparency.
        name: where it came from, for messages.
        notes: what a person should know about the reading (``first of 12 frames``).

    Raises:
        InputError: for tensors of other shapes or types. Values are looked at where the picture is used.
    """

    pixels: Tensor
    alpha: Tensor | None = None
    name: str = "picture"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.pixels, Tensor) or not self.pixels.is_floating_point() or self.pixels.ndim != 4:
            found = f"{self.pixels.dtype} {list(self.pixels.shape)}" if isinstance(self.pixels, Tensor) else type(self.pixels)
            raise InputError(f"a Picture has pixels [1, 3, H, W] of floats, not {found}: read_image takes everything else")
        check_shape(self.pixels, self.name)
        if self.alpha is None:
            return
        wanted = [(count, 1, self.height, self.width) for count in {1, len(self.pixels)}]
        if not isinstance(self.alpha, Tensor) or not self.alpha.is_floating_point() or tuple(self.alpha.shape) not in wanted:
            raise InputError(f"the alpha of {self.name} must be a tensor {list(wanted[0])} of floats in 0..1")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Picture):
            return NotImplemented
        pairs = ((self.pixels, other.pixels), (self.alpha, other.alpha))
        return all(a is b or (a is not None and b is not None and torch.equal(a.cpu(), b.cpu())) for a, b in pairs)

    def __hash__(self) -> int:
        return hash((tuple(self.pixels.shape), self.alpha is None))

    def __repr__(self) -> str:
        batch = f"{len(self.pixels)} of " if len(self.pixels) > 1 else ""
        return f"Picture({self.name!r}, {batch}{self.width} x {self.height}{', with alpha' if self.alpha is not None else ''})"

    def pil(self) -> Image.Image:
        """Return it as a PIL image with 8 bits a channel: ``RGB``, or ``RGBA`` where it has transparency.

        Raises:
            InputError: for a batch of several, or values as :func:`write_image` refuses them.
        """
        return Image.fromarray(self._bytes(with_alpha=True))

    def numpy(self) -> np.ndarray:
        """Return its colours as an array ``[H, W, 3]`` of uint8, RGB. What :attr:`pixels` has is float32.

        Raises:
            InputError: for a batch of several, or values as :func:`write_image` refuses them.
        """
        return self._bytes(with_alpha=False)

    def _repr_png_(self) -> bytes | None:
        """Return what a notebook shows; nothing for a batch."""
        if len(self.pixels) > 1:
            return None
        return encode_image(self.resized(_SHOWN) if max(self.width, self.height) > _SHOWN else self, "PNG")

    def _bytes(self, with_alpha: bool) -> np.ndarray:
        check_single(self)
        return _rounded(_as_written(self), 8, with_alpha)

    @property
    def width(self) -> int:
        return int(self.pixels.shape[3])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[2])

    def visible(self) -> Picture:
        """Return what can be seen of it, laid on white and without transparency; itself where nothing is transparent.

        The invisible pixels of a painting have colours too, which nobody chose, and which must not be learnt. Margins that
        are wholly invisible are cut off, so that a cut-out is not mostly white.

        Raises:
            InputError: if nothing can be seen of it.
        """
        if self.alpha is None or bool((self.alpha == 1).all()):
            return replace(self, alpha=None)
        seen = (self.alpha > 0).flatten(0, 1).any(dim=0)
        if not seen.any():
            raise InputError(f"{self.name} is transparent everywhere: there is nothing to see")
        rows, columns = (torch.nonzero(seen.any(dim=side)).flatten() for side in (1, 0))
        part = (..., slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
        pixels, alpha = self.pixels[part], self.alpha[part]
        share = 1 - float(self.alpha.mean())
        note = f"{self.name}: {share:.0%} of it is transparent: what is visible counts, laid on white"
        return replace(self, pixels=pixels * alpha + (1 - alpha), alpha=None, notes=(*self.notes, note))

    def filled(self) -> Tensor:
        """Return its colours ``[B, 3, H, W]``, with the mean of the visible ones where nothing can be seen.

        Invisible pixels have colours that nobody chose. A network would take them into its statistics, and change what can be
        seen beside them.
        """
        if self.alpha is None or bool((self.alpha == 1).all()):
            return self.pixels
        seen = torch.where(self.alpha > _HARDLY_SEEN, self.alpha, 0)
        mean = (self.pixels * seen).sum((2, 3), keepdim=True) / seen.sum((2, 3), keepdim=True).clamp_min(_HARDLY_SEEN)
        return torch.where(seen > 0, self.pixels, mean)

    def on_white(self) -> Tensor:
        """Return its colours ``[B, 3, H, W]`` laid on white, as they are shown where there is no transparency."""
        return self.pixels if self.alpha is None else self.filled() * self.alpha + (1 - self.alpha)

    def resized(self, size: str | int | SizeRule, upscale: bool = False) -> Picture:
        """Return the picture resized by a size rule (see :class:`~stylenet.images.SizeRule`), antialiased; itself where
        nothing changes.

        Raises:
            InputError: for values as :func:`write_image` refuses them.
        """
        width, height = SizeRule.parse(size).apply(self.width, self.height, upscale)
        if (width, height) == (self.width, self.height):
            return self
        return _as_written(self)._resampled(height, width)

    def _resampled(self, height: int, width: int) -> Picture:
        """Return the picture in another size; its values were checked."""
        if self.alpha is None:
            return replace(self, pixels=resample(self.pixels, height, width))
        # Colours are averaged in proportion to their alpha: what is invisible must not bleed into the edges.
        alpha = resample(self.alpha, height, width)
        premultiplied = resample(self.pixels * self.alpha, height, width)
        plain = resample(self.pixels, height, width)
        pixels = torch.where(alpha > _HARDLY_SEEN, premultiplied / alpha.clamp_min(_HARDLY_SEEN), plain).clamp(0, 1)
        return replace(self, pixels=pixels, alpha=alpha)


# Everything that is taken as a picture: see :mod:`stylenet.images.inputs`.
PictureLike = Picture | Tensor | np.ndarray | Image.Image | Source


def resize(tensor: Tensor, height: int, width: int) -> Tensor:
    """Resize ``[B, C, H, W]``, floats in 0..1: bicubic, antialiased, kept within 0..1.

    Raises:
        InputError: for values as :func:`write_image` refuses them.
    """
    least, most = (float(value) for value in torch.aminmax(tensor.detach()))
    check_range(least, most, "the picture", _LEAST_WRITTEN, _MOST_WRITTEN)
    return resample(tensor, height, width)


def resample(tensor: Tensor, height: int, width: int) -> Tensor:
    """Do what :func:`resize` does with values that were checked, or that a search has made."""
    return F.interpolate(tensor, (height, width), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


# --- reading ----------------------------------------------------------------------------------------------------------


@guest
def read_image(
    source: PictureLike, size: str | int | SizeRule = "full", *, upscale: bool = False, allow_huge: bool = False
) -> Picture:
    """Read a picture from a path, an address (http(s), or of a store such as ``s3://``), bytes or a binary file; or take one
    that is in memory.

    Args:
        source: PNG, JPEG, WebP, TIFF, BMP, GIF (first frame), AVIF, or HEIC where ``pillow-heif`` is installed; a PIL image, a
            numpy array ``[H, W, 3]`` or a tensor ``[3, H, W]`` or ``[B, 3, H, W]``, both uint8 or float in 0..1; a picture.
        size: a size rule: ``512``, ``short:400``, ``640x480``, ``0.25mp`` or ``full``.
        upscale: let the rule enlarge the picture too.
        allow_huge: accept more than 89 million pixels.

    Raises:
        InputError: in one line, for anything that is not a readable picture.
        RunError: for a store that does not answer.
    """
    rule = SizeRule.parse(size)
    picture = as_picture(source, allow_huge=allow_huge)
    wanted = rule.apply(picture.width, picture.height, upscale)
    if wanted[0] * wanted[1] > HUGE and not allow_huge:
        need = argument("allow_huge", True)
        raise InputError(f"size {size} makes {picture.name} {wanted[0]} x {wanted[1]} pixels: that many need {need}")
    return picture if wanted == (picture.width, picture.height) else picture._resampled(wanted[1], wanted[0])


def read_size(source: Source) -> tuple[int, int]:
    """Return width and height of an encoded picture as its file has them, before any orientation; no pixels are decoded.

    Args:
        source: a path, an address, bytes or a binary file.

    Raises:
        InputError: in one line, for anything that is not a picture.
        RunError: for a store that does not answer.
    """
    name, data = fetch(source)
    with opened(name, data, allow_huge=True) as image:
        return image.size


def as_picture(source: PictureLike, name: str = "the picture", *, allow_huge: bool = False) -> Picture:
    """Return whatever is taken as a picture as one, checked. Every public function begins with this.

    Args:
        source: see :func:`read_image`.
        name: name used in messages, where the source has none.
        allow_huge: accept encoded pictures of more than 89 million pixels.

    Raises:
        InputError: for anything else, values out of range, or a side below 2 pixels.
    """
    if isinstance(source, Picture):
        picture = _checked(source)
    else:
        pixels, alpha, name, notes = to_tensors(source, name, allow_huge)
        picture = Picture(pixels, alpha, name, tuple(notes))
    if min(picture.height, picture.width) < 2:
        size = f"{picture.width} x {picture.height} pixels"
        raise InputError(f"{picture.name} is {size}: a picture needs at least 2 pixels a side")
    return picture


def _checked(picture: Picture, low: float = 0.0, high: float = 1.0) -> Picture:
    """Return the tensor detached from any graph, after a check that all values are in their range."""
    if picture.alpha is not None:
        _checked_alpha(picture.alpha, picture.name, low, high)
    return replace(picture, pixels=check_tensor(picture.pixels, picture.name, low, high))


def _checked_alpha(alpha: Tensor, name: str, low: float = _LEAST_WRITTEN, high: float = _MOST_WRITTEN) -> Tensor:
    """Return opacities after a check that they are in their range; of other things than numbers a picture tells."""
    if isinstance(alpha, Tensor) and alpha.numel() and alpha.is_floating_point():
        check_range(float(alpha.min()), float(alpha.max()), f"the alpha of {name}", low, high)
    return alpha


def check_single(picture: Picture) -> None:
    """Fail for a batch where one picture is wanted.

    Raises:
        InputError: for several.
    """
    if len(picture.pixels) != 1:
        raise InputError(f"{picture.name} is a batch of {len(picture.pixels)}: give its pictures one by one")


# --- writing ----------------------------------------------------------------------------------------------------------


def check_output(path: str | Path, bits: int = 8, sources: Sequence[object] = ()) -> None:
    """Fail now if a picture could not be written later, rather than after minutes of work.

    Args:
        path: where it will be written.
        bits: of a colour.
        sources: what it is made from; those that are files must not be lost to it.

    Raises:
        InputError: if a picture could not be written there.
    """
    check_format(path, bits)
    check_apart(path, sources)
    check_writable(path)


def check_format(path: str | Path, bits: int = 8) -> str:
    """Return Pillow's name of the format that a file name asks for.

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


@overload
def write_image(picture: PictureLike, path: Path, *, quality: int = 95, bits: int = 8, alpha: Tensor | None = None) -> Path: ...


@overload
def write_image(
    picture: PictureLike, path: str, *, quality: int = 95, bits: int = 8, alpha: Tensor | None = None
) -> str | Path: ...


@guest
def write_image(
    picture: PictureLike, path: str | Path, *, quality: int = 95, bits: int = 8, alpha: Tensor | None = None
) -> str | Path:
    """Write a picture, whole or not at all; the suffix picks the format.

    Args:
        picture: a :class:`Picture`, or whatever :func:`read_image` takes. Floats a little outside 0..1, as networks and
            interpolation leave them, are cut off; from -1 and to 2 at most.
        path: ``.png .jpg .webp .tiff .bmp .avif``, on this machine or in a store; missing folders are made.
        quality: quality of JPEG (without chroma subsampling), WebP and AVIF.
        bits: 8, or 16 for PNG and TIFF.
        alpha: ``[1, 1, H, W]`` in 0..1; formats without transparency get the picture on white.

    Returns:
        The path; an address as it was given.

    Raises:
        InputError: for a suffix, depth or size that cannot be written, pixels that are not finite or in 0..255, a batch of
            several, or what is no picture.
        RunError: if the disk is full or the folder not writable; nothing is left behind.
    """
    kind = check_format(path, bits)
    picture = _as_written(picture)
    if alpha is not None:
        picture = replace(picture, alpha=_checked_alpha(alpha, picture.name))
    check_single(picture)
    try:
        content = _encode_rounded(picture, kind, quality, bits)
    except ValueError as error:
        raise InputError(f"cannot write {path}: {error}") from error
    write(path, content)
    return path if is_address(path) else Path(path)


def _as_written(picture: PictureLike) -> Picture:
    """Return the picture that is to be written, whose floats may lie a little outside 0..1."""
    if isinstance(picture, Tensor):
        picture = Picture(check_tensor(picture, low=_LEAST_WRITTEN, high=_MOST_WRITTEN))
    if isinstance(picture, Picture):
        return _checked(picture, _LEAST_WRITTEN, _MOST_WRITTEN)
    return as_picture(picture)


def encode_image(picture: Picture, kind: str, *, quality: int = 95, bits: int = 8) -> bytes:
    """Encode a picture as the bytes of a file.

    Args:
        picture: floats a little outside 0..1 are cut off, as :func:`write_image` does.
        kind: Pillow's name of the format.
        quality: quality of JPEG, WebP and AVIF.
        bits: 8, or 16 for PNG and TIFF.

    Raises:
        ValueError: for a size that the format does not take.
        InputError: for values as :func:`write_image` refuses them.
    """
    return _encode_rounded(_as_written(picture), kind, quality, bits)


def _encode_rounded(picture: Picture, kind: str, quality: int, bits: int) -> bytes:
    array = _rounded(picture, bits, with_alpha=kind in _WITH_ALPHA)
    try:
        return _encode(array, kind, quality)
    except (OSError, ValueError, RuntimeError) as error:  # such as WebP's limit of 16383 pixels a side
        raise ValueError(f"{array.shape[1]} x {array.shape[0]} pixels as {kind}: {error}") from error


def _rounded(picture: Picture, bits: int, with_alpha: bool) -> np.ndarray:
    """Round a picture to integers ``[H, W, 3 or 4]``, band by band: a second copy of 100 megapixels in float32 would take
    1.2 GB."""
    channels = 4 if with_alpha and picture.alpha is not None else 3
    array = np.empty((picture.height, picture.width, channels), np.uint16 if bits == 16 else np.uint8)
    for top in range(0, picture.height, _BAND):
        band = picture.pixels[0, :, top : top + _BAND].detach().float().cpu()
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
