"""Short videos that tests make and look into, by PyAV alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from foreign_nets import randomised

from stylenet.network.cards import Card
from stylenet.network.styles import Style, save_style
from stylenet.network.transform_net import NetSettings, TransformNet

BASE = Fraction(1, 12800)
EVEN = tuple(512 * index for index in range(12))  # 25 frames a second
UNEVEN = (0, 512, 1024, 3000, 3100, 5000, 9000, 9512)


def scene(index: int, width: int = 64, height: int = 48, seed: int = 0) -> np.ndarray:
    """``[H, W, 3]`` bytes: a smooth pattern that moves a little, with a red corner at the top left."""
    rows, columns = np.mgrid[:height, :width] / 9.0
    phases = np.random.default_rng(seed).uniform(0, 6, 3)
    waves = [np.sin(columns + 0.3 * index + phase) * np.cos(rows - phase) for phase in phases]
    frame = (127 + 90 * np.stack(waves, -1)).astype(np.uint8)
    frame[: height // 4, : width // 4] = (200, 20, 30)
    return frame


def make_video(
    path: Path,
    pts: Sequence[int] = EVEN,
    *,
    width: int = 64,
    height: int = 48,
    rate: Fraction = Fraction(25),
    sound: bool = False,
    title: str = "",
    aspect: Fraction | None = None,
    last: int = 512,
) -> Path:
    """Frames of :func:`scene` at given times, in units of a 12800th of a second; sound is a tone as long as the video."""
    codec = "libvpx-vp9" if path.suffix == ".webm" else "libx264"
    exact = {"video_track_timescale": "12800", "movie_timescale": "12800", "movflags": "faststart"}
    options = exact if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        video = container.add_stream(codec, rate=rate, options={"crf": "5", "g": "4", "bf": "1"} if codec == "libx264" else {})
        video.width, video.height = width, height
        video.pix_fmt = "yuv420p" if width % 2 == height % 2 == 0 else "yuv444p"
        video.codec_context.time_base = BASE
        if aspect is not None:
            video.codec_context.sample_aspect_ratio = aspect
        audio = container.add_stream("aac", rate=44100, layout="mono") if sound else None
        if title:
            container.metadata["title"] = title
        for index, at in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(scene(index, width, height), format="rgb24")
            frame.pts, frame.time_base = at, BASE
            container.mux(video.encode(frame))
        for packet in video.encode(None):
            packet.duration = last if packet.pts == pts[-1] else 0
            container.mux(packet)
        if audio is not None:
            _sound(container, audio, int((pts[-1] + 512) * BASE * 44100))
    return path


def _sound(container: Any, audio: Any, samples: int) -> None:
    tone = (np.sin(np.arange(samples) * 0.05) * 8000).astype(np.int16)[None]
    for start in range(0, samples, 1024):
        frame = av.AudioFrame.from_ndarray(tone[:, start : start + 1024], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 44100, start, Fraction(1, 44100)
        container.mux(audio.encode(frame))
    container.mux(audio.encode(None))


def turn(path: Path) -> Path:
    """Has an MP4 shown after a quarter turn clockwise, as telephones do: by the matrix in its track's header."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    one = 1 << 16
    for index, value in enumerate([0, one, 0, -one, 0, 0, 48 * one, 0, 1 << 30]):
        data[at + 4 * index : at + 4 * index + 4] = value.to_bytes(4, "big", signed=True)
    path.write_bytes(data)
    return path


@dataclass
class Seen:
    """What another program sees of a video."""

    pts: list[int]
    pictures: list[np.ndarray]
    time_base: Fraction
    rate: Fraction
    sound: list[bytes]
    sound_pts: list[int]
    streams: list[str]
    pix_fmt: str
    title: str
    aspect: Fraction | None
    length: float

    @property
    def times(self) -> list[Fraction]:
        return [at * self.time_base for at in self.pts]


def look(path: Path) -> Seen:
    """Decodes all of a video; raises if any of it cannot be."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        frames, packets = [], []
        for packet in container.demux():
            if packet.stream is video:
                frames += packet.decode()
            elif packet.dts is not None:
                packets.append(packet)
        return Seen(
            pts=[frame.pts for frame in frames],
            pictures=[frame.to_ndarray(format="rgb24") for frame in frames],
            time_base=video.time_base,
            rate=video.average_rate,
            sound=[bytes(packet) for packet in packets],
            sound_pts=[packet.pts for packet in packets],
            streams=[stream.type for stream in container.streams],
            pix_fmt=video.codec_context.pix_fmt,
            title=container.metadata.get("title", ""),
            aspect=video.sample_aspect_ratio,
            length=container.duration / 1e6,
        )


def tiny_style(path: Path, **options: Any) -> Style:
    """A style of random weights, as a file too."""
    net = randomised(TransformNet(NetSettings(width=4, residual_blocks=1, **options)))
    save_style(net, Card("tiny"), path, bits=32)
    return Style(net, Card("tiny"))
