"""Make a sheet of photos and paintings, each pair painted by the recipe ``gram`` and by default.

    python scripts/make_pairs.py --pair PHOTO PAINTING [--pair PHOTO PAINTING ...] --pictures FOLDER
        [--output docs/search_pairs.webp] [--size 256] [--height 150]

What is found is kept in the folder as PNG files, to be looked at in full size; a call that was stopped goes on from them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from make_sheets import QUALITY, ROOT, label, search
from torch import Tensor

from stylenet.images.picture import read_image, write_image
from stylenet.images.sheets import contact_sheet

WAYS: dict[str, dict[str, Any]] = {"gram": {"recipe": "gram"}, "default": {}}


def main() -> None:
    """Search each pair both ways, and lay all of them on one sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", nargs=2, action="append", required=True, metavar=("PHOTO", "PAINTING"))
    parser.add_argument("--pictures", type=Path, required=True, help="folder for what is found")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "search_pairs.webp")
    parser.add_argument("--size", type=int, default=256, help="longest side of the searches")
    parser.add_argument("--height", type=int, default=150, help="of the pictures on the sheet")
    arguments = parser.parse_args()
    labels = ["photo", "painting", *(label(changes) for changes in WAYS.values())]
    cells: list[Tensor] = []
    for photo, painting in arguments.pair:
        cells += [read_image(one, arguments.height * 3).pixels for one in (photo, painting)]
        place = arguments.pictures / f"{Path(photo).stem}_{Path(painting).stem}"
        cells += [found(photo, painting, way, place, arguments.size) for way in WAYS]
    sheet = contact_sheet(cells, labels * len(arguments.pair), columns=len(labels), height=arguments.height)
    print(write_image(sheet, arguments.output, quality=QUALITY))


def found(photo: str, painting: str, way: str, place: Path, size: int) -> Tensor:
    """Return the picture ``[1, 3, h, w]`` of a pair, from its place if it is there."""
    path = place.with_name(f"{place.name}_{way}_{size}.png")
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(search(read_image(photo).pixels, read_image(painting).pixels, size, WAYS[way]), path)
        print(path, flush=True)
    return read_image(path).pixels


if __name__ == "__main__":
    main()
