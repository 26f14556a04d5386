"""The command line: one command per verb. Each parses, calls one public function, and reports.

Nothing heavy is imported before the verb is known, so that ``stylenet --help`` is quick.
"""

from __future__ import annotations

import sys
import time
import traceback
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from stylenet import __version__
from stylenet.errors import InputError, RunError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from stylenet.optimize import Result

# A budget counts from here, so that it includes loading.
_STARTED = time.monotonic()

_INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0, 1 for a failure, 2 for wrong input, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    verbose = "--verbose" in words
    words = [word for word in words if word != "--verbose"]
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0 if words else 2
    if words[0] == "--version":
        print(f"stylenet {__version__}")
        return 0
    if not verbose:  # Pillow warns of what its own error says next
        warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        if words[0] not in _VERBS:
            raise InputError(f"no command {words[0]!r}: use one of {', '.join(_VERBS)}")
        return _VERBS[words[0]][0](words[1:])
    except KeyboardInterrupt as error:
        return _report(str(error) or "interrupted", _INTERRUPTED, verbose)
    except SystemExit as error:  # --help and --print_config
        return int(error.code or 0)
    except InputError as error:
        return _report(str(error), 2, verbose)
    except RunError as error:
        return _report(str(error), 1, verbose)
    except Exception as error:
        advice = "" if verbose else " (--verbose shows where)"
        return _report(f"{type(error).__name__}: {error}{advice}", 1, verbose)


def _report(message: str, code: int, verbose: bool) -> int:
    if verbose:
        traceback.print_exc()
    print("stylenet:", " ".join(message.split()), file=sys.stderr)
    return code


def _overview() -> str:
    lines = [f"stylenet {__version__}: neural style transfer", "", "usage: stylenet COMMAND ... [--verbose]", ""]
    lines += [f"  {verb:<12} {summary}" for verb, (_, summary) in _VERBS.items()]
    return "\n".join([*lines, "", "stylenet COMMAND --help tells more."])


def _parse(parser: ArgumentParser, words: list[str]) -> Namespace:
    """Parsed options; whatever the parser dislikes becomes one line."""
    from stylenet.recipes import parsing

    with parsing():
        return parser.parse_args(_with_flags(parser, words))


def _with_flags(parser: ArgumentParser, words: list[str]) -> list[str]:
    """``--panel`` alone means ``--panel=true``: the parser wants a value for every option."""
    flags = {
        option for action in parser._actions if getattr(action, "_typehint", None) is bool for option in action.option_strings
    }
    following = [*words, ""][1:]
    return [
        f"{word}=true" if word in flags and after.lower() not in ("true", "false") else word
        for word, after in zip(words, following, strict=True)
    ]


def _optimize(words: list[str]) -> int:
    from stylenet.devices import keep_freed_memory
    from stylenet.recipes import recipe_parser, settings_from, with_recipe
    from stylenet.render import render

    keep_freed_memory()
    parser = recipe_parser(
        prog="stylenet optimize",
        description="Searches the picture with the content of one picture and the style of others, by optimizing its pixels.",
    )
    parser.add_argument("content", help="Photo: a file or an http(s) address.")
    parser.add_argument("style", nargs="+", help="Style picture or pictures.")
    parser.add_argument("--output", "-o", required=True, help="File to write; its ending picks the format.")
    parser.add_function_arguments(render, skip={"content", "styles", "output", "loss", "settings", "started"})
    config = _parse(parser, with_recipe(words))
    loss, settings = settings_from(config)
    names = ("style_weights", "save_every", "log", "panel", "quality", "bits", "allow_huge")
    options = {name: config[name] for name in names}
    result = render(config.content, config.style, config.output, loss, settings, **options, started=_STARTED)
    return _tell(result, config.output)


