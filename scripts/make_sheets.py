"""Make the sheets of docs/best_picture.md: what may disturb a person in a picture, and the option that mends it.

    python scripts/make_sheets.py [--output docs] [--size 256] [--only faces noise]

The photos come with scikit-image, the paintings with the project. Ten searches take about six minutes of two cores.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from make_demo import STYLES
from PIL import Image
from skimage import data
from torch import Tensor

from stylenet.commands.recipes import load_recipe
from stylenet.images.picture import read_image, write_image
from stylenet.images.sheets import contact_sheet
from stylenet.optimization.rendering import optimize

ROOT = Path(__file__).resolve().parent.parent
QUALITY = 80


@dataclass(frozen=True)
class Complaint:
    """A pair of photo and painting that shows what disturbs, with the options of the picture before and of the one after."""

    photo: str
    painting: str
    after: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)


COMPLAINTS = {
    "forms": Complaint("chelsea", "woodcut", {"style_size": 640}),
    "skies": Complaint("rocket", "brush_strokes", before={"recipe": "gram"}),
    "faces": Complaint("astronaut", "stained_glass", {"style_weight": 0.5}),
    "colours": Complaint("rocket", "stained_glass", {"style_weight": 10.0}),
    "noise": Complaint("rocket", "woodcut", {"tv_weight": 20.0}),
}


def main() -> None:
    """Search both pictures of each complaint, and write its sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "docs")
    parser.add_argument("--size", type=int, default=256, help="longest side of the searches")
    parser.add_argument("--only", nargs="+", choices=COMPLAINTS, default=list(COMPLAINTS))
    arguments = parser.parse_args()
    for name in arguments.only:
        print(make_sheet(COMPLAINTS[name], arguments.output / f"complaint_{name}.webp", arguments.size), flush=True)


def make_sheet(complaint: Complaint, path: Path, size: int) -> Path:
    """Write photo, painting, the picture before and the one after side by side."""
    photo = read_image(Image.fromarray(getattr(data, complaint.photo)())).pixels
    painting = read_image(STYLES / f"{complaint.painting}.jpg", 512).pixels
    both = (complaint.before, complaint.after)
    pictures = [photo, painting, *(search(photo, painting, size, changes) for changes in both)]
    labels = ["photo", "painting", *(label(changes) for changes in both)]
    return Path(write_image(contact_sheet(pictures, labels, columns=4, height=size), path, quality=QUALITY))


def search(photo: Tensor, painting: Tensor, size: int, changes: dict[str, Any]) -> Tensor:
    """Return the picture ``[1, 3, h, w]`` that a command with these options makes."""
    loss, settings = load_recipe(**{"size": size, **changes})
    return optimize(photo, painting, loss, settings).picture.pixels


def label(changes: dict[str, Any]) -> str:
    """Return the options as they are typed."""
    words = [f"--{name} {value:g}" if isinstance(value, float) else f"--{name} {value}" for name, value in changes.items()]
    return " ".join(words) or "by default"


if __name__ == "__main__":
    main()
