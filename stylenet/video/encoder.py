"""Write a video as one file, through PyAV.

It appears whole or not at all: until it is finished it has another name. Pictures are H.264 (VP9 in WebM), BT.709 and tagged
so; 4:2:0, which everything plays, wherever both sides are even, and 4:4:4 for an odd size, which H.264 has no other way to say.
Sound and subtitles are copied packet by packet.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stylenet.errors import InputError, RunError
from stylenet.files import replacing
from stylenet.formats import WRITTEN_VIDEOS, ending
from stylenet.images.picture import Picture
from stylenet.interrupts import uninterrupted
from stylenet.video.frames import Frame, Video, VideoWriter, import_av

if TYPE_CHECKING:
    import av
    from av.container import OutputContainer
    from av.video.stream import VideoStream

_BT709, _LIMITED = 1, 1  # AVCOL_SPC_BT709 and its twins for primaries and transfer; AVCOL_RANGE_MPEG


class VideoFile(VideoWriter):
    """A container with one stream of pictures, and the sound and subtitles of the video it is made from."""

    one_size = True
    even = True

    def __init__(self, path: Path, video: Video, crf: int = 18) -> None:
        super().__init__(path)
        self._av = import_av()
        self.video = video
        self.time_base = video.time_base
        self._format, self._codec = WRITTEN_VIDEOS[ending(path)]
        if self._codec not in self._av.codecs_available:
            raise InputError(f"cannot write {path}: this PyAV has no {self._codec}; use another ending")
        self.crf = crf
        self._replacing = replacing(path)
        self._temporary = path
        self._container: OutputContainer | None = None
        self._video: VideoStream | None = None
        self._streams: dict[int, Any] = {}
        self._waiting: deque[av.Packet] = deque()
        self._last: Frame | None = None
        self._now = Fraction(0)

    def __enter__(self) -> VideoFile:
        self._temporary = self._replacing.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        with uninterrupted():  # Ctrl-C before the file is in its place would lose all of the video
            try:
                if error is None:
                    self._finish()
                else:
                    self._abandon()
            except BaseException as failure:
                self._replacing.__exit__(type(failure), failure, failure.__traceback__)
                raise
            self._replacing.__exit__(kind, error, trace)

    def write(self, frame: Frame) -> None:
        with self._failures():
            if self._container is None:
                self._begin(frame.picture)
            self._encode(frame)
        self.count += 1
        self._last = frame
        self._now = (frame.pts + frame.duration) * self.time_base
        self._release(self._now)

    def copy(self, packet: av.Packet) -> None:
        # Packets wait until the pictures have come as far, so that an interrupted video ends everywhere at once.
        self._waiting.append(packet)
        if self._container is not None:
            self._release(self._now)

    def interrupt(self) -> None:
        self._waiting.clear()

    # --- beginning and end ---

    def _options(self) -> dict[str, str]:
        """Return the options of the container."""
        options = {}
        if self._format in ("mp4", "mov"):
            options["movflags"] = "+faststart"
            if self.time_base.numerator == 1:  # so that times stay what they were to the last unit
                options["video_track_timescale"] = options["movie_timescale"] = str(self.time_base.denominator)
        return options

    def _begin(self, picture: Picture) -> None:
        self._container = self._av.open(str(self._temporary), "w", format=self._format, options=self._options())
        assert self._container is not None
        self._container.metadata.update(self.video.metadata)
        video = self._container.add_stream(self._codec, rate=self.video.rate, options=self._codec_options())
        video.width, video.height = picture.width, picture.height
        video.pix_fmt = self._pixel_format(picture.width, picture.height)
        video.codec_context.time_base = self.time_base
        video.time_base = self.time_base
        self._dress(video)
        self._video = video
        self._add_others(self._container)

    def _codec_options(self) -> dict[str, str]:
        options = {"crf": str(self.crf)}
        if self._codec == "libx264":
            # Frames in their own order have exact times in MP4, which stores how long each is decoded, not shown.
            options["bf"] = "0"
        if self._codec == "libvpx-vp9":
            # VP9 takes its bit rate for a ceiling unless it is 0, and one core unless told.
            options |= {"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}
        return options

    def _pixel_format(self, width: int, height: int) -> str:
        if self._codec == "libvpx-vp9" or (width % 2 == 0 and height % 2 == 0):
            return "yuv420p"
        self.notes.append(
            f"{width} x {height} pixels are written as H.264 4:4:4, which VLC, mpv and FFmpeg play, but not televisions and"
            " QuickTime: even sides give 4:2:0, which all do"
        )
        return "yuv444p"

    def _dress(self, video: VideoStream) -> None:
        """Set the tags that tell a player how to show the pictures."""
        context = video.codec_context
        context.color_range = _LIMITED
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        if self.video.aspect != 1:
            context.sample_aspect_ratio = self.video.aspect

    def _add_others(self, container: OutputContainer) -> None:
        for stream in self.video.others:
            # A kind of stream that no decoder knows has no context.
            name = "an unknown coding" if stream.codec_context is None else stream.codec_context.codec.canonical_name
            if name in container.supported_codecs:
                copy = container.add_stream_from_template(stream)
                copy.metadata.update(stream.metadata)
                self._streams[stream.index] = copy
            else:
                self.notes.append(f"{self.path.suffix} has no place for {stream.type} in {name}: it is left out")

    def _finish(self) -> None:
        if self._container is None or self._video is None:
            return
        with self._failures():
            self._release(None)
            packets = self._video.encode(None)
            for packet in packets:
                # How long a frame stays is known by when the next one appears; the last has to say it.
                if self._last is not None and packet.pts == self._last.pts:
                    packet.duration = self.video.last_duration or self._last.duration
            self._mux(packets)
            self._container.close()

    def _abandon(self) -> None:
        if self._container is not None:
            with contextlib.suppress(self._av.FFmpegError):
                self._container.close()

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn what FFmpeg says into one line."""
        try:
            yield
        except self._av.FFmpegError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror or error}") from error

    # --- frames and packets ---

    def _encode(self, frame: Frame) -> None:
        assert self._video is not None
        picture = self._av.VideoFrame.from_ndarray(self._bytes(frame.picture), format="rgb24")
        picture = picture.reformat(format=self._video.pix_fmt, dst_colorspace=_BT709)
        picture.pts, picture.time_base = frame.pts, self.time_base
        self._mux(self._video.encode(picture))

    def _bytes(self, picture: Picture) -> np.ndarray:
        """Return a frame as bytes ``[H, W, 3]``."""
        pixels = picture.pixels
        if picture.alpha is not None:
            note = "a video has no transparency: it is laid on white"
            self.notes += [] if note in self.notes else [note]
            pixels = pixels * picture.alpha + (1 - picture.alpha)
        array: np.ndarray = (pixels[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        return np.ascontiguousarray(array)

    def _mux(self, packets: list[Any]) -> None:
        assert self._container is not None
        for packet in packets:
            self._container.mux(packet)

    def _release(self, until: Fraction | None) -> None:
        """Copy the packets that begin before a time, in seconds; all packets for None."""
        if self._container is None:
            return
        while self._waiting and (until is None or _start_of(self._waiting[0]) < until):
            packet = self._waiting.popleft()
            target = self._streams.get(packet.stream.index)
            if target is not None:
                packet.stream = target
                with self._failures():
                    self._container.mux(packet)


def _start_of(packet: av.Packet) -> Fraction:
    """Return when a packet begins, in seconds."""
    return (packet.pts if packet.pts is not None else packet.dts or 0) * Fraction(packet.time_base)
