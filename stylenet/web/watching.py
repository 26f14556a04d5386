"""Signs of life of a job while it runs: pictures that it saved, parts of the loss, frames of a video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import stylenet
from stylenet import Picture
from stylenet.web.jobs import Job


def latest_picture(job: Job) -> Path | None:
    """Return the result of a search, or the newest picture that it saved on the way."""
    if job.output.is_file():
        return job.output
    saved = sorted(job.folder.glob(f"{job.output.stem}_[0-9]*{job.output.suffix}"))
    return saved[-1] if saved else None


def log_size(job: Job) -> int:
    """Return how many bytes a training has logged."""
    return sum(file.stat().st_size for file in job.folder.glob("runs/*/log/*"))


def read_log(job: Job) -> Any | None:
    """Return what a training has logged so far, for :func:`losses` and :func:`latest_preview`."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folders = sorted(job.folder.glob("runs/*/log"))
    if not folders:
        return None
    log = EventAccumulator(str(folders[0]), size_guidance={"images": 1, "scalars": 0})
    log.Reload()
    return log


def losses(log: Any | None, most: int = 300) -> dict[str, list[tuple[int, float]]]:
    """Return step and value of the objective and its parts; thinned to ``most`` each."""
    if log is None:
        return {}
    tags = [tag for tag in log.Tags()["scalars"] if tag.startswith(("train/objective", "train/content", "train/style"))]
    curves = {tag.removeprefix("train/"): [(event.step, event.value) for event in log.Scalars(tag)] for tag in tags}
    return {name: curve[:: max(1, len(curve) // most)] for name, curve in curves.items()}


def latest_preview(log: Any | None, folder: Path) -> Path | None:
    """Return the newest sheet of held-out photos in the style that is learnt, as a file in a folder."""
    if log is None or "preview" not in log.Tags()["images"]:
        return None
    event = log.Images("preview")[-1]
    path = folder / f"preview_{event.step:06d}.png"
    if not path.exists():
        path.write_bytes(event.encoded_image_string)
    return path


def first_frames(video: Path, every: float = 0.5, count: int = 3, size: int = 480) -> list[Picture]:
    """Return a few frames of the beginning of a video.

    Args:
        video: an uploaded file.
        every: seconds between two of them.
        count: how many at most.
        size: longest side in pixels.

    Raises:
        OSError, ValueError: for a file that is no video.
    """
    import av

    frames: list[Picture] = []
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            if (frame.time or 0.0) >= len(frames) * every:
                image = frame.to_image()
                image.thumbnail((size, size))
                frames.append(stylenet.read_image(image))
            if len(frames) == count:
                break
    return frames
