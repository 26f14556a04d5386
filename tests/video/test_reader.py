"""Videos as they are read: times, rotation, colours, damage; folders; what is no video."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from video_kit import BASE, EVEN, UNEVEN, look, make_video, scene, turn

from stylenet.errors import InputError
from stylenet.video.folder import natural
from stylenet.video.frames import Frame, Video
from stylenet.video.reader import open_video, parse_rate


def read(path: Path) -> tuple[Video, list[Frame]]:
    with open_video(path) as video:
        return video, [part for part in video if isinstance(part, Frame)]


def to_bytes(frame: Frame) -> np.ndarray:
    return (frame.picture.pixels[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)


@pytest.mark.parametrize("pts", [EVEN, UNEVEN], ids=["even", "uneven"])
def test_times(tmp_path: Path, pts: tuple[int, ...]) -> None:
    video, frames = read(make_video(tmp_path / "a.mp4", pts))
    assert [frame.pts for frame in frames] == list(pts)
    assert (video.time_base, video.frames, video.losses) == (BASE, len(pts), [])
    if pts == EVEN:
        assert video.rate == 25


def test_the_last_frame_stays_as_long(tmp_path: Path) -> None:
    _, frames = read(make_video(tmp_path / "a.mp4", last=2000))
    assert frames[-1].duration == 2000


@pytest.mark.parametrize("size", [(64, 48), (63, 47), (20, 9)])
def test_pictures(tmp_path: Path, size: tuple[int, int]) -> None:
    _, frames = read(make_video(tmp_path / "a.mp4", EVEN[:3], width=size[0], height=size[1]))
    for index, frame in enumerate(frames):
        assert np.abs(to_bytes(frame).astype(int) - scene(index, *size)).mean() < 8


def test_rotated_videos_are_upright(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", EVEN[:3], aspect=Fraction(4, 3))
    _, upright = read(path)
    video, turned = read(turn(path))
    assert turned[0].picture.pixels.shape == (1, 3, 64, 48)
    assert np.array_equal(to_bytes(turned[0]), np.rot90(to_bytes(upright[0]), -1))
    assert to_bytes(turned[0])[4, 40, 0] > 150 > to_bytes(turned[0])[4, 40, 1] + 80  # red, at the top right
    assert video.aspect == Fraction(3, 4)


@pytest.mark.parametrize(
    ("height", "tag", "weights"),
    [(48, None, (0.299, 0.114)), (720, None, (0.2126, 0.0722)), (48, 1, (0.2126, 0.0722)), (720, 5, (0.299, 0.114))],
)
def test_colours(tmp_path: Path, height: int, tag: int | None, weights: tuple[float, float]) -> None:
    """One colour as Y'CbCr of the standard that the video names, or else that its size suggests."""
    red, green, blue = 0.8, 0.3, 0.1
    luma = weights[0] * red + (1 - sum(weights)) * green + weights[1] * blue
    chroma = (blue - luma) / (2 - 2 * weights[1]), (red - luma) / (2 - 2 * weights[0])
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 64, height, "yuv444p"
        if tag is not None:
            video.codec_context.colorspace = tag
        planes = [16 + 219 * luma, 128 + 224 * chroma[0], 128 + 224 * chroma[1]]
        array = np.stack([np.full((height, 64), round(value), np.uint8) for value in planes])
        container.mux(video.encode(av.VideoFrame.from_ndarray(array, format="yuv444p")))
        container.mux(video.encode(None))
    _, frames = read(path)
    assert frames[0].picture.pixels.mean((0, 2, 3)).tolist() == pytest.approx([red, green, blue], abs=0.012)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_cut_short(tmp_path: Path, name: str) -> None:
    path = make_video(tmp_path / name, sound=True)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    video, frames = read(path)
    assert 0 < len(frames) < 12
    assert "ends after" in video.losses[-1]
    assert video.losses[-1].endswith("of 0.5 seconds")


