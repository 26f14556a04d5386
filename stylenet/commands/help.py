"""The short help of a verb: what people change, and two examples; ``--help_all`` has the rest."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Sequence
from typing import Any

from jsonargparse import SUPPRESS, ArgumentParser

_WIDTH, _INDENT = 100, 28

# A text of so many characters is cut at its first colon or semicolon.
_LONG = 140


def short_help(parser: ArgumentParser, common: Sequence[str], examples: Sequence[str]) -> str:
    """Return the help of a parser, cut to what people change.

    Args:
        parser: of a verb.
        common: the options to show, without their dashes, in this order. Positional arguments are always shown.
        examples: whole commands.
    """
    positionals = [action for action in parser._actions if not action.option_strings]
    options = [parser._option_string_actions[f"--{name}"] for name in common]
    usage = " ".join([str(parser.prog), *map(_shown, positionals), "[options]"])
    parts = [f"usage: {usage}", textwrap.fill(parser.description or "", _WIDTH)]
    if positionals:
        parts.append("\n".join(_entry(action.metavar or action.dest, action) for action in positionals))
    parts.append("\n".join(["options:", *(_entry(_names(action), action) for action in options)]))
    parts.append("\n".join(["examples:", *(f"  {example}" for example in examples)]))
    return "\n\n".join([*parts, f"{parser.prog} --help_all lists every option; --print_config writes them as YAML."]) + "\n"


class HelpAll(argparse.Action):
    """Prints the help of all options, and ends the program."""

    def __init__(self, option_strings: Sequence[str], **_: Any) -> None:
        super().__init__(option_strings, dest=SUPPRESS, default=SUPPRESS, nargs=0, help="Show every option and exit.")

    def __call__(self, parser: Any, *_: Any) -> None:
        """Print and exit."""
        print(parser.full_help())
        parser.exit()


def _shown(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest)
    name = f"{name} ..." if action.nargs in ("+", "*") else name
    return f"[{name}]" if action.nargs in ("?", "*") else name


def _names(action: argparse.Action) -> str:
    """Return ``-o, --output OUTPUT``; of a flag the names alone; of several long names the first without a group."""
    long = min((name for name in action.option_strings if name.startswith("--")), key=lambda name: "." in name)
    names = [*(name for name in action.option_strings if not name.startswith("--")), long]
    choices = getattr(getattr(action, "_typehint", None), "__args__", ())
    literals = [choice for choice in choices if isinstance(choice, str)]
    if getattr(action, "_typehint", None) is bool or action.nargs == 0:
        return ", ".join(names)
    value = "{" + ",".join(literals) + "}" if 0 < len(literals) == len(choices) else long.lstrip("-").rpartition(".")[2].upper()
    return f"{', '.join(names)} {value}" + (" ..." if action.nargs == "+" else "")


def _entry(names: str | tuple[str, ...], action: argparse.Action) -> str:
    """Return the names, and what is said of them beside or below."""
    text = re.split(r"(?<!\.)\. ", (action.help or "").replace("``", "").replace("%%", "%"))[0].strip()
    text = text if text.endswith("...") else text.rstrip(".")
    if len(text) > _LONG:
        text = re.split("[:;] ", text)[0]
    if action.default not in (None, False, SUPPRESS, "", []) and action.option_strings:
        default = action.default if not isinstance(action.default, list) else " ".join(map(str, action.default))
        text += f" (default: {default})"
    lines = textwrap.wrap(text, _WIDTH - _INDENT)
    first = f"  {names}"
    if len(first) > _INDENT - 2:
        return "\n".join([first, *(" " * _INDENT + line for line in lines)])
    return "\n".join([first.ljust(_INDENT) + lines[0], *(" " * _INDENT + line for line in lines[1:])]) if lines else first
