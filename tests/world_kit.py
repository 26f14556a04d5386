"""What the documents take for granted that a reader has: photos, a painting, an archive, a style, a video."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
from skimage import data
from training_kit import make_photos
from video_kit import make_video

from stylenet.images.picture import read_image, write_image
from stylenet.network.cards import Card
from stylenet.network.styles import save_style
from stylenet.network.transform_net import NetSettings, TransformNet

# A loss of two shallow layers for `optimize`, and words that make `train` a matter of a second.
LAYERS = ["--content_layers", '{"relu2_1": 1.0}', "--style_layers", '{"relu1_1": 0.5, "relu2_1": 0.5}']
TRAINING = [
    *("--network", json.dumps({"width": 4, "residual_blocks": 1}), "--model.style_size", "64"),
    *("--model.calibration_photos", "2", "--data.size", "48", "--data.batch_size", "2"),
    *("--data.workers", "0", "--data.val_count", "2", "--trainer.accelerator", "cpu"),
    *(word.replace("--", "--model.loss.") for word in LAYERS),
]


def make_world(folder: Path) -> None:
    """Write every file that the documents take for granted, as small as can be, into a folder."""
    for name, pixels in (("photo", data.chelsea()), ("painting", data.coffee()), ("other", data.rocket())):
        write_image(read_image(bytes(cv2.imencode(".png", pixels)[1]), "72x48").pixels, folder / f"{name}.jpg")
    write_image(read_image(folder / "photo.jpg", "36x24"), folder / "mask.png")
    for name in ("photos", "held_out"):
        make_photos(folder / name, 8)
    write_image(read_image(folder / "photo.jpg"), folder / "photos" / "cat.jpg")
    make_frames(folder / "frames")
    with zipfile.ZipFile(folder / "train2017.zip", "w") as archive:
        for path in sorted((folder / "photos").iterdir()):
            archive.write(path, f"train2017/{path.name}")
    save_style(TransformNet(NetSettings(width=4, residual_blocks=1)), Card("my_style"), folder / "my_style.safetensors")
    make_video(folder / "holiday.mp4")


def make_frames(folder: Path) -> None:
    """Write three frames of a video as pictures."""
    folder.mkdir()
    for index in range(3):
        cv2.imwrite(str(folder / f"{index:04d}.png"), np.full((32, 48, 3), 60 * index, np.uint8))
