"""Find the look of a body that is nearest to a new painting: a training begins there."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from stylenet.network.looks import wear_look
from stylenet.network.transform_net import TransformNet
from stylenet.training.objective import Objective

# The looks are first compared on one small photo; the best of them then on all photos, at a larger size.
_FIRST_SIDE, _FIRST_PHOTOS, _BEST, _SIDE = 96, 1, 6, 128


@torch.no_grad()
def nearest_look(net: TransformNet, looks: Tensor, objective: Objective, photos: Tensor) -> int:
    """Return the row of ``looks [K, N]`` whose styled photos have the lowest objective.

    Args:
        net: the body; it is not changed.
        looks: scales and shifts of many styles.
        objective: objective of the new style, prepared.
        photos: ``[B, 3, S, S]`` in 0..1.
    """
    net = copy.deepcopy(net)
    few = _scored(net, looks, range(len(looks)), objective, _shrunk(photos[:_FIRST_PHOTOS], _FIRST_SIDE))
    best = sorted(few, key=few.__getitem__)[:_BEST]
    scores = _scored(net, looks, best, objective, _shrunk(photos, _SIDE))
    return min(scores, key=scores.__getitem__)


def _shrunk(photos: Tensor, side: int) -> Tensor:
    small = F.interpolate(photos, (side, side), mode="bilinear", antialias=True) if photos.shape[-1] > side else photos
    return small.contiguous(memory_format=torch.channels_last)


def _scored(net: TransformNet, looks: Tensor, rows: Sequence[int], objective: Objective, photos: Tensor) -> dict[int, float]:
    return {row: float(objective.compare(wear_look(net, looks[row])(photos), photos).total) for row in rows}
