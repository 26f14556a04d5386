"""Every option that names a file is given files of every other kind: one line, in words, and nothing written."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from training_kit import PAINTING
from world_kit import TRAINING, make_world

from stylenet.commands.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")]

ONE_STEP = ["--steps", "1", "--run", "run"]
STYLIZE = ["stylize", "photo.jpg", "--output", "out.png", "--device", "cpu"]
OPTIMIZE = ["optimize", "photo.jpg", "painting.jpg", "--output", "out.png", "--size", "32", "--steps", "1", "--device", "cpu"]
TRAIN = ["train", "--style", PAINTING, *TRAINING, *ONE_STEP]

# The words of a command, with FILE where the foreign file stands.
OPTIONS: dict[str, list[str]] = {
    "stylize": ["stylize", "FILE", "--style", "my_style.safetensors", "--output", "out.png"],
    "stylize --style": [*STYLIZE, "--style", "FILE"],
    "stylize --mask": [*STYLIZE, "--style", "my_style.safetensors", "--mask", "FILE"],
    "stylize --outside": [*STYLIZE, "--style", "my_style.safetensors", "--mask", "mask.png", "--outside", "FILE"],
    "stylize --config": [*STYLIZE, "--style", "my_style.safetensors", "--config", "FILE"],
    "optimize": ["optimize", "FILE", "painting.jpg", "--output", "out.png", "--steps", "1"],
    "optimize painting": ["optimize", "photo.jpg", "FILE", "--output", "out.png", "--steps", "1"],
    "optimize --init": [*OPTIMIZE, "--init", "FILE"],
    "optimize --recipe": [*OPTIMIZE, "--recipe", "FILE"],
    "optimize --vgg_weights": [*OPTIMIZE, "--vgg_weights", "FILE"],
    "train --style": ["train", "--photos", "photos", "--style", "FILE", *TRAINING, *ONE_STEP],
    "train --photos": [*TRAIN, "--photos", "FILE"],
    "train --data.val_photos": [*TRAIN, "--photos", "photos", "--data.val_photos", "FILE"],
    "train --init": [*TRAIN, "--photos", "photos", "--init", "FILE"],
    "train --ckpt_path": [*TRAIN, "--photos", "photos", "--ckpt_path", "FILE"],
    "train --config": [*TRAIN, "--photos", "photos", "--config", "FILE"],
    "video": ["video", "FILE", "--style", "my_style.safetensors", "--output", "out.mp4"],
    "video --style": ["video", "holiday.mp4", "--style", "FILE", "--output", "out.mp4"],
    "evaluate": ["evaluate", "FILE", "--photos", "photos", "--sizes", "64", "--count", "1", "--most_iterations", "0"],
    "evaluate --photos": ["evaluate", "udnie", "--photos", "FILE", "--sizes", "64", "--count", "1", "--most_iterations", "0"],
    "evaluate --picture": ["evaluate", "my_style.safetensors", "--photos", "photos", "--picture", "FILE"],
    "export": ["export", "FILE", "--output", "out.onnx"],
    "styles": ["styles", "FILE"],
    "features": ["features", "FILE", "--output", "out.png"],
    "features --vgg_weights": ["features", "photo.jpg", "--output", "out.png", "--vgg_weights", "FILE"],
    "reconstruct --style": [
        "reconstruct",
        "photo.jpg",
        "--style",
        "FILE",
        "--output",
        "out.png",
        "--size",
        "32",
        "--steps",
        "1",
    ],
}


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("read me.txt", "no photo")


KINDS: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path,
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "link to itself": lambda path: path.symlink_to(path.name),
    "empty": lambda path: path.touch(),
    "page": lambda path: path.write_text("<!DOCTYPE html>\n<html><title>404: not found</title></html>\n"),
    "noise": lambda path: path.write_bytes(bytes(range(256)) * 40),
    "tensors": lambda path: save_file({"a" * 500: torch.zeros(3)}, path),
    "pickle": lambda path: path.write_bytes(pickle.dumps({"a": {1, 2}})),
    "module": lambda path: torch.save(torch.nn.Conv2d(3, 3, 3), path),
    "zip": zipped,
    "list": lambda path: path.write_text("- 1\n- [2, {3: 4}]\n"),
}


def endings(option: str) -> list[str]:
    """The endings that a file has where it is meant for this option; a picture's, and none, are tried everywhere."""
    for words, found in (
        (("config", "recipe"), [".yaml"]),
        (("photos",), [".zip", ".txt"]),
        (("--style", "--init", "outside", "weights", "ckpt_path", "evaluate", "export", "styles"), [".safetensors", ".pth"]),
        (("video",), [".mp4"]),
    ):
        if any(word in option for word in words):
            return [*found, ".png", ""]
    return [".png", ""]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    make_world(folder)
    return folder


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("option", OPTIONS)
def test_foreign_file(
    option: str, kind: str, world: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(world)
    before = {path.name for path in world.iterdir()}
    for ending in endings(option):
        path = tmp_path / f"given{ending}"
        KINDS[kind](path)
        code = main([str(path) if word == "FILE" else word for word in OPTIONS[option]])
        error = capfd.readouterr().err
        told = [line for line in error.splitlines() if line.startswith("stylenet: ")]
        assert code in (1, 2), f"{ending}: {code} {error}"
        assert len(told) == 1, f"{ending}: {error}"
        assert error.splitlines()[-1] == told[0], f"{ending}: {error}"
        assert not re.search(r"Traceback|\w(Error|Exception)\b|Errno|weights_only|--verbose", error), f"{ending}: {error}"
        assert told[0].isprintable()
        assert len(told[0]) < 620
    assert {path.name for path in world.iterdir()} - {"run"} == before - {"run"}
    assert not list(world.glob("run/**/*.safetensors"))
