"""Damages pictures, styles, checkpoints and videos at random, for as long as is wanted, and reads them.

Each must be read, or be refused in one line, within seconds. What does otherwise is kept in a folder, with its seed.

    python scripts/fuzz.py --seconds 600
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from stylenet.errors import InputError, RunError
from stylenet.images.picture import read_image
from stylenet.network.cards import Card
from stylenet.network.styles import load_grams, load_looks, load_style, save_style
from stylenet.network.transform_net import NetSettings, TransformNet
from stylenet.training.photos import Photo, Unreadable, open_photo
from stylenet.video.reader import open_video

# Refusals, which are what damage should end in.
REFUSED = (InputError, RunError, Unreadable)

SLOW = 20.0  # seconds, after which a file counts as one that hangs

Reader = Callable[[Path], object]


def main() -> int:
    """Run the command and return its exit code: 0 if nothing was found, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="how long; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the first file; default: %(default)s")
    parser.add_argument("--keep", type=Path, default=Path("fuzz_findings"), help="folder for findings; default: %(default)s")
    options = parser.parse_args()
    until, seed, found = time.monotonic() + options.seconds, options.seed, 0
    with TemporaryDirectory() as folder:
        kinds = make_kinds(Path(folder))
        while time.monotonic() < until:
            name, whole, reader = kinds[seed % len(kinds)]
            found += try_one(Path(folder) / name, damaged(whole, seed), reader, options.keep, seed)
            seed += 1
    print(f"{seed - options.seed} files, {found} findings{f' in {options.keep}' if found else ''}")
    return int(bool(found))


def try_one(path: Path, content: bytes, reader: Reader, keep: Path, seed: int) -> bool:
    """Read a damaged file and return whether that is a finding, which is then kept and told."""
    path.write_bytes(content)
    begun = time.monotonic()
    trouble = ""
    try:
        reader(path)
    except REFUSED as error:
        trouble = "" if str(error).isprintable() else f"an unprintable message: {error!r}"
    except Exception as error:  # anything else is what this program looks for
        trouble = f"{type(error).__name__}: {error}"
    if not trouble and time.monotonic() - begun > SLOW:
        trouble = f"{time.monotonic() - begun:.0f} seconds"
    if trouble:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{seed}_{path.name}").write_bytes(content)
        print(f"seed {seed}, {path.name}: {trouble}", file=sys.stderr)
    return bool(trouble)


def damaged(whole: bytes, seed: int) -> bytes:
    """Return a file with bytes changed, a part cut off, doubled or filled, as the seed decides."""
    generator, data = np.random.default_rng(seed), bytearray(whole)
    # Headers decide more than pixels do, and those of some formats stand at the end.
    reach = min(len(data), int(generator.choice([64, 400, len(data)])))
    for place in generator.integers(0, reach, generator.integers(1, 9)):
        value = int(generator.choice([0, 1, 127, 128, 255])) if generator.random() < 0.5 else int(generator.integers(256))
        data[place if generator.random() < 0.8 else -1 - place] = value
    begin, end = sorted(int(place) for place in generator.integers(0, len(data), 2))
    match int(generator.integers(8)):
        case 0:
            del data[end:]
        case 1:
            data[end:end] = data[begin:end]
        case 2:
            data[begin:end] = bytes(end - begin)
    return bytes(data)


def make_kinds(folder: Path) -> list[tuple[str, bytes, Reader]]:
    """Return files of all kinds: a name, the whole content, and what reads it."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    kinds: list[tuple[str, bytes, Reader]] = []
    for kind in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, kind)
        kinds += [(f"{kind}.jpg", buffer.getvalue(), _style_picture), (f"{kind}.jpeg", buffer.getvalue(), _training_photo)]
    net = TransformNet(NetSettings(width=4, residual_blocks=1))
    save_style(net, Card("fuzzed"), folder / "whole.safetensors")
    checkpoint = io.BytesIO()
    torch.save({"state_dict": net.state_dict(), "epoch": 1}, checkpoint)
    kinds += [
        ("style.safetensors", (folder / "whole.safetensors").read_bytes(), _style),
        ("checkpoint.pth", checkpoint.getvalue(), _style),
    ]
    for name, container, codec in (
        ("video.mp4", "mp4", "mpeg4"),
        ("video.mkv", "matroska", "mpeg4"),
        ("video.gif", "gif", "gif"),
    ):
        kinds.append((name, _video(folder / name, container, codec, pixels), _frames))
    return kinds


def _video(path: Path, kind: str, codec: str, pixels: np.ndarray) -> bytes:
    import av

    with av.open(str(path), "w", format=kind) as container:
        video = container.add_stream(codec, rate=25)
        video.width, video.height = pixels.shape[1], pixels.shape[0]
        video.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        for shift in range(5):
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.roll(pixels, shift, axis=1), format="rgb24")))
        container.mux(video.encode(None))
    return path.read_bytes()


def _style_picture(path: Path) -> object:
    return read_image(path)


def _training_photo(path: Path) -> object:
    return open_photo(Photo(str(path)), 16)


def _style(path: Path) -> object:
    return load_style(path), load_grams(path), load_looks(path)


def _frames(path: Path) -> object:
    with open_video(path) as video:
        return sum(1 for _, _ in zip(video, range(50), strict=False))


if __name__ == "__main__":
    sys.exit(main())
