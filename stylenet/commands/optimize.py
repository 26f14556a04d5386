"""``stylenet optimize``: one photo in the style of one or several pictures, by a search for its pixels."""

from __future__ import annotations

from jsonargparse import Namespace

from stylenet.commands.outputs import default_picture
from stylenet.commands.parsing import VerbParser, keywords, parse, verb_parser
from stylenet.commands.recipes import add_settings
from stylenet.commands.telling import INTERRUPTED, STARTED, tell
from stylenet.devices import keep_freed_memory
from stylenet.durations import clock
from stylenet.errors import InputError, Interrupted, RunError, one_line
from stylenet.losses.perceptual import LossSettings
from stylenet.optimization.observers import SearchLine
from stylenet.optimization.rendering import OptimizeResult, optimize
from stylenet.optimization.settings import OptimizeSettings

_COMMON = (
    "style",
    "output",
    "size",
    "budget",
    "steps",
    "style_weight",
    "style_size",
    "keep_colors",
    "init",
    "recipe",
    "save_every",
    "device",
)
_EXAMPLES = (
    "stylenet optimize photo.jpg painting.jpg --size 1024 --budget 5m",
    "stylenet optimize photo.jpg --style painting.jpg --recipe gatys2016 --output gatys.png",
)


def make_parser() -> VerbParser:
    """Return the parser of the command."""
    parser = verb_parser(
        "optimize",
        "Searches the picture with the content of one picture and the style of others, by optimizing its pixels.",
        _COMMON,
        _EXAMPLES,
    )
    parser.add_argument("content", help="Photo: a file or an http(s) address.")
    # Its style pictures stand beside it, or are given by --style as in other commands.
    beside = parser.add_argument("painting", nargs="+", help="Style picture or pictures; --style PICTURE ... does the same.")
    beside.required = False
    parser.add_argument("--style", "-s", nargs="+", help="Style picture or pictures.")
    parser.add_argument("--output", "-o", help="File to write; its ending picks the format (default: PHOTO_PAINTING.jpg).")
    parser.add_recipes("optimize")
    add_settings(parser)
    own: set[str | int] = {"photo", "painting", "output", "loss", "settings", "observe", "vgg", "started"}
    of_settings: set[str | int] = {"size", "steps", "budget", "style_weight", "init", "device"}
    parser.add_function_arguments(optimize, skip=own | of_settings)
    return parser


def run(words: list[str]) -> int:
    """Search a picture as the words of the command line say, and return the exit code."""
    keep_freed_memory()
    config = parse(make_parser(), words)
    styles = _pop_styles(config)
    config.output = config.output or default_picture(config.content, styles[0])
    options = keywords(config, loss=LossSettings, settings=OptimizeSettings)
    line = SearchLine()
    try:
        result = optimize(options.pop("content"), styles, **options, observe=line, started=STARTED)
    except Interrupted as interrupted:
        result = interrupted.result
    finally:
        line.close()
    return _tell(result, config.output)


def _pop_styles(config: Namespace) -> list[str]:
    """Take the style pictures from where they were given."""
    beside, by_option = config.pop("painting"), config.pop("style")
    if beside and by_option:
        raise InputError(f"style pictures by --style and beside the photo ({beside[0]}): give them in one place")
    if not (beside or by_option):
        raise InputError("required: a style picture, beside the photo or by --style")
    styles: list[str] = beside or by_option
    return styles


def _tell(result: OptimizeResult, output: str) -> int:
    for note in result.notes:
        print(one_line(note))
    print(f"{output}: {result.steps} steps in {clock(result.seconds)}, objective {result.objective:.5g} ({result.stopped})")
    if result.stopped == "broken":
        raise RunError(f"{result.message} ({output})")
    if result.stopped == "interrupted":
        tell(f"stylenet: {result.message}")
        return INTERRUPTED
    return 0
