"""``stylenet web``: the page in a browser."""

from __future__ import annotations

from jsonargparse import ArgumentParser

from stylenet.commands.parsing import parse, verb_parser
from stylenet.web import Limits, serve


def make_parser() -> ArgumentParser:
    """Return the parser of the command."""
    parser = verb_parser("web", "Shows the page in a browser: photos, searches, trainings, films, the webcam, on this machine.")
    parser.add_function_arguments(serve, skip={"limits"})
    parser.add_class_arguments(Limits)
    return parser


def run(words: list[str]) -> int:
    """Serve the page until Ctrl-C or SIGTERM, and return the exit code."""
    config = parse(make_parser(), words)
    limits = Limits(**{name: config.pop(name) for name in Limits.__dataclass_fields__})
    config.pop("config", None)
    serve(**config.as_dict(), limits=limits)
    return 0
