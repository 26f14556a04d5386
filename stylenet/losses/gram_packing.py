"""Pack Gram matrices into 16 bits, for style files and for trainings that keep a hundred styles at hand."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from stylenet.losses.terms import Grams, GramTarget

_SCALE, _MEAN = ".scale", ".mean"


def pack_grams(grams: Grams) -> dict[str, Tensor]:
    """Return Gram matrices by layer at a quarter of their size.

    Each ``[1, C, C]`` becomes its upper triangle in float16 as a share of its largest value, under the name of the layer.
    Beside it, under ``NAME.scale``, stand that value and the number of positions that the matrix was averaged over, and under
    ``NAME.mean`` the means ``[C]`` in float32 where they are known.
    """
    packed = {}
    for name, target in grams.items():
        matrix = target.matrix[0].detach().float()
        largest = matrix.abs().max().clamp_min(torch.finfo(torch.float32).tiny)
        rows, columns = torch.triu_indices(*matrix.shape, device=matrix.device)
        packed[name] = (matrix / largest)[rows, columns].half()
        packed[name + _SCALE] = torch.stack([largest, largest.new_tensor(float(target.positions))])
        if target.mean is not None:
            packed[name + _MEAN] = target.mean[0].detach().float()
    return packed


def unpack_grams(packed: Mapping[str, Tensor]) -> Grams:
    """Return the Gram matrices of :func:`pack_grams`, in float32."""
    names = [name for name in packed if not name.endswith((_SCALE, _MEAN))]
    return {name: _unpacked(packed[name], packed[name + _SCALE], packed.get(name + _MEAN)) for name in names}


def _unpacked(triangle: Tensor, scale: Tensor, mean: Tensor | None) -> GramTarget:
    channels = (math.isqrt(8 * len(triangle) + 1) - 1) // 2
    if mean is not None and mean.shape != (channels,):
        raise ValueError(f"means {list(mean.shape)} beside a Gram matrix of {channels} channels")
    rows, columns = torch.triu_indices(channels, channels, device=triangle.device)
    matrix = torch.empty(channels, channels, device=triangle.device, dtype=torch.float32)
    matrix[rows, columns] = matrix[columns, rows] = triangle.float() * scale[0]
    return GramTarget(matrix[None], int(scale[1]), None if mean is None else mean[None])
