"""Measure how good a style of a new painting is after seconds of training: from nothing, from a trained style, and from a body.

    python benchmarks/new_style.py [PAINTING ...] [--photos FOLDER --val_photos FOLDER] [--budget 2m] [--every 15s]
        [--starts null starry_night body body:norms+ends body:norms] [--long 12m] [--size 256] [--half_size 0.6]
        [--batch_size 1] [--ema 0.9] [--val_size 512] [--val_count 6] [--add RECORD ...] [--output benchmarks/results]

Every painting is trained from every start, one after the other, as ``quality_over_time.py`` does: with the clock of the
training stopped for each measurement. A start may say what is learnt after a colon. ``--long`` is the budget of the training
from nothing that the others are compared with; without it that is as short as they are. Table and plot are medians over the
paintings, of the objective on held-out photos: 1 would be "not there at all" for each of its parts. ``--add`` takes in the
paintings of earlier records, which may be all.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from machine import plot, record_name, setting, write_record
from quality_over_time import train_once

from stylenet.devices import keep_freed_memory
from stylenet.durations import parse_seconds
from stylenet.logs import quiet_lightning

ROOT = Path(__file__).resolve().parent.parent
NOTHING = "null"


def main() -> None:
    """Train and measure what the words of the command line say."""
    arguments = _arguments()
    quiet_lightning()
    keep_freed_memory()
    name = record_name("new_style")
    runs = [
        run for record in arguments.add for run in json.loads(record.read_text())["runs"] if run["start"] in arguments.starts
    ]
    for painting in arguments.paintings:
        for start in arguments.starts:
            print(f"{Path(painting).stem} from {start}", flush=True)
            runs.append({"painting": Path(painting).stem, "start": start, **_train(arguments, painting, start)})
            _write(arguments, name, runs)  # after each: a full run takes hours
    if not arguments.paintings:
        _write(arguments, name, runs)
    print(as_table(summarise(runs)))


def _write(arguments: argparse.Namespace, name: str, runs: list[dict[str, Any]]) -> None:
    record = {**setting(arguments), "summary": summarise(runs), "runs": runs}
    write_record(record, arguments.output, name)
    draw(arguments.output / f"{name}.png", record)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paintings", nargs="*", help="style pictures that the body has not seen")
    parser.add_argument("--photos", help="to train on")
    parser.add_argument("--val_photos", help="to measure on")
    parser.add_argument("--add", type=Path, nargs="+", default=[], help="records of earlier runs")
    parser.add_argument("--budget", default="2m", help="of each training")
    parser.add_argument("--long", help="of the training from nothing, if it is to be longer")
    parser.add_argument("--every", default="15s", help="of training, between measurements")
    parser.add_argument("--starts", nargs="+", default=[NOTHING, "starry_night", "body", "body:norms+ends", "body:norms"])
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--half_size", type=float, default=0.6)
    parser.add_argument("--batch_size", type=int, default=1)
    parser.add_argument("--learning_rate", type=float, default=2e-3)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--ema", type=float, default=0.9)
    parser.add_argument("--val_size", type=int, default=512)
    parser.add_argument("--val_count", type=int, default=6)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    if not arguments.paintings and not arguments.add:
        parser.error("name paintings, or records of earlier runs by --add")
    if arguments.paintings and not (arguments.photos and arguments.val_photos):
        parser.error("trainings want --photos and --val_photos")
    return arguments


def _train(arguments: argparse.Namespace, painting: str, start: str) -> dict[str, Any]:
    init, _, learns = start.partition(":")
    long = parse_seconds(arguments.long) or 0
    budget = arguments.long if init == NOTHING and long else arguments.budget
    every = parse_seconds(arguments.every)
    assert every is not None
    options = {
        "--style": painting,
        "--photos": arguments.photos,
        "--budget": budget,
        "--network": arguments.preset,
        "--data.batch_size": arguments.batch_size,
        "--data.size": arguments.size,
        "--data.val_photos": arguments.val_photos,
        "--data.val_size": arguments.val_size,
        "--data.val_count": arguments.val_count,
        "--model.coarse_share": arguments.half_size,
        "--model.learning_rate": arguments.learning_rate,
        "--model.warmup": arguments.warmup,
        "--model.init": init,
        "--model.learns": learns or "all",
        "--ema": arguments.ema,
        "--trainer.limit_val_batches": 0,  # photos are measured here, and not within the budget
    }
    # The long training is measured as often as the others, in shares of its time.
    share = max(long / (parse_seconds(arguments.budget) or 1), 1.0) if budget == arguments.long else 1.0
    return train_once(options, every * share)


def summarise(runs: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, float]]]:
    """Return for each start the medians over its paintings, of measurement after measurement."""
    starts = dict.fromkeys(run["start"] for run in runs)
    summary = {}
    for start in starts:
        curves = [run["rows"] for run in runs if run["start"] == start]
        summary[start] = [
            {name: statistics.median(row[name] for row in rows) for name in rows[0]}
            for rows in zip(*curves, strict=False)  # as far as all of them go
        ]
    return summary


def as_table(summary: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Return a line for each start: seconds of training and the objective."""
    return "\n".join(
        f"{start:<24}" + "  ".join(f"{row['seconds']:.0f} s {row['objective']:.3f}" for row in rows)
        for start, rows in summary.items()
    )


def draw(path: Path, record: Mapping[str, Any]) -> None:
    """Plot the objective against seconds of training."""
    labels = {"xlabel": "seconds of training", "ylabel": "objective on held-out photos", "xscale": "log", "yscale": "log"}
    with plot(path, title=record["device"], **labels) as axes:
        for start, rows in record["summary"].items():
            label = "from nothing" if start == NOTHING else f"from {start}"
            axes.plot([row["seconds"] for row in rows], [row["objective"] for row in rows], "o-", label=label)


if __name__ == "__main__":
    main()
