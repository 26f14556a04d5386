"""Style four photos by the networks that come with stylenet, then by optimizing their pixels in the style of the project's own
style pictures; at last train a small network on one of these and apply it.

    python scripts/make_demo.py [--output DIR] [--budget 40s] [--training 60s]

The photos come with scikit-image, the styles with the project: nothing is downloaded.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from skimage import data
from torch import Tensor

from stylenet.commands.recipes import load_recipe
from stylenet.commands.train import train
from stylenet.durations import clock
from stylenet.images.picture import read_image, write_image
from stylenet.images.sheets import contact_sheet
from stylenet.network.shipped import list_styles
from stylenet.network.styles import load_style
from stylenet.optimization.engine import optimize_pixels
from stylenet.optimization.observers import SearchLine

ROOT = Path(__file__).resolve().parent.parent
STYLES = ROOT / "examples" / "styles"
PAIRS = (
    ("astronaut", "stained_glass"),
    ("chelsea", "brush_strokes"),
    ("coffee", "marbling"),
    ("rocket", "woodcut"),
)
TRAINED = "marbling"

# Pictures and their labels, in the order of the contact sheet.
Sheet = list[tuple[str, Tensor]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "out" / "demo")
    parser.add_argument("--budget", default="40s", help="of each optimized picture")
    parser.add_argument("--training", default="60s", help="of the network")
    parser.add_argument("--size", default="400", help="of each picture")
    arguments = parser.parse_args()
    started = time.monotonic()
    shipped(arguments.output, arguments.size)
    sheet = optimized(arguments.output, arguments.size, arguments.budget)
    sheet += trained(arguments.output, arguments.size, arguments.training)
    labels, pictures = zip(*sheet, strict=True)
    path = write_image(contact_sheet(list(pictures), list(labels), columns=3), arguments.output / "contact_sheet.jpg")
    print(f"{path}: all in {clock(time.monotonic() - started)}")


def shipped(folder: Path, size: str) -> None:
    """Style the photos in turn, each style one of them, on a sheet of all styles that come with stylenet."""
    started = time.monotonic()
    photos = [read_image(skimage_photo(photo, folder), size).pixels for photo, _ in PAIRS]
    names = [card.name for card in list_styles()]
    styled = [load_style(name)(photo) for name, photo in zip(names, itertools.cycle(photos))]
    path = write_image(overview(styled, names), folder / "styles.jpg")
    print(f"{path}: {len(names)} styles in {clock(time.monotonic() - started)}", flush=True)


def overview(styled: Sequence[Tensor], names: Sequence[str]) -> Tensor:
    """Return a sheet with the middle of one picture in each style."""
    return contact_sheet([square(picture) for picture in styled], names, columns=5, height=216)


def square(picture: Tensor) -> Tensor:
    """Return the middle of a picture ``[1, 3, H, W]`` as a square."""
    height, width = picture.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[..., top : top + side, left : left + side]


def optimized(folder: Path, size: str, budget: str) -> Sheet:
    """Optimize each pair; return photo, style, and the picture with the content of one and the style of the other."""
    loss, settings = load_recipe("default", budget=budget, size=size)
    sheet: Sheet = []
    for photo_name, style_name in PAIRS:
        print(f"{photo_name} in the style of {style_name}", flush=True)
        photo = read_image(skimage_photo(photo_name, folder), settings.size).pixels
        style = read_image(STYLES / f"{style_name}.jpg").pixels
        result = optimize_pixels(photo, [style], loss, settings, observe=SearchLine())
        path = write_image(result.picture, folder / f"{photo_name}_{style_name}.jpg")
        print(f"{path}: {result.steps} steps in {clock(result.seconds)}", flush=True)
        sheet += [(photo_name, photo), (style_name, style), (f"{photo_name} + {style_name}", result.picture)]
    return sheet


def trained(folder: Path, size: str, budget: str) -> Sheet:
    """Style two photos by a network of one minute that starts from the body which comes with stylenet."""
    print(f"training a network on {TRAINED}", flush=True)
    tiles = cut_tiles(folder)
    words = ["--recipe", "quick", "--style", str(STYLES / f"{TRAINED}.jpg"), "--photos", str(tiles), "--budget", budget]
    words += ["--data.size", "192", "--run", str(folder / "training")]
    network = load_style(train([*words, "--output", str(folder / f"{TRAINED}.safetensors")]))
    sheet: Sheet = []
    for name in ("astronaut", "coffee"):
        photo = read_image(skimage_photo(name, folder), size).pixels
        begun = time.monotonic()
        styled = network(photo)
        path = write_image(styled, folder / f"{name}_{TRAINED}_network.jpg")
        print(f"{path}: one pass of the network, {time.monotonic() - begun:.2f} s", flush=True)
        sheet += [(name, photo), (TRAINED, read_image(STYLES / f"{TRAINED}.jpg").pixels), (f"{name}, network", styled)]
    return sheet


def skimage_photo(name: str, folder: Path) -> Path:
    """Write a photo of scikit-image as a file, as a user would have it."""
    pixels = torch.from_numpy(getattr(data, name)()).permute(2, 0, 1)[None].float() / 255
    return write_image(pixels, folder / "photos" / f"{name}.png")


def cut_tiles(folder: Path, side: int = 200) -> Path:
    """Cut the four photos into overlapping squares: a set to train on."""
    tiles = folder / "tiles"
    for name, _ in PAIRS:
        pixels = read_image(skimage_photo(name, folder)).pixels
        for top in range(0, pixels.shape[2] - side + 1, side // 2):
            for left in range(0, pixels.shape[3] - side + 1, side // 2):
                write_image(pixels[..., top : top + side, left : left + side], tiles / f"{name}_{top}_{left}.png")
    return tiles


if __name__ == "__main__":
    main()