def _tell(result: Result, output: str) -> int:
    from stylenet.monitor import clock

    for note in result.notes:
        print(note)
    print(f"{output}: {result.steps} steps in {clock(result.seconds)}, objective {result.objective:.5g} ({result.stopped})")
    if result.stopped == "broken":
        raise RunError(f"{result.message} ({output})")
    if result.stopped == "interrupted":
        print(f"stylenet: {result.message}", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _features(words: list[str]) -> int:
    from stylenet.figures import features
    from stylenet.images import check_output, read_image, write_image

    parser = _figure_parser("features", "Mean activation of every layer of the loss network, as a labelled grid.", "512")
    parser.add_function_arguments(features, skip={"photo"})
    config = _parse(parser, words)
    check_output(config.output)
    photo = read_image(config.photo, config.size)
    sheet = features(photo.pixels, config.vgg, config.vgg_weights, config.pooling, config.columns)
    print(write_image(sheet, config.output))
    return 0


def _reconstruct(words: list[str]) -> int:
    from stylenet.figures import reconstruct
    from stylenet.images import check_output, read_image, write_image

    description = "Gatys' figure: content rebuilt from conv1_1 .. conv5_1 one by one, style from the five growing sets of them."
    parser = _figure_parser("reconstruct", description, "256")
    parser.add_argument("--style", help="Picture whose style is rebuilt; the photo by default.")
    parser.add_function_arguments(reconstruct, skip={"photo", "style", "report"})
    config = _parse(parser, words)
    check_output(config.output)
    photo = read_image(config.photo, config.size).pixels
    style = None if config.style is None else read_image(config.style, config.size).pixels
    names = ("steps", "vgg", "vgg_weights", "pooling", "seed", "device")
    sheet = reconstruct(photo, style, **{name: config[name] for name in names}, report=print)
    print(write_image(sheet, config.output))
    return 0


def _figure_parser(verb: str, description: str, size: str) -> ArgumentParser:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(prog=f"stylenet {verb}", description=description, exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file with any of these options.")
    parser.add_argument("photo", help="A file or an http(s) address.")
    parser.add_argument("--output", "-o", required=True, help="File to write; its ending picks the format.")
    parser.add_argument("--size", default=size, help="Size that the photo is brought to.")
    return parser


def _train(words: list[str]) -> int:
    from stylenet.train import train

    train(words)
    return 0


def _evaluate(words: list[str]) -> int:
    import json

    from jsonargparse import ArgumentParser

    from stylenet.devices import keep_freed_memory
    from stylenet.evaluate import as_dictionary, as_table, evaluate

    keep_freed_memory()
    description = "Measures a trained style on photos that it has not seen."
    parser = ArgumentParser(prog="stylenet evaluate", description=description, exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file with any of these options.")
    parser.add_argument("style", help="Name or file.")
    parser.add_argument("--json", type=bool, default=False, help="Print JSON instead of a table.")
    parser.add_function_arguments(evaluate, skip={"style", "report"})
    config = _parse(parser, words)
    names = ("photos", "picture", "sizes", "count", "most_iterations", "device")
    results = evaluate(config.style, **{name: config[name] for name in names}, report=_progress)
    print(json.dumps([as_dictionary(result) for result in results], indent=1) if config.json else as_table(results))
    return 0


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _styles(words: list[str]) -> int:
    import dataclasses
    import json

    from jsonargparse import ArgumentParser

    from stylenet.styles import list_styles, load_style

    parser = ArgumentParser(prog="stylenet styles", description="Styles that come with stylenet, or the card of one.")
    parser.add_argument("style", nargs="?", help="Name or file: its whole card as JSON.")
    style = _parse(parser, words).style
    if style is not None:
        print(json.dumps(dataclasses.asdict(load_style(style).card), indent=1))
        return 0
    for card in list_styles():
        print(f"{card.name:<16} {card.credit}")
    return 0


_VERBS: dict[str, tuple[Callable[[list[str]], int], str]] = {
    "optimize": (_optimize, "style one photo by optimizing its pixels (highest quality, seconds to minutes)"),
    "train": (_train, "train a network on one style, for real-time use on any photo"),
    "evaluate": (_evaluate, "measure a trained style on photos that it has not seen"),
    "styles": (_styles, "list the styles that come with stylenet, or show the card of one"),
    "features": (_features, "show what every layer of the loss network sees of a photo"),
    "reconstruct": (_reconstruct, "rebuild a photo from single layers (Gatys et al., figure 1)"),
}
