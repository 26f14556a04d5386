"""The one rule of what counts as a picture: everything that people pass, checked once, as a tensor ``[B, 3, H, W]`` in 0..1.

| given | taken as |
|---|---|
| path, http(s) address, bytes, binary file | a file, decoded with its colour profile, orientation and transparency |
| ``PIL.Image.Image`` | the same, already opened; any mode |
| ``numpy`` array ``[H, W, 3]`` | RGB: uint8, or float in 0..1 |
| tensor ``[3, H, W]`` or ``[B, 3, H, W]`` | RGB: uint8, or float in 0..1, on any device |

Whatever else arrives, a wrong range included, is one :class:`~stylenet.errors.InputError` that says what to do.
"""

from __future__ import annotations

import os
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylenet.errors import InputError
from stylenet.images.decoding import decode, decode_opened
from stylenet.images.fetching import Source, fetch

# How far rounding may lead a value of 0..1 outside: more than float16 and bfloat16 do, less than a level of 8 bits.
_ROUNDING = 1e-3

_RULE = "uint8, or float in 0..1"
_KNOWN = "a path, an address, bytes, a binary file, a PIL image, a numpy array [H, W, 3], a tensor [3, H, W] or [B, 3, H, W]"


def to_tensors(source: object, name: str, allow_huge: bool = False) -> tuple[Tensor, Tensor | None, str, list[str]]:
    """Return a picture's pixels, alpha, name and notes.

    Args:
        source: one of the kinds in the table above.
        name: name of the picture in messages, where it has none of its own.
        allow_huge: accept encoded pictures of more than 89 million pixels.

    Returns:
        Pixels ``[B, 3, H, W]``, float32, 0..1; alpha ``[1, 1, H, W]`` or None; a name; notes for a person.

    Raises:
        InputError: for anything else.
    """
    if isinstance(source, Tensor):
        return check_tensor(source, name), None, name, []
    if isinstance(source, np.ndarray):
        return _from_array(source, name), None, name, []
    if isinstance(source, Image.Image):
        name = str(getattr(source, "filename", "")) or name
        colours, alpha, notes = decode_opened(name, source, allow_huge)
        return *_from_decoded(colours, alpha), name, notes
    if isinstance(source, str | os.PathLike | bytes | bytearray | memoryview) or callable(getattr(source, "read", None)):
        name, data = fetch(cast(Source, source), name)
        if not data:
            raise InputError(f"{name} is empty (0 bytes)")
        colours, alpha, notes = decode(name, data, allow_huge)
        return *_from_decoded(colours, alpha), name, notes
    raise InputError(f"{name} is of type {_kind(source)}, which is not a picture: give {_KNOWN}")


def check_tensor(tensor: Tensor, name: str = "the picture", low: float = 0.0, high: float = 1.0) -> Tensor:
    """Return a tensor ``[3, H, W]`` or ``[B, 3, H, W]``, uint8 or float in 0..1, as ``[B, 3, H, W]``, float32, 0..1.

    The result has no part in a graph, and lies on the same device.

    Args:
        tensor: the pictures.
        name: name used in messages.
        low: what floats may reach down to.
        high: what floats may reach up to.

    Raises:
        InputError: for another shape, type or range.
    """
    pictures = check_shape(tensor, name)
    if pictures.dtype == torch.uint8:
        return pictures.to(torch.float32) / 255
    if not pictures.dtype.is_floating_point:
        raise InputError(f"{name} is a tensor of {_word(pictures.dtype)}: a picture is {_RULE}")
    pictures = pictures.detach().to(torch.float32)
    least, most = (float(value) for value in torch.aminmax(pictures))
    check_range(least, most, name, low, high)
    return pictures.clamp(low, high) if least < low or most > high else pictures


def check_shape(tensor: Tensor, name: str = "the picture") -> Tensor:
    """Return a tensor ``[3, H, W]`` or ``[B, 3, H, W]`` as the latter, whatever its values are.

    Raises:
        InputError: for another shape, or a tensor without plain numbers in it.
    """
    if type(tensor) is not Tensor and not isinstance(tensor, torch.nn.Parameter):
        tensor = tensor.as_subclass(Tensor)
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type == "meta":
        raise InputError(f"{name} is a sparse, quantized or empty (meta) tensor: give a dense one")
    pictures = tensor[None] if tensor.ndim == 3 else tensor
    if pictures.ndim != 4 or pictures.shape[1] != 3 or not pictures.numel():
        advice = _advice(tensor.shape)
        raise InputError(f"{name} is a tensor {list(tensor.shape)}: a picture is [3, H, W] or [B, 3, H, W]{advice}")
    return pictures


def check_range(least: float, most: float, name: str, low: float = 0.0, high: float = 1.0) -> None:
    """Fail for values outside a range, but for rounding.

    Raises:
        InputError: saying what the values are, and what to do.
    """
    if not (np.isfinite(least) and np.isfinite(most)):
        raise InputError(f"{name} has pixels that are NaN or infinite")
    if least < low - _ROUNDING or most > high + _ROUNDING:
        bytes_in_floats = least >= low and 2 < most <= 256
        advice = "divide it by 255, or give it as uint8" if bytes_in_floats else "bring it there with clip(0, 1)"
        raise InputError(f"{name} has values from {least:.4g} to {most:.4g}: a picture of floats lies in 0..1; {advice}")


def _from_array(array: np.ndarray, name: str) -> Tensor:
    """Copy a numpy array ``[H, W, 3]`` into a tensor."""
    if array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise InputError(f"{name} is an array {list(array.shape)}: a picture is [H, W, 3]{_advice(array.shape)}")
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise InputError(f"{name} is an array of {array.dtype}: a picture is {_RULE}")
    plain = np.array(array.transpose(2, 0, 1), dtype=np.uint8 if array.dtype == np.uint8 else np.float32, order="C")
    return check_tensor(torch.from_numpy(plain), name)


def _from_decoded(colours: np.ndarray, alpha: np.ndarray | None) -> tuple[Tensor, Tensor | None]:
    """Return decoded arrays ``[H, W, 3]`` and ``[H, W]`` as tensors."""
    pixels = torch.from_numpy(np.ascontiguousarray(colours.transpose(2, 0, 1)))[None]
    return pixels, None if alpha is None else torch.from_numpy(np.ascontiguousarray(alpha))[None, None]


def _advice(shape: tuple[int, ...]) -> str:
    """Say what to do with an array or a tensor of a shape that is common, but not a picture's."""
    if 0 in shape:
        return "; this one is empty"
    if len(shape) == 2:
        return "; repeat a grey one three times"
    if len(shape) >= 3 and 4 in (shape[-1], shape[-3]):
        return "; for transparency give a PIL image or stylenet.Picture(pixels, alpha)"
    if len(shape) >= 3 and 1 in (shape[-1], shape[-3]):
        return "; repeat the one channel three times"
    if len(shape) == 4 and shape[-1] == 3:
        return "; channels come before height and width in a tensor, and an array holds one picture"
    if len(shape) == 3 and 3 in (shape[0], shape[-1]):
        return "; channels come first in a tensor and last in an array"
    return ""


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _kind(source: Any) -> str:
    return "None" if source is None else type(source).__name__
