"""``stylenet video``: a video through a trained network."""

from __future__ import annotations

from stylenet.commands.lines import FrameLine
from stylenet.commands.outputs import default_video
from stylenet.commands.parsing import VerbParser, also_called, keywords, parse, verb_parser
from stylenet.commands.telling import INTERRUPTED, tell, tell_result
from stylenet.devices import keep_freed_memory
from stylenet.durations import clock
from stylenet.errors import Interrupted, RunError
from stylenet.network.look_blends import choose_style
from stylenet.video.stylize import VideoResult, stylize_video

_COMMON = ("style", "output", "size", "steady", "smooth", "crf", "fps", "overwrite", "device")
_EXAMPLES = (
    "stylenet video holiday.mp4 --style starry_night --steady 0.7",
    "stylenet video frames --style udnie --output painted.webm --fps 30 --size 720",
)


def make_parser() -> VerbParser:
    """Return the parser of the command."""
    parser = verb_parser(
        "video",
        "Styles a video, an animated GIF or a folder of frames; sound and timing are carried over.",
        _COMMON,
        _EXAMPLES,
    )
    parser.add_argument("source", help="A video, an animated GIF, or a folder of pictures.")
    parser.add_argument("--style", "-s", nargs="+", required=True, help="Name or file; a:0.6 b:0.4 blends looks on one body.")
    parser.add_argument("--output", "-o", help="File to write, or a folder for PNGs (default: VIDEO_STYLE.mp4).")
    parser.add_function_arguments(stylize_video, skip={"source", "style", "output", "observe"})
    also_called(parser, "--crf", "--quality")  # its name before
    return parser


def run(words: list[str]) -> int:
    """Style a video as the words of the command line say, and return the exit code."""
    keep_freed_memory()
    config = parse(make_parser(), words)
    config.output = config.output or default_video(config.source, config.style)
    options = keywords(config)
    options["style"] = choose_style(options["style"])
    line = FrameLine()
    try:
        result = stylize_video(**options, observe=line)
    except Interrupted as interrupted:
        result = interrupted.result
    finally:
        line.close()
    return _tell(result, config.output)


def _tell(result: VideoResult, output: str) -> int:
    for note in result.notes:
        tell(f"note: {note}")
    tell_result(f"{output}: {result.frames} frames in {clock(result.seconds)} ({result.frames / result.seconds:.1f} a second)")
    if result.stopped == "damaged":
        raise RunError(result.message)
    if result.stopped == "interrupted":
        tell(f"stylenet: {result.message}")
        return INTERRUPTED
    return 0
