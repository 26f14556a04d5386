"""State belongs to finished steps: what a checkpoint of any moment counts, and where a stop takes effect."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from training_kit import fit, make_photos, module, photos

from stylenet.training.callbacks import StyleWriter
from stylenet.training.data import PhotoDataset, RandomCrop
from stylenet.training.steps import FinishedSteps

STEP = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("photos"), 24)


class Saves(Callback):
    """Writes a checkpoint in the midst of a step, and one at the end of the step before."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def on_before_optimizer_step(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == STEP:
            trainer.save_checkpoint(self.place / "midst.ckpt")

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == STEP:
            trainer.save_checkpoint(self.place / "end.ckpt")


@pytest.mark.parametrize("more", [{}, {"accumulate_grad_batches": 2}], ids=["a batch", "two batches"])
def test_a_checkpoint_in_the_midst_counts_what_is_finished(folder: Path, tmp_path: Path, more: dict[str, Any]) -> None:
    fit(module(), photos(folder), STEP + 1, FinishedSteps(), Saves(tmp_path), **more)
    midst, end = (torch.load(tmp_path / f"{name}.ckpt", weights_only=True) for name in ("midst", "end"))
    assert midst["loops"]["fit_loop"] == end["loops"]["fit_loop"]
    assert midst["PhotoDataModule"] == end["PhotoDataModule"]
    batches = STEP * more.get("accumulate_grad_batches", 1)
    assert midst["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["ready"] == batches
    assert midst["PhotoDataModule"] != {}


class Presses(Callback):
    """Presses Ctrl-C so many times in the midst of a step, and notes what comes after."""

    def __init__(self, number: int, presses: int) -> None:
        self.number, self.presses, self.seen = number, presses, list[str]()

    def on_before_backward(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == STEP:
            for _ in range(self.presses):
                os.kill(os.getpid(), self.number)
            self.seen.append("backward")

    def on_before_optimizer_step(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == STEP:
            self.seen.append("optimizer")

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step > STEP:
            self.seen.append("the next step")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_stop_waits_for_its_step(folder: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    steps, presses = FinishedSteps(), Presses(getattr(signal, name), 1)
    trainer = None
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        trainer = fit(module(), photos(folder), STEP + 9, steps, presses)
    assert trainer is None
    assert presses.seen == ["backward", "optimizer"]
    assert steps.asked
    assert steps.whole
    assert "stopping after this step" in capfd.readouterr().err


def test_the_second_ctrl_c_does_not_wait(folder: Path) -> None:
    steps, presses = FinishedSteps(), Presses(signal.SIGINT, 2)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(module(), photos(folder), STEP + 9, steps, presses)
    assert presses.seen == []


def test_what_is_ignored_stays_so(folder: Path) -> None:
    """As ``nohup`` has a closed terminal ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    steps, presses = FinishedSteps(), Presses(signal.SIGHUP, 1)
    try:
        fit(module(), photos(folder), STEP + 1, steps, presses)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not steps.asked


def test_a_terminal_that_is_gone_stops_no_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The word that the training stops cannot be written there, which is no reason to stop in the midst of a step."""

    def fail(*_: Any) -> int:
        raise OSError("Input/output error")

    steps = FinishedSteps()
    monkeypatch.setattr(os, "write", fail)
    steps._note(signal.SIGTERM, None)
    assert steps.asked


class Ends(Callback):
    """Presses Ctrl-C in the midst of the last checkpoint."""

    saved = False

    def on_train_end(self, *_: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        self.saved = True


def test_ctrl_c_at_the_end_waits_for_checkpoint_and_style(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    steps, ends, styles, before = FinishedSteps(), Ends(), list[str](), signal.getsignal(signal.SIGINT)
    writer = StyleWriter(lambda: styles.append("written"))
    fit(module(), photos(folder), 1, steps, ends, writer)
    assert (ends.saved, styles, writer.written, steps.asked) == (True, ["written"], True, True)
    assert "stopping when the style is written" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_while_the_style_is_written(folder: Path, presses: int) -> None:
    """It waits, and the next one does not."""
    styles = list[str]()

    def write() -> None:
        for _ in range(presses):
            os.kill(os.getpid(), signal.SIGINT)
        styles.append("written")

    writer, before = StyleWriter(write), signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            fit(module(), photos(folder), 1, FinishedSteps(), writer)
    finally:
        signal.signal(signal.SIGINT, before)  # Lightning ignores it from an interrupt on
    assert styles == (["written"] if presses == 1 else [])
    assert writer.written is (presses == 1)


@pytest.mark.parametrize("after", [0, STEP])
def test_a_stop_does_not_wait_for_photos(folder: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """They may take minutes where a disk or a store does not answer."""
    take, steps, seen = PhotoDataset.__getitem__, FinishedSteps(), list[str]()
    data = photos(folder)

    def slow(dataset: PhotoDataset, key: tuple[int, int]) -> Any:
        if steps.begun and dataset.crop.__class__ is RandomCrop and data.trainer and data.trainer.global_step == after:
            seen.append("asked")
            os.kill(os.getpid(), signal.SIGTERM)
            seen.append("read")
        return take(dataset, key)

    monkeypatch.setattr(PhotoDataset, "__getitem__", slow)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(module(), data, STEP + 9, steps)
    assert seen == ["asked"]
    assert steps.whole is (after > 0)
    with data.waiting.context():  # whoever reads photos next is not stopped
        pass
