"""Whatever a library raises becomes one line at one place, for every verb; signals end every verb as Ctrl-C does."""

from __future__ import annotations

import errno
import importlib
import os
import pickle
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from stylenet.commands.boundary import ended_by_signals
from stylenet.commands.cli import VERBS, main

PATH = "/data/out.png"
ADVICE = (
    "Weights only load failed. This file can still be loaded, to do so you have two options, do those steps only if you trust"
    " the source of the checkpoint. (1) In PyTorch 2.6, we changed the default value of the `weights_only` argument, re-running"
    " `torch.load` with `weights_only` set to `False` will likely succeed, but it can result in arbitrary code execution."
)

# What libraries raise, what a person reads of it, and the exit code.
ERRORS: dict[str, tuple[BaseException, str, int]] = {
    "full disk": (OSError(errno.ENOSPC, "No space left on device", PATH), "disk is full.*/data/out.png cannot be", 1),
    "quota": (OSError(errno.EDQUOT, "Quota exceeded"), "the disk is full, or its quota is used up", 1),
    "read-only": (OSError(errno.EROFS, "Read-only file system", PATH), "no permission to use /data/out.png: choose another", 1),
    "forbidden": (PermissionError(errno.EACCES, "Permission denied", PATH), "no permission to use /data/out.png", 1),
    "missing": (FileNotFoundError(errno.ENOENT, "No such file or directory", PATH), "cannot use /data/out.png: No such", 1),
    "a long name": (OSError(errno.ENAMETOOLONG, "File name too long", "n" * 9000), r"cannot use n+ .* name too long$", 2),
    "an error without a file": (OSError("broken"), "^stylenet: broken$", 1),
    "memory": (MemoryError(), "not enough memory", 1),
    "memory of torch": (
        RuntimeError("[enforce fail at alloc_cpu.cpp:115] DefaultCPUAllocator: can't allocate memory"),
        "not enough",
        1,
    ),
    "memory of CUDA": (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."), "not enough memory", 1),
    "checkpoint on a full disk": (
        RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"),
        "disk full",
        1,
    ),
    "cut checkpoint": (
        RuntimeError("PytorchStreamReader failed reading zip archive: failed finding central directory"),
        "damaged",
        1,
    ),
    "evil checkpoint": (pickle.UnpicklingError(ADVICE * 6), "as it could run any code, it is not read", 2),
    "damaged pickle": (pickle.UnpicklingError("pickle data was truncated"), r"a file is damaged \(pickle data was", 2),
    "advice in another class": (RuntimeError(ADVICE), "as it could run any code, it is not read", 1),
    "Lightning": (MisconfigurationException("No supported gpu backend found!"), "No supported gpu backend found!", 2),
    "characters": (UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range"), "PYTHONIOENCODING", 1),
    "nested": (RecursionError("maximum recursion depth exceeded"), "nested too deeply", 2),
    "3 kB": (ValueError("x" * 3000), r"ValueError: x+ \.\.\. x+ \(--verbose shows where\)", 1),
    "several lines": (RuntimeError("first\n\n  second\x1b[31m"), r"RuntimeError: first second\\x1b\[31m \(--verbose", 1),
    "Ctrl-C": (KeyboardInterrupt(), "interrupted", 130),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("case", ERRORS)
def test_errors_of_others(case: str, verb: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    error, message, code = ERRORS[case]

    def run(words: list[str]) -> int:
        raise error

    monkeypatch.setattr(importlib.import_module(f"stylenet.commands.{verb}"), "run", run)
    assert main([verb]) == code
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert len(captured.err) < 620
    assert "weights_only" not in captured.err
    assert re.search(message, captured.err.rstrip("\n")), captured.err


# --- as a program -----------------------------------------------------------------------------------------------------


def limited(words: list[str], folder: Path, most: int) -> subprocess.CompletedProcess[str]:
    """Run a command in a process that cannot write files beyond so many bytes, as on a disk that fills."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    command = [sys.executable, "-m", "stylenet", *words]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, preexec_fn=limit, capture_output=True, text=True, env=quiet, check=False)


@pytest.mark.parametrize(
    "words",
    [
        ["stylize", "content.png", "--style", "udnie", "--output", "out.png"],
        ["optimize", "content.png", "content.png", "--output", "out.png", "--steps", "0", "--device", "cpu"],
    ],
    ids=lambda words: words[0],
)
def test_full_disk(content: Path, words: list[str]) -> None:
    run = limited(words, content.parent, 200)
    assert run.returncode == 1, run.stderr
    assert run.stderr.count("\n") == 1
    assert run.stderr.startswith("stylenet: cannot write out.png: File too large")
    assert [path.name for path in content.parent.iterdir()] == ["content.png"]


def test_full_stdout() -> None:
    command = [sys.executable, "-m", "stylenet", "styles"]
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (run.returncode, run.stderr.count("\n")) == (1, 1)
    assert "disk is full" in run.stderr


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_signals_are_interrupts(name: str) -> None:
    number, before = getattr(signal, name), signal.getsignal(getattr(signal, name))
    with ended_by_signals(), pytest.raises(KeyboardInterrupt):
        _wait_for(number)
    assert signal.getsignal(number) is before


def _wait_for(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(5)


def test_what_is_ignored_stays_ignored() -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.05)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_handler_in_front_decides() -> None:
    """A trainer composes its handler with ours, and ends after the step itself."""
    seen = []
    with ended_by_signals():
        ours = signal.getsignal(signal.SIGTERM)

        def theirs(number: int, frame: object) -> None:
            seen.append(number)
            ours(number, frame)  # type: ignore[operator, arg-type]

        signal.signal(signal.SIGTERM, theirs)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.05)
        signal.signal(signal.SIGTERM, ours)
    assert seen == [signal.SIGTERM]


def test_sigterm_ends_a_search_with_its_picture(content: Path, style: Path) -> None:
    """As Ctrl-C does: the picture so far is written, and nothing is left beside it."""
    words = [content.name, style.name, "--output", "out.png", "--steps", "100000", "--device", "cpu", "--size", "32"]
    command = [sys.executable, "-m", "stylenet", "optimize", *words, "--save_every", "1"]
    folder = content.parent
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 120
        while time.monotonic() < until and len(list(folder.glob("*.png"))) < 3:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert (folder / "out.png").is_file()
    assert not list(folder.glob(".*.part"))
