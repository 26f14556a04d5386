"""``stylenet doctor``: whether this installation works, and what it will use."""

from __future__ import annotations

from stylenet.commands.parsing import VerbParser, keywords, parse, verb_parser
from stylenet.evaluation.diagnosis import diagnose


def make_parser() -> VerbParser:
    """Return the parser of the command."""
    parser = verb_parser(
        "doctor",
        "Tells whether stylenet works here, and what it will use: versions, devices, memory, weights, styles, a self-test.",
        ("device",),
        ("stylenet doctor", "stylenet doctor --device cpu"),
    )
    parser.add_function_arguments(diagnose)
    return parser


def run(words: list[str]) -> int:
    """Print what is found and a verdict, and return the exit code: 1 if something does not work."""
    broken = []
    for finding in diagnose(**keywords(parse(make_parser(), words))):
        print(f"{'ok' if finding.works else 'FAILS':<6}{finding.subject:<11}{finding.text}", flush=True)
        if not finding.works:
            broken.append(finding.subject)
    print(f"\nstylenet does not work here: see {', '.join(broken)}" if broken else "\nstylenet works here")
    return int(bool(broken))
