"""``stylenet export``: a trained style for programs without Python."""

from __future__ import annotations

import io
from pathlib import Path

from stylenet import storage
from stylenet.commands.parsing import VerbParser, keywords, parse, verb_parser
from stylenet.commands.telling import tell_result
from stylenet.errors import InputError
from stylenet.network.export import Format, export_style

_EXAMPLES = (
    "stylenet export starry_night",
    "stylenet export my_style.safetensors --output small.onnx --precision 16",
    "stylenet export --styles the_kiss water_lilies --output two.onnx",
)


def make_parser() -> VerbParser:
    """Return the parser of the command."""
    parser = verb_parser(
        "export",
        "Writes a trained style for programs without Python, after a check that the file does what the network does.",
        ("output", "precision", "format"),
        _EXAMPLES,
    )
    parser.add_argument("style", nargs="?", help="Name or file.")
    parser.add_argument("--styles", nargs="+", help="Several looks on one body: one file, with their shares as second input.")
    parser.add_argument("--format", type=Format, default="onnx", help="Kind of file.")
    parser.add_argument("--output", "-o", help="File to write, ending in .onnx (default: STYLE.onnx).")
    parser.add_function_arguments(export_style, skip={"style", "path"})
    return parser


def run(words: list[str]) -> int:
    """Export a style as the words of the command line say, and return the exit code."""
    config = parse(make_parser(), words)
    config.pop("format")  # there is one, which the parser has checked
    output, style, styles = (config.pop(name) for name in ("output", "style", "styles"))
    if (style is None) == (styles is None):
        raise InputError("name one style to export, or several by --styles")
    output = output or f"{Path(style or 'blend').stem}.onnx"
    for difference in export_style(styles or style, output, **keywords(config)):
        tell_result(difference)
    with storage.open_read(output) as written:
        size = written.seek(0, io.SEEK_END)
    tell_result(f"{output}: {size / 1e6:.1f} MB, precision {config.precision}")
    return 0
