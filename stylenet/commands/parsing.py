"""Parse words into options, and hand every option on: all commands share this."""

from __future__ import annotations

import argparse
import glob
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError as JsonArgumentError
from jsonargparse import ArgumentParser, Namespace

from stylenet.commands.help import HelpAll, short_help
from stylenet.commands.recipes import Engine, RecipeOption, check_size, list_recipes, recipe_path, refuse_nested
from stylenet.errors import InputError
from stylenet.files import open_regular


class VerbMixin:
    """A parser with what all verbs share: a short and a long help, flags that need no value, and recipes.

    It stands before a parser of jsonargparse or of Lightning among the bases of a class.

    Attributes:
        common: the options that the short help shows.
        examples: whole commands, for the short help.
        engine: whose recipes ``--recipe`` names; None for a verb without recipes.
    """

    common: Sequence[str] = ()
    examples: Sequence[str] = ()
    engine: Engine | None = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"exit_on_error": False, **options})
        self.add_argument("--help_all", action=HelpAll)  # type: ignore[attr-defined]

    def add_recipes(self, engine: Engine) -> None:
        """Add ``--recipe``, which names a file of defaults that all other options override, wherever it stands."""
        self.engine = engine
        shipped = f"A shipped recipe ({', '.join(list_recipes(engine))}) or a YAML file; other options override it."
        self.add_argument("--recipe", action=RecipeOption, help=shipped)  # type: ignore[attr-defined]

    def parse_args(self, args: Any = None, **options: Any) -> Namespace:
        """Parse words, with the defaults of the recipe that they name.

        The recipe is read by a small parser first: the defaults have to be there before the options.
        """
        words = [] if args is None else list(args)
        _check_configs(words)
        if self.engine is not None:
            recipe = _named_recipe(words)
            paths = [] if recipe is None else [glob.escape(str(recipe_path(recipe, self.engine)))]
            self.default_config_files = paths
        config: Namespace = super().parse_args(_gathered(self, _with_flags(self, words)), **options)  # type: ignore[misc]
        refuse_nested(config)
        return config

    def format_help(self, *_: Any) -> str:
        """Return the help that ``--help`` shows."""
        return short_help(self, self.common, self.examples)  # type: ignore[arg-type]

    def full_help(self) -> str:
        """Return the help of every option."""
        text: str = super().format_help()  # type: ignore[misc]
        return text


class VerbParser(VerbMixin, ArgumentParser):  # type: ignore[misc]
    """The parser of a verb."""


def _named_recipe(words: list[str]) -> str | None:
    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    reader.add_argument("--recipe", nargs="?", const="")
    recipe: str | None = reader.parse_known_args(words)[0].recipe
    return recipe


def verb_parser(verb: str, description: str, common: Sequence[str], examples: Sequence[str]) -> VerbParser:
    """Return a parser for a verb, which reads files of options too.

    Args:
        verb: as it is typed.
        description: what it does, in a sentence.
        common: names of the options that ``--help`` shows; ``--help_all`` shows all.
        examples: whole commands for ``--help``.
    """
    parser = VerbParser(prog=f"stylenet {verb}", description=description)
    parser.common, parser.examples = common, examples
    parser.add_argument("--config", action="config", help="YAML file with any of these options.")
    return parser


def add_figure_options(parser: ArgumentParser, size: str) -> None:
    """Add what the commands share that draw a figure of one photo, with the size that the photo is brought to."""
    parser.add_argument("photo", help="A file or an http(s) address.")
    parser.add_argument("--output", "-o", help="File to write; its ending picks the format.")
    parser.add_argument("--size", default=size, help="Size that the photo is brought to.")


def also_called(parser: ArgumentParser, name: str, *others: str) -> None:
    """Give an option of a signature more names, on the command line and in files of options.

    An argument of one's own has all its names in ``add_argument``; of one that comes from a signature nothing else than the
    list of its names can be extended.
    """
    action = parser._option_string_actions[name]
    for other in others:
        action.option_strings = [*action.option_strings, other]
        parser._option_string_actions[other] = action


# What jsonargparse says of a class, among all else that the value could have been.
_PROBLEM = re.compile(r"Problem with given class_path '([\w.]+)':\s*(.+?)\s*(?=\n\s*- |\nGiven value|\Z)", re.DOTALL)


def _check_configs(words: Sequence[str]) -> None:
    """Refuse pipes and devices as files of options, for whose writer the parser would wait for ever, and what is far too large
    for one, which it would read whole.

    Raises:
        InputError: if one is named.
    """
    named = [word.partition("=")[2] for word in words if word.startswith("--config=")]
    named += [after for word, after in pairwise(words) if word == "--config"]
    for name in named:
        with suppress(OSError):  # the parser says what is wrong with a file that cannot be opened
            open_regular(name).close()
            check_size(Path(name))


@contextmanager
def parsing() -> Iterator[None]:
    """Turn whatever a parser dislikes into one line.

    Raises:
        InputError: with that line.
    """
    try:
        yield
    except (argparse.ArgumentError, JsonArgumentError) as error:
        raise InputError(_reason(str(error))) from error
    except UnicodeDecodeError as error:
        raise InputError("the recipe or configuration file is not text") from error
    except ValueError as error:  # of a class that cannot be made, such as a logger whose package is not installed
        if isinstance(error, InputError) or _PROBLEM.search(str(error)) is None:
            raise
        raise InputError(_reason(str(error))) from error


def _reason(text: str) -> str:
    """Return what the parser says in one line; of a class that was asked for, what is wrong with it alone."""
    found = _PROBLEM.search(text)
    return " ".join((f"{found[1]}: {found[2]}" if found else text).split())


def parse(parser: ArgumentParser, words: list[str]) -> Namespace:
    """Return the options that the words of a command line set, all others with their defaults.

    Raises:
        InputError: for words that are not understood.
    """
    with parsing():
        config: Namespace = parser.parse_args(words)
    for read in ("config", "__default_config__"):  # the files of options, which have been read
        config.pop(read, None)
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


def _with_flags(parser: Any, words: list[str]) -> list[str]:
    """Turn ``--panel`` alone into ``--panel=true``.

    The parser wants a value for every option that has a type. An action that may do without one, such as jsonargparse's
    ActionYesNo, would take the photo in ``--panel photo.jpg`` for it.
    """
    flags = {
        option for action in parser._actions if getattr(action, "_typehint", None) is bool for option in action.option_strings
    }
    following = [*words, ""][1:]
    return [
        f"{word}=true" if word in flags and after.lower() not in ("true", "false") else word
        for word, after in zip(words, following, strict=True)
    ]


def _gathered(parser: Any, words: list[str]) -> list[str]:
    """Return the words with all values of an option that takes several at its first place.

    Who writes ``--style a --style b`` means both; the parser would forget ``a``.
    """
    names = {
        option: action.option_strings[0]
        for action in parser._actions
        if action.nargs in ("+", "*")
        for option in action.option_strings
    }
    result: list[list[str]] = []
    several: dict[str, list[str]] = {}
    taking: list[str] = []
    for word in words:
        option, equals, value = word.partition("=")
        if option in names:
            if names[option] not in several:
                several[names[option]] = [names[option]]
                result.append(several[names[option]])
            values = several[names[option]]
            values += [value] if equals else []
            taking = [] if equals else values
        elif taking and (word == "-" or not word.startswith("-")):
            taking.append(word)
        else:
            taking = []
            result.append([word])
    return [word for group in result for word in group]
