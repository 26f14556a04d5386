"""``stylenet features``: what every layer of the loss network sees of a photo."""

from __future__ import annotations

from stylenet.commands.outputs import default_picture
from stylenet.commands.parsing import VerbParser, add_figure_options, keywords, parse, verb_parser
from stylenet.commands.telling import tell_result
from stylenet.evaluation.figures import features
from stylenet.images.picture import check_output, read_image, write_image

_EXAMPLES = (
    "stylenet features photo.jpg",
    "stylenet features photo.jpg --vgg vgg16 --vgg_weights torchvision --output layers.png",
)


def make_parser() -> VerbParser:
    """Return the parser of the command."""
    parser = verb_parser(
        "features",
        "Mean activation of every layer of the loss network, as a labelled grid.",
        ("output", "size", "columns", "vgg", "vgg_weights", "pooling"),
        _EXAMPLES,
    )
    add_figure_options(parser, size="512")
    parser.add_function_arguments(features, skip={"photo"})
    return parser


def run(words: list[str]) -> int:
    """Draw the figure as the words of the command line say, and return the exit code."""
    config = parse(make_parser(), words)
    output = config.pop("output") or default_picture(config.photo, "features")
    check_output(output, sources=[config.photo, config.vgg_weights])
    photo = read_image(config.pop("photo"), config.pop("size"))
    tell_result(write_image(features(photo, **keywords(config)), output))
    return 0
