"""Read videos as frames, one at a time: containers and animated GIFs through PyAV, and folders of pictures.

What a container can hide is settled here: rotation, colour matrix and range, transparency, frames without a time, damage.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stylenet.errors import InputError
from stylenet.formats import WRITTEN_FILMS, ending, is_picture, picture_endings
from stylenet.images.picture import Picture, read_image
from stylenet.video.film import Film, Frame, import_av

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Containers that say in their header how long they are; others guess from the bit rate.
_KNOW_THEIR_LENGTH = {"mov", "matroska", "avi"}

_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
_BT709, _BT601 = 1, 5  # as swscale counts them
_HIGH_DEFINITION = 720
_HDR = {16: "PQ", 18: "HLG"}  # AVColorTransferCharacteristic


def open_film(path: str | Path, fps: float | str | Fraction = 25) -> Film:
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
        raise InputError(f"no film at {str(path)!r}: there is no such file or folder")
    if is_picture(source) and ending(source) not in WRITTEN_FILMS:  # an animated GIF is both
        raise InputError(f"{path} is a single picture: give a film, an animated GIF or a folder of frames")
    return Recording(source)


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


# --- folders ----------------------------------------------------------------------------------------------------------


class PictureFolder(Film):
    """The pictures of a folder (not of folders in it) as frames: ``2.png`` before ``10.png``.

    Raises:
        InputError: if it holds none, or two of the same name that differ only in their ending.
    """

    def __init__(self, folder: Path, rate: Fraction) -> None:
        names = sorted((path.name for path in folder.iterdir() if _is_frame(path)), key=natural)
        if not names:
            raise InputError(f"{str(folder)!r} holds no pictures ({picture_endings()})")
        (stem, count), *_ = Counter(Path(name).stem for name in names).most_common(1)
        if count > 1:
            raise InputError(f"{str(folder)!r} holds two frames named {stem}: keep one of them")
        super().__init__(folder, rate, 1 / rate, len(names))
        self.names = names

    def __iter__(self) -> Iterator[Frame]:
        for index, name in enumerate(self.names):
            try:
                picture = read_image(str(self.path / name))
            except InputError as error:
                self.losses.append(str(error))
                continue
            yield Frame(picture, index, 1)

    def close(self) -> None:
        """Do nothing, as pictures are opened one by one."""


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts file names by what comes before their ending, numbers in them by value."""
    return [(int(word), "") if word.isdecimal() else (-1, word.lower()) for word in re.split(r"(\d+)", Path(name).stem)]


def _is_frame(path: Path) -> bool:
    return is_picture(path) and path.is_file()


# --- containers -------------------------------------------------------------------------------------------------------


class Recording(Film):
    """A container with one film in it: the one that FFmpeg thinks best.

    Raises:
        InputError: if it cannot be read, or holds no film.
    """

    def __init__(self, path: Path) -> None:
        self._av = import_av()
        self._container = self._open(path)
        streams = self._container.streams
        video = streams.best("video")
        if video is None:
            found = ", ".join(stream.type for stream in streams) or "nothing"
            self._container.close()
            raise InputError(f"{path} holds no film, only {found}")
        video.thread_type = "AUTO"
        self._video: VideoStream = video
        rate = video.average_rate or video.guessed_rate or Fraction(25)
        super().__init__(path, rate, video.time_base or 1 / rate, self._expected(rate))
        self.aspect = video.sample_aspect_ratio or Fraction(1)
        self._damaged = 0
        self._read_until = Fraction(0)
        self._last_pts: int | None = None
        if self._container.format.name == "gif":
            self._read_gif()
        if video.codec_context is None:
            self._container.close()
            raise InputError(f"{path} holds a film in a coding that is not known here")
        if transfer := _HDR.get(video.codec_context.color_trc):
            self.notes.append(f"{path} is HDR ({transfer}): it is read as if it were not, and may look flat")
        if left_out := [stream.type for stream in streams if stream not in (video, *self.others)]:
            self.notes.append(f"left out of {path}: {', '.join(left_out)}")

    def _open(self, path: Path) -> InputContainer:
        try:
            container: InputContainer = self._av.open(str(path))
        except self._av.FFmpegError as error:
            reason = error.strerror or error
            raise InputError(f"{path} is no film that can be read, or was not downloaded to its end ({reason})") from error
        return container

    def _expected(self, rate: Fraction) -> int | None:
        if self._video.frames:
            return int(self._video.frames)
        length = self._length
        return None if length is None else max(round(length * rate), 1)

    def _read_gif(self) -> None:
        """Read a GIF to its end first, as its writer wants to know beforehand what only the last frame tells."""
        from PIL import Image

        try:
            with Image.open(self.path) as image:
                self.loops = image.info.get("loop", -1)
        except OSError as error:
            raise InputError(f"{self.path} is no GIF that can be read, or was not downloaded to its end") from error
        if not self.path.read_bytes().rstrip(b"\0").endswith(b";"):  # the trailer (GIF89a, section 27)
            self.losses.append(f"{self.path} ends early: its trailer is missing")
        with self._open(self.path) as twin:
            self.last_duration = [packet.duration for packet in twin.demux(video=0) if packet.pts is not None][-1]

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
    # Players take the matrix of high definition for large films that do not name one; swscale alone does not.
    guess = _BT709 if frame.height >= _HIGH_DEFINITION else _BT601
    matrix = guess if frame.colorspace == _UNSPECIFIED and not frame.format.is_rgb else None
    array = frame.reformat(format="rgba" if transparent else "rgb24", src_colorspace=matrix).to_ndarray()
    array = np.ascontiguousarray(np.rot90(array, turns).transpose(2, 0, 1))
    values = torch.from_numpy(array)[None].float() / 255
    alpha = values[:, 3:]
    return Picture(values[:, :3], alpha if transparent and bool((alpha < 1).any()) else None, name)
