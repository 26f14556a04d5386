"""``stylenet styles``: the styles that come with stylenet, or the card of one."""

from __future__ import annotations

import dataclasses
import json

from stylenet.commands.parsing import VerbParser, parse, verb_parser
from stylenet.errors import one_line
from stylenet.network.shipped import list_styles


def make_parser() -> VerbParser:
    """Return the parser of the command."""
    parser = verb_parser(
        "styles",
        "Lists the styles that come with stylenet, or shows the card of one.",
        (),
        ("stylenet styles", "stylenet styles starry_night"),
    )
    parser.add_argument("style", nargs="?", help="Name or file: its whole card as JSON.")
    return parser


def run(words: list[str]) -> int:
    """List styles as the words of the command line say, and return the exit code."""
    style = parse(make_parser(), words).style
    if style is not None:
        from stylenet.network.styles import load_style  # not for the list, which needs no torch

        print(json.dumps(dataclasses.asdict(load_style(style).card), indent=1))
        return 0
    cards = list_styles()
    width = max((len(card.name) for card in cards), default=0)
    for card in cards:
        print(one_line(f"{card.name:<{width}}") + "  " + one_line(card.credit))
    return 0
