"""Define what passes between a reader and a writer: frames with their times, and packets of sound that pass through."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylenet.errors import InputError
from stylenet.images.picture import Picture

if TYPE_CHECKING:
    import av


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture and when it is shown.

    Attributes:
        picture: upright, ``[1, 3, H, W]`` in 0..1.
        pts: when it appears, in units of the video's ``time_base``.
        duration: how long it stays, in the same units; 0 where the video does not say.
    """

    picture: Picture
    pts: int
    duration: int


class Video(ABC):
    """A video that is read once, from its beginning; to be closed, or used in a ``with``.

    Attributes:
        path: file or folder.
        rate: frames a second, on average.
        time_base: seconds that a unit of ``pts`` lasts.
        frames: how many there are, or None where the video does not say.
        aspect: width of a pixel over its height, after rotation.
        loops: how often a GIF repeats: 0 is without end, -1 never.
        last_duration: how long the last frame stays, in units of ``time_base``, or None where that is not known: of a GIF from
            the beginning, of others after the last frame.
        notes: what a person should know about the reading.
        losses: what could not be read, in words; empty for a video that is whole.
    """

    def __init__(self, path: Path, rate: Fraction, time_base: Fraction, frames: int | None) -> None:
        self.path, self.rate, self.time_base, self.frames = path, rate, time_base, frames
        self.aspect = Fraction(1)
        self.loops = 0
        self.last_duration: int | None = None
        self.notes: list[str] = []
        self.losses: list[str] = []

    @abstractmethod
    def __iter__(self) -> Iterator[Frame | av.Packet]:
        """Yield frames, and between them the packets of the other streams, in the order of the file."""

    @property
    def others(self) -> list[Any]:
        """Return the streams of sound and subtitles, whose packets come between the frames."""
        return []

    @property
    def metadata(self) -> dict[str, str]:
        """Return the title, the artist and so on."""
        return {}

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class VideoWriter(ABC):
    """The place where frames go. Leaving its ``with`` after an exception discards the output; otherwise it is put in place.

    Attributes:
        path: path of the output.
        one_size: whether all frames must have the size of the first.
        even: whether sides should be even where there is a choice.
        count: frames written so far.
        notes: what a person should know about the writing.
    """

    one_size = False
    even = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.notes: list[str] = []

    @abstractmethod
    def write(self, frame: Frame) -> None:
        """Add a frame.

        Raises:
            RunError: if it cannot be written.
        """

    @abstractmethod
    def copy(self, packet: av.Packet) -> None:
        """Add a packet of another stream, if there is a place for it."""

    @abstractmethod
    def interrupt(self) -> None:
        """Say that no more will come: sound beyond the last frame is left out."""

    def __enter__(self) -> VideoWriter:
        return self

    @abstractmethod
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None: ...


def import_av() -> Any:
    """Return PyAV, which only videos need.

    Raises:
        InputError: if it is not installed, with how to install it.
    """
    try:
        import av
    except ImportError as error:
        raise InputError("videos need PyAV: install it with  pip install 'stylenet[video]'") from error
    return av
