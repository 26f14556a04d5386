"""Checkpoints whose parts are of other kinds than a training's: one line before anything starts, which names the older one."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from training_kit import PAINTING, make_photos
from world_kit import TRAINING

from stylenet.commands.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

# What is tried in place of each part; a part of the same kind may be any.
WRONG: list[Any] = [1, "text", None, [], {}, {"a": 1}, [{}], [1]]
PARTS = ["state_dict", "loops", "optimizer_states", "lr_schedulers", "callbacks", "training", "PhotoDataModule"]


def words(folder: Path, run: Path, steps: int) -> list[str]:
    named = ["--photos", str(folder), "--style", PAINTING, "--run", str(run), "--output", str(run / "a.safetensors")]
    return ["train", *named, *TRAINING, "--steps", str(steps)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("photos"), 22)


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of two steps."""
    home = tmp_path_factory.mktemp("run")
    assert main(words(folder, home, 2)) == 0
    (home / "a.safetensors").unlink()
    return home


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_another_kind(folder: Path, run: Path, tmp_path: Path, part: str, capfd: pytest.CaptureFixture[str]) -> None:
    whole = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    home = Path(shutil.copytree(run, tmp_path / "run"))
    last = home / "checkpoints" / "last.ckpt"
    shutil.copy(last, last.with_name("last-1.ckpt"))
    for wrong in WRONG:
        torch.save({**whole, part: wrong}, last)
        capfd.readouterr()
        code = main([*words(folder, home, 3), "--ckpt_path", "last"])
        error = capfd.readouterr().err
        if code == 0:  # what Lightning can do without
            older = part == "training" and wrong is None  # as versions before wrote it
            assert older or part in ("callbacks", "PhotoDataModule", "lr_schedulers", "loops"), f"{part}: {wrong!r}"
            (home / "a.safetensors").unlink()
            continue
        told = error.splitlines()[-1]
        assert code == 2, f"{wrong!r}: {error}"
        assert told.startswith("stylenet: "), f"{wrong!r}: {error}"
        assert "last.ckpt" in told, f"{wrong!r}: {error}"
        assert "last-1.ckpt" in told, f"{wrong!r}: {error}"
        assert not re.search(r"Traceback|--verbose", error), f"{wrong!r}: {error}"
        assert not list(home.glob("*.safetensors"))
