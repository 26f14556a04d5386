"""Measure photos a second on this machine: a plain loop as the field writes it, ``stylenet stylize`` alone and in two shards,
and workers of Ray, by our own hand-out of work and by Ray Data.

    python benchmarks/scale.py STYLE --photos FOLDER [--size 512] [--count 100] [--workers 1 2] [--ways ...] [--output ...]

Each way is a process of its own. Photos a second are counted between the first and the last result, so that starting up, which
is told apart, does not matter for long runs. Ray Data needs ``pip install 'ray[data]'``.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import plot, record_name, setting, write_record

from stylenet.training.photos import find_photos

ROOT = Path(__file__).resolve().parent.parent

# What the field's repositories do with a folder (pytorch/examples fast_neural_style), with our network in it.
LOOP = """
import sys
from pathlib import Path
import torch
from PIL import Image
from torchvision import transforms
from stylenet import load_style

photos, style, output, size = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
output.mkdir(parents=True)
net = load_style(style).net
with torch.no_grad():
    for path in sorted(photos.iterdir()):
        image = Image.open(path).convert("RGB")
        image.thumbnail((size, size), Image.Resampling.BICUBIC)
        styled = net(transforms.functional.to_tensor(image)[None])[0].clamp(0, 1)
        transforms.functional.to_pil_image(styled).save(output / path.name, quality=95)
"""

# Ray's own way to map over a table: rows of paths, workers that hold the style, one photo after the other in each.
RAY_DATA = """
import os, sys
from pathlib import Path
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray
from stylenet.images.picture import read_image, write_image
from stylenet.inference.stylizer import Stylizer

photos, style, output, size, workers = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])

class Styled:
    def __init__(self):
        self.stylizer = Stylizer(style)
    def __call__(self, batch):
        for path in batch["path"]:
            write_image(self.stylizer(read_image(str(path), size)), output / Path(path).name)
        return {"done": batch["path"]}

ray.init(include_dashboard=False, log_to_driver=False)
ray.data.DataContext.get_current().enable_progress_bars = False
table = ray.data.from_items([{"path": str(path)} for path in sorted(photos.iterdir())], override_num_blocks=4 * workers)
cpus = max(1, os.cpu_count() // workers)
table.map_batches(Styled, batch_size=16, concurrency=workers, num_cpus=cpus).materialize()
"""


def main() -> None:
    arguments = _arguments()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        photos.mkdir()
        for number, photo in enumerate(find_photos(arguments.photos)[: arguments.count]):
            shutil.copy(photo.path, photos / f"{number:06d}{Path(photo.path).suffix}")
        count = len(list(photos.iterdir()))
        for way, commands in ways(arguments, photos, Path(folder) / "out").items():
            if arguments.ways and way not in arguments.ways:
                continue
            rows.append(measured(way, commands, Path(folder) / "out", count))
            print(
                f"{way:<20}{rows[-1]['photos_a_second']:>8.2f} photos a second, the first after {rows[-1]['first']:.1f} s",
                flush=True,
            )
    record = {**setting(arguments), "photos": count, "rows": rows}
    name = record_name("scale")
    write_record(record, arguments.output, name)
    with plot(arguments.output / f"{name}.png", title=record["device"], ylabel="photos a second") as axes:
        axes.bar([row["way"] for row in rows], [row["photos_a_second"] for row in rows])
        axes.tick_params(axis="x", rotation=20)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("style")
    parser.add_argument("--photos", required=True)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--ways", nargs="*", default=[], help="some of the ways, by their names; all by default")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


def ways(arguments: argparse.Namespace, photos: Path, output: Path) -> dict[str, list[list[str]]]:
    """Return the commands of each way, which run side by side."""
    script = [str(photos), arguments.style, str(output), str(arguments.size)]
    ours = [sys.executable, "-m", "stylenet", "stylize", str(photos), "-s", arguments.style, "-o", str(output)]
    ours += ["--size", str(arguments.size)]
    found = {
        "plain loop": [[sys.executable, "-c", LOOP, *script]],
        "stylize": [ours],
        "two shards": [[*ours, "--shard", f"{number}/2"] for number in (1, 2)],
    }
    for workers in arguments.workers:
        found[f"ray, {workers}"] = [[*ours, "--engine", "ray", "--devices", str(workers)]]
        found[f"ray data, {workers}"] = [[sys.executable, "-c", RAY_DATA, *script, str(workers)]]
    return found


def measured(way: str, commands: list[list[str]], output: Path, count: int) -> dict[str, Any]:
    """Return what the commands of a way take.

    Raises:
        SystemExit: with what a command that failed has told.
    """
    shutil.rmtree(output, ignore_errors=True)
    began = time.time()
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for command in commands]
    told = [process.communicate()[0].decode() for process in running]
    whole = time.time() - began
    if any(process.returncode for process in running):
        raise SystemExit("\n".join(told))
    written = sorted(path.stat().st_mtime for path in output.iterdir() if path.is_file())
    assert len(written) == count, f"{way}: {len(written)} of {count} results"
    rate = (count - 1) / (written[-1] - written[0])
    return {"way": way, "seconds": whole, "first": written[0] - began, "photos_a_second": rate}


if __name__ == "__main__":
    main()
