"""``stylenet stylize``: pictures through a trained network."""

from __future__ import annotations

from stylenet.commands.lines import BatchLine, PictureLine
from stylenet.commands.outputs import default_results
from stylenet.commands.parsing import VerbParser, keywords, parse, verb_parser
from stylenet.commands.telling import INTERRUPTED, tell
from stylenet.devices import keep_freed_memory
from stylenet.durations import clock
from stylenet.errors import InputError, Interrupted, RunError
from stylenet.inference.at_scale import Scale
from stylenet.inference.file_rules import Files
from stylenet.inference.finish import Finish
from stylenet.inference.manifest import FOLDER
from stylenet.inference.stylize_files import stylize_files
from stylenet.inference.summary import Summary
from stylenet.storage import join

_COMMON = ("style", "output", "size", "strength", "keep_colors", "scale", "mask", "feather", "sheet", "overwrite", "device")
_INPUTS = "Pictures, folders, zip archives, .txt lists, patterns like 'photos/*.jpg', addresses (http(s), s3://, ...), or -."
_EXAMPLES = (
    "stylenet stylize photo.jpg --style starry_night",
    "stylenet stylize photos --style great_wave udnie --output styled --size 1024",
    "stylenet stylize s3://bucket/photos --style great_wave --output s3://bucket/styled --shard 3/100 --resume",
)


def make_parser() -> VerbParser:
    """Return the parser of the command."""
    parser = verb_parser(
        "stylize",
        "Styles pictures by a trained network: files, folders, patterns, addresses, or - for stdin.",
        _COMMON,
        _EXAMPLES,
    )
    parser.add_argument("inputs", nargs="+", help=_INPUTS)
    styles = "Name or file of a style, or of several; a:0.6 b:0.4 blends looks on one body."
    parser.add_argument("--style", "-s", nargs="+", required=True, help=styles)
    places = "File, folder for several pictures or styles, or - for stdout (default: PHOTO_STYLE.jpg)."
    parser.add_argument("--output", "-o", help=places)
    parser.add_class_arguments(Finish, skip={"mask"})
    parser.add_argument("--mask", help="Picture of where the style goes: white is style, black is not; any size.")
    parser.add_class_arguments(Files)
    parser.add_class_arguments(Scale)
    parser.add_function_arguments(
        stylize_files, skip={"inputs", "styles", "output", "finish", "files", "scale", "observe_share", "observe_picture"}
    )
    return parser


def run(words: list[str]) -> int:
    """Style pictures as the words of the command line say, and return the exit code."""
    keep_freed_memory()
    config = parse(make_parser(), words)
    config.output = config.output or default_results(config.inputs, config.style, config.sheet)
    options = keywords(config, finish=Finish, files=Files, scale=Scale)
    styles = options.pop("style")
    try:
        summary = stylize_files(styles=styles, **options, observe_share=PictureLine(), observe_picture=BatchLine())
    except Interrupted as interrupted:
        summary = interrupted.result
    return _tell(summary, config.output, config.resume)


def _tell(summary: Summary, output: str, resumed: bool) -> int:
    if summary.jobs == 1 and summary.failures:
        raise (RunError if summary.broke else InputError)(summary.failures[0][1])
    told = [f"{output}: {summary.done} of {summary.jobs} styled in {clock(summary.seconds)}"]
    again = "--overwrite without --resume" if resumed else "--overwrite"
    told += [f"{summary.skipped} were there already ({again} styles them again)"] if summary.skipped else []
    for note in summary.notes:
        tell(note)
    tell(", ".join(told))
    for source, reason in summary.failures:
        tell(f"stylenet: not styled: {source}: {' '.join(reason.split())}")
    if summary.unlisted:
        tell(f"stylenet: {summary.unlisted} more are not styled: the files in {join(output, FOLDER)} name them all")
    if summary.message:
        tell(f"stylenet: stopped early, what is written is whole: {' '.join(summary.message.split())}")
    return INTERRUPTED if summary.interrupted else int(bool(summary.failures or summary.message))
