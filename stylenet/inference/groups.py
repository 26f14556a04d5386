"""Style pictures of one size together on a GPU, where a single small one leaves most of the device idle.

Every layer normalises each picture by its own statistics, so a picture of a group is what it would be alone, but for rounding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

import torch

from stylenet.images.picture import Picture

# The pictures of a group, and their pixels: two groups of 4 megapixels each fit on any GPU that people train with.
_MOST, _PIXELS = 16, 2**22

Member = TypeVar("Member")


def can_group(stylizers: Sequence[Any]) -> bool:
    """Return whether pictures are styled in groups: on a GPU. A processor's cores are busy with one picture each."""
    devices = [getattr(stylizer, "device", None) for stylizer in stylizers]
    return bool(devices) and all(isinstance(device, torch.device) and device.type == "cuda" for device in devices)


def group_size(picture: Picture) -> int:
    """Return how many pictures of its size make a full group; 1 for one that is large enough by itself."""
    return max(1, min(_MOST, _PIXELS // (picture.width * picture.height)))


class Groups(Generic[Member]):
    """Pictures that wait for others of their size.

    Args:
        most: number of pictures that may wait in all.
    """

    def __init__(self, most: int = 2 * _MOST) -> None:
        self.most = most
        self._waiting: dict[tuple[int, int], list[Member]] = {}

    def add(self, member: Member, picture: Picture) -> Iterator[list[Member]]:
        """Let a picture wait; yield its group if that is full, and the largest group if too many wait."""
        size = picture.height, picture.width
        self._waiting.setdefault(size, []).append(member)
        if len(self._waiting[size]) >= group_size(picture):
            yield self._waiting.pop(size)
        elif sum(map(len, self._waiting.values())) >= self.most:
            yield self._waiting.pop(max(self._waiting, key=lambda size: len(self._waiting[size])))

    def rest(self) -> Iterator[list[Member]]:
        """Yield all groups that wait."""
        while self._waiting:
            yield self._waiting.pop(next(iter(self._waiting)))


def join_pictures(pictures: Sequence[Picture]) -> Picture:
    """Return pictures of one size as a single one with pixels ``[B, 3, H, W]``, each filled in where nothing can be seen."""
    return Picture(torch.cat([picture.filled() for picture in pictures]), name=pictures[0].name)


def split_pictures(joined: Picture, pictures: Sequence[Picture]) -> list[Picture]:
    """Return what became of each picture, with its own name, notes and transparency."""
    return [
        dataclasses.replace(picture, pixels=pixels)
        for picture, pixels in zip(pictures, torch.split(joined.pixels, 1), strict=True)
    ]
