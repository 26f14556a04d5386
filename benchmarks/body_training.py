"""The training of a body for a machine that is at hand for minutes: one file to bring along, one folder to take back.

The pack is a zip of the style pictures (longest side 512 pixels) and of photos (shorter side 384), as JPEGs. The folder gets
the body, its checkpoint with the optimizer's state, the log, and ``train_body.json``, which tells what was done on what.
``--resume`` goes on from such a folder, and so does a second call on the same one; else the training begins from the body that
comes with stylenet.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import signal
import subprocess
import sys
import time
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bounded import kill_session
from gpu_task import environment
from machine import setting

from stylenet.durations import parse_seconds
from stylenet.errors import InputError, one_line
from stylenet.files import replacing, write_atomic
from stylenet.images.picture import read_image
from stylenet.network.cards import read_card
from stylenet.training.checkpoints import LAST, read_checkpoint
from stylenet.training.photos import find_photos, open_photo

PAINTING_SIDE, PHOTO_SIDE, QUALITY = 512, 384, 88

# What a training begins from that goes on with no other.
BODY = "body_standard"

# What the archive takes for each file beside its content: two headers, and its name twice.
_HEADERS = 200


def make_pack(target: Path, paintings: Path, photos: Path, megabytes: float) -> str:
    """Write the pack; return a line about it.

    Args:
        target: zip file to write.
        paintings: folder of style pictures; all of them travel, and the recipe leaves out those that it names.
        photos: folder, archive or list of photos; as many as there is room for, spread over the set.
        megabytes: the largest size of the pack.

    Raises:
        InputError: for folders without pictures, or a pack without room for a photo.
    """
    if not paintings.is_dir():
        raise InputError(f"no folder {paintings}: --paintings names that of the style pictures")
    works = sorted(path for path in paintings.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    if not works:
        raise InputError(f"{paintings} holds no style pictures")
    packed: list[tuple[str, bytes]] = []
    for path in works:
        pixels = read_image(path, PAINTING_SIDE)
        packed.append((f"paintings/{path.stem}.jpg", _jpeg(pixels.pixels)))
    room = 1e6 * megabytes - sum(len(content) + _HEADERS for _, content in packed)
    found = find_photos(photos)
    taken = 0
    # In steps of the golden ratio through the set: wherever the room ends, what was taken is spread over all of it.
    order = sorted(range(len(found)), key=lambda index: (index * 0.6180339887498949) % 1)
    for index in order:
        image = open_photo(found[index], PHOTO_SIDE)
        scale = PHOTO_SIDE / min(image.size)
        if scale < 1:
            image = image.resize((round(image.width * scale), round(image.height * scale)), reducing_gap=3.0)
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=QUALITY)
        size = len(stream.getvalue()) + _HEADERS
        if size > room:
            break
        room -= size
        taken += 1
        packed.append((f"photos/{index:06d}.jpg", stream.getvalue()))
    if not taken:
        raise InputError(f"{megabytes} MB hold no photo beside {len(works)} style pictures: give --megabytes more")
    with replacing(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, content in packed:
            archive.writestr(name, content)
    return f"{target}: {len(works)} style pictures and {taken} of {len(found)} photos, {target.stat().st_size / 1e6:.1f} MB"


def _jpeg(pixels: object) -> bytes:
    from PIL import Image
    from torch import Tensor

    assert isinstance(pixels, Tensor)
    levels = (pixels[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, "JPEG", quality=95)
    return stream.getvalue()


@dataclass(frozen=True)
class Past:
    """The part of a training that is over: its steps, its seconds, and the body that it began from, if from one."""

    steps: int = 0
    seconds: float = 0.0
    init: str | None = BODY


def read_past(checkpoint: Path) -> Past:
    """Return what a checkpoint tells of its training, and the past of one that is to begin where there is no checkpoint.

    Raises:
        InputError: for a file that is no checkpoint.
    """
    if not checkpoint.is_file():
        return Past()
    state = read_checkpoint(checkpoint)
    training = state.get("training") or {}
    return Past(
        int(state.get("global_step", 0)),
        float(training.get("seconds", 0.0)),
        training.get("settings", {}).get("model.init", BODY),
    )


def train_body(folder: Path, pack: Path, budget: str, resume: Path | None, tiny: bool) -> int:
    """Train the recipe ``body`` from a pack for as long as the budget says; everything is in the folder then.

    Args:
        folder: where it works. Where it holds a training, that one goes on.
        pack: what :func:`make_pack` wrote.
        budget: the time of this call, such as ``25m``, without what the training had before.
        resume: folder of a training to go on with.
        tiny: train a small network for two steps, to test the program.

    Returns:
        The exit code of the training.

    Raises:
        InputError: for a pack, a budget or a folder to go on with that is none.
    """
    seconds = parse_seconds(budget)
    assert seconds is not None
    began, data, last = time.monotonic(), folder / "data", folder / "run" / "checkpoints" / LAST
    try:
        unpack(pack, data)
        if resume is not None and not last.is_file():
            _bring(resume, folder)
        past = read_past(last)
        code = _train(training_words(folder, seconds, past, tiny))
    finally:
        shutil.rmtree(data, ignore_errors=True)
    asked = argparse.Namespace(pack=pack, budget=budget, resume=resume, tiny=tiny)
    record = {
        **setting(asked),
        "seconds": round(time.monotonic() - began, 1),
        "exit_code": code,
        **_outcome(folder, code, past),
    }
    write_atomic(folder / "train_body.json", (json.dumps(record, indent=1) + "\n").encode())
    return code


def _bring(resume: Path, folder: Path) -> None:
    """Copy a training to go on with."""
    if not (resume / "run" / "checkpoints" / LAST).is_file():
        raise InputError(f"{resume} holds no training to go on with: it lacks run/checkpoints/{LAST}")
    shutil.copytree(resume / "run", folder / "run", dirs_exist_ok=True)


def unpack(pack: Path, folder: Path) -> None:
    """Put the style pictures and photos of a pack into a folder, in place of what is there.

    Raises:
        InputError: for a pack that is missing, damaged or none.
    """
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with zipfile.ZipFile(pack) as archive:
            names = [name for name in archive.namelist() if name.startswith(("paintings/", "photos/")) and ".." not in name]
            archive.extractall(folder, names)
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise InputError(f"cannot unpack {pack} ({one_line(error, 120)}): --make_pack makes a pack") from error
    for part in ("paintings", "photos"):
        if not any((folder / part).glob("*")):
            raise InputError(f"{pack} holds no {part}: --make_pack makes a pack")


def training_words(folder: Path, seconds: float, past: Past, tiny: bool) -> list[str]:
    """Return the words of ``stylenet`` for a training that takes so many seconds beyond its past."""
    run, data = folder / "run", folder / "data"
    words = ["train", "--recipe", "body", "--style", str(data / "paintings"), "--photos", str(data / "photos")]
    words += ["--run", str(run), "--output", str(folder / "body_standard.safetensors")]
    # A training that goes on counts the seconds that it had before.
    words += ["--budget", f"{past.seconds + seconds:.1f}s"]
    words += ["--ckpt_path", "last"] if past.steps else []
    if tiny:
        words += ["--data.size", "64", "--data.val_size", "64", "--data.batch_size", "1", "--data.val_count", "1"]
        words += ["--network", "quarter", "--model.init", "null", "--data.workers", "0"]
        return [*words, "--steps", str(past.steps + 2)]
    words += ["--model.init", past.init or "null"]
    return [*words, "--data.size", "256", "--data.batch_size", "16", "--data.smallest_crop", "0.5"]


def _train(words: list[str]) -> int:
    """Run ``stylenet``; Ctrl-C here is passed on, waited for, and leaves a checkpoint."""
    command = [sys.executable, "-m", "stylenet", *words]
    process = subprocess.Popen(command, env=environment(), start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        return process.wait()
    finally:
        kill_session(process)


def _outcome(folder: Path, code: int, past: Past) -> dict[str, Any]:
    """Return the steps of a training and what its body was measured to be, where it was written."""
    now = read_past(folder / "run" / "checkpoints" / LAST)
    card = read_card(folder / "body_standard.safetensors") if code == 0 else None
    metrics = card.metrics if card is not None else {}
    return {
        "init": now.init,
        "steps": now.steps - past.steps,
        "steps_before": past.steps,
        "objective": metrics.get("val/objective"),
        "metrics": metrics,
    }
