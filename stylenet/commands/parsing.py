"""Parse words into options, and hand every option on: all commands share this."""

from __future__ import annotations

from argparse import ArgumentError
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from jsonargparse import ArgumentError as JsonArgumentError
from jsonargparse import ArgumentParser, Namespace

from stylenet.errors import InputError


@contextmanager
def parsing() -> Iterator[None]:
    """Turn whatever a parser dislikes into one line.

    Raises:
        InputError: with that line.
    """
    try:
        yield
    except (ArgumentError, JsonArgumentError) as error:
        raise InputError(" ".join(str(error).split())) from error
    except UnicodeDecodeError as error:
        raise InputError("the recipe or configuration file is not text") from error


def verb_parser(verb: str, description: str) -> ArgumentParser:
    """Return a parser for a verb, which reads files of options too."""
    parser = ArgumentParser(prog=f"stylenet {verb}", description=description, exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file with any of these options.")
    return parser


def add_figure_options(parser: ArgumentParser, size: str) -> None:
    """Add what the commands share that draw a figure of one photo, with the size that the photo is brought to."""
    parser.add_argument("photo", help="A file or an http(s) address.")
    parser.add_argument("--output", "-o", required=True, help="File to write; its ending picks the format.")
    parser.add_argument("--size", default=size, help="Size that the photo is brought to.")


def parse(parser: ArgumentParser, words: list[str]) -> Namespace:
    """Return the options that the words of a command line set, all others with their defaults.

    Raises:
        InputError: for words that are not understood.
    """
    with parsing():
        config = parser.parse_args(_with_flags(parser, words))
    config.pop("config", None)  # the files of options, which have been read
    return config


def keywords(config: Namespace, **groups: type) -> dict[str, Any]:
    """Return all options as keyword arguments of the function that a command calls.

    Nothing is picked by name: what the function does not know is a TypeError, so that no option can be accepted and ignored.

    Args:
        config: what :func:`parse` returned, without what the command itself has popped.
        groups: dataclasses by the names of the parameters that take them; their fields are gathered from the options.

    Raises:
        InputError: for values that a dataclass refuses.
    """
    options = dict(vars(config))
    gathered = {name: {field.name: options.pop(field.name) for field in fields(group)} for name, group in groups.items()}
    return options | {name: group(**gathered[name]) for name, group in groups.items()}


def _with_flags(parser: ArgumentParser, words: list[str]) -> list[str]:
    """Turn ``--panel`` alone into ``--panel=true``: the parser wants a value for every option."""
    flags = {
        option for action in parser._actions if getattr(action, "_typehint", None) is bool for option in action.option_strings
    }
    following = [*words, ""][1:]
    return [
        f"{word}=true" if word in flags and after.lower() not in ("true", "false") else word
        for word, after in zip(words, following, strict=True)
    ]
