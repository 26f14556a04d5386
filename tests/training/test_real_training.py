"""A real training in small, through the command line: VGG-19, a painting, real photos, a minute or two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data
from training_kit import PAINTING

from stylenet.commands.cli import main
from stylenet.network.styles import load_style


def tiles(folder: Path) -> Path:
    """Overlapping squares of three photos, and of a fourth one for validation."""
    for name in ("astronaut", "coffee", "rocket", "chelsea"):
        picture = getattr(data, name)()
        target = folder / ("held_out" if name == "chelsea" else "photos")
        target.mkdir(parents=True, exist_ok=True)
        for top in range(0, picture.shape[0] - 160, 60):
            for left in range(0, picture.shape[1] - 160, 60):
                part = np.ascontiguousarray(picture[top : top + 160, left : left + 160])
                Image.fromarray(part).save(target / f"{name}_{top}_{left}.png")
    return folder


def style_left(path: Path) -> float:
    metrics = load_style(path).card.metrics
    parts = [value for name, value in metrics.items() if name.startswith("val/style/")]
    assert len(parts) == 4
    return sum(parts) / 4


@pytest.mark.parametrize(
    ("steps", "batch", "size", "bound"),
    [(110, 2, 64, 0.42), pytest.param(220, 4, 96, 0.2, marks=pytest.mark.long)],
    ids=["short", "longer"],
)
def test_the_style_is_learnt(tmp_path: Path, steps: int, batch: int, size: int, bound: float) -> None:
    """Of the photo's own distance from the style little is left on photos never seen, mean over the layers trained on.

    What is left by an untrained network is tested too, so that the bound means something.
    """
    photos = tiles(tmp_path)
    words = ["train", "--recipe", "fast", "--style", PAINTING, "--photos", str(photos / "photos")]
    words += ["--data.val_photos", str(photos / "held_out"), "--data.size", str(size), "--data.val_size", "128"]
    words += ["--model.style_size", str(2 * size), "--ema", "0.9", "--data.batch_size", str(batch)]
    words += ["--model.loss.style_layers", "{relu1_1: 0.25, relu2_1: 0.25, relu3_1: 0.25, relu4_1: 0.25}"]
    for name, count in (("untrained", 1), ("trained", steps)):
        output = str(tmp_path / f"{name}.safetensors")
        assert main([*words, "--steps", str(count), "--run", str(tmp_path / name), "--output", output]) == 0
    trained, untrained = (style_left(tmp_path / f"{name}.safetensors") for name in ("trained", "untrained"))
    assert untrained > 2 * bound
    assert trained < bound
    metrics = load_style(tmp_path / "trained.safetensors").card.metrics
    assert metrics["val/style_held_out"] < 1.5 * bound
    assert metrics["val/content/relu4_2"] < 2
    assert metrics["val/checkerboard"] < 10  # 5 after so few steps, 50 without the term against lattices
