"""The programs in ``examples/`` run, in short form, and do what they say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from skimage import data

import stylenet

ROOT = Path(__file__).resolve().parent.parent


def test_super_resolution(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fifty steps lower the loss of what was bicubic interpolation, and the picture doubles."""
    spec = importlib.util.spec_from_file_location("super_resolution", ROOT / "examples" / "super_resolution.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    photo = stylenet.write_image(stylenet.read_image(data.chelsea(), "96x64"), tmp_path / "photo.png")
    example.main([str(photo), "--output", str(tmp_path / "larger.png"), "--steps", "50", "--seconds", "1e6"])
    assert "50 steps" in capsys.readouterr().out
    assert stylenet.read_image(tmp_path / "larger.png").pixels.shape == (1, 3, 128, 192)
    picture = stylenet.read_image(photo).pixels
    torch.manual_seed(0)
    _, losses = example.train(picture, seconds=1e6, steps=50, side=48)
    assert sum(losses[-10:]) < 0.95 * sum(losses[:10])