def test_damaged_inside(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", sound=True)
    with av.open(str(path)) as whole:
        packets = [packet for packet in whole.demux(video=0) if packet.pos is not None]
        middle = packets[6]
        at, size = middle.pos, middle.size
    data = bytearray(path.read_bytes())
    data[at : at + size] = b"\xff" * size
    path.write_bytes(data)
    video, frames = read(path)
    assert len(frames) == 11
    assert video.losses == [f"{path} is damaged: 1 packet left out"]


def test_gif(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    images = [Image.fromarray(scene(index, 33, 21)).quantize() for index in range(4)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=[40, 300, 70, 1000], loop=3)
    video, frames = read(path)
    assert [frame.pts for frame in frames] == [0, 4, 34, 41]
    assert (video.time_base, video.loops, video.last_duration) == (Fraction(1, 100), 3, 100)
    assert frames[0].picture.alpha is None


def test_transparency_of_a_gif(tmp_path: Path) -> None:
    image = Image.new("RGBA", (16, 12), (255, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 8, 12))
    image.save(tmp_path / "a.gif", save_all=True, append_images=[image.rotate(180)], duration=100)
    _, frames = read(tmp_path / "a.gif")
    assert frames[0].picture.alpha is not None
    assert frames[0].picture.alpha[0, 0, 5].tolist() == [0.0] * 8 + [1.0] * 8


# --- folders ----------------------------------------------------------------------------------------------------------


def test_folder(tmp_path: Path) -> None:
    for index in (10, 2, 1):
        Image.fromarray(scene(index)).save(tmp_path / f"shot {index}.png")
    (tmp_path / "notes.txt").write_text("hello")
    video, frames = read(tmp_path)
    assert [Path(frame.picture.name).name for frame in frames] == ["shot 1.png", "shot 2.png", "shot 10.png"]
    assert [(frame.pts, frame.duration) for frame in frames] == [(0, 1), (1, 1), (2, 1)]
    assert (video.rate, video.time_base, video.frames) == (25, Fraction(1, 25), 3)


def test_a_broken_picture_is_left_out(tmp_path: Path) -> None:
    for index in range(3):
        Image.fromarray(scene(index)).save(tmp_path / f"{index}.png")
    (tmp_path / "1.png").write_bytes(b"hello")
    video, frames = read(tmp_path)
    assert [frame.pts for frame in frames] == [0, 2]
    assert "1.png" in video.losses[0]


def test_natural_order() -> None:
    names = ["b1.png", "a10.png", "a2.png", "a.png", "A3.png", "7.png", "07b.png"]
    assert sorted(names, key=natural) == ["7.png", "07b.png", "a.png", "a2.png", "A3.png", "a10.png", "b1.png"]


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        (25.0, 25),
        (23.976, Fraction("23.976")),
        ("25", 25),
        ("30000/1001", Fraction(30000, 1001)),
        ("23.976", Fraction("23.976")),
    ],
)
def test_rates(text: float | str, rate: Fraction) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "1/0", "0", "-25", "5000"])
def test_no_rates(text: str) -> None:
    with pytest.raises(InputError, match="fps"):
        parse_rate(text)


# --- neither ----------------------------------------------------------------------------------------------------------


def sound_alone(path: Path) -> None:
    make_video(path, sound=True)
    with av.open(str(path)) as video, av.open(str(path.with_suffix(".m4a")), "w") as other:
        stream = other.add_stream_from_template(video.streams.audio[0])
        for packet in video.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                other.mux(packet)
    path.with_suffix(".m4a").replace(path)


def twins(path: Path) -> None:
    path.mkdir()
    for suffix in ("png", "jpg"):
        Image.new("RGB", (8, 8)).save(path / f"1.{suffix}")


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("a.mp4", lambda path: None, "no video at"),
        ("a.mp4", lambda path: path.write_bytes(b""), "no video that can be read"),
        ("a.mp4", lambda path: path.write_text("hello" * 99), "no video that can be read"),
        ("a.mp4", sound_alone, "holds no video, only audio"),
        ("a.png", lambda path: path.write_bytes(b""), "no video that can be read"),
        ("folder", Path.mkdir, "holds no pictures"),
        ("folder", twins, "two frames named 1"),
    ],
)
def test_no_video(tmp_path: Path, name: str, make: Callable[[Path], Any], message: str) -> None:
    make(tmp_path / name)
    with pytest.raises(InputError, match=message):
        open_video(tmp_path / name)


def test_without_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *others: Any) -> Any:
        if name == "av":
            raise ImportError(name)
        return real(name, *others)

    path = make_video(tmp_path / "a.mp4", EVEN[:2])
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"pip install 'stylenet\[video\]'"):
        open_video(path)


def test_the_kit_sees_what_it_made(tmp_path: Path) -> None:
    """Or the other tests would be about nothing."""
    seen = look(make_video(tmp_path / "a.mp4", sound=True, title="Waves"))
    assert (seen.pts, seen.rate, seen.title) == (list(EVEN), 25, "Waves")
    assert len(seen.sound) > 18
