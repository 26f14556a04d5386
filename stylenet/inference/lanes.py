"""Style pictures of moderate size beside each other on a processor, one on each core.

A network that shares one picture among cores makes them wait for each other at every layer: two cores style a picture of
512 pixels 1.6 times as fast as one core, and two pictures 1.95 times as fast. docs/notes/scale.md has the measurements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from stylenet.images.picture import Picture
from stylenet.inference.stylizer import Stylizer
from stylenet.memory import free_main_memory

# Pixels up to which a picture takes a lane, and what a lane's picture may need of the main memory, in bytes.
_LARGEST, _MEMORY = 2_100_000, 1_000_000_000


def count_lanes(stylizers: Sequence[Any]) -> int:
    """Return how many pictures are styled at once: one for each thread that torch may use, where memory allows.

    On anything but a processor, and with whatever is no :class:`Stylizer`, it is one.
    """
    if not all(isinstance(stylizer, Stylizer) and stylizer.device.type == "cpu" for stylizer in stylizers):
        return 1
    return max(1, min(torch.get_num_threads(), free_main_memory() // _MEMORY))


def takes_a_lane(picture: object) -> bool:
    """Return whether a picture is styled on one core, beside others."""
    return isinstance(picture, Picture) and picture.width * picture.height <= _LARGEST
