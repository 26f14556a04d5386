"""List the styles and bodies that come with stylenet, and find the file of a style by its name. Torch is not needed."""

from __future__ import annotations

from pathlib import Path

from stylenet.errors import InputError
from stylenet.network.cards import Card, read_card
from stylenet.resources import shipped_folder
from stylenet.storage import exists, fetched, is_address, join, parent_of
from stylenet.storage.reading import origin

# How the names of files begin that hold a body, for styles to be trained on.
BODY_PREFIX = "body_"


def find_style(style: str | Path) -> Path:
    """Return the file of a style by name, path or address; of one in a store it is a copy.

    Raises:
        InputError: if there is none.
        RunError: for a store that does not answer.
    """
    if is_address(style):
        return fetched(style)
    path = Path(style)
    try:
        if path.is_file():
            return path
    except OSError as error:  # such as a name that is too long
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    shipped = shipped_files()
    if str(style) in shipped:
        return shipped[str(style)]
    fitting = shipped_bodies() if str(style).startswith(BODY_PREFIX) else shipped_styles()
    names = ", ".join(fitting) or "none"
    raise InputError(f"no style {str(style)!r}: give the path of a style file, or one that comes with stylenet: {names}")


def find_bodies(card: Card, look: Path) -> list[Path]:
    """Return the files that have the name of a look's body: beside the look, and among those that come with stylenet.

    Raises:
        InputError: if there is none.
    """
    name = str(card.body.get("name", ""))
    beside = look.parent / f"{Path(name).name[:200]}.safetensors"
    found = [beside] if name and beside.is_file() else []
    if name and is_address(place := origin(look)) and exists(place := join(parent_of(place), beside.name)):
        found.append(fetched(place))
    found += [path for shipped, path in shipped_files().items() if shipped == name and path != beside]
    if not found:
        raise InputError(f"{origin(look)} is a look on the body {name!r}, which is not here: put {name}.safetensors beside it")
    return found


def style_folder() -> Path:
    """Return the folder of the styles that come with stylenet."""
    return shipped_folder("checkpoints")


def shipped_styles() -> dict[str, Path]:
    """Return the files of the styles that come with stylenet, by name. Bodies are no styles, and left out."""
    return {name: path for name, path in shipped_files().items() if not name.startswith(BODY_PREFIX)}


def shipped_bodies() -> list[str]:
    """Return the names of the bodies that come with stylenet."""
    return [name for name in shipped_files() if name.startswith(BODY_PREFIX)]


def shipped_files() -> dict[str, Path]:
    """Return the files of the styles and bodies that come with stylenet, by name."""
    return {path.stem: path for path in sorted(style_folder().glob("*.safetensors"))}


def list_styles() -> list[Card]:
    """Return the cards of the styles that come with stylenet."""
    cards = [read_card(path) for path in shipped_styles().values()]
    return [card for card in cards if card is not None]
