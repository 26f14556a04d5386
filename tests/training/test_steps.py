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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_waits_for_its_step(folder: Path, number: int, capfd: pytest.CaptureFixture[str]) -> None:
    steps, presses = FinishedSteps(), Presses(number, 1)
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
