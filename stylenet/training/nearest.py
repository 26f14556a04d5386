"""Find the look of a body that is nearest to a new painting: a training begins there."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict

import torch
from torch import Tensor
from torch.nn import functional as F

from stylenet.network.looks import Looks, wear_look
from stylenet.network.transform_net import TransformNet
from stylenet.training.objective import Objective

# Looks that are tried, and the side of the photos that they are tried on. Where a body's file has no signatures that can be
# compared with the painting's, the best are found on one small photo first.
_TRIED, _SIDE, _FIRST_SIDE = 5, 128, 64

# Settings of the loss that signatures depend on, beside the style layers and their order.
_SEEN_BY = ("vgg", "vgg_weights", "vgg_space", "pooling")


@torch.no_grad()
def nearest_look(net: TransformNet, looks: Looks, objective: Objective, photos: Tensor) -> int:
    """Return the row of the look whose styled photos have the lowest objective, among those whose paintings are most alike.

    Args:
        net: the body; it is not changed.
        looks: scales and shifts of many styles, and signatures of their paintings.
        objective: objective of the new style, prepared.
        photos: ``[B, 3, S, S]`` in 0..1.
    """
    net = copy.deepcopy(net)
    if _comparable(looks, objective) and looks.signatures.shape[1] == (signature := objective.signatures()).shape[1]:
        distances = (looks.signatures - signature).square().mean(dim=1)
        best = distances.argsort()[:_TRIED].tolist()
    else:
        few = _scored(net, looks.table, range(len(looks.table)), objective, _shrunk(photos[:1], _FIRST_SIDE))
        best = sorted(few, key=few.__getitem__)[:_TRIED]
    scores = _scored(net, looks.table, best, objective, _shrunk(photos, _SIDE))
    return min(scores, key=scores.__getitem__)


def _comparable(looks: Looks, objective: Objective) -> bool:
    """Return whether a body's signatures and a painting's are answers of the same layers of the same loss network."""
    ours, layers = asdict(objective.settings), looks.loss.get("style_layers")
    alike = all(looks.loss.get(name) == ours[name] for name in _SEEN_BY)
    same_layers = isinstance(layers, dict) and bool(layers) and list(layers) == list(ours["style_layers"])
    return alike and same_layers and len(looks.signatures) == len(looks.titles)


def _shrunk(photos: Tensor, side: int) -> Tensor:
    small = F.interpolate(photos, (side, side), mode="bilinear", antialias=True) if photos.shape[-1] > side else photos
    return small.contiguous(memory_format=torch.channels_last)


def _scored(net: TransformNet, table: Tensor, rows: Sequence[int], objective: Objective, photos: Tensor) -> dict[int, float]:
    device = photos.device
    return {row: float(objective.compare(wear_look(net, table[row].to(device))(photos), photos).total) for row in rows}
