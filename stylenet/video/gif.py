"""Write a video as an animated GIF, through PyAV."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stylenet.images.picture import Picture
from stylenet.video.encoder import VideoFile
from stylenet.video.frames import Frame, Video

if TYPE_CHECKING:
    from av.filter import Graph
    from av.video.stream import VideoStream

_HUNDREDTH = Fraction(1, 100)  # of a second: what a GIF counts in
_SHORTEST = 2  # of those: viewers slow down whatever is shorter


class GifFile(VideoFile):
    """An animated GIF, with a palette for each frame. Times are whole hundredths of a second."""

    even = False

    def __init__(self, path: Path, video: Video) -> None:
        super().__init__(path, video)
        self.time_base = _HUNDREDTH
        self._graph: Graph | None = None
        self._dropped = False

    def write(self, frame: Frame) -> None:
        scale = self.video.time_base / _HUNDREDTH
        pts = round(frame.pts * scale)
        if self._last is not None and pts - self._last.pts < _SHORTEST:
            if not self._dropped:
                self.notes.append("a GIF shows 50 frames a second at most: those in between are left out")
            self._dropped = True
            return
        super().write(Frame(frame.picture, pts, round(frame.duration * scale)))

    def _options(self) -> dict[str, str]:
        last = self.video.last_duration
        length = 1 / self.video.rate if last is None else last * self.video.time_base
        return {"loop": str(self.video.loops), "final_delay": str(round(length / _HUNDREDTH))}

    def _codec_options(self) -> dict[str, str]:
        return {}

    def _pixel_format(self, width: int, height: int) -> str:
        """Return the format of pixels. Any size will do; here the size is known that the palettes are made for."""
        self._graph = _palettes(self._av, width, height)
        return "pal8"

    def _dress(self, video: VideoStream) -> None:
        """Do nothing, as a GIF has no tags."""

    def _encode(self, frame: Frame) -> None:
        assert self._graph is not None
        assert self._video is not None
        picture = self._av.VideoFrame.from_ndarray(self._with_alpha(frame.picture), format="rgba")
        picture.pts, picture.time_base = frame.pts, self.time_base
        self._graph.push(picture)
        while True:
            try:
                reduced = self._graph.pull()
            except (self._av.error.BlockingIOError, self._av.error.EOFError):
                return
            self._mux(self._video.encode(reduced))

    def _with_alpha(self, picture: Picture) -> np.ndarray:
        """Return a frame as bytes ``[H, W, 4]``; the palette has a colour for what is more than half transparent."""
        alpha = torch.ones_like(picture.pixels[:, :1]) if picture.alpha is None else picture.alpha
        pixels = torch.cat([picture.pixels, (alpha > 0.5).float()], dim=1)
        array: np.ndarray = (pixels[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        return np.ascontiguousarray(array)


def _palettes(av: Any, width: int, height: int) -> Graph:
    """Turn RGB into 256 colours a frame. The ordered dither stays where it is from frame to frame."""
    graph: Graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format=av.VideoFormat("rgba"), time_base=_HUNDREDTH)
    split, palette = graph.add("split"), graph.add("palettegen", "stats_mode=single")
    use, sink = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=3"), graph.add("buffersink")
    source.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(palette, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph
