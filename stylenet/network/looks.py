"""Looks tell one style from another where many share the convolutions of one network, their *body*.

A look is the scale and shift of every instance normalisation (conditional instance normalisation: Dumoulin, Shlens & Kudlur,
"A Learned Representation for Artistic Style", ICLR 2017), and with ``ends`` the first and the last convolution too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call

from stylenet.choices import check_choice
from stylenet.errors import InputError
from stylenet.network.transform_net import InstanceNorm, TransformNet

# What of a network is learnt: everything, the look alone, or the look with the convolutions that read and write colours.
Learns = Literal["all", "norms", "norms+ends"]
LEARNS: tuple[Learns, ...] = get_args(Learns)

# What of a network can be kept as a look, from the least to the most.
LOOK_PARTS = LEARNS[1:]


def norm_names(net: TransformNet) -> list[str]:
    """Return the names of the scales and shifts of a network's instance normalisations, in the order of its modules.

    Raises:
        InputError: for a network without any, such as Johnson et al.'s with batch normalisation.
    """
    layers = [name for name, module in net.named_modules() if isinstance(module, InstanceNorm)]
    if not layers:
        raise InputError("a look is made of instance normalisations, and this network has none: set network.norm to instance")
    return [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]


def look_names(net: TransformNet, learns: Learns) -> list[str]:
    """Return the names of the parameters that are learnt under ``learns``; those of ``norms`` come first.

    Raises:
        InputError: for another word than ``all``, ``norms`` or ``norms+ends``.
    """
    check_choice("learns", learns, Learns)
    if learns == "all":
        return [name for name, _ in net.named_parameters()]
    ends = [f"{layer}.conv.{part}" for layer in ("down1", "last") for part in ("weight", "bias")]
    return norm_names(net) + (ends if learns == "norms+ends" else [])


@dataclass(frozen=True, eq=False)
class Looks:
    """The looks of a body, as its file holds them.

    Attributes:
        titles: a name for each look.
        table: ``[K, N]``, their scales and shifts in float32.
        signatures: ``[K, S]``, what the loss network answers to each look's painting (:meth:`Objective.signatures`), by which
            paintings are compared in no time; ``[0, 0]`` in a file without them.
        loss: settings of the loss that the signatures were measured by, as a card holds them.
    """

    titles: list[str]
    table: Tensor
    signatures: Tensor
    loss: Mapping[str, Any] = field(default_factory=dict)


def no_looks() -> Looks:
    """Return what a network of one style has of looks."""
    return Looks([], torch.empty(0, 0), torch.empty(0, 0))


class LookTable(nn.Module):
    """The looks of many styles on one body, as rows of numbers.

    Args:
        net: the body; every look begins as its scales and shifts.
        titles: a name for each look.

    Attributes:
        table: ``[K, N]``, a row for each look; N is 3,200 for the ``standard`` network.
        signatures: of the paintings, once they are known; see :class:`Looks`.
    """

    def __init__(self, net: TransformNet, titles: Sequence[str]) -> None:
        super().__init__()
        self.titles = list(titles)
        self.names = norm_names(net)
        self.sizes = [net.get_parameter(name).numel() for name in self.names]
        self.signatures: Tensor | None = None
        self.table = nn.Parameter(read_look(net).repeat(len(self.titles), 1))

    @torch.no_grad()
    def take(self, looks: Looks) -> None:
        """Begin with the numbers of the looks that have the same titles; others stay as they are."""
        rows = dict(zip(looks.titles, looks.table, strict=True))
        for row, title in zip(self.table, self.titles, strict=True):
            if title in rows:
                row.copy_(rows[title])

    def scales_and_shifts(self, looks: Sequence[int]) -> dict[str, Tensor]:
        """Return the parameters ``[B, C]`` of the instance normalisations for a batch whose pictures have these looks."""
        rows = self.table[torch.as_tensor(looks, device=self.table.device)]
        return dict(zip(self.names, torch.split(rows, self.sizes, dim=1), strict=True))

    def forward(self, net: TransformNet, pictures: Tensor, looks: Sequence[int]) -> Tensor:
        """Return pictures ``[B, 3, H, W]``, 0..1, styled by the body with a look for each of them."""
        styled: Tensor = functional_call(net, self.scales_and_shifts(looks), (pictures,))
        return styled


def read_look(net: TransformNet, learns: Learns = "norms") -> Tensor:
    """Return the parameters of a network that are learnt under ``learns`` as one row ``[N]`` in float32, copied."""
    return torch.cat([net.get_parameter(name).detach().float().flatten() for name in look_names(net, learns)])


@torch.no_grad()
def wear_look(net: TransformNet, look: Tensor, learns: Learns = "norms") -> TransformNet:
    """Write a row ``[N]`` of parameters, as :func:`read_look` gives it, into a network, and return that network.

    Raises:
        InputError: if the row is of another network.
    """
    parameters = [net.get_parameter(name) for name in look_names(net, learns)]
    sizes = [parameter.numel() for parameter in parameters]
    if look.shape != (sum(sizes),):
        raise InputError(f"a look of {look.numel()} numbers does not fit a network whose looks have {sum(sizes)}")
    for parameter, part in zip(parameters, torch.split(look, sizes), strict=True):
        parameter.copy_(part.view_as(parameter))
    return net
