"""Train the styles on the body that come with stylenet, each on the picture of its work, with the recipe ``look``.

    python scripts/train_looks.py PAINTINGS --photos FOLDER [--only NAME ...] [--output checkpoints]

The folder of paintings holds a JPEG of each work under the name of the style. Styles that are in the output folder already are
left alone, so that a run that was stopped can be repeated. Settings, seed and measurements are in the card of each:
``stylenet styles the_kiss`` shows it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from stylenet.commands.train import train

CREDITS = {
    "adoration_of_the_magi": "Stained glass from Austria, Adoration of the Magi, about 1390",
    "capo_di_noli": "Paul Signac, Capo di Noli, 1898",
    "colored_forms_ii": "August Macke, Colored Forms II, 1913",
    "composition_vii": "Wassily Kandinsky, Composition VII, 1913",
    "dance": "Alphonse Mucha, The Arts: Dance, 1898",
    "dragon_tile": "William De Morgan, tile with a dragon, before 1917",
    "dwelling_in_the_fuchun_mountains": "Huang Gongwang, Dwelling in the Fuchun Mountains, 1350",
    "harmony_in_red": "Henri Matisse, The Dessert: Harmony in Red, 1908",
    "irises": "Vincent van Gogh, Irises, 1889",
    "lake_of_zug": "J. M. W. Turner, The Lake of Zug, 1843",
    "melencolia_i": "Albrecht Dürer, Melencolia I, 1514",
    "mondrian_composition": "Piet Mondrian, a Composition of his cubist years",
    "ravenna_mosaic": "Mosaic in Sant'Apollinare Nuovo, Ravenna, 6th century",
    "red_eiffel_tower": "Robert Delaunay, Champs de Mars: The Red Tower, 1911",
    "strawberry_thief": "William Morris, Strawberry Thief, 1883",
    "the_kiss": "Gustav Klimt, The Kiss, 1907",
    "the_turning_road": "André Derain, The Turning Road, 1906",
    "water_lilies": "Claude Monet, Water Lilies, 1919",
    "wheat_field_cypresses": "Vincent van Gogh, Wheat Field with Cypresses, 1889",
}


# Options for works of which a look alone does not have the colours: these become whole networks, of 2.3 MB.
WHOLE = {"adoration_of_the_magi": ("--model.learns", "all", "--model.learning_rate", "0.002", "--steps", "160")}


def main() -> None:
    """Train what the words of the command line name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paintings", type=Path, help="folder of the pictures NAME.jpg")
    parser.add_argument("--photos", required=True, help="folder or zip archive to train on")
    parser.add_argument("--only", nargs="+", default=list(CREDITS), choices=list(CREDITS), metavar="NAME", help="some of them")
    parser.add_argument("--output", type=Path, default=Path("checkpoints"), help="folder of the looks")
    arguments, further = parser.parse_known_args()
    for name in arguments.only:
        output = arguments.output / f"{name}.safetensors"
        if output.exists():
            continue
        with tempfile.TemporaryDirectory() as run:
            words = ["--recipe", "look", "--style", str(arguments.paintings / f"{name}.jpg"), "--photos", arguments.photos]
            words += ["--name", name, "--credit", f"{CREDITS[name]} (public domain)", "--run", run]
            train([*words, "--output", str(output), *WHOLE.get(name, ()), *further])


if __name__ == "__main__":
    main()
