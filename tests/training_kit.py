"""A training that takes seconds: tiny network, shallow loss, four real photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, Trainer
from PIL import Image
from skimage import data

from stylenet.losses.settings import LossSettings
from stylenet.network.transform_net import NetSettings
from stylenet.training.data import PhotoDataModule
from stylenet.training.module import StyleTraining

STYLES = Path(__file__).resolve().parent.parent / "examples" / "styles"
PAINTING = str(STYLES / "brush_strokes.jpg")
LOSS = LossSettings(
    content_layers={"relu2_2": 1.0}, style_layers={"relu1_1": 0.5, "relu2_1": 0.5}, style_weight=5.0, tv_weight=0.02
)
TINY = NetSettings(width=4, residual_blocks=1)


def make_photos(folder: Path, count: int = 24) -> Path:
    """Parts of scikit-image's photos, 96 x 80 pixels each."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    for index in range(count):
        source = sources[index % 4]
        top, left = (7 * index) % (source.shape[0] - 160), (31 * index) % (source.shape[1] - 192)
        part = Image.fromarray(np.ascontiguousarray(source[top : top + 160, left : left + 192]))
        part.resize((96, 80)).save(folder / f"{index:03d}.png")
    return folder


def module(**options: Any) -> StyleTraining:
    """Defaults that are quick."""
    settings = {"network": TINY, "loss": LOSS, "style_size": 96, "warmup": 2, "calibration_photos": 2}
    return StyleTraining(**{"style": PAINTING, **settings, **options})


def photos(folder: Path, **options: Any) -> PhotoDataModule:
    """Two photos a step, read in this process."""
    return PhotoDataModule(str(folder), **{"size": 48, "val_count": 2, "batch_size": 2, "workers": 0, **options})


def fit(model: StyleTraining, data_module: PhotoDataModule, steps: int, *callbacks: Callback, **options: Any) -> Trainer:
    """A whole run without a trace on the disk, on the processor unless the options name another accelerator."""
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(
        max_steps=steps,
        callbacks=list(callbacks),
        num_sanity_val_steps=0,
        **{**quiet, "accelerator": "cpu", "val_check_interval": 10**6, "check_val_every_n_epoch": None, **options},
    )
    trainer.fit(model, data_module)
    return trainer
