"""Videos of high dynamic range (PQ, HLG) as pictures for ordinary screens, tone-mapped by FFmpeg's own filter ``scale``."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import av
    from av.filter import Graph

# AVColorTransferCharacteristic: what FFmpeg calls it, and what people do.
TRANSFERS = {16: ("smpte2084", "PQ"), 18: ("arib-std-b67", "HLG")}

# AVColorSpace and AVColorPrimaries; where a video does not say, it is BT.2020, which comes with both transfers.
_SPACES = {1: "bt709", 9: "bt2020nc", 10: "bt2020c"}
_PRIMARIES = {1: "bt709", 9: "bt2020", 12: "smpte432"}
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG


class ToneMap:
    """Frames of one video brought to BT.709, one after the other.

    Args:
        av: the package.
        transfer: number of the video's transfer characteristic, a key of :data:`TRANSFERS`.
    """

    def __init__(self, av: Any, transfer: int) -> None:
        self._av, self._transfer = av, TRANSFERS[transfer][0]
        self._graph: Graph | None = None
        self._shape: tuple[int, int, str] | None = None

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return a frame in RGB with 8 bits."""
        shape = (frame.width, frame.height, frame.format.name)
        if self._graph is None or shape != self._shape:
            self._graph, self._shape = self._built(frame), shape
        self._graph.push(frame)
        mapped: av.VideoFrame = self._graph.pull()
        return mapped

    def _built(self, frame: av.VideoFrame) -> Graph:
        space, primaries = _SPACES.get(frame.colorspace, "bt2020nc"), _PRIMARIES.get(frame.color_primaries, "bt2020")
        levels = "pc" if frame.color_range == _FULL_RANGE else "tv"
        size = f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/1000"
        known = f"colorspace={space}:range={levels}"
        graph: Graph = self._av.filter.Graph()
        # The intent is what asks for tone mapping: without it, what is brighter than white is cut off.
        chain = [
            graph.add("buffer", f"{size}:{known}"),
            graph.add("setparams", f"color_primaries={primaries}:color_trc={self._transfer}:{known}"),
            graph.add("scale", "out_primaries=bt709:out_transfer=bt709:out_color_matrix=bt709:intent=perceptual"),
            graph.add("format", "rgb24"),
            graph.add("buffersink"),
        ]
        for one, other in itertools.pairwise(chain):
            one.link_to(other)
        graph.configure()
        return graph
