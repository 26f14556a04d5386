"""Hold what pictures are compared with, and what comes of it: targets with the units of every term, the objective by parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from stylenet.losses.terms import Grams, GramTarget


@dataclass(frozen=True, eq=False)
class Targets:
    """Everything that a picture is compared with: the photo's activations, the styles' Gram matrices, and the unit of every
    term.

    The units of a style go by the names of its parts without the first word, as in ``relu1_1``, and in full for other terms
    than Gram matrices, as in ``moments/relu1_1``.
    """

    content: dict[str, Tensor]
    styles: list[dict[str, GramTarget]]
    style_shares: list[float]
    content_units: Mapping[str, float | Tensor]
    style_units: Sequence[Mapping[str, float | Tensor]]


@dataclass(frozen=True, eq=False)
class Losses:
    """The objective and its parts. ``parts`` holds weighted terms by name (``content/relu4_2``, ``style/relu1_1``, ``tv``)
    that add up to ``total``; every value is a scalar tensor."""

    total: Tensor
    parts: dict[str, Tensor]

    def detached(self) -> Losses:
        """Return the same numbers without the graph that made them."""
        return Losses(self.total.detach(), {name: value.detach() for name, value in self.parts.items()})


class GramBuffers(nn.Module):
    """Gram matrices that move with a module, stay float32, and are in no ``state_dict()``."""

    def __init__(self, grams: Grams) -> None:
        super().__init__()
        self.positions = {name: target.positions for name, target in grams.items()}
        for name, target in grams.items():
            self.register_buffer(name, target.matrix.float(), persistent=False)
            self.register_buffer(f"{name}_mean", None if target.mean is None else target.mean.float(), persistent=False)

    def grams(self) -> Grams:
        """Return them as they are compared with."""
        return {
            name: GramTarget(self.get_buffer(name), positions, self._buffers[f"{name}_mean"])
            for name, positions in self.positions.items()
        }

    def _apply(self, fn: Any, recurse: bool = True) -> GramBuffers:
        """Follow to another device, but not to a shorter type, in which the sums would overflow."""
        before = dict(self._buffers)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, value in self._buffers.items():
            old = before[name]
            if value is not None and old is not None and value.dtype != old.dtype:
                self._buffers[name] = old.to(value.device)
        return self


def in_numbers(targets: Targets) -> Targets:
    """Return targets with their units as plain numbers."""
    return replace(
        targets,
        content_units={name: float(unit) for name, unit in targets.content_units.items()},
        style_units=[{name: float(unit) for name, unit in units.items()} for units in targets.style_units],
    )


def unit(value: Tensor, magnitude: Tensor) -> Tensor:
    """Return a divisor that stays usable for a picture of one colour, or a style that is the photo itself: at least a
    millionth of the same term's value for no activations at all, so that the scale of a network's activations does not
    matter."""
    unit = torch.maximum(value, 1e-6 * magnitude)
    return torch.where(unit > 0, unit, 1.0)
