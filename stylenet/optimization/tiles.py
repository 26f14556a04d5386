"""Cut a picture into tiles that a loss network sees as it sees the whole."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from torch import Tensor

from stylenet.losses.vgg import layer_stride


@dataclass(frozen=True)
class Span:
    """Rows or columns of a picture: those of one tile, ``start`` to ``end``, within those that its activations see."""

    start: int
    end: int
    seen_from: int
    seen_to: int

    def inside(self, stride: int) -> slice:
        """Return where the tile's places are among those of its window, in a layer of this stride."""
        return slice((self.start - self.seen_from) // stride, self.end // stride - self.seen_from // stride)

    def of_whole(self, stride: int) -> slice:
        """Return where the tile's places are among those of the whole picture, in a layer of this stride."""
        return slice(self.start // stride, self.end // stride)


@dataclass(frozen=True)
class Tile:
    """A rectangle of a picture, and the window around it that determines its activations."""

    rows: Span
    columns: Span

    def window(self, picture: Tensor) -> Tensor:
        """Return what the tile's activations see of ``[B, 3, H, W]``, as a view."""
        return picture[..., self.rows.seen_from : self.rows.seen_to, self.columns.seen_from : self.columns.seen_to]

    def core(self, features: Tensor, layer: str) -> Tensor:
        """Return the tile's own places of a layer ``[B, C, h, w]`` that was worked out for its window, as a view."""
        stride = layer_stride(layer)
        return features[..., self.rows.inside(stride), self.columns.inside(stride)]

    def place(self, whole: Tensor, layer: str) -> Tensor:
        """Return the tile's places of a layer ``[B, C, h, w]`` of the whole picture, as a view."""
        stride = layer_stride(layer)
        return whole[..., self.rows.of_whole(stride), self.columns.of_whole(stride)]


def plan_tiles(height: int, width: int, side: int, stride: int, reach: int) -> list[Tile]:
    """Return tiles of about ``side`` pixels a side that cover a picture, row by row.

    Windows begin at multiples of ``stride``, so that poolings meet the same pixels as in the whole picture, and end at the
    picture's borders, where convolutions pad as they do there.

    Args:
        height, width: height and width of the picture.
        side: pixels of a tile at most, brought to a multiple of the stride.
        stride: stride of the deepest layer.
        reach: pixels that a place sees beyond its own.
    """
    margin = -(-reach // stride) * stride
    rows, columns = (_spans(length, max(side // stride, 1), stride, margin) for length in (height, width))
    return [Tile(row, column) for row in rows for column in columns]


def _spans(length: int, places: int, stride: int, margin: int) -> list[Span]:
    """Divide one side into tiles, as equal as the stride allows."""
    whole = -(-length // stride)
    count = -(-whole // places)
    edges = [min(whole * index // count * stride, length) for index in range(count + 1)]
    return [Span(a, b, max(a - margin, 0), min(b + margin, length)) for a, b in itertools.pairwise(edges)]
