"""Pad by reflection, with a gradient that is the same every time where that is asked for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Pixels to add to the left, to the right, above and below, as F.pad takes them.
Padding = tuple[int, int, int, int]


def pad_by_reflection(values: Tensor, padding: Padding) -> Tensor:
    """Continue ``[B, C, h, w]`` beyond its edges as a mirror there would show it.

    On a GPU the gradient of torch's own padding adds in an order that changes from call to call, and torch refuses it where
    deterministic algorithms are asked for (``torch.use_deterministic_algorithms``). There the result is joined from mirrored
    parts, whose gradient is the same to the bit every time.
    """
    if values.device.type != "cpu" and torch.are_deterministic_algorithms_enabled():
        return join_reflections(values, padding)
    return F.pad(values, padding, mode="reflect")


def join_reflections(values: Tensor, padding: Padding) -> Tensor:
    """Return what :func:`pad_by_reflection` does, joined from mirrored parts.

    Raises:
        RuntimeError: for a padding that is as wide as the values or wider, as F.pad does.
    """
    left, right, above, below = padding
    for dim, before, after in ((3, left, right), (2, above, below)):
        side = values.shape[dim]
        if max(before, after) >= side:
            raise RuntimeError(f"a padding by {max(before, after)} pixels is too wide to reflect {side}")
        parts = [values]
        if before:
            parts.insert(0, values.narrow(dim, 1, before).flip(dim))
        if after:
            parts.append(values.narrow(dim, side - 1 - after, after).flip(dim))
        values = parts[0] if len(parts) == 1 else torch.cat(parts, dim)
    return values
