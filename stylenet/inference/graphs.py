"""A network on a GPU for many pictures of one size: its kernels are recorded once as a CUDA graph and replayed.

A small network at 512 pixels has kernels so short that starting them one by one takes longer than running them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from stylenet.network.tiling import style_picture
from stylenet.network.transform_net import TransformNet

_log = logging.getLogger(__name__)

# Calls before the recording, in which kernels are chosen and memory is taken.
_WARM_UP = 3

# Pictures of one size in a row before the one that is recorded. A recording costs as much as several pictures and forgets the
# one before, so that a folder of mixed sizes, where a few in a row are equal by chance, had better not record each of them.
REPEATS = 4


class FixedSizeNetwork:
    """A function from pictures ``[B, 3, H, W]`` to styled ones in 0..1 that is quickest where the size stays the same.

    On a CUDA device the picture after :data:`REPEATS` of its size in a row records a graph, which later ones replay; pictures
    travel through pinned memory. On other devices, and where a recording fails, the network runs as usual. Statistics of
    neighbours cannot be pooled.

    Args:
        net: on the device to work on.
        dtype: type of the convolutions.
    """

    def __init__(self, net: TransformNet, dtype: torch.dtype = torch.float32) -> None:
        self.net, self.dtype = net, dtype
        self.device = next(net.parameters()).device
        self._size: torch.Size | None = None
        self._seen = 0  # pictures of this size in a row
        self._replay: Callable[[Tensor], Tensor] | None = None
        self._records = self.device.type == "cuda"

    def __call__(self, picture: Tensor) -> Tensor:
        """Return the styled picture on the device of the photo."""
        if not self._records:
            return style_picture(self.net, picture, "auto", self.dtype)
        if picture.shape != self._size:
            self._size, self._seen, self._replay = picture.shape, 0, None
        self._seen += 1
        if self._replay is None and self._seen > REPEATS:
            self._replay = self._recorded(picture)
        return style_picture(self.net, picture, "auto", self.dtype) if self._replay is None else self._replay(picture)

    def _recorded(self, picture: Tensor) -> Callable[[Tensor], Tensor] | None:
        try:
            return _record(self.net, picture, self.dtype, self.device)
        except RuntimeError as error:  # too little memory, or a kernel that cannot be recorded
            _log.warning("the network is not recorded as a CUDA graph: %s", str(error).splitlines()[0])
            self._records = False
            return None


@torch.no_grad()
def _record(net: TransformNet, picture: Tensor, dtype: torch.dtype, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Return a function that replays the network for pictures of this size."""
    source = picture.to(device).contiguous(memory_format=torch.channels_last).clone()
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP):
            style_picture(net, source, 0, dtype)
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # what other threads ask of CUDA spoils nothing
        target = style_picture(net, source, 0, dtype)
    staged = torch.empty(picture.shape, pin_memory=True)

    def replay(photo: Tensor) -> Tensor:
        with torch.no_grad():  # results are ordinary tensors
            if photo.device.type == "cpu":
                torch.cuda.current_stream(device).synchronize()  # the copy before has left the staging memory
                staged.copy_(photo)
                source.copy_(staged, non_blocking=True)
            else:
                source.copy_(photo)
            graph.replay()
            return target.to(photo.device, copy=True)

    return replay
