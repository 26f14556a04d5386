"""``stylenet optimize``: one photo in the style of one or several pictures, by a search for its pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from stylenet.commands.outputs import default_picture
from stylenet.commands.parsing import VerbParser, also_called, keywords, parse, verb_parser
from stylenet.commands.recipes import add_settings
from stylenet.commands.telling import INTERRUPTED, STARTED, tell, tell_result
from stylenet.devices import keep_freed_memory
from stylenet.durations import clock
from stylenet.errors import InputError, Interrupted, RunError
from stylenet.inference.folders import Job, plan_jobs
from stylenet.losses.settings import LossSettings
from stylenet.optimization.observers import SearchLine
from stylenet.optimization.rendering import OptimizeResult, optimize
from stylenet.optimization.series import optimize_series
from stylenet.optimization.settings import OptimizeSettings
from stylenet.storage.places import is_pattern

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
    "stylenet optimize photo.jpg other.jpg --style painting.jpg --output painted --resume",
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
    # Its style pictures stand beside it. Where they are given by --style, as in other commands, further photos do.
    beside = parser.add_argument("painting", nargs="+", help="Style picture or pictures; with --style, more photos instead.")
    beside.required = False
    parser.add_argument("--style", "-s", nargs="+", help="Style picture or pictures.")
    parser.add_argument("--output", "-o", help="File to write, or a folder for several photos (default: PHOTO_PAINTING.jpg).")
    parser.add_recipes("optimize")
    add_settings(parser)
    own: set[str | int] = {"photo", "painting", "output", "loss", "settings", "observe", "vgg", "started"}
    of_settings: set[str | int] = {"size", "steps", "budget", "style_weight", "init", "device"}
    parser.add_function_arguments(optimize, skip=own | of_settings)
    also_called(parser, "--style_shares", "--style_weights")  # its name before, which recipes may have
    return parser


def run(words: list[str]) -> int:
    """Search a picture as the words of the command line say, and return the exit code."""
    keep_freed_memory()
    config = parse(make_parser(), words)
    photos, styles = _pop_pictures(config)
    jobs = _plan(photos, config.output)
    config.output = config.output or default_picture(photos[0], styles[0])
    options = keywords(config, loss=LossSettings, settings=OptimizeSettings)
    if jobs:
        del options["output"]
        return _optimize_several(jobs, styles, options)
    line = SearchLine()
    try:
        result = optimize(photos[0], styles, **options, observe=line, started=STARTED)
    except Interrupted as interrupted:
        result = interrupted.result
    finally:
        line.close()
    return _tell(replace(result, notes=line.untold(result.notes)), config.output)


def _pop_pictures(config: Namespace) -> tuple[list[str], list[str]]:
    """Take the photos and the style pictures from where they were given."""
    photo, beside, by_option = config.pop("content"), config.pop("painting"), config.pop("style")
    if not (beside or by_option):
        raise InputError("required: a style picture, beside the photo or by --style")
    return ([photo, *(beside or [])], by_option) if by_option else ([photo], beside)


def _plan(photos: list[str], output: str | None) -> list[Job]:
    """Return the jobs of several photos, of a folder or of a pattern; none for a photo that is named alone."""
    if len(photos) == 1 and not Path(photos[0]).is_dir() and not is_pattern(photos[0]):
        return []
    if output is None:
        raise InputError("several photos need a folder for their pictures: give --output FOLDER")
    return plan_jobs(photos, output, ["style"])


def _optimize_several(jobs: list[Job], styles: list[str], options: dict[str, Any]) -> int:
    if options["log"] is not None:
        raise InputError("the log is that of one search: leave --log out for several photos")
    series = optimize_series([(job.source, job.outputs[0]) for job in jobs], styles, report=_summarise, **options)
    told = [f"{series.done} of {len(jobs)} pictures in {clock(series.seconds)}"]
    told += [f"{series.skipped} were finished already"] if series.skipped else []
    tell(", ".join(told))
    for source, reason in series.failures:
        tell(f"stylenet: {source}: {reason}")
    if series.interrupted:
        tell("stylenet: interrupted: the same words with --resume go on")
        return INTERRUPTED
    return int(bool(series.failures))


def _summarise(output: str | Path, result: OptimizeResult) -> None:
    for note in result.notes:
        tell_result(note)
    tell_result(
        f"{output}: {result.steps} steps in {clock(result.seconds)}, objective {result.objective:.5g} ({result.stopped})"
    )


def _tell(result: OptimizeResult, output: str) -> int:
    _summarise(output, result)
    if result.stopped == "broken":
        raise RunError(f"{result.message} ({output})")
    if result.stopped == "interrupted":
        tell(f"stylenet: {result.message}")
        return INTERRUPTED
    return 0
