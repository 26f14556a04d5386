"""Measure trained styles on held-out photos: what ``stylenet evaluate`` measures, and how far the precision that ``stylenet
stylize`` picks is from float32.

    python benchmarks/styles.py --photos FOLDER [STYLE ...] [--paintings FOLDER] [--sizes 256 512] [--count 8]
        [--output benchmarks/results]

Photos are brought to each size (longest side), enlarged where they are smaller. Numbers are medians over the photos; that of
the precision is the mean absolute difference of a picture's values, in 255ths, of the photo where it is largest.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from machine import PAINTINGS, convolutions, file_hash, painting_of, plot, record_name, setting, write_record

from stylenet.devices import keep_freed_memory, pick_device, pick_precision
from stylenet.evaluation.measures import evaluate, spread, trained_on
from stylenet.evaluation.tables import as_table
from stylenet.images.picture import read_image
from stylenet.network.shipped import shipped_styles
from stylenet.network.styles import load_style
from stylenet.network.tiling import style_picture
from stylenet.network.transform_net import TransformNet
from stylenet.training.photos import find_photos, photo_source

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    arguments = _arguments()
    keep_freed_memory()
    results: list[dict[str, Any]] = []
    record = {**setting(arguments), "convolutions": convolutions(), "results": results}
    name = record_name("styles", convolutions())
    loaded = {style: load_style(style, pick_device()) for style in arguments.styles}
    pictures = {style: painting_of(one, arguments.paintings) for style, one in loaded.items()}
    for style, picture in pictures.items():
        trained_on(loaded[style], picture)  # a picture that is missing is told of before all of them are measured
    for style, picture in pictures.items():
        choice = {"sizes": arguments.sizes, "count": arguments.count, "picture": picture}
        measured = evaluate(loaded[style], arguments.photos, most_iterations=0, **choice)
        rounding = [_rounding(loaded[style].net, arguments, size) for size in arguments.sizes]
        print(f"{style}: {max(rounding):.2f} of 255 from float32 in {convolutions()}\n{as_table(measured)}", flush=True)
        results += [
            {"style": Path(style).stem, "file": file_hash(style), **asdict(row), "rounding": value}
            for row, value in zip(measured, rounding, strict=True)
        ]
        write_record(record, arguments.output, name)  # after every style: all of them take half an hour
    draw(arguments.output / f"{name}.png", record)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "styles", nargs="*", metavar="STYLE", default=list(shipped_styles()), help="the shipped ones by default"
    )
    parser.add_argument("--photos", required=True, help="folder, zip archive or list of photos not trained on")
    parser.add_argument("--paintings", **PAINTINGS)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512], help="longest sides, 64 or more")
    parser.add_argument("--count", type=int, default=8, help="photos, spread over the set")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


def _rounding(net: TransformNet, arguments: argparse.Namespace, size: int) -> float:
    """Return the difference from float32, of 255, of the photo where it is largest."""
    dtype = pick_precision("auto", pick_device())
    differences = []
    for photo in spread(find_photos(arguments.photos), arguments.count):
        pixels = read_image(photo_source(photo), size, upscale=True).pixels
        differences.append((style_picture(net, pixels, 0, dtype) - style_picture(net, pixels, 0)).abs().mean())
    return 255 * float(max(differences))


def draw(path: Path, record: dict[str, Any]) -> None:
    """Draw the objective of every style, a colour for each size."""
    sizes = record["arguments"]["sizes"]
    with plot(path, ylabel="objective", title=f"{record['arguments']['count']} held-out photos, medians") as axes:
        for place, size in enumerate(sizes):
            rows = [row for row in record["results"] if row["size"] == size]
            left = [index + place / (len(sizes) + 1) for index in range(len(rows))]
            axes.bar(left, [row["objective"] for row in rows], 1 / (len(sizes) + 1), align="edge", label=f"{size} pixels")
        axes.set_xticks(range(len(rows)), [row["style"] for row in rows], rotation=90)


if __name__ == "__main__":
    main()
