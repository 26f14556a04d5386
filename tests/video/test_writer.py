"""Videos as they are written: what another reader finds in them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from video_kit import EVEN, UNEVEN, Seen, look, make_video

from stylenet.errors import InputError, RunError
from stylenet.video.encoder import VideoFile
from stylenet.video.frames import Frame, VideoWriter
from stylenet.video.reader import open_video
from stylenet.video.writer import open_writer


def copy(source: Path, target: Path, quality: int = 5) -> tuple[Seen, VideoWriter]:
    """A video as it is through the reader and the writer."""
    with open_video(source) as video, open_writer(target, video, quality) as writer:
        for part in video:
            if isinstance(part, Frame):
                writer.write(part)
            else:
                writer.copy(part)
    return look(target), writer


@pytest.mark.parametrize("pts", [EVEN, UNEVEN, (700, 1212)], ids=["even", "uneven", "late"])
@pytest.mark.parametrize("name", ["b.mp4", "b.mov", "b.mkv", "b.webm", "b.m4v"])
def test_times(tmp_path: Path, name: str, pts: tuple[int, ...]) -> None:
    source = make_video(tmp_path / "a.mp4", pts, last=1300)
    before = look(source)
    seen, _ = copy(source, tmp_path / name)
    if name[2:] in ("mp4", "mov", "m4v"):
        assert (seen.pts, seen.time_base, seen.rate) == (before.pts, before.time_base, before.rate)
        assert seen.length == before.length
    else:  # Matroska counts milliseconds
        assert [float(at) for at in seen.times] == pytest.approx([float(at) for at in before.times], abs=0.0011)


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(2997, 100), Fraction(24)])
@pytest.mark.parametrize("name", ["b.mp4", "b.mkv"])
def test_frame_rate(tmp_path: Path, name: str, rate: Fraction) -> None:
    for index in range(5):
        Image.new("RGB", (16, 16)).save(tmp_path / f"{index}.png")
    with open_video(tmp_path, rate) as video, open_writer(tmp_path / name, video) as writer:
        for frame in video:
            assert isinstance(frame, Frame)
            writer.write(frame)
    assert look(tmp_path / name).rate == rate


@pytest.mark.parametrize("names", [("a.mp4", "b.mp4"), ("a.mp4", "b.mov"), ("a.mkv", "b.mkv")])
def test_sound_is_copied(tmp_path: Path, names: tuple[str, str]) -> None:
    source = make_video(tmp_path / names[0], sound=True, title="Waves")
    before = look(source)
    seen, writer = copy(source, tmp_path / names[1])
    assert seen.sound == before.sound
    assert (seen.sound_pts, seen.pts) == (before.sound_pts, before.pts)
    assert (seen.streams, seen.title, writer.notes) == (["video", "audio"], "Waves", [])


def test_subtitles_are_copied(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text("1\n00:00:00,100 --> 00:00:00,300\nHello\n\n")
    make_video(tmp_path / "a.mkv")
    inputs = [av.open(str(tmp_path / name)) for name in ("a.srt", "a.mkv")]
    with av.open(str(tmp_path / "both.mkv"), "w") as both:
        copies = {stream: both.add_stream_from_template(stream) for opened in inputs[::-1] for stream in opened.streams}
        for packet in (packet for opened in inputs for packet in opened.demux() if packet.dts is not None):
            packet.stream = copies[packet.stream]
            both.mux(packet)
    seen, writer = copy(tmp_path / "both.mkv", tmp_path / "b.mkv")
    assert (seen.streams, seen.sound, writer.notes) == (["video", "subtitle"], [b"Hello"], [])
    _, writer = copy(tmp_path / "both.mkv", tmp_path / "b.mp4")
    assert writer.notes == [".mp4 has no place for subtitle in subrip: it is left out"]


def test_sound_that_has_no_place(tmp_path: Path) -> None:
    seen, writer = copy(make_video(tmp_path / "a.mp4", sound=True), tmp_path / "b.webm")
    assert seen.streams == ["video"]
    assert writer.notes == [".webm has no place for audio in aac: it is left out"]


@pytest.mark.parametrize(
    ("name", "size", "format_"),
    [
        *[("b.mp4", (64, 48), "yuv420p"), ("b.mp4", (63, 47), "yuv444p"), ("b.mkv", (64, 47), "yuv444p")],
        *[("b.webm", (63, 47), "yuv420p"), ("b.gif", (63, 47), "bgra")],
    ],
)
def test_size_and_colours(tmp_path: Path, name: str, size: tuple[int, int], format_: str) -> None:
    source = make_video(tmp_path / "a.mp4", EVEN[:4], width=size[0], height=size[1])
    seen, writer = copy(source, tmp_path / name)
    assert seen.pictures[0].shape == (size[1], size[0], 3)
    assert seen.pix_fmt == format_
    assert any("4:4:4" in note for note in writer.notes) == (format_ == "yuv444p")
    for ours, theirs in zip(seen.pictures, look(source).pictures, strict=True):
        assert np.abs(ours.astype(int) - theirs).mean() < 8


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    seen, _ = copy(make_video(tmp_path / "a.mp4", EVEN[:3], aspect=Fraction(4, 3)), tmp_path / "b.mp4")
    assert seen.aspect == Fraction(4, 3)


def test_gif(tmp_path: Path) -> None:
    images = [Image.fromarray(np.full((21, 33, 3), (60 * index, 90, 30), np.uint8)) for index in range(4)]
    durations = [40, 300, 70, 1000]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=durations, loop=3)
    copy(tmp_path / "a.gif", tmp_path / "b.gif")
    with Image.open(tmp_path / "b.gif") as image:
        assert (image.n_frames, image.size, image.info["loop"]) == (4, (33, 21), 3)
        for index, duration in enumerate(durations):
            image.seek(index)
            assert image.info["duration"] == duration
            assert np.abs(np.asarray(image.convert("RGB")).astype(int) - np.asarray(images[index])).max() <= 4


def test_a_gif_has_50_frames_a_second(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", [128 * index for index in range(10)], rate=Fraction(100))
    seen, writer = copy(source, tmp_path / "b.gif")
    assert seen.pts == [0, 2, 4, 6, 8]
    assert writer.notes == ["a GIF shows 50 frames a second at most: those in between are left out"]


def test_folder(tmp_path: Path) -> None:
    seen = look(make_video(tmp_path / "a.mp4", EVEN[:3]))
    with open_video(tmp_path / "a.mp4") as video, open_writer(tmp_path / "frames", video) as writer:
        for frame in video:
            assert isinstance(frame, Frame)
            writer.write(frame)
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert names == ["frame_000001.png", "frame_000002.png", "frame_000003.png"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "frames" / names[2])), seen.pictures[2])


def test_transparency(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGBA", (16, 16), (255, 0, 0, 51)).save(tmp_path / "in" / "1.png")
    for name in ("out", "b.mkv"):
        with open_video(tmp_path / "in") as video, open_writer(tmp_path / name, video, 0) as writer:
            writer.write(next(part for part in video if isinstance(part, Frame)))
    assert Image.open(tmp_path / "out" / "1.png").getpixel((3, 3)) == (255, 0, 0, 51)
    assert look(tmp_path / "b.mkv").pictures[0][3, 3].tolist() == pytest.approx([255, 204, 204], abs=6)
    assert writer.notes == ["a video has no transparency: it is laid on white"]


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_discarded_after_an_exception(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", EVEN[:4])
    (tmp_path / "b.mp4").write_bytes(b"old")

    def fail() -> None:
        with open_video(source) as video, open_writer(tmp_path / "b.mp4", video, overwrite=True) as writer:
            writer.write(next(part for part in video if isinstance(part, Frame)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (tmp_path / "b.mp4").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_video(tmp_path / "a.mp4", EVEN[:4])

    def full(self: VideoFile, packets: object) -> None:
        raise self._av.error.OSError(28, "No space left on device")

    monkeypatch.setattr(VideoFile, "_mux", full)
    with pytest.raises(RunError, match=r"cannot write .*b\.mp4: No space left on device"):
        copy(source, tmp_path / "b.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.mp4", "is the video itself"),
        ("old.mp4", "exists: give another name, or overwrite=True"),
        ("full", "is a folder with files in it"),
        ("b.avi", r"its ending must be one of \.mp4"),
        ("old.mp4/b.mp4", "a part of that path is a file"),
    ],
)
def test_bad_outputs(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "old.mp4").write_bytes(b"old")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "1.png").write_bytes(b"old")
    with open_video(make_video(tmp_path / "a.mp4", EVEN[:2])) as video, pytest.raises(InputError, match=message):
        open_writer(tmp_path / name, video)


def test_folder_onto_itself(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "1.png")
    with open_video(tmp_path) as video, pytest.raises(InputError, match="is the video itself"):
        open_writer(tmp_path, video, overwrite=True)


def test_rounds_instead_of_cutting_off(tmp_path: Path) -> None:
    """254.6 is 255, in a picture without loss."""
    with open_video(make_video(tmp_path / "a.mp4", EVEN[:1])) as video, open_writer(tmp_path / "out", video) as writer:
        frame = next(part for part in video if isinstance(part, Frame))
        picture = type(frame.picture)(torch.full((1, 3, 8, 8), 254.6 / 255))
        writer.write(Frame(picture, 0, 1))
    assert Image.open(tmp_path / "out" / "frame_000001.png").getpixel((0, 0)) == (255, 255, 255)
