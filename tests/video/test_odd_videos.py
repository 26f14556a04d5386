"""Videos that lie, point elsewhere, change their shape, are transparent, or brighter than screens."""

from __future__ import annotations

import os
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from video_kit import make_video, scene, tiny_style

from stylenet.errors import InputError, RunError
from stylenet.video.reader import open_video
from stylenet.video.stylize import stylize_video
from stylenet.video.tone import TRANSFERS


def frames_of(path: Path) -> list[np.ndarray]:
    with open_video(path) as video:
        return [part.picture.pixels[0].permute(1, 2, 0).numpy() for part in video if hasattr(part, "picture")]


# --- what is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".gif"])
@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile secret.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n",
        "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'></MPD>",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\n",
    ],
    ids=["concat", "hls", "dash", "sdp"],
)
def test_scripts_read_no_other_file(tmp_path: Path, ending: str, text: str) -> None:
    make_video(tmp_path / "secret.mp4")
    (tmp_path / f"a{ending}").write_text(text)
    with pytest.raises(InputError, match="no video that can be read"):
        open_video(tmp_path / f"a{ending}")


@pytest.mark.parametrize("kind", ["mp4", "matroska", "avi", "mpegts", "nut", "flv"])
def test_containers(tmp_path: Path, kind: str) -> None:
    """The name does not matter."""
    with av.open(str(tmp_path / "a.video"), "w", format=kind) as container:
        video = container.add_stream("mpeg4" if kind != "flv" else "flv", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for index in range(25):
            container.mux(video.encode(av.VideoFrame.from_ndarray(scene(index), format="rgb24")))
        container.mux(video.encode(None))
    assert len(frames_of(tmp_path / "a.video")) == 25


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.png", {}, r"a\.png is a single picture"),
        ("a.jpg", {}, r"a\.jpg is a single picture"),
        ("a.avif", {}, r"a\.avif is a single picture"),
        ("a.webp", {}, r"a\.webp is a single picture"),
        ("a.webp", {"save_all": True}, r"a\.webp is an animated WEBP, which is not read: save it as a GIF or a video"),
    ],
)
def test_single_pictures(tmp_path: Path, name: str, options: dict[str, bool], message: str) -> None:
    images = [Image.fromarray(scene(index)) for index in range(3)]
    more = {"append_images": images[1:]} if options else {}
    images[0].save(tmp_path / name, **options, **more)
    with pytest.raises(InputError, match=message):
        open_video(tmp_path / name)


def test_an_animated_png_is_a_video(tmp_path: Path) -> None:
    images = [Image.fromarray(scene(index)) for index in range(3)]
    images[0].save(tmp_path / "a.png", save_all=True, append_images=images[1:], duration=100)
    assert len(frames_of(tmp_path / "a.png")) == 3


