"""Measure what a step of ``stylenet optimize`` costs by the size of the picture: seconds and peak memory, whole and in tiles.

    python benchmarks/prints.py PHOTO PAINTING [--megapixels 1 4 16] [--tiles 0 auto] [--steps 3] [--output benchmarks/results]

The photo is enlarged to each size and searched at that size alone. Every run is a process of its own. The seconds of a step are
the median of all steps but the first, which begins with much that is done once; those of a run are of the whole process, from
file to file. Peak memory counts pages of temporary files too, which the system takes back when it needs them. A size that there
is no memory for has the reason in the record in place of numbers.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from machine import SECONDS_BY_SIZE, plot, record_name, setting, write_record
from sizes import enlarged, run_python

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    arguments = _arguments()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for megapixels in arguments.megapixels:
            photo = enlarged(arguments.photo, megapixels, Path(folder))
            for tile in arguments.tiles:
                rows.append({"megapixels": megapixels, "tile": tile, **_measure(photo, tile, arguments, Path(folder))})
                _tell(rows[-1])
                record = {**setting(arguments), "cores": os.cpu_count(), "rows": rows}
                name = record_name("prints")
                write_record(record, arguments.output, name)  # after each: the next may take an hour
                if measured(rows):
                    draw(arguments.output / f"{name}.png", record)
            photo.unlink()


def measured(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows that memory was there for."""
    return [row for row in rows if "refused" not in row]


def draw(path: Path, record: dict[str, Any]) -> None:
    """Draw the seconds of a step against megapixels, with the peak of memory beside each."""
    with plot(path, title=record["device"], **SECONDS_BY_SIZE) as axes:
        for tile in dict.fromkeys(row["tile"] for row in measured(record["rows"])):
            rows = [row for row in measured(record["rows"]) if row["tile"] == tile]
            axes.plot([row["megapixels"] for row in rows], [row["step_seconds"] for row in rows], "o-", label=f"tile {tile}")
            for row in rows:
                axes.annotate(f" {row['peak_gb']:.1f} GB", (row["megapixels"], row["step_seconds"]))


# Reads, searches and writes, and tells when each step ended, and what was decided: the tiles.
SEARCH = """
import json, sys, time
from stylenet import OptimizeSettings, optimize
from stylenet.devices import keep_freed_memory

keep_freed_memory()  # as the command does
photo, painting, output, tile, steps, device = sys.argv[1:]
tile = tile if tile == "auto" else int(tile)
settings = OptimizeSettings(size="full", scales=1, plateau=0.0, tile=tile, steps=int(steps), device=device)
ends = []
observe = lambda _: ends.append(time.monotonic())
found = optimize(photo, painting, None, settings, output=output, allow_huge=True, observe=observe)
print(json.dumps({"ends": ends, "notes": found.notes}))
"""


def _measure(photo: Path, tile: str, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return the seconds of the run and of one of its steps, the peak of memory in GB, and what was decided on the way."""
    words = [str(photo), str(arguments.painting), str(folder / "out.png"), tile, str(arguments.steps), arguments.device]
    try:
        told, seconds, peak = run_python("-c", SEARCH, *words)
    except SystemExit as error:
        if "GB of memory or more" not in str(error):
            raise
        return {"refused": str(error).strip().splitlines()[-1]}
    run = json.loads(told)
    steps = [late - early for early, late in itertools.pairwise(run["ends"])]
    return {"seconds": seconds, "step_seconds": statistics.median(steps), "peak_gb": peak, "notes": run["notes"]}


def _tell(row: dict[str, Any]) -> None:
    done = row.get("refused") or f"{row['step_seconds']:>8.1f} s a step{row['peak_gb']:>8.2f} GB"
    print(f"{row['megapixels']:>6} MP  tile {row['tile']:<6}{done}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("painting", type=Path)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 4, 16])
    parser.add_argument("--tiles", nargs="+", default=["0", "auto"], help="sides of tiles; 0 for the whole picture")
    parser.add_argument("--steps", type=int, default=3, help="two or more")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
