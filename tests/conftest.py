"""Pictures that several tests read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def noise(height: int, width: int, seed: int) -> np.ndarray:
    """``[H, W, 3]`` random bytes."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """A photo of 48 x 40 pixels."""
    path = tmp_path / "content.png"
    Image.fromarray(noise(40, 48, 0)).save(path)
    return path


@pytest.fixture
def style(tmp_path: Path) -> Path:
    """A painting of 40 x 40 pixels."""
    path = tmp_path / "style.png"
    Image.fromarray(noise(40, 40, 1)).save(path)
    return path
