"""Choose what moves the weights of a network in training, and how fast each group of them."""

from __future__ import annotations

from typing import Any, Literal

import torch

from stylenet.network.looks import Learns, LookTable, norm_names
from stylenet.network.transform_net import TransformNet
from stylenet.training.muon import Muon

Optimizer = Literal["muon", "adam"]

# Rates of the scales and shifts, as multiples of the learning rate: where they are learnt together with the body, and on a body
# that stays as it is (docs/notes/training.md has what was tried).
_TABLE_RATE, _LOOK_RATE = 5.0, 10.0


def make_optimizer(
    kind: Optimizer, rate: float, network: TransformNet, looks: LookTable | None, *, learns: Learns, on_body: bool
) -> torch.optim.Optimizer:
    """Return what moves the weights that are learnt.

    Args:
        kind: ``muon`` for the inner convolutions with Adam for the rest, or ``adam`` for all.
        rate: learning rate. The table of looks has a multiple of it; with ``muon``, so have the scales and shifts of one style
            on a body.
        network: the network; those of its weights that require a gradient are learnt.
        looks: scales and shifts of many looks, where there are many.
        learns: what of the network is learnt.
        on_body: whether the network began as a body.
    """
    learnt = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    tables = [] if looks is None else [looks.table]
    if kind == "adam":
        groups: list[dict[str, Any]] = [{"params": list(learnt.values())}]
        groups += [{"params": tables, "lr": rate * _TABLE_RATE}] if tables else []
        return torch.optim.Adam(groups, lr=rate)
    quick = norm_names(network) if looks is None and (on_body or learns != "all") else []
    norms = [learnt.pop(name) for name in quick if name in learnt]
    inner = {id(weight) for weight in network.inner_convolutions}
    matrices = [weight for weight in learnt.values() if id(weight) in inner]
    others = [weight for weight in learnt.values() if id(weight) not in inner]
    norm_rate = rate * (_TABLE_RATE if learns == "all" else _LOOK_RATE)
    return Muon(matrices, others, rate, tables=tables, table_lr=rate * _TABLE_RATE, norms=norms, norm_lr=norm_rate)
