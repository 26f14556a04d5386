"""A real training in small, through the command line: VGG-19, a painting, real photos, one to three minutes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data
from training_kit import PAINTING

from stylenet.commands.cli import main
from stylenet.network.styles import load_style

# Share of the photo's own distance from the style that is left on photos never seen, mean over the layers trained on. What it
# is for an untrained network is tested too, so that the bound means something.
BOUND = 0.2


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


def test_the_style_is_learnt(tmp_path: Path) -> None:
    photos = tiles(tmp_path)
    words = ["train", "--recipe", "fast", "--style", PAINTING, "--photos", str(photos / "photos")]
    words += ["--data.val_photos", str(photos / "held_out"), "--data.size", "96", "--data.val_size", "128"]
    words += ["--model.style_size", "192", "--ema", "0.9"]
    words += ["--model.loss.style_layers", "{relu1_1: 0.25, relu2_1: 0.25, relu3_1: 0.25, relu4_1: 0.25}"]
    for name, steps in (("untrained", "1"), ("trained", "220")):
        output = str(tmp_path / f"{name}.safetensors")
        assert main([*words, "--steps", steps, "--run", str(tmp_path / name), "--output", output]) == 0
    trained, untrained = (style_left(tmp_path / f"{name}.safetensors") for name in ("trained", "untrained"))
    assert untrained > 2 * BOUND
    assert trained < BOUND
    metrics = load_style(tmp_path / "trained.safetensors").card.metrics
    assert metrics["val/style_held_out"] < 1.5 * BOUND
    assert metrics["val/content/relu4_2"] < 2
    assert metrics["val/checkerboard"] < 10  # 5 after so few steps, 50 without the term against lattices
