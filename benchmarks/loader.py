"""Measure how many crops a second one core delivers for training, by where the photos lie: a folder, a zip archive, and both in
a store (an S3 server on this machine, in a process of its own).

    python benchmarks/loader.py --photos FOLDER [--size 256] [--count 400] [--repeats 3] [--output benchmarks/results]

Counted is processor time, so that other work on the machine and the latency of a network do not matter: crops a second and core
say how many cores feed a GPU, while they wait for nothing. Processes that read ahead hide latency.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from machine import plot, record_name, setting, write_record

from stylenet import storage
from stylenet.training.data import PhotoDataset, RandomCrop
from stylenet.training.photos import find_photos

ROOT = Path(__file__).resolve().parent.parent
WANTED = 2000  # crops a second


def main() -> None:
    arguments = _arguments()
    photos = [Path(photo.path) for photo in find_photos(arguments.photos)][: arguments.count]
    with tempfile.TemporaryDirectory() as folder, served() as bucket:
        sources = laid_out(photos, Path(folder), bucket)
        seconds: dict[str, list[float]] = {name: [] for name in sources}
        for _ in range(arguments.repeats):
            for name, source in sources.items():  # in turns
                seconds[name].append(processor_seconds(source, arguments.size))
    rows = []
    for name, taken in seconds.items():
        rate = len(photos) / statistics.median(taken)
        rows.append({"source": name, "seconds": taken, "crops_a_second_and_core": rate, "cores_for_2000": WANTED / rate})
        print(f"{name:<20}{rate:>8.1f} crops a second and core{WANTED / rate:>8.1f} cores for {WANTED} a second")
    record = {**setting(arguments), "photos": len(photos), "mean_kb": mean_kb(photos), "rows": rows}
    name = record_name("loader")
    write_record(record, arguments.output, name)
    with plot(arguments.output / f"{name}.png", title=record["device"], ylabel="crops a second and core") as axes:
        axes.bar([row["source"] for row in rows], [row["crops_a_second_and_core"] for row in rows])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", required=True)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


def mean_kb(photos: list[Path]) -> float:
    """Return the mean size of the files in kB."""
    return sum(photo.stat().st_size for photo in photos) / len(photos) / 1000


def laid_out(photos: list[Path], folder: Path, bucket: str) -> dict[str, str]:
    """Copy the photos into all sources, and return the name of each with its place."""
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        for number, photo in enumerate(photos):
            name = f"{number:06d}{photo.suffix}"
            storage.write(folder / "photos" / name, photo.read_bytes())
            storage.write(f"{bucket}/photos/{name}", photo.read_bytes())
            archive.write(photo, name)
    storage.write(f"{bucket}/photos.zip", (folder / "photos.zip").read_bytes())
    here = {"folder": str(folder / "photos"), "zip": str(folder / "photos.zip")}
    return {**here, "folder in S3": f"{bucket}/photos", "zip in S3": f"{bucket}/photos.zip"}


def processor_seconds(source: str, size: int) -> float:
    """Return the processor time of one crop of each photo, decoded as a training does it."""
    photos = find_photos(source)
    smallest = 0.35
    dataset = PhotoDataset(photos, RandomCrop(size, smallest), round(size / smallest), seed=0)
    began = time.process_time()
    for index in range(len(dataset)):
        dataset[(0, index)]
    return time.process_time() - began


@contextmanager
def served() -> Iterator[str]:
    """Start an S3 server on this machine, and yield the address of a bucket in it."""
    import fsspec

    with socket.create_server(("127.0.0.1", 0)) as opened:
        port = opened.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        fsspec.filesystem("s3").mkdir("benchmark")
        yield "s3://benchmark"
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
