"""The training of a body for a machine that is at hand for minutes: one file to bring along, one folder to take back.

The pack is a zip of the style pictures (longest side 512 pixels) and of photos (shorter side 384), as JPEGs. The folder gets
the body, its checkpoint with the optimizer's state, and the log; ``--resume`` goes on from such a folder.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from gpu_checks import _environment

from stylenet.errors import InputError
from stylenet.files import replacing
from stylenet.images.picture import read_image
from stylenet.training.photos import find_photos, open_photo

PAINTING_SIDE, PHOTO_SIDE, QUALITY = 512, 384, 88

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


def train_body(folder: Path, pack: Path, budget: str, resume: Path | None, tiny: bool) -> int:
    """Train the recipe ``body`` from a pack until the budget ends; everything is in the folder then.

    Returns:
        The exit code of the training.
    """
    data = folder / "data"
    with zipfile.ZipFile(pack) as archive:
        names = [name for name in archive.namelist() if name.startswith(("paintings/", "photos/")) and ".." not in name]
        archive.extractall(data, names)
    run = folder / "run"
    again: list[str] = []
    if resume is not None and not (run / "checkpoints" / "last.ckpt").is_file():
        shutil.copytree(resume / "run", run, dirs_exist_ok=True)
    if (run / "checkpoints" / "last.ckpt").is_file():
        again = ["--ckpt_path", "last"]
    words = ["train", "--recipe", "body", "--style", str(data / "paintings"), "--photos", str(data / "photos")]
    words += ["--run", str(run), "--output", str(folder / "body_standard.safetensors"), "--budget", budget, *again]
    if tiny:
        words += ["--data.size", "64", "--data.val_size", "64", "--data.batch_size", "1", "--data.val_count", "1"]
        words += ["--network", "quarter", "--model.init", "null", "--steps", "2", "--data.workers", "0"]
    else:
        words += ["--data.size", "256", "--data.batch_size", "16", "--data.smallest_crop", "0.5"]
    code = subprocess.run([sys.executable, "-m", "stylenet", *words], env=_environment(), check=False).returncode
    shutil.rmtree(data, ignore_errors=True)
    return code
