"""A style on whole videos: what goes in against what comes out, steadiness, damage, and the command line."""

from __future__ import annotations

import contextlib
import itertools
import math
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from video_kit import EVEN, UNEVEN, look, make_video, scene, tiny_style, turn

import stylenet
from stylenet.commands.cli import main
from stylenet.devices import can_compile
from stylenet.errors import InputError, Interrupted
from stylenet.network.styles import Style
from stylenet.video.encoder import VideoFile
from stylenet.video.stylize import StyleEngine, VideoResult, stylize_video

PLAIN: dict[str, Any] = {"smooth": 0.0, "device": "cpu", "precision": "32", "crf": 0}
CPU = torch.device("cpu")


@pytest.fixture
def style(tmp_path: Path) -> Style:
    return tiny_style(tmp_path / "tiny.safetensors")


def to_tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.transpose(2, 0, 1).copy())[None].float() / 255


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_gif_that_breaks_off(tmp_path: Path, style: Style) -> None:
    images = [Image.fromarray(scene(index)) for index in range(8)]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=100)
    whole = (tmp_path / "a.gif").read_bytes()
    (tmp_path / "cut.gif").write_bytes(whole[: len(whole) // 2])
    result = stylize_video(tmp_path / "cut.gif", style, tmp_path / "out", **PLAIN)
    assert result.stopped == "damaged"
    assert 0 < result.frames < 8
    assert "ends early" in result.message
    (tmp_path / "head.gif").write_bytes(whole[:10])
    with pytest.raises(InputError, match=r"head\.gif is no"):
        stylize_video(tmp_path / "head.gif", style, tmp_path / "none", **PLAIN)


def test_ctrl_c_while_the_video_is_closed(tmp_path: Path, style: Style, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is put in its place first."""
    finish = VideoFile._finish

    def interrupted(video: VideoFile) -> None:
        signal.raise_signal(signal.SIGINT)
        finish(video)

    monkeypatch.setattr(VideoFile, "_finish", interrupted)
    source = make_video(tmp_path / "a.mp4")
    with pytest.raises(KeyboardInterrupt):
        stylize_video(source, style, tmp_path / "b.mp4", **PLAIN)
    assert len(look(tmp_path / "b.mp4").pictures) == len(look(source).pictures)
    assert not list(tmp_path.glob(".*"))


# --- what comes out ---------------------------------------------------------------------------------------------------


def test_frames_are_those_of_the_network(tmp_path: Path, style: Style) -> None:
    source = make_video(tmp_path / "a.mp4", EVEN[:4])
    result = stylize_video(source, style, tmp_path / "out", **PLAIN)
    assert (result.frames, result.stopped, result.scenes) == (4, "done", 1)
    for index, picture in enumerate(look(source).pictures, 1):
        with torch.no_grad():
            expected = style.net(to_tensor(picture)).clamp(0, 1)
        ours = to_tensor(np.asarray(Image.open(tmp_path / "out" / f"frame_{index:06d}.png")))
        assert (ours - expected).abs().max() < 0.012  # half a byte, and another decoder's rounding
        assert (ours - to_tensor(picture)).abs().mean() > 0.05


@pytest.mark.parametrize("pts", [EVEN, UNEVEN], ids=["even", "uneven"])
@pytest.mark.parametrize("options", [{}, {"steady": 0.7}, {"smooth": 0.0, "precision": "bf16"}], ids=str)
def test_times_and_sound(tmp_path: Path, style: Style, pts: tuple[int, ...], options: dict[str, Any]) -> None:
    source = make_video(tmp_path / "a.mp4", pts, sound=True, title="Waves")
    result = stylize_video(source, style, tmp_path / "b.mp4", device="cpu", **options)
    before, after = look(source), look(tmp_path / "b.mp4")
    assert (after.pts, after.rate, after.time_base) == (before.pts, before.rate, before.time_base)
    assert (after.sound, after.sound_pts, after.title) == (before.sound, before.sound_pts, "Waves")
    assert after.pictures[0].shape == (48, 64, 3)
    assert (result.frames, result.notes, result.message) == (len(pts), (), "")


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ("full", (47, 63)),
        ("32", (24, 32)),
        ("short:22", (22, 28)),
        ("41x33", (33, 41)),
        ("100", (47, 63)),
        ("0.001mp", (28, 36)),
    ],
)
def test_sizes(tmp_path: Path, style: Style, size: str, shape: tuple[int, int]) -> None:
    """Even where the rule leaves a choice, and never larger unless exactly so."""
    source = make_video(tmp_path / "a.mp4", EVEN[:2], width=63, height=47)
    stylize_video(source, style, tmp_path / "b.mp4", size, device="cpu")
    assert look(tmp_path / "b.mp4").pictures[0].shape[:2] == shape


def test_rotated(tmp_path: Path, style: Style) -> None:
    source = make_video(tmp_path / "a.mp4", EVEN[:3])
    stylize_video(source, style, tmp_path / "upright.mkv", **PLAIN)
    with torch.no_grad():
        expected = style.net(to_tensor(np.rot90(look(source).pictures[0], -1))).clamp(0, 1)
    stylize_video(turn(source), style, tmp_path / "b.mkv", **PLAIN)
    after = look(tmp_path / "b.mkv").pictures[0]
    assert after.shape == (64, 48, 3)
    assert (to_tensor(after) - expected).abs().mean() < 0.02


def test_gif(tmp_path: Path, style: Style) -> None:
    images = [Image.fromarray(scene(index, 33, 21)) for index in range(3)]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=[40, 300, 1000], loop=0)
    stylize_video(tmp_path / "a.gif", style, tmp_path / "b.gif", device="cpu")
    with Image.open(tmp_path / "b.gif") as image:
        assert (image.n_frames, image.size, image.info["loop"]) == (3, (33, 21), 0)
        durations = []
        for index in range(3):
            image.seek(index)
            durations.append(image.info["duration"])
    assert durations == [40, 300, 1000]
    stylize_video(tmp_path / "a.gif", style, tmp_path / "b.mkv", device="cpu")
    assert [float(at) for at in look(tmp_path / "b.mkv").times] == pytest.approx([0, 0.04, 0.34])


def test_folder(tmp_path: Path, style: Style) -> None:
    (tmp_path / "in").mkdir()
    for index, (width, height) in enumerate([(40, 30), (30, 40), (40, 30)]):
        Image.fromarray(scene(index, width, height)).save(tmp_path / "in" / f"shot{9 + index}.jpg")
    seen: list[tuple[int, int | None]] = []
    result = stylize_video(
        tmp_path / "in", style, tmp_path / "out", steady=0.5, device="cpu", observe=lambda *at: seen.append(at)
    )
    assert names(tmp_path / "out") == ["shot10.png", "shot11.png", "shot9.png"]
    assert Image.open(tmp_path / "out" / "shot10.png").size == (30, 40)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert result.scenes == 3
    stylize_video(tmp_path / "in", style, tmp_path / "b.mp4", fps="30000/1001", device="cpu")
    after = look(tmp_path / "b.mp4")
    assert after.rate == Fraction(30000, 1001)
    assert [picture.shape for picture in after.pictures] == [(30, 40, 3)] * 3


# --- steadier ---------------------------------------------------------------------------------------------------------


def test_smooth_uses_pooled_statistics(style: Style) -> None:
    """Under a light that flickers every layer's statistics change less."""
    still = to_tensor(scene(0))
    changes = {}
    for smooth in (1e-6, 0.9):
        engine = StyleEngine(style, smooth, CPU, torch.float32)
        means = []
        for index in range(10):
            engine(still * (0.7 + 0.2 * (index % 2)))
            assert engine.statistics is not None
            means.append([layer.pooled[0] for layer in engine.statistics if layer.pooled is not None])
        assert len(means[0]) == style.net.norm_count
        pairs = list(itertools.pairwise(means))
        changes[smooth] = [sum(float((b[i] - a[i]).square().sum()) for a, b in pairs) for i in range(len(means[0]))]
    assert all(after < 0.1 * before for before, after in zip(changes[1e-6], changes[0.9], strict=True) if before > 1e-6)
    assert changes[1e-6][0] > 1e-6


def test_smooth_leaves_the_first_frame_of_a_scene(style: Style) -> None:
    frames = [to_tensor(scene(0, seed=seed)) for seed in (1, 2)]
    plain, smooth = (StyleEngine(style, keep, CPU, torch.float32) for keep in (0.0, 0.9))
    assert torch.allclose(smooth(frames[0]), plain(frames[0]), atol=1e-4)
    assert (smooth(frames[1]) - plain(frames[1])).abs().max() > 0.01
    smooth.new_scene()
    assert torch.allclose(smooth(frames[1]), plain(frames[1]), atol=1e-4)


def test_batch_normalisation_has_nothing_to_smooth(tmp_path: Path) -> None:
    style = tiny_style(tmp_path / "batch.safetensors", norm="batch")
    result = stylize_video(make_video(tmp_path / "a.mp4", EVEN[:2]), style, tmp_path / "b.mp4", device="cpu", smooth=0.5)
    assert result.notes == ("smooth changes nothing: the style tiny has no instance normalisation",)


@pytest.mark.parametrize(
    ("coming", "smooth", "compiled"), [(200_000, 0.0, True), (100, 0.0, False), (200_000, 0.5, False), (math.inf, 0.0, True)]
)
def test_long_videos_are_compiled(
    style: Style, monkeypatch: pytest.MonkeyPatch, coming: float, smooth: float, compiled: bool
) -> None:
    asked = []
    monkeypatch.setattr(torch, "compile", lambda net, **options: asked.append(options) or net)
    engine = StyleEngine(style, smooth, CPU, torch.float32)
    engine.coming = coming
    for index in range(3):
        engine(to_tensor(scene(index)))
    assert asked == [{"dynamic": False}] * compiled


def test_a_compiler_that_fails_is_not_missed(style: Style, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = to_tensor(scene(0))
    wanted = StyleEngine(style, 0.0, CPU, torch.float32)(frame)

    monkeypatch.setattr(torch, "compile", lambda net, **_: torch.nn.Module())
    engine = StyleEngine(style, 0.0, CPU, torch.float32)
    engine.coming = math.inf
    assert torch.equal(engine(frame), wanted)


@pytest.mark.parametrize(("compilers", "possible"), [("", False), ("c++", True)])
def test_no_compiler_no_compiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compilers: str, possible: bool) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    for name in compilers.split():
        (tmp_path / name).touch(mode=0o755)
    assert can_compile(CPU) is possible


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_cut_short(tmp_path: Path, style: Style, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_video(tmp_path / name, sound=True)
    source.write_bytes(source.read_bytes()[: int(source.stat().st_size * 0.6)])
    words = ["video", str(source), "--style", str(tmp_path / "tiny.safetensors"), "--device", "cpu"]
    assert main([*words, "-o", str(tmp_path / "b.mp4")]) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    seen = look(tmp_path / "b.mp4")
    assert 0 < len(seen.pts) < 12
    assert re.search(r"ends after 0\.\d of 0\.5 seconds: ", message)
    assert f"b.mp4 holds the {len(seen.pts)} frames that could be read" in message
    assert names(tmp_path) == [name, "b.mp4", "tiny.safetensors"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smooth": 1.0}, "smooth is 1.0: it goes from 0"),
        ({"steady": -0.1}, "steady is -0.1"),
        ({"crf": 52}, "crf is 52"),
        ({"compile": "true", "smooth": 0.5}, "compile and smooth do not go together"),
        ({"size": "big"}, "size 'big' is not understood"),
        ({"size": "6"}, "too small"),
        ({"device": "quantum"}, "device 'quantum'"),
        ({"output": "b.avi"}, "its ending must be one of"),
        ({"source": "none.mp4"}, "no video at"),
    ],
    ids=str,
)
def test_bad_options(tmp_path: Path, style: Style, options: dict[str, Any], message: str) -> None:
    given = {"source": make_video(tmp_path / "a.mp4", EVEN[:2]), "output": tmp_path / "b.mp4", **options}
    given["output"] = tmp_path / given["output"]
    with pytest.raises(InputError, match=message):
        stylize_video(style=style, **{"device": "cpu", **given})
    assert names(tmp_path) == ["a.mp4", "tiny.safetensors"]


def test_overwrite(tmp_path: Path, style: Style) -> None:
    source = make_video(tmp_path / "a.mp4", EVEN[:2])
    (tmp_path / "b.mp4").write_bytes(b"old")
    with pytest.raises(InputError, match="overwrite=True"):
        stylize_video(source, style, tmp_path / "b.mp4", device="cpu")
    assert (tmp_path / "b.mp4").read_bytes() == b"old"
    stylize_video(source, style, tmp_path / "b.mp4", overwrite=True, device="cpu")
    assert len(look(tmp_path / "b.mp4").pts) == 2


# --- interrupted ------------------------------------------------------------------------------------------------------


def test_interrupted_in_the_network(tmp_path: Path, style: Style, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_video(tmp_path / "a.mp4", sound=True)
    calls = 0

    def stop_at_six(self: StyleEngine, frame: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt
        return frame

    monkeypatch.setattr(StyleEngine, "__call__", stop_at_six)
    with pytest.raises(Interrupted) as caught:
        stylize_video(source, style, tmp_path / "b.mp4", device="cpu")
    result = caught.value.result
    assert isinstance(result, VideoResult)
    assert (result.stopped, result.frames) == ("interrupted", 5)
    assert result.message == f"interrupted: {tmp_path / 'b.mp4'} holds the first 5 of 12 frames"
    seen = look(tmp_path / "b.mp4")
    assert seen.pts == list(EVEN[:5])
    assert seen.length == pytest.approx(0.2, abs=0.03)  # the sound ends with the pictures


def test_observer_ends_the_video(tmp_path: Path, style: Style) -> None:
    source = make_video(tmp_path / "a.mp4")
    result = stylize_video(source, style, tmp_path / "b.mp4", device="cpu", observe=lambda done, _: done < 3)
    assert (result.stopped, result.frames) == ("observer", 3)
    assert look(tmp_path / "b.mp4").pts == list(EVEN[:3])


def test_interrupted_while_writing(tmp_path: Path, style: Style, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal between the encoder and the file waits, or a packet would be lost."""
    source = make_video(tmp_path / "a.mp4")
    mux = VideoFile._mux

    def interrupted_mux(self: VideoFile, packets: list[Any]) -> None:
        if self.count == 3:
            signal.raise_signal(signal.SIGINT)
        mux(self, packets)

    monkeypatch.setattr(VideoFile, "_mux", interrupted_mux)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(Interrupted) as caught:
            stylize_video(source, style, tmp_path / "b.mp4", device="cpu")
    finally:
        signal.signal(signal.SIGINT, before)
    result = caught.value.result
    assert (result.stopped, result.frames) == ("interrupted", 4)
    assert look(tmp_path / "b.mp4").pts == list(EVEN[:4])


def test_interrupted_before_the_first_frame(tmp_path: Path, style: Style, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(StyleEngine, "__call__", stop)
    with pytest.raises(KeyboardInterrupt, match="nothing is written"):
        stylize_video(make_video(tmp_path / "a.mp4", EVEN[:3]), style, tmp_path / "b.mp4", device="cpu")
    assert names(tmp_path) == ["a.mp4", "tiny.safetensors"]


@contextlib.contextmanager
def running(words: list[str]) -> Iterator[subprocess.Popen[str]]:
    # A shell's background jobs ignore SIGINT, and so do their children; a handler of ours is not inherited.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-m", "stylenet", "video", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    try:
        yield process
    finally:
        process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["b.mp4", "b.gif", "out"])
def test_ctrl_c(tmp_path: Path, style: Style, name: str) -> None:
    source = make_video(tmp_path / "a.mp4", [512 * index for index in range(90)], sound=True)
    words = [str(source), "--style", str(tmp_path / "tiny.safetensors"), "-o", str(tmp_path / name)]
    with running([*words, "--size", "640x480", "--device", "cpu"]) as process:
        assert process.stderr is not None
        assert "frame 1/90" in process.stderr.readline()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "Traceback" not in err
    count = int(err.split("holds the first ")[1].split()[0])
    assert f"holds the first {count} of 90 frames" in err
    assert 1 <= count < 90
    assert names(tmp_path) == sorted(["a.mp4", name, "tiny.safetensors"])
    if name == "out":
        assert len(names(tmp_path / name)) == count
    else:
        assert len(look(tmp_path / name).pts) == count


# --- the command line -------------------------------------------------------------------------------------------------


def test_command(tmp_path: Path, style: Style, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_video(tmp_path / "a.mp4", EVEN[:4], sound=True)
    words = ["video", str(source), "--style", str(tmp_path / "tiny.safetensors"), "--device", "cpu", "--smooth", "0.5"]
    assert main([*words, "--output", str(tmp_path / "b.webm"), "--steady", "0.5", "--size", "32"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{tmp_path / 'b.webm'}: 4 frames in 0:0")
    assert err.splitlines()[0] == "frame 1/4"
    assert "frame 4/4" in err
    assert "note: .webm has no place for audio in aac: it is left out" in err
    assert main([*words, "-o", str(tmp_path / "b.webm")]) == 2
    assert capsys.readouterr().err.strip().endswith("exists: give another name, or --overwrite")
    assert main([*words, "-o", str(tmp_path / "b.webm"), "--overwrite"]) == 0


@pytest.mark.parametrize("output", ["video.mp4", "frames", "video.gif"])
def test_a_full_disk(tmp_path: Path, style: Style, output: str, capsys: pytest.CaptureFixture[str]) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", disk], capture_output=True, check=False).returncode:
        pytest.skip("no right to mount")
    try:
        make_video(tmp_path / "a.mp4", range(0, 30 * 512, 512))
        words = ["video", str(tmp_path / "a.mp4"), "--style", str(tmp_path / "tiny.safetensors"), "--quality", "0"]
        assert main([*words, "--output", str(disk / output)]) == 1
        told = capsys.readouterr().err.strip().splitlines()[-1]
        assert told.startswith("stylenet: ")
        assert "No space left on device" in told
        left = [path for path in disk.rglob("*") if path.is_file()]
        for path in left:  # whole frames of a folder; of one file nothing
            assert output == "frames"
            Image.open(path).load()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_python(tmp_path: Path) -> None:
    assert stylenet.stylize_video is stylize_video