def test_a_video_that_is_named_as_a_picture_is_read(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4").rename(tmp_path / "a.jpg")
    assert len(frames_of(tmp_path / "a.jpg")) == 12


def test_huge_frames(tmp_path: Path) -> None:
    """A GIF of a few bytes that claims frames of 13 GB."""
    image = Image.new("P", (8, 8))
    image.save(tmp_path / "a.gif")
    data = bytearray((tmp_path / "a.gif").read_bytes())
    data[6:10] = struct.pack("<HH", 65535, 65535)
    (tmp_path / "a.gif").write_bytes(data)
    with pytest.raises(InputError, match=r"65535 x 65535 pixels: at most 89 million|no video that can be read"):
        open_video(tmp_path / "a.gif")


def test_frames_that_memory_does_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are refused before one is decoded, also where a container has less memory than the machine."""
    make_video(tmp_path / "a.mp4")
    assert len(frames_of(tmp_path / "a.mp4")) == 12
    monkeypatch.setattr("stylenet.devices.free_main_memory", lambda swap=False: 64 * 48 * 20)
    with pytest.raises(RunError, match=r"frames of 64 x 48 pixels of .*a\.mp4 need"):
        open_video(tmp_path / "a.mp4")


@pytest.mark.parametrize("kind", ["pipe", "link to itself", "link to nothing"])
def test_odd_files_of_a_folder_are_told(tmp_path: Path, kind: str) -> None:
    """As lost frames, so that the exit code tells too; nothing hangs."""
    (tmp_path / "in").mkdir()
    for index in (1, 3):
        Image.fromarray(scene(index)).save(tmp_path / "in" / f"{index}.png")
    if kind == "pipe":
        os.mkfifo(tmp_path / "in" / "2.png")
    else:
        (tmp_path / "in" / "2.png").symlink_to("2.png" if kind == "link to itself" else "none")
    result = stylize_video(tmp_path / "in", tiny_style(tmp_path / "a.safetensors"), tmp_path / "out.mp4", device="cpu")
    assert (result.frames, result.stopped) == (2, "damaged")
    assert "2.png" in result.message


# --- shape, transparency, brightness ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("second", "told"), [((48, 64), True), ((128, 96), False), ((65, 48), False)])
def test_frames_of_another_shape(tmp_path: Path, second: tuple[int, int], told: bool) -> None:
    (tmp_path / "in").mkdir()
    for index, (width, height) in enumerate([(64, 48), second, second]):
        Image.fromarray(scene(index, width, height)).save(tmp_path / "in" / f"{index}.png")
    style = tiny_style(tmp_path / "a.safetensors")
    result = stylize_video(tmp_path / "in", style, tmp_path / "out.mp4", device="cpu")
    notes = [note for note in result.notes if "another shape" in note]
    assert (
        notes == ["frames of another shape than the first (64 x 48) are stretched to it: a folder of PNGs keeps theirs"] * told
    )
    assert [frame.shape for frame in frames_of(tmp_path / "out.mp4")] == [(48, 64, 3)] * 3
    assert not [note for note in stylize_video(tmp_path / "in", style, tmp_path / "out", device="cpu").notes if "shape" in note]


def test_a_transparent_gif_stays_transparent(tmp_path: Path) -> None:
    image = Image.new("RGBA", (16, 12), (255, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 8, 12))
    image.save(tmp_path / "a.gif", save_all=True, append_images=[image.rotate(180)], duration=100, disposal=2)
    result = stylize_video(tmp_path / "a.gif", tiny_style(tmp_path / "a.safetensors"), tmp_path / "b.gif", device="cpu")
    assert result.notes == ()
    with Image.open(tmp_path / "b.gif") as styled:
        for index, row in enumerate(([0] * 8 + [255] * 8, [255] * 8 + [0] * 8)):
            styled.seek(index)
            assert np.asarray(styled.convert("RGBA"))[5, :, 3].tolist() == row


def pq(nits: float) -> float:
    """SMPTE ST 2084, the inverse of eq. 4.1."""
    share = (nits / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * share) / (1 + 18.6875 * share)) ** 78.84375


def hlg(light: float) -> float:
    """ITU-R BT.2100, table 5."""
    return (3 * light) ** 0.5 if light <= 1 / 12 else 0.17883277 * np.log(12 * light - 0.28466892) + 0.55991073


@pytest.mark.parametrize("transfer", list(TRANSFERS))
def test_high_dynamic_range(tmp_path: Path, transfer: int) -> None:
    """Columns of growing light: tone-mapped they grow too, the dark ones darker than as if nothing were done."""
    lights = (1, 10, 100, 400, 1000, 4000) if transfer == 16 else (0.001, 0.01, 0.05, 0.2, 0.6, 1.0)
    signal = [pq(light) if transfer == 16 else hlg(light) for light in lights]
    codes = np.repeat(np.round(np.array(signal) * 876 + 64).astype(np.uint16), 16)
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = len(codes), 32, "yuv420p10le"
        context = video.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = transfer, 9, 9, 1
        frame = av.VideoFrame(len(codes), 32, "yuv420p10le")
        for plane, row in zip(frame.planes, (codes, np.full(len(codes) // 2, 512), np.full(len(codes) // 2, 512)), strict=True):
            padded = np.zeros((plane.height, plane.line_size // 2), np.uint16)
            padded[:, : plane.width] = row
            plane.update(padded.tobytes())
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux(video.encode(frame))
        container.mux(video.encode(None))
    with open_video(path) as video:
        assert video.notes == [f"{path} is HDR ({TRANSFERS[transfer][1]}): it is tone-mapped to BT.709"]
    (picture,) = frames_of(path)
    levels = picture[16, 8::16].mean(axis=1)
    assert picture[16, 8::16].std(axis=1).max() < 0.02  # grey stays grey
    assert (np.diff(levels) > 0.03).all()
    assert levels[0] < signal[0]
    assert levels[-1] > 0.85
