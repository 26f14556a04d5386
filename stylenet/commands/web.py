"""``stylenet web``: the page in a browser."""

from __future__ import annotations

from functools import partial

from jsonargparse import ArgumentParser

from stylenet.commands.parsing import keywords, parse, verb_parser
from stylenet.web import Limits, serve


def make_parser() -> ArgumentParser:
    """Return the parser of the command."""
    parser = verb_parser("web", "Shows the page in a browser: photos, searches, trainings, films, the webcam, on this machine.")
    parser.add_function_arguments(serve, skip={"limits", "styles", "photos", "told"})
    parser.add_argument("--styles", nargs="+", default=[], help="Style files to show besides those that come with stylenet.")
    parser.add_argument("--photos", nargs="+", default=[], help="Folders of photos that trainings may read.")
    parser.add_class_arguments(Limits)
    return parser


def run(words: list[str]) -> int:
    """Serve the page until Ctrl-C or SIGTERM, and return the exit code."""
    serve(**keywords(parse(make_parser(), words), limits=Limits), told=partial(print, flush=True))
    return 0
