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
from typing import Any

import pytest
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from training_kit import PAINTING, make_photos
from world_kit import LAYERS, TRAINING

from stylenet.commands.boundary import ended_at_once, ended_by_signals
from stylenet.commands.cli import VERBS, main
from stylenet.images.picture import read_image
from stylenet.interrupts import uninterrupted
from stylenet.network.styles import load_style
from stylenet.optimization import rendering, writing

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


SMALL_TRAINING = ["--photos", "photos", "--style", PAINTING, "--run", "run", "--steps", "25", *TRAINING]


@pytest.mark.slow
def test_full_disk_of_a_log(tmp_path: Path) -> None:
    """The log of a training, which has grown beyond the style, is given up in one line."""
    make_photos(tmp_path / "photos", 22)
    extras = ["--data.val_size", "224", "--trainer.val_check_interval", "4", "--output", "a.safetensors"]
    run = limited(["train", *SMALL_TRAINING, *extras], tmp_path, 700_000)
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr
    assert run.stderr.count("the log is given up, and the training goes on without: File too large") == 1
    assert load_style(tmp_path / "a.safetensors").card.training["steps"] == 25
    assert not list(tmp_path.rglob("*.part"))


def test_full_disk_of_all_but_the_picture(content: Path) -> None:
    """Log, panel and pictures on the way are given up, each in one line; the picture that was searched is written."""
    words = ["content.png", "content.png", "--output", "out.png", "--steps", "4", "--device", "cpu", *LAYERS]
    extras = ["--log", "log", "--panel", "--save_every", "1"]
    (content.parent / "out_00001.png").mkdir()  # a place that cannot be written
    run = limited(["optimize", *words, *extras], content.parent, 7_000)
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr
    told = [line.partition(" is given up, and the search goes on without: ")[0] for line in run.stderr.splitlines()]
    assert [line for line in told if line in ("the log", "the panel", "writing the picture so far")] == [
        "writing the picture so far",
        "the panel",
        "the log",
    ]
    assert read_image(content.parent / "out.png").width == 48


def test_a_picture_that_cannot_be_written_is_kept(
    content: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where its place fills up or goes during hours of search, it is kept among temporary files."""
    (tmp_path / "kept").mkdir()
    monkeypatch.setattr(writing, "scratch_folder", lambda: str(tmp_path / "kept"))
    monkeypatch.setattr(rendering, "check_output", lambda *_: None)
    place = tmp_path / "folder.png"
    place.mkdir()
    assert main(["optimize", str(content), str(content), "--output", str(place), "--steps", "1", "--device", "cpu"]) == 1
    error = capfd.readouterr().err.splitlines()[-1]
    (kept,) = (tmp_path / "kept").iterdir()
    assert error.startswith(f"stylenet: cannot write {place}: Is a directory; the picture is kept as {kept}")
    assert read_image(kept).width == 48


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


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_signals_where_ctrl_c_is_ignored(name: str) -> None:
    """As in a background job of a shell, which would else go on for ever."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with ended_by_signals(), pytest.raises(KeyboardInterrupt):
            _wait_for(getattr(signal, name))
        with ended_by_signals(), pytest.raises(KeyboardInterrupt):
            _hold_back(getattr(signal, name))
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
    finally:
        signal.signal(signal.SIGINT, before)


def _hold_back(number: int) -> None:
    went_on = False
    try:
        with uninterrupted():
            os.kill(os.getpid(), number)
            time.sleep(0.05)
            went_on = True
    finally:
        assert went_on


def test_a_signal_in_a_block_that_fails_is_not_lost() -> None:
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        _press_and_fail()


def _press_and_fail() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    raise ValueError


def test_a_signal_while_handlers_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are heard as before: else the process would not end by them any more."""
    heard: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: heard.append(number)) for number in (signal.SIGTERM, signal.SIGHUP)
    }
    change, changes = signal.signal, []

    def interrupted(number: int, handler: Any) -> Any:
        result = change(number, handler)
        changes.append(number)
        if len(changes) == 4:  # three handlers were set, and SIGINT has its own back
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
        return result

    try:
        monkeypatch.setattr(signal, "signal", interrupted)
        with pytest.raises(KeyboardInterrupt), uninterrupted():
            pass
        monkeypatch.undo()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.05)
        assert heard == [signal.SIGTERM]
    finally:
        for number, handler in before.items():
            change(number, handler)


def test_signals_while_modules_are_loaded() -> None:
    """Some catch every exception; the process ends by the signal itself, and the handler of before is back after."""
    program = (
        "import os, signal; from stylenet.commands.boundary import ended_at_once\n"
        "with ended_at_once():\n    try: os.kill(os.getpid(), signal.{name})\n    except BaseException: pass\nprint('went on')"
    )
    for name in ("SIGINT", "SIGTERM"):
        run = subprocess.run([sys.executable, "-c", program.format(name=name)], capture_output=True, text=True, check=False)
        assert (run.returncode, run.stdout, run.stderr) == (-getattr(signal, name), "", "")
    with ended_at_once():
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    with pytest.raises(KeyboardInterrupt):
        _wait_for(signal.SIGINT)


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
