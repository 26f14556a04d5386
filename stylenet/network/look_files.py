"""Write a style that was learnt on a body as a small file that holds its look alone."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from torch import Tensor

from stylenet.choices import check_choice
from stylenet.errors import InputError
from stylenet.network.cards import Card, read_card
from stylenet.network.looks import LOOK_PARTS, Learns, look_names, read_look
from stylenet.network.shipped import find_style, shipped_files
from stylenet.network.styles import (
    LOOK_KEY,
    Bits,
    hash_body,
    learnt_of,
    read_body,
    read_network,
    write_style_file,
)
from stylenet.network.transform_net import TransformNet
from stylenet.storage import exists, fetched, join, name_of, parent_of, read, write


def save_look(net: TransformNet, learns: Learns, body: str | Path, card: Card, path: str | Path, bits: Bits = 16) -> None:
    """Write a style that was trained on a body as what was learnt alone: 40 kB for ``norms+ends``, 9 kB for ``norms``.

    Loading finds the body by its name, beside the look or among those that come with stylenet. Where it would not be found so,
    it is copied beside the look.

    Args:
        net: the network; all else must be the body's, as it is after a training with ``learns`` and ``init``.
        learns: what was learnt: ``norms`` or ``norms+ends``.
        body: name or file of the body, or of a style that is a look on it: then what that style had learnt is kept too.
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
    base = find_base(body)
    learns = max(learns, base.learnt, key=LOOK_PARTS.index)
    _check_worn(net, learns, base)
    numbers = read_look(net, learns).cpu()
    if not torch.isfinite(numbers).all():  # told before a body is copied
        raise InputError(f"{path} is not written: {LOOK_KEY} holds numbers that are not finite")
    digest = hash_body(base.state)
    about = {"name": _settle_body(base.file, digest, str(path)), "sha256": digest, "learns": learns}
    card = dataclasses.replace(card, network=dataclasses.asdict(net.settings), body=about, looks=[])
    write_style_file({LOOK_KEY: numbers if bits == 32 else numbers.half()}, card, path)


@dataclass(frozen=True, eq=False)
class Base:
    """Holds what new looks stand on.

    Attributes:
        file: file of the body.
        state: weights of the body, by name.
        learnt: what the style that was named had learnt on it already; ``norms`` for a whole network.
    """

    file: Path
    state: dict[str, Tensor]
    learnt: Learns


def find_base(style: str | Path) -> Base:
    """Return what a look stands on that is learnt from a style: its body, or itself where it is a whole network.

    Raises:
        InputError: if there is no such style, or it is a checkpoint or another repository's file, which no look can name.
    """
    path = find_style(style)
    card = read_card(path)
    if card is None:
        raise InputError(
            f"{style} is no style file, and a look needs one to stand on: let all of the network be learnt, or write it as a"
            " style file first (stylenet.load_style, then stylenet.save_style)"
        )
    if not card.body:
        return Base(path, read_network(path), "norms")
    file, state = read_body(path, card)
    return Base(file, state, learnt_of(card) or "norms")


def _check_worn(net: TransformNet, learns: Learns, base: Base) -> None:
    """Fail unless a network is its body but for its look; rounding to 16 bits is no difference."""
    learnt = set(look_names(net, learns))
    for name, value in net.named_parameters():
        theirs, ours = base.state.get(name), value.detach().float().cpu()
        same = theirs is not None and theirs.shape == ours.shape and torch.allclose(ours, theirs, rtol=2**-7, atol=1e-6)
        if name not in learnt and not same:
            raise InputError(f"this network is no look on {base.file}: {name} is another one")


def _settle_body(body: Path, digest: str, look: str) -> str:
    """Return the name by which a look will find its body; copy the body beside the look where it would not be found."""
    shipped = shipped_files().get(body.stem)
    if shipped is not None and _is_body(shipped, digest):
        return body.stem
    for name in (body.stem, f"{body.stem}_{digest[:8]}"):
        place = join(parent_of(look), f"{name}.safetensors")
        if name_of(place) == name_of(look):  # the look would take the place of its body
            continue
        if not exists(place):
            write(place, read(str(body)))
            return name
        if _is_body(fetched(place), digest):
            return name
    raise InputError(f"{look} is not written: {name_of(place)} beside it is another body than {body}")


def _is_body(path: Path, digest: str) -> bool:
    try:
        return hash_body(read_network(path)) == digest
    except (InputError, SafetensorError):
        return False
