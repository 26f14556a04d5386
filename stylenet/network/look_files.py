"""Write a style that was learnt on a body as a small file that holds its look alone."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from stylenet.choices import check_choice
from stylenet.errors import InputError, argument
from stylenet.network.cards import Card, read_card
from stylenet.network.looks import LOOK_PARTS, Learns, look_names, read_look
from stylenet.network.shipped import find_style, shipped_files
from stylenet.network.styles import (
    LOOK_KEY,
    Bits,
    body_of,
    hash_body,
    learnt_of,
    read_body,
    read_network,
    write_style_file,
)
from stylenet.network.transform_net import TransformNet
from stylenet.storage import exists, fetched, join, name_of, parent_of, read, write
from stylenet.storage.reading import origin


@dataclass(frozen=True, eq=False)
class Base:
    """Holds what new looks stand on.

    Attributes:
        file: file of the body.
        state: weights of the body, by name.
        digest: hash of these weights.
        learnt: what the style that was named had learnt on it already; ``norms`` for a whole network.
    """

    file: Path
    state: dict[str, Tensor]
    digest: str
    learnt: Learns


def find_base(style: str | Path) -> Base:
    """Return what a look stands on that is learnt from a style: its body, or itself where it is a whole network.

    Raises:
        InputError: if there is no such style, or it is a checkpoint or another repository's file, which no look can name.
    """
    path = find_style(style)
    card = read_card(path)
    if card is None:
        everything = argument("learns", "all", "model")
        raise InputError(f"{style} is no style file, and a look needs one to stand on: use {everything}, or start from a style")
    file, state = read_body(path, card) if card.body else (path, read_network(path))
    return Base(file, state, hash_body(state), learnt_of(card) or "norms")


def find_body(style: str | Path) -> str | None:
    """Return the place of the body that a style stands on, if it is a look.

    Raises:
        InputError: if there is no such style, or its body is not there.
    """
    path = find_style(style)
    card = read_card(path)
    return origin(read_body(path, card)[0]) if card is not None and card.body else None


def save_look(
    net: TransformNet, learns: Learns, body: str | Path | Base, card: Card, path: str | Path, bits: Bits = 16
) -> None:
    """Write a style that was trained on a body as what was learnt alone: 40 kB for ``norms+ends``, 9 kB for ``norms``.

    Loading finds the body by its name, beside the look or among those that come with stylenet. Where it would not be found so,
    it is copied beside the look.

    Args:
        net: the network; all else must be the body's, as it is after a training with ``learns`` and ``init``.
        learns: what was learnt: ``norms`` or ``norms+ends``.
        body: name or file of the body, or of a style that is a look on it: then what that style had learnt is kept too. Or what
            :func:`find_base` made of one.
        card: what is known about the style.
        path: file to write.
        bits: number of bits of a number: 16, or 32 for exactly the same network. Few numbers are not worth 8.

    Raises:
        InputError: for weights that are not finite, a network that is not on this body, a body that is no style file, other
            numbers of bits, or where ``learns`` is ``all``.
    """
    check_choice("bits", bits, Literal[16, 32])
    check_choice("learns", learns, Learns)
    if learns == "all":
        raise InputError("a look is what was learnt on a body that stayed as it was: with learns set to all there is none")
    base = body if isinstance(body, Base) else find_base(body)
    learns = max(learns, base.learnt, key=LOOK_PARTS.index)
    _check_worn(net, learns, base)
    numbers = read_look(net, learns).cpu()
    numbers = numbers if bits == 32 else numbers.half()
    if not torch.isfinite(numbers).all():  # told before a body is copied
        raise InputError(f"{path} is not written: {LOOK_KEY} holds numbers that are not finite")
    about = {"name": _settle_body(base, str(path)), "sha256": base.digest, "learns": learns}
    card = dataclasses.replace(card, network=dataclasses.asdict(net.settings), body=about, looks=[])
    write_style_file({LOOK_KEY: numbers}, card, path)


def _check_worn(net: TransformNet, learns: Learns, base: Base) -> None:
    """Fail unless a network is its body but for its look; rounding to 16 bits is no difference."""
    learnt = set(look_names(net, learns))
    for name, value in net.named_parameters():
        theirs, ours = base.state.get(name), value.detach().float().cpu()
        same = theirs is not None and theirs.shape == ours.shape and torch.allclose(ours, theirs, rtol=2**-8, atol=1e-6)
        if name not in learnt and not same:
            raise InputError(f"this network is no look on {origin(base.file)}: {name} is another one")


def _settle_body(base: Base, look: str) -> str:
    """Return the name by which a look will find its body; copy the body beside the look where it would not be found.

    The name of a copy has a part of the hash, so that looks on two bodies of one name can be written at once.
    """
    stem, part = base.file.stem, base.digest[:8]
    copy = stem if stem.endswith(f"_{part}") else f"{stem[:80]}_{part}"
    shipped = shipped_files().get(stem)
    if shipped is not None and body_of(shipped, base.digest) is not None:
        return stem
    for name in (stem, copy):
        place = join(parent_of(look), f"{name}.safetensors")
        found = name_of(place) != name_of(look) and exists(place) and body_of(fetched(place), base.digest) is not None
        if found:
            return name
    if name_of(place) == name_of(look):
        raise InputError(f"{look} has the name that its body wants beside it: give the look another one")
    if body_of(base.file, base.digest) is None:
        raise InputError(f"{origin(base.file)} was changed since this look began: put the body that it began with in its place")
    write(place, read(str(base.file)))
    return copy
