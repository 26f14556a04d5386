"""The gallery shows the styles that come with stylenet, all of them and no others."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from stylenet.network.cards import Card
from stylenet.network.shipped import list_styles, shipped_styles

ROOT = Path(__file__).parents[2]
GALLERY = ROOT / "docs" / "gallery.md"
LOOKS = [card for card in list_styles() if card.body]


@pytest.fixture(scope="module")
def script() -> Iterator[Any]:
    """Return the script that trains the looks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        yield importlib.import_module("train_looks")


def test_every_style_has_a_heading_and_a_picture() -> None:
    headings = re.findall(r"^## (\w+)$", GALLERY.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == list(shipped_styles())
    assert sorted(path.stem for path in (ROOT / "docs" / "gallery").iterdir()) == sorted(headings)
    for name in headings:
        with Image.open(ROOT / "docs" / "gallery" / f"{name}.webp") as picture:
            assert picture.width > 3 * picture.height  # four photos in a row


@pytest.mark.parametrize("card", list_styles(), ids=lambda card: str(card.name))
def test_credits_are_those_of_the_cards(card: Card) -> None:
    assert card.credit.endswith("(public domain)")
    assert f"## {card.name}\n\n{card.credit};" in GALLERY.read_text(encoding="utf-8")


def test_the_script_trains_every_look_and_no_other(script: Any) -> None:
    """Those that are whole networks begin with the body too."""
    trained = [card for card in list_styles() if card.body or card.training.get("init") == "body_standard"]
    assert {card.name: card.credit for card in trained} == {
        name: f"{text} (public domain)" for name, text in script.CREDITS.items()
    }
    assert {card.name for card in trained if not card.body} == set(script.WHOLE)


@pytest.mark.parametrize("card", LOOKS, ids=lambda card: str(card.name))
def test_looks_are_small_and_on_the_shipped_body(card: Card) -> None:
    assert shipped_styles()[card.name].stat().st_size < 43_000
    assert card.body["name"] == "body_standard"
    assert card.training["learns"] == "norms+ends"
    assert card.training["seed"] == 0
