"""Signs of life of a job while it runs: pictures that it saved, parts of the loss, frames of a film."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from stylenet import Picture
from stylenet.web.jobs import Job


def latest_picture(job: Job) -> Path | None:
    """Return the result of a search, or the newest picture that it saved on the way."""
    if job.output.is_file():
        return job.output
    saved = sorted(job.folder.glob(f"{job.output.stem}_*{job.output.suffix}"))
    return saved[-1] if saved else None


def losses(job: Job, most: int = 300) -> dict[str, list[tuple[int, float]]]:
    """Return step and value of the objective and its parts, from the log of a training; thinned to ``most`` each."""
    log = _log(job)
    if log is None:
        return {}
    tags = [tag for tag in log.Tags()["scalars"] if tag.startswith(("train/objective", "train/content", "train/style"))]
    curves = {tag.removeprefix("train/"): [(event.step, event.value) for event in log.Scalars(tag)] for tag in tags}
    return {name: curve[:: max(1, len(curve) // most)] for name, curve in curves.items()}


def latest_preview(job: Job) -> Path | None:
    """Return the newest sheet of held-out photos in the style that is learnt, as a file in the job's folder."""
    log = _log(job)
    if log is None or "preview" not in log.Tags()["images"]:
        return None
    event = log.Images("preview")[-1]
    path = job.folder / f"preview_{event.step:06d}.png"
    if not path.exists():
        path.write_bytes(event.encoded_image_string)
    return path


def _log(job: Job) -> Any | None:
    """Return what is logged so far, read again from the files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    files = sorted(job.folder.glob("runs/*/log"))
    if not files:
        return None
    log = EventAccumulator(str(files[0]), size_guidance={"images": 1, "scalars": 0})
    log.Reload()
    return log


def first_frames(film: Path, every: float = 0.5, count: int = 3, size: int = 480) -> list[Picture]:
    """Return a few frames of the beginning of a film, ``every`` so many seconds.

    Raises:
        OSError, ValueError: for a file that is no film.
    """
    import av

    frames: list[Picture] = []
    with av.open(str(film)) as container:
        for frame in container.decode(video=0):
            if (frame.time or 0.0) >= len(frames) * every:
                image = frame.to_image()
                image.thumbnail((size, size))
                frames.append(from_pil(image))
            if len(frames) == count:
                break
    return frames


def from_pil(image: Image.Image) -> Picture:
    """Return an RGB picture of Pillow's."""
    return Picture(torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].float() / 255)


def to_pil(picture: Picture) -> Image.Image:
    """Return a picture for Pillow, rounded."""
    return Image.fromarray((picture.pixels[0].permute(1, 2, 0) * 255).round().byte().numpy())
