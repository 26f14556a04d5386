"""Blend several looks on one body into one style; they are interpolated before the network, so that a blend costs one pass."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from stylenet.errors import InputError
from stylenet.network.cards import Card
from stylenet.network.looks import look_names
from stylenet.network.shipped import list_styles
from stylenet.network.styles import Style, load_style
from stylenet.network.transform_net import TransformNet

_SHARE = re.compile(r"(?P<style>.+):(?P<share>\d+\.?\d*|\.\d+)")


def parse_blend(words: Sequence[str]) -> dict[str, float] | None:
    """Return the share of each style of words like ``the_kiss:0.6 irises:0.4``, or None for plain names and files.

    Raises:
        InputError: if some words have a share and others do not, a style is named twice, or there is only one.
    """
    found = {word: _SHARE.fullmatch(word) for word in words if not Path(word).exists()}
    matches = {word: match for word, match in found.items() if match}
    if not matches:
        return None
    plain = [word for word in words if word not in matches]
    if plain:
        raise InputError(f"{plain[0]} has no share beside styles that have one: write {plain[0]}:0.5, or give no shares")
    shares = {match["style"]: float(match["share"]) for match in matches.values()}
    if len(shares) < len(words):
        raise InputError(f"a style is named twice: {' '.join(words)}")
    if len(shares) == 1:
        raise InputError(f"{words[0]} is a blend of one style: name another, or write {next(iter(shares))} alone")
    return shares


def choose_styles(words: Sequence[str]) -> list[tuple[str, str | Style]]:
    """Return what words name as pairs of a short name and a style: each name or file by itself, or one blend of all of them.

    Raises:
        InputError: for a blend that cannot be.
    """
    shares = parse_blend(words)
    if shares is None:
        return [(Path(word).stem, word) for word in words]
    blend = blend_styles(shares)
    return [(blend.card.name, blend)]


def choose_style(words: Sequence[str]) -> str | Style:
    """Return the one style, or the one blend, that words name.

    Raises:
        InputError: if they name several styles.
    """
    chosen = choose_styles(words)
    if len(chosen) != 1:
        example = " ".join(f"{word}:{1 / len(words):.2g}" for word in words)
        raise InputError(f"there is room for one style here, and {len(chosen)} are named: take one, or blend them: {example}")
    return chosen[0][1]


def blend_styles(shares: Mapping[str, float]) -> Style:
    """Return a style whose look is the mean of several, weighed by their shares.

    Args:
        shares: 0 or more for each style, by name or file; they are divided by their sum. At a share of 1 and 0 for the others
            the style is that one, bit for bit.

    Raises:
        InputError: for shares that make no sense, or styles that do not share a body.
    """
    if not shares or any(not math.isfinite(share) or share < 0 for share in shares.values()) or sum(shares.values()) <= 0:
        raise InputError(f"the shares of a blend are numbers of 0 or more, one of them above 0: {dict(shares)}")
    whole = sum(shares.values())
    parts = {name: share / whole for name, share in shares.items()}
    styles = {name: load_style(name) for name in parts}
    check_one_body({name: style.net for name, style in styles.items()})
    net = copy.deepcopy(next(iter(styles.values())).net)
    mix_looks(net, [style.net for style in styles.values()], list(parts.values()))
    name = "_".join(f"{Path(style).stem}_{share:.3g}" for style, share in parts.items())
    credit = " + ".join(f"{share:.3g} x {styles[style].card.credit or Path(style).stem}" for style, share in parts.items())
    first = next(iter(styles.values())).card
    return Style(net, Card(name, first.network, credit=credit))


@torch.no_grad()
def mix_looks(net: TransformNet, nets: Sequence[TransformNet], shares: Sequence[float]) -> None:
    """Write the mean of the looks of networks that share a body into a network; the shares add up to 1."""
    for name in look_names(net, "norms+ends"):
        parts = [share * other.get_parameter(name) for other, share in zip(nets, shares, strict=True)]
        net.get_parameter(name).copy_(torch.stack(parts).sum(dim=0))


def check_one_body(nets: Mapping[str, TransformNet]) -> None:
    """Fail unless the networks are the same but for their looks.

    Raises:
        InputError: with the names of two that are not.
    """
    (first, body), *others = nets.items()
    look = set(look_names(body, "norms+ends"))
    for name, net in others:
        same = net.settings == body.settings and all(
            torch.equal(value, net.get_parameter(parameter))
            for parameter, value in body.named_parameters()
            if parameter not in look
        )
        if not same:
            raise InputError(
                f"{first} and {name} cannot be blended: only looks on one body can, and these are other networks; of the styles"
                f" that come with stylenet these can: {', '.join(card.name for card in list_styles() if card.body)}"
            )
