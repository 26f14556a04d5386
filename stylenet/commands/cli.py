"""The command line: one command per verb. Each parses, calls one public function, and reports.

Nothing heavy is imported before the verb is known, so that ``stylenet --help`` is quick.
"""

from __future__ import annotations

import os
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

    from stylenet.inference.batch import Summary
    from stylenet.optimization.engine import Result
    from stylenet.video.stylize import VideoResult

# A budget counts from here, so that it includes loading.
_STARTED = time.monotonic()

_INTERRUPTED, _UNREAD = 130, 141


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0, 1 for a failure, 2 for wrong input, 130 after Ctrl-C, 141 when whoever
    read the output has gone, as in ``stylenet --help | head -1``."""
    try:
        code = _run(arguments)
        print(end="", flush=True)  # now, as a failure when Python ends would be a traceback
    except BrokenPipeError:
        # Python flushes once more at its end, what is left included.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _UNREAD
    return code


def _run(arguments: list[str] | None) -> int:
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
    except BrokenPipeError:
        raise
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
    from stylenet.commands.parsing import parsing

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
    from stylenet.commands.recipes import recipe_parser, settings_from, with_recipe
    from stylenet.devices import keep_freed_memory
    from stylenet.optimization.rendering import render

    keep_freed_memory()
    parser = recipe_parser(
        prog="stylenet optimize",
        description="Searches the picture with the content of one picture and the style of others, by optimizing its pixels.",
    )
    parser.add_argument("content", help="Photo: a file or an http(s) address.")
    _add_paintings(parser, words)
    parser.add_argument("--output", "-o", required=True, help="File to write; its ending picks the format.")
    parser.add_function_arguments(render, skip={"content", "styles", "output", "loss", "settings", "started"})
    config = _parse(parser, with_recipe(words))
    if "beside" in config:
        raise InputError(f"style pictures by --style and beside the photo ({config.beside[0]}): give them in one place")
    loss, settings = settings_from(config)
    names = ("style_weights", "save_every", "log", "panel", "keep_colors", "quality", "bits", "allow_huge")
    options = {name: config[name] for name in names}
    result = render(config.content, config.style, config.output, loss, settings, **options, started=_STARTED)
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


def _tell(result: Result, output: str) -> int:
    from stylenet.durations import clock

    for note in result.notes:
        print(note)
    print(f"{output}: {result.steps} steps in {clock(result.seconds)}, objective {result.objective:.5g} ({result.stopped})")
    if result.stopped == "broken":
        raise RunError(f"{result.message} ({output})")
    if result.stopped == "interrupted":
        print(f"stylenet: {result.message}", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _stylize(words: list[str]) -> int:
    from pathlib import Path

    from jsonargparse import ArgumentParser

    from stylenet.commands.lines import BatchLine, PictureLine
    from stylenet.devices import keep_freed_memory
    from stylenet.inference.batch import Files, stylize_many
    from stylenet.inference.jobs import plan_jobs
    from stylenet.inference.sheets import contact_sheet_of
    from stylenet.inference.stylizer import Look, Stylizer

    keep_freed_memory()
    description = "Styles pictures by a trained network: files, folders, patterns, addresses, or - for stdin."
    parser = ArgumentParser(prog="stylenet stylize", description=description, exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file with any of these options.")
    parser.add_argument("inputs", nargs="+", help="Pictures, folders, patterns like 'photos/*.jpg', http(s) addresses, or -.")
    parser.add_argument("--style", "-s", nargs="+", required=True, help="Name or file of a style, or of several.")
    parser.add_argument("--output", "-o", required=True, help="File, folder for several pictures or styles, or - for stdout.")
    parser.add_argument("--sheet", type=bool, default=False, help="Write one labelled contact sheet of all results instead.")
    parser.add_argument("--devices", type=int, default=1, help="Processes, each with its own device, that share the pictures.")
    parser.add_class_arguments(Look)
    parser.add_class_arguments(Files)
    parser.add_function_arguments(Stylizer, skip={"style", "look", "report"})
    config = _parse(parser, words)
    look = Look(**{name: config[name] for name in Look.__dataclass_fields__})
    files = Files(**{name: config[name] for name in Files.__dataclass_fields__})
    names = [Path(style).stem for style in config.style]
    jobs = plan_jobs(config.inputs, config.output, names, sheet=config.sheet)
    options = {name: config[name] for name in ("outside", "device", "precision", "tile")}
    line = PictureLine() if len(jobs) == 1 else None
    stylizers = [Stylizer(style, look, **options, report=line) for style in config.style]
    summary: Summary | None
    if config.devices < 1:
        raise InputError(f"devices is {config.devices}: it must be 1 or more")
    if config.sheet:
        summary = contact_sheet_of(jobs, stylizers, names, config.output, files)
    elif min(config.devices, len(jobs)) > 1:
        from stylenet.inference.distributed import stylize_on_devices

        summary = stylize_on_devices(jobs, stylizers, files, min(config.devices, len(jobs)), config.device)
    else:
        summary = stylize_many(jobs, stylizers, files, BatchLine() if len(jobs) > 1 else None)
    return 0 if summary is None else _tell_summary(summary, len(jobs), config.output)


def _tell_summary(summary: Summary, jobs: int, output: str) -> int:
    from stylenet.durations import clock

    if jobs == 1 and summary.failures and not summary.message:
        raise InputError(summary.failures[0][1])
    told = [f"{output}: {summary.done} of {jobs} styled in {clock(summary.seconds)}"]
    told += [f"{summary.skipped} were there already (--overwrite styles them again)"] if summary.skipped else []
    for note in summary.notes:
        _progress(note)
    _progress(", ".join(told))
    for source, reason in summary.failures:
        _progress(f"stylenet: not styled: {source}: {' '.join(reason.split())}")
    if summary.message:
        _progress(f"stylenet: stopped early, what is written is whole: {' '.join(summary.message.split())}")
    return _INTERRUPTED if summary.interrupted else int(bool(summary.failures or summary.message))


def _features(words: list[str]) -> int:
    from stylenet.evaluation.figures import features
    from stylenet.images.picture import check_output, read_image, write_image

    parser = _figure_parser("features", "Mean activation of every layer of the loss network, as a labelled grid.", "512")
    parser.add_function_arguments(features, skip={"photo"})
    config = _parse(parser, words)
    check_output(config.output)
    photo = read_image(config.photo, config.size)
    sheet = features(photo.pixels, config.vgg, config.vgg_weights, config.pooling, config.columns)
    print(write_image(sheet, config.output))
    return 0


def _reconstruct(words: list[str]) -> int:
    from stylenet.evaluation.figures import reconstruct
    from stylenet.images.picture import check_output, read_image, write_image

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
    from stylenet.commands.train import train

    train(words)
    return 0


def _video(words: list[str]) -> int:
    from jsonargparse import ArgumentParser

    from stylenet.commands.lines import FrameLine
    from stylenet.devices import keep_freed_memory
    from stylenet.video.stylize import stylize_video

    keep_freed_memory()
    description = "Styles a film, an animated GIF or a folder of frames; sound and timing are carried over."
    parser = ArgumentParser(prog="stylenet video", description=description, exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file with any of these options.")
    parser.add_argument("source", help="A film, an animated GIF, or a folder of pictures.")
    parser.add_argument("--style", required=True, help="Name or file.")
    parser.add_argument("--output", "-o", required=True, help="File to write, or a folder for PNGs.")
    parser.add_function_arguments(stylize_video, skip={"source", "style", "output", "progress"})
    config = _parse(parser, words)
    names = ("size", "smooth", "steady", "quality", "fps", "overwrite", "device", "precision", "compile")
    line = FrameLine()
    try:
        options = {name: config[name] for name in names}
        result = stylize_video(config.source, config.style, config.output, **options, progress=line)
    finally:
        line.close()
    return _tell_video(result, config.output)


def _tell_video(result: VideoResult, output: str) -> int:
    from stylenet.durations import clock

    for note in result.notes:
        print(f"note: {note}", file=sys.stderr)
    print(f"{output}: {result.frames} frames in {clock(result.seconds)} ({result.frames / result.seconds:.1f} a second)")
    if result.stopped == "damaged":
        raise RunError(result.message)
    if result.stopped == "interrupted":
        print(f"stylenet: {result.message}", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _evaluate(words: list[str]) -> int:
    import json

    from jsonargparse import ArgumentParser

    from stylenet.devices import keep_freed_memory
    from stylenet.evaluation.measures import as_dictionary, as_table, evaluate

    keep_freed_memory()
    description = "Measures a trained style on photos that it has not seen."
    parser = ArgumentParser(prog="stylenet evaluate", description=description, exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file with any of these options.")
    parser.add_argument("style", help="Name or file.")
    parser.add_argument("--json", type=bool, default=False, help="Print JSON instead of a table.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512], help="Longest sides to measure at.")
    parser.add_function_arguments(evaluate, skip={"style", "sizes", "report"})
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

    from stylenet.network.cards import list_styles

    parser = ArgumentParser(prog="stylenet styles", description="Styles that come with stylenet, or the card of one.")
    parser.add_argument("style", nargs="?", help="Name or file: its whole card as JSON.")
    style = _parse(parser, words).style
    if style is not None:
        from stylenet.network.styles import load_style

        print(json.dumps(dataclasses.asdict(load_style(style).card), indent=1))
        return 0
    cards = list_styles()
    width = max((len(card.name) for card in cards), default=0)
    for card in cards:
        print(f"{card.name:<{width}}  {card.credit}")
    return 0


def _export(words: list[str]) -> int:
    from pathlib import Path

    from jsonargparse import ArgumentParser

    from stylenet.network.export import Format, export_style

    description = "Writes a trained style for programs without Python, after a check that the file does what the network does."
    parser = ArgumentParser(prog="stylenet export", description=description, exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file with any of these options.")
    parser.add_argument("style", help="Name or file.")
    parser.add_argument("--format", type=Format, default="onnx", help="Of the file.")
    parser.add_argument("--output", "-o", required=True, help="File to write, ending in .onnx.")
    parser.add_function_arguments(export_style, skip={"style", "path"})
    config = _parse(parser, words)
    for difference in export_style(config.style, config.output, config.precision):
        print(difference)
    print(f"{config.output}: {Path(config.output).stat().st_size / 1e6:.1f} MB, precision {config.precision}")
    return 0


_VERBS: dict[str, tuple[Callable[[list[str]], int], str]] = {
    "stylize": (_stylize, "style photos by a trained network, in about a second each"),
    "optimize": (_optimize, "style one photo by optimizing its pixels (highest quality, seconds to minutes)"),
    "train": (_train, "train a network on one style, for real-time use on any photo"),
    "video": (_video, "style a film, an animated GIF or a folder of frames"),
    "evaluate": (_evaluate, "measure a trained style on photos that it has not seen"),
    "export": (_export, "write a trained style as ONNX, for programs without Python"),
    "styles": (_styles, "list the styles that come with stylenet, or show the card of one"),
    "features": (_features, "show what every layer of the loss network sees of a photo"),
    "reconstruct": (_reconstruct, "rebuild a photo from single layers (Gatys et al., figure 1)"),
}
