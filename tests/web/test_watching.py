"""What the page sees of a job while it runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.tensorboard import SummaryWriter
from video_kit import make_video

from stylenet.web import watching
from stylenet.web.jobs import Job


def test_log_of_a_training(tmp_path: Path) -> None:
    """Losses come by part and step, thinned; of previews the newest."""
    job = Job("train", [], tmp_path, tmp_path / "style.safetensors")
    assert watching.log_size(job) == 0
    assert watching.read_log(job) is None
    assert watching.losses(None) == {}
    with SummaryWriter(str(tmp_path / "runs" / "style" / "log")) as log:
        for step in range(900):
            log.add_scalar("train/objective", 1 / (step + 1), step)
            log.add_scalar("train/other", 1.0, step)
        for step, grey in ((50, 0.0), (100, 1.0)):
            log.add_image("preview", torch.full((3, 8, 8), grey), step)
    found = watching.read_log(job)
    assert watching.log_size(job) > 900
    curves = watching.losses(found)
    assert curves.keys() == {"objective"}
    assert [step for step, _ in curves["objective"]] == list(range(0, 900, 3))
    assert curves["objective"][1][1] == pytest.approx(0.25)
    preview = watching.latest_preview(found, tmp_path)
    assert preview == tmp_path / "preview_000100.png"
    assert np.asarray(Image.open(preview)).min() == 255


def test_pictures_of_a_search(tmp_path: Path) -> None:
    """The newest picture on the way is shown, and at the end the result; its panel is none of them."""
    job = Job("optimize", [], tmp_path, tmp_path / "a.png")
    assert watching.latest_picture(job) is None
    for name in ("a_000005.png", "a_000010.png", "a_panel.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    assert watching.latest_picture(job) == tmp_path / "a_000010.png"
    Image.new("RGB", (8, 8)).save(job.output)
    assert watching.latest_picture(job) == job.output


def test_first_frames_of_a_video(tmp_path: Path) -> None:
    clip = make_video(tmp_path / "clip.mp4")
    frames = watching.first_frames(clip, every=0.2, count=3, size=32)
    assert [(frame.width, frame.height) for frame in frames] == [(32, 24)] * 3
    wrong = tmp_path / "wrong.mp4"
    wrong.write_text("no video")
    with pytest.raises((OSError, ValueError)):
        watching.first_frames(wrong)
