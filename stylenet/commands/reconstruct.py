"""``stylenet reconstruct``: a photo rebuilt from single layers of the loss network."""

from __future__ import annotations

from stylenet.commands.outputs import default_picture
from stylenet.commands.parsing import VerbParser, add_figure_options, keywords, parse, verb_parser
from stylenet.commands.telling import tell_result
from stylenet.evaluation.figures import reconstruct
from stylenet.images.picture import check_output, read_image, write_image

_EXAMPLES = (
    "stylenet reconstruct photo.jpg",
    "stylenet reconstruct photo.jpg --style painting.jpg --steps 200 --output layers.png",
)


def make_parser() -> VerbParser:
    """Return the parser of the command."""
    parser = verb_parser(
        "reconstruct",
        "Gatys' figure: content rebuilt from conv1_1 .. conv5_1 one by one, style from the five growing sets of them.",
        ("style", "output", "size", "steps", "pooling", "vgg", "vgg_weights", "seed", "device"),
        _EXAMPLES,
    )
    add_figure_options(parser, size="256")
    parser.add_argument("--style", help="Picture whose style is rebuilt; the photo by default.")
    parser.add_function_arguments(reconstruct, skip={"photo", "style", "observe"})
    return parser


def run(words: list[str]) -> int:
    """Draw the figure as the words of the command line say, and return the exit code."""
    config = parse(make_parser(), words)
    output = config.pop("output") or default_picture(config.photo, "reconstruct")
    size, style = config.pop("size"), config.pop("style")
    check_output(output, sources=[config.photo, style, config.vgg_weights])
    photo = read_image(config.pop("photo"), size)
    painting = None if style is None else read_image(style, size)
    tell_result(write_image(reconstruct(photo, painting, **keywords(config), observe=tell_result), output))
    return 0
