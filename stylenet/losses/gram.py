"""Gram matrices of activations, with a gradient written out that can itself be differentiated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Positions whose products are summed at once.
_PART = 2**16


def gram_matrix(features: Tensor) -> Tensor:
    """Return correlations between channels: ``F Fᵀ / (h w)`` (Gatys et al., CVPR 2016, eq. 3, divided by the positions).

    It works under autocast, ``torch.compile``, ``torch.func`` and a second differentiation.

    Args:
        features: ``[B, C, h, w]`` of any float type.

    Returns:
        ``[B, C, C]`` in float32. The product is taken in float32: in half precision it overflows at a few hundred pixels.
    """
    product: Tensor = _Gram.apply(features)
    return product


class _Gram(torch.autograd.Function):
    """``F Fᵀ / M`` with its gradient ``(D + Dᵀ) F / M`` as one product in the type and layout of the features.

    Autograd by itself takes two products in float32 and adds them, one of them transposed: on a processor with bfloat16
    that was a third of a whole step of optimize.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(features: Tensor) -> Tensor:
        flat, _ = _positions(features)
        with torch.autocast(features.device.type, enabled=False):
            # Part by part, so that the float32 copy stays small: the first layer's of 2048 x 2048 pixels would have 1 GB.
            products = [_product(part.float()) for part in torch.split(flat, _PART, dim=1)]
            return torch.stack(products).sum(dim=0) / flat.shape[1]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (features,) = ctx.saved_tensors
        flat, restore = _positions(features)
        with torch.autocast(features.device.type, enabled=False):
            symmetric = (gradient + gradient.transpose(1, 2)) / flat.shape[1]
            return restore(flat @ symmetric.to(flat.dtype))


def _product(part: Tensor) -> Tensor:
    return part.transpose(1, 2) @ part


def _positions(features: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Return ``[B, C, h, w]`` as ``[B, h w, C]`` without a copy, and the way back."""
    height, width = features.shape[2:]
    if features.stride(1) == 1:  # channels last, which vmap does not let one ask for
        return features.permute(0, 2, 3, 1).flatten(1, 2), lambda flat: flat.unflatten(1, (height, width)).permute(0, 3, 1, 2)
    return features.flatten(2).transpose(1, 2), lambda flat: flat.transpose(1, 2).unflatten(2, (height, width))
