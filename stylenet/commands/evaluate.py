"""``stylenet evaluate``: numbers for a trained style on photos that it has not seen."""

from __future__ import annotations

import json
from collections.abc import Sequence

from stylenet.commands.parsing import VerbParser, keywords, parse, verb_parser
from stylenet.commands.telling import tell
from stylenet.devices import keep_freed_memory
from stylenet.errors import Interrupted
from stylenet.evaluation.measures import SizeResult, evaluate
from stylenet.evaluation.tables import as_dictionary, as_table

_COMMON = ("photos", "picture", "sizes", "count", "most_iterations", "json", "device")
_EXAMPLES = (
    "stylenet evaluate starry_night --photos held_out",
    "stylenet evaluate my_style.safetensors --photos held_out --sizes 512 --most_iterations 0 --json",
)


def make_parser() -> VerbParser:
    """Return the parser of the command."""
    parser = verb_parser("evaluate", "Measures a trained style on photos that it has not seen.", _COMMON, _EXAMPLES)
    parser.add_argument("style", help="Name or file.")
    parser.add_argument("--picture", help="Style picture that it was trained on, for a file without Gram matrices.")
    parser.add_argument("--json", type=bool, default=False, help="Print JSON instead of a table.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512], help="Longest sides to measure at.")
    photos = "Folders, zip archives, lists or patterns of photos, or single ones, that it was not trained on."
    parser.add_argument("--photos", nargs="+", required=True, help=photos)
    parser.add_function_arguments(evaluate, skip={"style", "photos", "sizes", "observe", "picture"})
    return parser


def run(words: list[str]) -> int:
    """Measure a style as the words of the command line say, and return the exit code."""
    keep_freed_memory()
    config = parse(make_parser(), words)
    as_json = config.pop("json")
    try:
        results = evaluate(**keywords(config), observe=tell)
    except Interrupted as interrupted:
        if interrupted.result:
            _print(interrupted.result, as_json)
        raise
    _print(results, as_json)
    return 0


def _print(results: Sequence[SizeResult], as_json: bool) -> None:
    print(json.dumps([as_dictionary(result) for result in results], indent=1) if as_json else as_table(results))
