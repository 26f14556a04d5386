"""Read what is known about a trained style. Torch is not needed, so that a list of styles is quick."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from safetensors import SafetensorError, safe_open

from stylenet.errors import InputError, one_line
from stylenet.recognition import also, no_weights, what_is

# Where a style file's metadata hold the card.
CARD_KEY = "stylenet"

# Bytes of a card; those of styles have 2 kB, and a body's with a hundred titles has 6.
_LARGEST_CARD = 1_000_000

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Card:
    """Everything that is known about a trained style.

    Attributes:
        name: name of the style.
        network: fields of :class:`~stylenet.network.NetSettings`.
        style: the style pictures: file name and SHA-256.
        credit: painter, title, year, and rights.
        loss: fields of :class:`~stylenet.losses.LossSettings`, which name the VGG and its weights: losses under other weights
            cannot be compared.
        training: size, batch, steps, learning rate, seconds, device.
        data: fingerprint of the photos.
        metrics: measurements of the held-out photos, by name.
        versions: versions of the software.
        date: date of the training's end, ISO.
        body: for a file that holds a look alone, the ``name`` of its body, the ``sha256`` of that body's weights, and what was
            learnt on it (``learns``).
        looks: titles of the looks that the network was trained with, where it is a body that many styles share.
        source: who made the file: ``stylenet``, or the repository whose layout was recognised.
    """

    name: str
    network: dict[str, Any] = field(default_factory=dict)
    style: list[dict[str, str]] = field(default_factory=list)
    credit: str = ""
    loss: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    data: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    date: str = ""
    source: str = "stylenet"
    body: dict[str, str] = field(default_factory=dict)
    looks: list[str] = field(default_factory=list)


def read_card(path: Path) -> Card | None:
    """Return the card of a style file; None for files without one.

    Raises:
        InputError: for a card that cannot be read.
    """
    if path.suffix != ".safetensors":
        return None
    try:
        if reason := no_weights(path):
            raise InputError(f"{path} is {reason}")
        with safe_open(path, "np") as opened:
            text = (opened.metadata() or {}).get(CARD_KEY)
    except (SafetensorError, OSError) as error:
        what = what_is(path)
        reason = f" ({error})" if what in ("", "a safetensors file") else also(what)
        raise InputError(f"{path} is no safetensors file, or is damaged{reason}") from error
    if text is None:
        return None
    if len(text) > _LARGEST_CARD:
        raise InputError(f"{path} is damaged: its card has {len(text):,} characters")
    try:
        card = typed(json.loads(text), Card)
        json.dumps(dataclasses.asdict(card))  # what is nested a thousand deep can be read, but not be written again
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} was written by a newer version of stylenet, or is damaged ({_short(error)})") from error
    return card


def _short(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else one_line(error, 150)


def typed(values: object, kind: type[Settings]) -> Settings:
    """Return a dataclass made of values that come from a file, each of the type that its field has.

    Raises:
        ValueError: for a type, a choice or a field that is not known; :class:`InputError` for values that make no sense.
    """
    known = {entry.name for entry in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if isinstance(values, dict) and (unknown := [name for name in values if name not in known]):
        raise ValueError(f"there is no {unknown[0]!r} in {kind.__name__}")
    return msgspec.convert(values, kind)
