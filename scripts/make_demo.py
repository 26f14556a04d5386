"""Styles four photos with the project's own style pictures: ``python scripts/make_demo.py [--output DIR] [--budget 50s]``.

The photos come with scikit-image, the styles with the project: nothing is downloaded.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from skimage import data

from stylenet.images import read_image, write_image
from stylenet.monitor import ProgressLine, clock
from stylenet.optimize import optimize
from stylenet.recipes import load_recipe
from stylenet.sheets import contact_sheet

ROOT = Path(__file__).resolve().parent.parent
PAIRS = (
    ("astronaut", "stained_glass"),
    ("chelsea", "brush_strokes"),
    ("coffee", "marbling"),
    ("rocket", "woodcut"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "out" / "demo")
    parser.add_argument("--budget", default="50s", help="of each picture")
    parser.add_argument("--size", default="400", help="of each picture")
    arguments = parser.parse_args()
    started = time.monotonic()
    loss, settings = load_recipe("default", budget=arguments.budget, size=arguments.size)
    pictures, labels = [], []
    for photo_name, style_name in PAIRS:
        print(f"{photo_name} in the style of {style_name}", flush=True)
        photo = read_image(_skimage_photo(photo_name, arguments.output), settings.size).pixels
        style = read_image(ROOT / "examples" / "styles" / f"{style_name}.jpg").pixels
        result = optimize(photo, [style], loss, settings, observe=ProgressLine())
        path = write_image(result.picture, arguments.output / f"{photo_name}_{style_name}.jpg")
        print(f"{path}: {result.steps} steps in {clock(result.seconds)}", flush=True)
        pictures += [photo, style, result.picture]
        labels += [photo_name, style_name, f"{photo_name} + {style_name}"]
    sheet = write_image(contact_sheet(pictures, labels, columns=3), arguments.output / "contact_sheet.jpg")
    print(f"{sheet}: all in {clock(time.monotonic() - started)}")


def _skimage_photo(name: str, folder: Path) -> Path:
    """A photo of scikit-image as a file, as a user would have it."""
    pixels = torch.from_numpy(getattr(data, name)()).permute(2, 0, 1)[None].float() / 255
    return write_image(pixels, folder / "photos" / f"{name}.png")


if __name__ == "__main__":
    main()
