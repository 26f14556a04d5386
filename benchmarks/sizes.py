"""Measure what a picture costs by its size, from the command line to the written file: seconds and peak memory, whole and in
strips, and for the larger ones in what ``stylenet stylize`` picks by itself.

    python benchmarks/sizes.py STYLE PHOTO [--megapixels 1 4 16 36 100] [--whole 16] [--output benchmarks/results]

The photo is enlarged to each size. Every run is a process of its own; start-up is measured apart and printed first.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import SECONDS_BY_SIZE, plot, record_name, setting, write_record
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    arguments = _arguments()
    start = min(run_command("styles")[0] for _ in range(3))
    print(f"stylenet styles: {start:.2f} s; --help: {min(run_command('--help')[0] for _ in range(3)):.2f} s")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for megapixels in arguments.megapixels:
            photo = enlarged(arguments.photo, megapixels, Path(folder))
            ways = {"strips": "128", "whole": "0"} if megapixels <= arguments.whole else {"auto": "auto"}
            for way, tile in ways.items():
                words = ["stylize", str(photo), "-s", arguments.style, "-o", str(Path(folder) / "out.jpg")]
                seconds, peak = run_command(*words, "--tile", tile, "--allow_huge", "--overwrite")
                rows.append({"megapixels": megapixels, "way": way, "seconds": seconds, "peak_gb": peak})
                print(
                    f"{megapixels:>6} MP  {way:<7}{seconds:>8.1f} s{seconds / megapixels:>8.2f} s/MP{peak:>8.2f} GB", flush=True
                )
                record = {**setting(arguments), "cores": os.cpu_count(), "start_seconds": start, "rows": rows}
                name = record_name("sizes")
                write_record(record, arguments.output, name)  # after each: the next may take minutes
                draw(arguments.output / f"{name}.png", record)
            photo.unlink()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("style")
    parser.add_argument("photo", type=Path)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 4, 16, 36, 100])
    parser.add_argument("--whole", type=float, default=16, help="megapixels up to which the whole is measured too")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


def enlarged(photo: Path, megapixels: float, folder: Path) -> Path:
    """Return the file of a photo that was brought to a number of megapixels."""
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(photo) as image:
        factor = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
        size = (round(image.width * factor), round(image.height * factor))
        path = folder / f"{megapixels}.jpg"
        image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(path, quality=90)
    return path


def draw(path: Path, record: dict[str, Any]) -> None:
    """Draw seconds against megapixels, with the peak of memory beside each."""
    with plot(path, title=record["device"], **SECONDS_BY_SIZE) as axes:
        for way in dict.fromkeys(row["way"] for row in record["rows"]):
            rows = [row for row in record["rows"] if row["way"] == way]
            axes.plot([row["megapixels"] for row in rows], [row["seconds"] for row in rows], "o-", label=way)
            for row in rows:
                axes.annotate(f" {row['peak_gb']:.1f} GB", (row["megapixels"], row["seconds"]))


def run_command(*words: str) -> tuple[float, float]:
    """Return seconds and peak memory in GB of one command."""
    _, seconds, peak = run_python("-m", "stylenet", *words)
    return seconds, peak


def run_python(*words: str) -> tuple[str, float, float]:
    """Return what a program in Python prints, its seconds, and its peak of memory in GB."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=errors)
        assert process.stdout is not None
        told = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            errors.seek(0)
            raise SystemExit(errors.read().decode())
    return told, time.perf_counter() - began, usage.ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
