"""``stylenet features``: what every layer of the loss network sees of a photo."""

from __future__ import annotations

from jsonargparse import ArgumentParser

from stylenet.commands.parsing import add_figure_options, keywords, parse, verb_parser
from stylenet.evaluation.figures import features
from stylenet.images.picture import check_output, read_image, write_image


def make_parser() -> ArgumentParser:
    """Return the parser of the command."""
    parser = verb_parser("features", "Mean activation of every layer of the loss network, as a labelled grid.")
    add_figure_options(parser, size="512")
    parser.add_function_arguments(features, skip={"photo"})
    return parser


def run(words: list[str]) -> int:
    """Draw the figure as the words of the command line say, and return the exit code."""
    config = parse(make_parser(), words)
    output = config.pop("output")
    check_output(output)
    photo = read_image(config.pop("photo"), config.pop("size"))
    print(write_image(features(photo.pixels, **keywords(config)), output))
    return 0
