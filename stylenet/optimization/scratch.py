"""Large tensors that are not always in use: in memory while they are small, else in a temporary file."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Sequence

import torch
from torch import Tensor

from stylenet.errors import RunError, argument
from stylenet.files import scratch_folder
from stylenet.memory import free_main_memory

# Beyond this many bytes a tensor goes to a file, which the system keeps in memory as long as it has some to spare; up to the
# lesser number it never does.
IN_MEMORY, _SMALL = 2**30, 2**24


def new_tensor(shape: Sequence[int], dtype: torch.dtype, device: torch.device | str = "cpu") -> Tensor:
    """Return an empty tensor. On the processor it lies in an unnamed temporary file if it has more than 1 GiB, or more than
    16 MiB and a thirty-second of the free memory: a step works on some twenty tensors of the size of the picture.

    The file is gone with the tensor. Pages that were not used lately count against no limit: the system drops them when memory
    gets scarce, and reads them again.

    Raises:
        RunError: if the disk, or the GPU, has no room for it.
    """
    size = math.prod(shape) * dtype.itemsize
    if stays_in_memory(size, device):
        try:
            return torch.empty(tuple(shape), dtype=dtype, device=device)
        except torch.OutOfMemoryError as error:
            way_out = f"end what else runs there, or take a smaller {argument('size')}"
            raise RunError(f"no room for {size / 1e9:.1f} GB on {device}: {way_out}") from error
    return torch.frombuffer(_mapping(size), dtype=dtype).view(*shape)


def set_aside(tensor: Tensor) -> Tensor:
    """Return a tensor that is needed later: itself if it is small or on a GPU, else a copy in a temporary file, by the rule of
    :func:`new_tensor`. A tensor that the disk has no room for stays in memory.
    """
    if stays_in_memory(tensor.nbytes, tensor.device):
        return tensor
    try:
        return new_tensor(tensor.shape, tensor.dtype).copy_(tensor)
    except RunError:
        return tensor


def stays_in_memory(size: int, device: torch.device | str = "cpu") -> bool:
    """Return whether a tensor of so many bytes is kept in memory, as all are that are not on the processor."""
    return torch.device(device).type != "cpu" or _fits(size)


def _fits(size: int) -> bool:
    """Return whether so many bytes lie in memory; how much is free is asked only where it matters."""
    return size <= IN_MEMORY and (size <= _SMALL or size <= free_main_memory() // 32)


def _mapping(size: int) -> mmap.mmap:
    folder = scratch_folder()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)  # a full disk must say so now, not when a page is written
            else:
                file.truncate(size)
            return mmap.mmap(file.fileno(), size)
    except OSError as error:
        need = f"{size / 1e9:.1f} GB of temporary data"
        raise RunError(f"no room for {need} in {folder} ({error.strerror}): set TMPDIR to a folder with more") from error
