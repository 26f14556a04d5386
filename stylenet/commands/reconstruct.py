"""``stylenet reconstruct``: a photo rebuilt from single layers of the loss network."""

from __future__ import annotations

from jsonargparse import ArgumentParser

from stylenet.commands.parsing import add_figure_options, keywords, parse, verb_parser
from stylenet.evaluation.figures import reconstruct
from stylenet.images.picture import check_output, read_image, write_image


def make_parser() -> ArgumentParser:
    """Return the parser of the command."""
    parser = verb_parser(
        "reconstruct",
        "Gatys' figure: content rebuilt from conv1_1 .. conv5_1 one by one, style from the five growing sets of them.",
    )
    add_figure_options(parser, size="256")
    parser.add_argument("--style", help="Picture whose style is rebuilt; the photo by default.")
    parser.add_function_arguments(reconstruct, skip={"photo", "style", "observe"})
    return parser


def run(words: list[str]) -> int:
    """Draw the figure as the words of the command line say, and return the exit code."""
    config = parse(make_parser(), words)
    output, size, style = (config.pop(name) for name in ("output", "size", "style"))
    check_output(output)
    photo = read_image(config.pop("photo"), size).pixels
    painting = None if style is None else read_image(style, size).pixels
    print(write_image(reconstruct(photo, painting, **keywords(config), observe=print), output))
    return 0
