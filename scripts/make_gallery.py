"""Make the gallery of the styles that come with stylenet: ``docs/gallery.md``, its pictures, and ``docs/styles.jpg``.

    python scripts/make_gallery.py [--output docs] [--height 200]

The four photos come with scikit-image.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from make_demo import PAIRS, overview, skimage_photo
from torch import Tensor

from stylenet.images.picture import read_image, write_image
from stylenet.images.sheets import contact_sheet
from stylenet.network.cards import Card
from stylenet.network.shipped import list_styles, shipped_styles
from stylenet.network.styles import load_style

ROOT = Path(__file__).resolve().parent.parent
PHOTOS = tuple(photo for photo, _ in PAIRS)
QUALITY = 75
HEAD = """# Gallery

These are the styles that come with stylenet, each on the same four photos. Give the name to `--style`:

```bash
stylenet stylize photo.jpg --style the_kiss --output out.jpg
```

Those marked as a *look* share one body: they can be [blended](styling.md#which-style), and each is a file of {look_size} kB.
`scripts/train_looks.py` trained them, and `adoration_of_the_magi` too. The others are whole networks.
`scripts/make_gallery.py` made this page.
"""


def main() -> None:
    """Style the photos in all styles and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "docs")
    parser.add_argument("--height", type=int, default=200, help="of a picture on the page")
    arguments = parser.parse_args()
    photos = [read_photo(name, ROOT / "out" / "gallery") for name in PHOTOS]
    cards, chosen = list_styles(), []
    for number, card in enumerate(cards):
        network = load_style(card.name)
        styled = [network(photo) for photo in photos]
        strip = contact_sheet(styled, [card.name, *[""] * (len(styled) - 1)], len(styled), arguments.height)
        write_image(strip, arguments.output / "gallery" / f"{card.name}.webp", quality=QUALITY)
        chosen.append(styled[number % len(styled)])
        print(card.name, flush=True)
    sheet = overview(chosen, [card.name for card in cards])
    write_image(sheet, arguments.output / "styles.jpg", quality=QUALITY)
    (arguments.output / "gallery.md").write_text(page(cards), encoding="utf-8")


def read_photo(name: str, folder: Path) -> Tensor:
    """Return a photo of scikit-image ``[1, 3, H, W]`` whose shorter side has 512 pixels or less."""
    return read_image(skimage_photo(name, folder), "short:512").pixels


def page(cards: Sequence[Card]) -> str:
    """Return the text of the gallery."""
    files = shipped_styles()
    look_size = max(round(files[card.name].stat().st_size / 1000) for card in cards if card.body)
    parts = [HEAD.format(look_size=look_size)]
    for card in cards:
        kind = "look" if card.body else "network"
        size = files[card.name].stat().st_size
        weight = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
        parts.append(
            f"## {card.name}\n\n{card.credit}; *{kind}*, {weight}\n\n![Four photos in the style {card.name}]"
            f"(gallery/{card.name}.webp)\n"
        )
    return "\n".join(parts)


if __name__ == "__main__":
    main()
