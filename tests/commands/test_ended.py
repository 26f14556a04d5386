"""Every verb that works for a while ends by a signal as by Ctrl-C: at any moment, in one line, and with no half of a file."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from training_kit import PAINTING
from world_kit import LAYERS, TRAINING, make_world

from stylenet import files
from stylenet.commands.cli import VERBS, main
from stylenet.images.picture import read_image

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")]

# Work that would go on for longer than any of the moments below.
WORK: dict[str, list[str]] = {
    "stylize": ["photos", "--style", "my_style.safetensors", "--output", "out", "--device", "cpu"],
    "optimize": ["photo.jpg", "painting.jpg", "--output", "out.png", "--size", "48", "--device", "cpu", *LAYERS],
    "train": ["--style", PAINTING, "--photos", "photos", "--run", "run", "--steps", "1000", *TRAINING],
    "video": ["holiday.mp4", "--style", "my_style.safetensors", "--output", "out.mp4", "--device", "cpu"],
    "evaluate": ["udnie", "--photos", "photos", "--sizes", "64", "--device", "cpu"],
    "export": ["my_style.safetensors", "--output", "out.onnx"],
    "features": ["photo.jpg", "--output", "out.png"],
    "reconstruct": ["photo.jpg", "--output", "out.png", "--size", "48", "--device", "cpu"],
    "doctor": [],
}

# Signals, and convolutions after which they come.
MOMENTS = [("SIGTERM", 1), ("SIGTERM", 15), ("SIGTERM", 40), ("SIGHUP", 15), ("SIGINT", 15), ("SIGTERM in background", 15)]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    make_world(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = {name: signal.signal(name, signal.SIG_DFL) for name in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGINT] = signal.getsignal(signal.SIGINT)
    yield tmp_path
    for name, handler in before.items():
        signal.signal(name, handler)


def strike_after(count: int, number: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the process get a signal in the middle of its so-manieth convolution, whichever network it belongs to."""
    convolve, seen = torch.nn.functional.conv2d, [0]

    def conv2d(*arguments: Any, **options: Any) -> torch.Tensor:
        seen[0] += 1
        if seen[0] == count:
            signal.raise_signal(number)
        return convolve(*arguments, **options)

    monkeypatch.setattr(torch.nn.functional, "conv2d", conv2d)
    return seen


def test_no_verb_is_forgotten() -> None:
    """A list of styles is quick, and the page has tests of its own."""
    assert {*WORK, "styles", "web"} == set(VERBS)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "count"), MOMENTS)
@pytest.mark.parametrize("verb", WORK)
def test_ended(
    verb: str, name: str, count: int, world: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if "background" in name:  # a shell's jobs ignore Ctrl-C
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    before = {path: path.read_bytes() for path in world.rglob("*") if path.is_file()}
    seen = strike_after(count, getattr(signal, name.split(maxsplit=1)[0]), monkeypatch)
    code = main([verb, *WORK[verb]])
    error = capfd.readouterr().err
    if code == 0 and seen[0] < count:
        pytest.skip(f"{verb} is done after {seen[0]} convolutions")
    assert code == 130, error
    assert "Traceback" not in error
    assert error.splitlines()[-1].startswith("stylenet: ")
    assert "interrupted" in error.splitlines()[-1]
    left = [path for path in world.rglob("*") if path.is_file() and path not in before and "log" not in path.parts]
    for path in left:
        look_at(path)
    assert all(path.read_bytes() == content for path, content in before.items())


def look_at(path: Path) -> None:
    """Read what a command left, as a whole."""
    assert not path.name.endswith(".part"), path
    match path.suffix:
        case ".mp4":
            import av

            with av.open(str(path)) as container:
                assert len(list(container.decode(video=0))) > 0
        case ".ckpt":
            torch.load(path, weights_only=True)
        case ".safetensors":
            with safe_open(path, "pt") as opened:
                assert opened.keys()
        case _:
            read_image(path)


@pytest.mark.parametrize("verb", ["stylize", "video", "optimize"])
def test_leftovers_are_cleared_at_the_next_start(
    verb: str, world: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What a run that was killed has left beside its results goes; what is young may be somebody's work."""
    monkeypatch.setattr(files, "_cleared", set())  # as in a process of its own
    folder = world / "out" if verb == "stylize" else world
    folder.mkdir(exist_ok=True)
    old, young = folder / ".out.mp4.abcd1234.part", folder / ".out.mp4.wxyz1234.part"
    for path in (old, young):
        path.write_bytes(b"half of a video")
    os.utime(old, (time.time() - 3600,) * 2)
    extra = ["--steps", "1"] if verb == "optimize" else []
    assert main([verb, *WORK[verb], *extra]) == 0, capfd.readouterr().err
    assert not old.exists()
    assert young.exists()
