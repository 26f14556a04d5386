"""Checks of what a loss is asked to compare."""

from __future__ import annotations

import torch
from torch import Tensor

from stylenet.errors import InputError
from stylenet.images.inputs import check_shape, check_tensor

# What interpolation and matched colours may leave beyond 0..1; bytes as floats reach further, and are a mistake.
_LEAST, _MOST = -1.0, 2.0


def check_output(output: Tensor) -> Tensor:
    """Return the output of a network as ``[B, 3, H, W]``. Its range is that network's affair.

    Raises:
        InputError: for another shape, or what is no tensor of floats.
    """
    if not isinstance(output, Tensor) or not output.is_floating_point():
        kind = str(output.dtype) if isinstance(output, Tensor) else type(output).__name__
        raise InputError(f"the output is {kind}: a loss compares tensors [B, 3, H, W] of floats in 0..1")
    return check_shape(output, "the output")


def check_pictures(pictures: object, name: str) -> Tensor:
    """Return pictures that a loss measures itself by as ``[B, 3, H, W]``, float32.

    Raises:
        InputError: for what is no tensor of pictures, or one of 0..255.
    """
    if not isinstance(pictures, Tensor):
        raise InputError(f"{name} is of type {type(pictures).__name__}: give a tensor [B, 3, H, W] in 0..1")
    return check_tensor(pictures, name, _LEAST, _MOST)


def check_pair(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return an output and its target as ``[B, 3, H, W]``, both of floats and the target in 0..1.

    The range of a target is looked at where that is possible: not while a program is
    compiled, and not under ``torch.func``.

    Raises:
        InputError: for what cannot be compared.
    """
    output = check_output(output)
    if not isinstance(target, Tensor):
        raise InputError(f"the target is of type {type(target).__name__}: give a tensor like the output, [B, 3, H, W] in 0..1")
    readable = not torch.compiler.is_compiling() and not torch._C._functorch.is_functorch_wrapped_tensor(target)
    if readable or target.dtype == torch.uint8:
        target = check_tensor(target, "the target")
    else:
        target = check_shape(target, "the target").detach()
    if output.shape != target.shape:
        raise InputError(f"the output is {list(output.shape)} and the target {list(target.shape)}: they must be alike")
    return output, target.to(output.device)
