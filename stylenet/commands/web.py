"""``stylenet web``: the page in a browser."""

from __future__ import annotations

from functools import partial

from stylenet.commands.parsing import VerbParser, keywords, parse, verb_parser
from stylenet.web import Limits, serve

_COMMON = ("host", "port", "token", "styles", "photos", "device", "upload_mb", "megapixels", "job_minutes")
_EXAMPLES = ("stylenet web", "stylenet web --host 0.0.0.0 --port 8080 --photos photos")


def make_parser() -> VerbParser:
    """Return the parser of the command."""
    parser = verb_parser(
        "web",
        "Shows the page in a browser: photos, searches, trainings, videos, the webcam, on this machine.",
        _COMMON,
        _EXAMPLES,
    )
    parser.add_function_arguments(serve, skip={"limits", "styles", "photos", "told"})
    parser.add_argument("--styles", nargs="+", default=[], help="Style files to show besides those that come with stylenet.")
    parser.add_argument("--photos", nargs="+", default=[], help="Folders of photos that trainings may read.")
    parser.add_class_arguments(Limits)
    return parser


def run(words: list[str]) -> int:
    """Serve the page until Ctrl-C or SIGTERM, and return the exit code."""
    serve(**keywords(parse(make_parser(), words), limits=Limits), told=partial(print, flush=True))
    return 0
