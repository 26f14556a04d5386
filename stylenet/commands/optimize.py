"""``stylenet optimize``: one photo in the style of one or several pictures, by a search for its pixels."""

from __future__ import annotations

import sys

from jsonargparse import ArgumentParser

from stylenet.commands.parsing import keywords, parse
from stylenet.commands.recipes import NESTED_RECIPE, recipe_parser, with_recipe
from stylenet.commands.telling import INTERRUPTED, STARTED
from stylenet.devices import keep_freed_memory
from stylenet.durations import clock
from stylenet.errors import InputError, Interrupted, RunError
from stylenet.losses.perceptual import LossSettings
from stylenet.optimization.observers import SearchLine
from stylenet.optimization.rendering import OptimizeResult, optimize
from stylenet.optimization.settings import OptimizeSettings


def make_parser(words: list[str]) -> ArgumentParser:
    """Return the parser of the command; the words decide whether style pictures stand beside the photo."""
    parser = recipe_parser(
        prog="stylenet optimize",
        description="Searches the picture with the content of one picture and the style of others, by optimizing its pixels.",
    )
    parser.add_argument("content", help="Photo: a file or an http(s) address.")
    _add_paintings(parser, words)
    parser.add_argument("--output", "-o", required=True, help="File to write; its ending picks the format.")
    own: set[str | int] = {"photo", "painting", "output", "loss", "settings", "observe", "vgg", "started"}
    of_settings: set[str | int] = {"size", "steps", "budget", "style_weight", "init", "device"}
    parser.add_function_arguments(optimize, skip=own | of_settings)
    return parser


def run(words: list[str]) -> int:
    """Search a picture as the words of the command line say, and return the exit code."""
    keep_freed_memory()
    config = parse(make_parser(words), with_recipe(words))
    if "beside" in config:
        raise InputError(f"style pictures by --style and beside the photo ({config.beside[0]}): give them in one place")
    if "recipe" in config:
        raise InputError(NESTED_RECIPE)
    options = keywords(config, loss=LossSettings, settings=OptimizeSettings)
    photo, paintings = options.pop("content"), options.pop("style")
    line = SearchLine()
    try:
        result = optimize(photo, paintings, **options, observe=line, started=STARTED)
    except Interrupted as interrupted:
        result = interrupted.result
    finally:
        line.close()
    return _tell(result, config.output)


def _add_paintings(parser: ArgumentParser, words: list[str]) -> None:
    """Style pictures beside the photo, or by ``--style`` as the other commands have it: ``style`` in a file of options either
    way."""
    from argparse import SUPPRESS

    if any(word == "--style" or word.startswith("--style=") for word in words):
        parser.add_argument("beside", nargs="*", default=SUPPRESS, help=SUPPRESS)
        parser.add_argument("--style", nargs="+", required=True, help="Style picture or pictures.")
    else:
        parser.add_argument("style", nargs="+", help="Style picture or pictures; --style PICTURE ... does the same.")


def _tell(result: OptimizeResult, output: str) -> int:
    for note in result.notes:
        print(note)
    print(f"{output}: {result.steps} steps in {clock(result.seconds)}, objective {result.objective:.5g} ({result.stopped})")
    if result.stopped == "broken":
        raise RunError(f"{result.message} ({output})")
    if result.stopped == "interrupted":
        print(f"stylenet: {result.message}", file=sys.stderr)
        return INTERRUPTED
    return 0
