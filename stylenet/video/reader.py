"""Read videos as frames, one at a time: containers and animated GIFs through PyAV, and folders of pictures.

What a container can hide is settled here: rotation, colour matrix and range, transparency, frames without a time, damage.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stylenet.devices import check_memory
from stylenet.errors import InputError, RunError
from stylenet.files import open_regular
from stylenet.formats import WRITTEN_VIDEOS, ending, is_picture
from stylenet.images.decoding import DAMAGE, HUGE, is_known, opened
from stylenet.images.fetching import read_picture_bytes
from stylenet.images.picture import Picture
from stylenet.video.folder import PictureFolder
from stylenet.video.frames import Frame, Video, import_av
from stylenet.video.tone import TRANSFERS, ToneMap

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Containers that say in their header how long they are; others guess from the bit rate.
_KNOW_THEIR_LENGTH = {"mov", "matroska", "avi"}

# Bytes for a pixel of a frame: those that FFmpeg holds for reference, and copies in bytes and in float32 with transparency.
_DECODING = 40

_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
_BT709, _BT601 = 1, 5  # as swscale counts them
_HIGH_DEFINITION = 720

# Containers that are read, as FFmpeg names them. Others are not tried: a playlist or a script of `concat` in a file that is
# named as a video would have any other file read.
CONTAINERS = (
    *("mov", "matroska", "avi", "gif", "apng", "mpegts", "mpeg", "mpegvideo", "m4v", "flv", "asf", "ogg", "mxf", "nut", "ivf"),
    *("dv", "h264", "hevc", "av1", "obu", "vc1", "yuv4mpegpipe", "rm", "wtv", "gxf"),
)


def open_video(path: str | Path, fps: float | str | Fraction = 25) -> Video:
    """Open a file that FFmpeg can read, an animated GIF, or a folder of pictures in natural order.

    Args:
        path: path of the file or folder.
        fps: frames a second of a folder.

    Raises:
        InputError: if there is none, it cannot be read, or PyAV is not installed.
    """
    source = Path(path)
    if source.is_dir():
        return PictureFolder(source, parse_rate(fps))
    if not source.is_file():
        raise InputError(f"no video at {str(path)!r}: there is no such file or folder")
    if is_picture(source) and ending(source) not in WRITTEN_VIDEOS:  # an animated GIF is both
        _check_moves(source)
    return Recording(source)


def _check_moves(path: Path) -> None:
    """Refuse a file that has the ending of a picture, unless FFmpeg reads it as a video: an animated PNG, or one misnamed.

    Raises:
        InputError: for a single picture, and an animated one of another format.
    """
    with open_regular(path) as file:
        data = read_picture_bytes(file, str(path))
    if is_known(data):
        with opened(str(path), data) as image:
            moves, kind = getattr(image, "is_animated", False), image.format
        if not moves:
            raise InputError(f"{path} is a single picture: give a video, an animated GIF or a folder of frames")
        if kind not in ("GIF", "PNG"):
            raise InputError(f"{path} is an animated {kind}, which is not read: save it as a GIF or a video")


def parse_rate(fps: float | str | Fraction) -> Fraction:
    """Return ``25``, ``23.976`` or ``30000/1001`` frames a second as an exact fraction.

    Raises:
        InputError: for anything else.
    """
    try:
        rate = Fraction(str(fps))
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"fps {str(fps)!r} is not understood: use a number like 25, 23.976 or 30000/1001") from error
    if not 0 < rate <= 1000:
        raise InputError(f"fps {fps} is out of range: it goes up to 1000")
    return rate


# --- containers -------------------------------------------------------------------------------------------------------


class Recording(Video):
    """A container with one video in it: the one that FFmpeg thinks best.

    Raises:
        InputError: if it cannot be read, or holds no video.
    """

    def __init__(self, path: Path) -> None:
        self._av = import_av()
        self._container = self._open(path)
        streams = self._container.streams
        video = streams.best("video")
        if video is None:
            found = ", ".join(stream.type for stream in streams) or "nothing"
            self._container.close()
            raise InputError(f"{path} holds no video, only {found}")
        video.thread_type = "AUTO"
        if video.codec_context is not None:
            video.codec_context.options = {"max_pixels": str(HUGE)}  # before FFmpeg makes room for a frame
        self._video: VideoStream = video
        rate = video.average_rate or video.guessed_rate or Fraction(25)
        super().__init__(path, rate, video.time_base or 1 / rate, self._expected(rate))
        self.aspect = video.sample_aspect_ratio or Fraction(1)
        self._damaged = 0
        self._fits = 0  # pixels of a frame that memory has room for
        self._read_until = Fraction(0)
        self._last_pts: int | None = None
        if video.codec_context is None:
            self._container.close()
            raise InputError(f"{path} holds a video in a coding that is not known here")
        self._check_size(video.codec_context.width, video.codec_context.height)
        if self._container.format.name == "gif":
            self._read_gif()
        self._tone_map: ToneMap | None = None
        if (transfer := video.codec_context.color_trc) in TRANSFERS:
            self._tone_map = ToneMap(self._av, transfer)
            self.notes.append(f"{path} is HDR ({TRANSFERS[transfer][1]}): it is tone-mapped to BT.709")
        if left_out := [stream.type for stream in streams if stream not in (video, *self.others)]:
            self.notes.append(f"left out of {path}: {', '.join(left_out)}")

    def _open(self, path: Path) -> InputContainer:
        try:
            options = {"format_whitelist": self._whitelist(), "protocol_whitelist": "file"}
            container: InputContainer = self._av.open(
                str(path.absolute()), container_options=options, metadata_errors="replace"
            )
        except self._av.FFmpegError as error:
            reason = error.strerror or error
            raise InputError(f"{path} is no video that can be read, or was not downloaded to its end ({reason})") from error
        return container

    def _whitelist(self) -> str:
        """Return the names of the containers that are read; FFmpeg wants each as it lists it, such as ``matroska,webm``."""
        known = [name for name in self._av.formats_available if name.split(",")[0] in CONTAINERS]
        return ",".join(known)

    def _check_size(self, width: int, height: int) -> None:
        """Refuse frames that no memory would hold: a file of a few bytes can claim any size.

        Raises:
            InputError: for more pixels than a picture may have.
            RunError: for more than fit into memory.
        """
        if width * height > HUGE:
            self._container.close()
            raise InputError(
                f"{self.path} has frames of {width} x {height} pixels: at most {HUGE // 1_000_000} million are read"
            )
        if width * height <= self._fits:
            return
        try:
            way_out = "make the video smaller with another program first"
            check_memory(f"frames of {width} x {height} pixels of {self.path}", width * height * _DECODING, way_out)
        except RunError:
            self._container.close()
            raise
        self._fits = width * height

    def _expected(self, rate: Fraction) -> int | None:
        if self._video.frames:
            return int(self._video.frames)
        length = self._length
        return None if length is None else max(round(length * rate), 1)

    def _read_gif(self) -> None:
        """Read a GIF to its end first, as its writer wants to know beforehand what only the last frame tells."""
        from PIL import Image

        try:
            with self.path.open("rb") as file:
                width, height = struct.unpack("<HH", file.read(10)[6:])
            self._check_size(width, height)
            with Image.open(self.path, formats=["GIF"]) as image:
                self.loops = image.info.get("loop", -1)
        except (InputError, RunError):
            raise
        except DAMAGE as error:
            raise InputError(f"{self.path} is no GIF that can be read, or was not downloaded to its end") from error
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - 4096))
            end = file.read().rstrip(b"\0")
        if not end.endswith(b";"):  # the trailer (GIF89a, section 27)
            self.losses.append(f"{self.path} ends early: its trailer is missing")
        with self._open(self.path) as twin:
            durations = deque((packet.duration for packet in twin.demux(video=0) if packet.pts is not None), maxlen=1)
        self.last_duration = durations[0] if durations else None

    @property
    def others(self) -> list[Any]:
        return [stream for stream in self._container.streams if stream.type in ("audio", "subtitle")]

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self._container.metadata)

    @property
    def _length(self) -> Fraction | None:
        """Return the seconds from the video's zero to the end of its stream of pictures or, where that is not known, of its
        longest."""
        video = self._video
        if video.duration is not None and video.time_base is not None:
            return Fraction(video.duration + (video.start_time or 0)) * Fraction(video.time_base)
        return None if self._container.duration is None else Fraction(self._container.duration, 1_000_000)

    def close(self) -> None:
        self._container.close()

    def __iter__(self) -> Iterator[Frame | av.Packet]:
        stopped = ""
        try:
            for packet in self._container.demux([self._video, *self.others]):
                yield from self._part(packet)
        except (self._av.FFmpegError, OSError) as error:
            stopped = f"{self.path} cannot be read to its end ({error})"
            yield from self._decoded(None)
        damaged = f"{self.path} is damaged: {self._damaged} packet{'s' * (self._damaged > 1)} left out" if self._damaged else ""
        # If there are several errors, the first one explains the others.
        self.losses += [loss for loss in (self._early_end(), stopped, damaged) if loss][:1]
        self._measure_last()

    def _part(self, packet: av.Packet) -> Iterator[Frame | av.Packet]:
        if packet.stream is self._video:
            yield from self._decoded(packet)
        if packet.is_corrupt or packet.dts is None:  # the latter ends a stream
            self._damaged += packet.is_corrupt and packet.stream is self._video
            return
        # A container's length may be that of its sound; what counts is then how far anything was read.
        if packet.stream is self._video or self._video.duration is None:
            end = (packet.pts if packet.pts is not None else packet.dts) + (packet.duration or 0)
            self._read_until = max(self._read_until, end * Fraction(packet.time_base))
        if packet.stream is not self._video:
            yield packet

    def _decoded(self, packet: av.Packet | None) -> Iterator[Frame]:
        """Yield the frames that a packet completes; all that are left for None."""
        if packet is not None and packet.is_corrupt:
            return
        try:
            frames = self._video.codec_context.decode(packet)
        except (self._av.FFmpegError, EOFError):
            self._damaged += packet is not None
            return
        for frame in frames:
            yield self._frame(frame)

    def _frame(self, frame: av.VideoFrame) -> Frame:
        turns = round(frame.rotation / 90) % 4
        if self._last_pts is None and turns % 2:
            self.aspect = 1 / self.aspect
        self._check_size(frame.width, frame.height)
        if self._tone_map is not None:
            picture = _picture(self._tone_map(frame), turns, str(self.path))
        else:
            picture = _picture(frame, turns, str(self.path))
        step = max(round(1 / (self.rate * self.time_base)), 1)
        pts = frame.pts
        if pts is None or (self._last_pts is not None and pts <= self._last_pts):
            pts = 0 if self._last_pts is None else self._last_pts + (step if pts is None else 1)
        self._last_pts = pts
        return Frame(picture, pts, frame.duration or 0)

    def _early_end(self) -> str:
        """Say where the video broke off; the answer is empty if it did not."""
        length = self._length
        if length is None or self._container.format.name.split(",")[0] not in _KNOW_THEIR_LENGTH:
            return ""
        if length - self._read_until <= max(2 / self.rate, Fraction(1, 10)):
            return ""
        return f"{self.path} ends after {float(self._read_until):.1f} of {float(length):.1f} seconds"

    def _measure_last(self) -> None:
        """Measure the duration of the last frame. A frame's own is that of a packet, which is another frame's where frames
        are stored out of order."""
        video = self._video
        if self.losses or self.last_duration is not None or video.duration is None or self._last_pts is None:
            return
        left = video.duration + (video.start_time or 0) - self._last_pts
        self.last_duration = left if left > 0 else None


def _picture(frame: av.VideoFrame, turns: int, name: str) -> Picture:
    """Return a decoded frame upright, after quarter turns counter-clockwise."""
    transparent = any(component.is_alpha for component in frame.format.components)
    # Players take the matrix of high definition for large videos that do not name one; swscale alone does not.
    guess = _BT709 if frame.height >= _HIGH_DEFINITION else _BT601
    matrix = guess if frame.colorspace == _UNSPECIFIED and not frame.format.is_rgb else None
    array = frame.reformat(format="rgba" if transparent else "rgb24", src_colorspace=matrix).to_ndarray()
    array = np.ascontiguousarray(np.rot90(array, turns).transpose(2, 0, 1))
    values = torch.from_numpy(array)[None].float() / 255
    alpha = values[:, 3:]
    return Picture(values[:, :3], alpha if transparent and bool((alpha < 1).any()) else None, name)
