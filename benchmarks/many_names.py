"""Measure memory and time by the number of photos, of a store that makes small pictures on demand.

    python benchmarks/many_names.py [--counts 1000 10000 100000] [--listed 1000000] [--output benchmarks/results]

Each count is a process of its own, which lists, reads, notes and writes all photos with a style that changes nothing, and then
goes on from its notes with nothing left to do. Counts of ``--listed`` are listed, and cut into shards and blocks, alone.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from machine import plot, record_name, setting, write_record

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    arguments = _arguments()
    if arguments.one is not None:
        print(json.dumps(listed(arguments.one) if arguments.only_listed else styled(arguments.one)))
        return
    rows = [_apart(count, only_listed=False) for count in arguments.counts]
    rows += [_apart(count, only_listed=True) for count in arguments.listed]
    record = {**setting(arguments), "rows": rows}
    name = record_name("many_names")
    write_record(record, arguments.output, name)
    draw(arguments.output / f"{name}.png", record)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--listed", type=int, nargs="*", default=[1_000_000])
    parser.add_argument("--one", type=int, help="measure one count in this process, and print it")
    parser.add_argument("--only_listed", action="store_true")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


def _apart(count: int, only_listed: bool) -> dict[str, Any]:
    words = [sys.executable, __file__, "--one", str(count), *(["--only_listed"] if only_listed else [])]
    row: dict[str, Any] = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    print(" ".join(f"{name} {value:,.6g}" if not isinstance(value, str) else value for name, value in row.items()), flush=True)
    return row


def listed(count: int) -> dict[str, Any]:
    """Return what it costs to list so many names and to cut them into blocks."""
    import made_up_store

    from stylenet.inference.blocks import Shard, cut, stream_jobs

    made_up_store.register()
    before, began = _peak(), _now()
    photos = [len(block.jobs) for block in cut(stream_jobs([f"madeup://{count}"], "madeup://out", ["s"], Shard()))]
    assert sum(photos) == count
    return _row("listed", count, began, before, blocks=len(photos))


def styled(count: int) -> dict[str, Any]:
    """Return what it costs to take so many photos through all but a network, and to resume when all are finished."""
    import made_up_store

    from stylenet.inference.at_scale import Scale, jobs_at_scale, style_blocks
    from stylenet.inference.file_rules import Files
    from stylenet.inference.manifest import Manifest
    from stylenet.inference.summary import Summary

    def once(resume: bool) -> Summary:
        scale, output = Scale(resume=resume, shard="1/1"), "madeup://out"
        jobs = jobs_at_scale([f"madeup://{count}"], output, ["s"], scale, Files())
        return style_blocks(jobs, [lambda picture: picture], Files(), Manifest(output, scale.share, resume))  # type: ignore[list-item]

    made_up_store.register()
    before, began = _peak(), _now()
    assert once(resume=False).done == count == made_up_store.MadeUpStore.written
    row = _row("styled", count, began, before)
    began = _now()
    assert once(resume=True).skipped == count == made_up_store.MadeUpStore.written
    resumed = {"resume_processor_seconds": _now()[1] - began[1], "resume_peak_mb": _peak()}
    return {**row, **resumed}


def _row(what: str, count: int, began: tuple[float, float], before: float, **more: Any) -> dict[str, Any]:
    seconds, processor = (now - then for now, then in zip(_now(), began, strict=True))
    memory = {"peak_mb": _peak(), "more_mb": _peak() - before}
    return {"what": what, "photos": count, "seconds": seconds, "processor_seconds": processor, **memory, **more}


def _now() -> tuple[float, float]:
    """Return the time of the clock and that of the processor, which other work on the machine does not change."""
    return time.perf_counter(), time.process_time()


def _peak() -> float:
    """Return the most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def draw(path: Path, record: dict[str, Any]) -> None:
    """Draw memory against the number of photos."""
    with plot(path, title=record["device"], xlabel="photos", ylabel="peak memory, MB", xscale="log") as axes:
        for what in dict.fromkeys(row["what"] for row in record["rows"]):
            rows = [row for row in record["rows"] if row["what"] == what]
            axes.plot([row["photos"] for row in rows], [row["peak_mb"] for row in rows], "o-", label=what)


if __name__ == "__main__":
    main()
