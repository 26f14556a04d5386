"""Trainings in processes of their own that are stopped from outside, without the seconds that a new Python takes."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from safetensors.torch import load_file

from stylenet.commands.cli import main
from stylenet.training.alone import alone_in
from stylenet.training.steps import FinishedSteps

SIGNALS = {name: getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL") if hasattr(signal, name)}


class Forked:
    """``main(words)`` in a fork of this process, the leader of a process group as a terminal's job is.

    Args:
        words: of the command line.
        log: file for what it prints.
        kind: signal to stop it with, after so many
        seconds: of its processor's time since the first step, so that a busy machine changes nothing.
    """

    def __init__(self, words: Sequence[str], log: Path, kind: str = "", seconds: float = 0.0) -> None:
        self.log, self.kind, self.seconds = log, kind, seconds
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._run(words)

    def _run(self, words: Sequence[str]) -> None:
        code = 99
        try:
            os.setsid()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            sys.stdout = sys.stderr = self.log.open("a", buffering=1)
            os.dup2(sys.stderr.fileno(), 2)
            if self.kind:
                self._arm()
            code = main(list(words))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def _arm(self) -> None:
        """Sends the signal to the whole group, as terminals, schedulers and service managers do, from a timer that runs while
        this process computes."""
        start = FinishedSteps.on_train_start
        send = _sender(SIGNALS[self.kind])

        def strike(number: int, frame: FrameType | None) -> None:
            moment = _moment(frame)
            print(f"<{self.kind} during {moment}>")
            send()

        def on_train_start(callback: FinishedSteps, *arguments: Any) -> None:
            start(callback, *arguments)
            signal.setitimer(signal.ITIMER_PROF, self.seconds)

        signal.signal(signal.SIGPROF, strike)  # before the training, at whose end Lightning puts handlers back
        FinishedSteps.on_train_start = on_train_start

    def running(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def wait(self, seconds: float = 240.0) -> int:
        """The exit code, or minus the signal."""
        deadline = time.monotonic() + seconds
        while self.running():
            if time.monotonic() > deadline:
                os.killpg(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise TimeoutError(self.log.read_text())
            time.sleep(0.01)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _sender(number: int) -> Callable[[], None]:
    """Return what sends a signal to this process group, from a process that is not the training itself, whose word those that
    read photos obey.

    That process begins here and waits: the timer may fall into a fork, where Python waits for ever if it forks once more.
    """
    reading, writing = os.pipe()
    sender = os.fork()
    if sender == 0:
        signal.pthread_sigmask(signal.SIG_BLOCK, set(SIGNALS.values()) - {signal.SIGKILL})
        os.close(writing)
        if os.read(reading, 1):  # nothing comes where the training ended before
            os.killpg(0, number)
        os._exit(0)
    os.close(reading)

    def send() -> None:
        os.write(writing, b"x")
        os.waitpid(sender, 0)

    return send


def _moment(frame: FrameType | None) -> str:
    """What the training is doing: the outermost of what is looked for."""
    names = []
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    for name, moment in (("save_checkpoint", "a save"), ("val_loop", "a validation"), ("validation_step", "a validation")):
        if name in names:
            return moment
    return "a step" if "training_step" in names or "optimizer_step" in names else "the rest"


def run(words: Sequence[str], log: Path, kind: str = "", seconds: float = 0.0) -> tuple[int, str]:
    """Exit code and what was printed."""
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    return Forked(words, log, kind, seconds).wait(), log.read_text()


def differences(ours: Path, theirs: Path) -> list[str]:
    """What differs between two finished runs: weights, averages, optimizer, counters, and the style files."""
    found = []
    one, two = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (ours, theirs))
    for name in ("state_dict", "current_model_state", "optimizer_states", "lr_schedulers", "global_step", "PhotoDataModule"):
        if not same(one.get(name), two.get(name)):
            found.append(name)
    [first], [second] = (sorted(run.glob("*.safetensors")) for run in (ours, theirs))
    if not same(load_file(first), load_file(second)):
        found.append("style")
    return found


def same(one: object, two: object) -> bool:
    """Bit for bit, in nested containers."""
    if isinstance(one, torch.Tensor):
        return isinstance(two, torch.Tensor) and torch.equal(one, two)
    if isinstance(one, dict):
        return isinstance(two, dict) and one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(two) and len(one) == len(two) and all(map(same, one, two))
    return one == two


def holder(run: Path) -> int:
    """Another process that is at work in a folder until it is killed."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            with alone_in(str(run)):
                os.write(writing, b"x")
                signal.pause()
        finally:
            os._exit(1)
    os.close(writing)
    assert os.read(reading, 1) == b"x"
    os.close(reading)
    return process
