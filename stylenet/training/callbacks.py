"""Leave behind what a training does: the style file, previews, and a checkpoint at the end of a budget."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from stylenet.errors import InputError
from stylenet.interrupts import uninterrupted
from stylenet.training.log import TrainingLog
from stylenet.training.module import StyleTraining


class StyleWriter(Callback):
    """Writes the style when the training has ended, before anything else can fail.

    Args:
        write: function that writes the style.

    Attributes:
        written: whether the style has been written.
    """

    def __init__(self, write: Callable[[], None]) -> None:
        self.write = write
        self.written = False

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the result in the first process, which may be one that the trainer started; keep nothing of a dry run.

        Raises:
            InputError: if there was no step.
        """
        if trainer.global_step == 0:
            raise InputError("the training ended before its first step: no style is written")
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            with uninterrupted(insisting=True):  # Lightning has given signals back, and nothing else is left to do
                self.write()
                self.written = True


class BudgetEnd(Callback):
    """Stops in time for the last validation."""

    def __init__(self) -> None:
        self.validation_began = self.validation_seconds = 0.0

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to measure what a validation takes."""
        self.validation_began = time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take note of what a validation took."""
        self.validation_seconds = time.monotonic() - self.validation_began

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Ask the trainer to stop; all processes decide as the first one."""
        module = cast(StyleTraining, pl_module)
        if module.budget is None or module.began is None:
            return
        spent = time.monotonic() - module.began + 1.2 * self.validation_seconds + 1.0
        trainer.should_stop = trainer.strategy.broadcast(trainer.should_stop or spent >= module.budget)


class Previews(Callback):
    """Writes held-out photos above their styled selves to TensorBoard: at steps 50, 100, 200, 400, ... and each validation.

    Args:
        count: number of photos.
    """

    def __init__(self, count: int = 4) -> None:
        self.count = count
        self.photos: Tensor | None = None
        self.next = 50

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the photos; after a resume go on where the steps are."""
        self.photos = cast(Any, trainer).datamodule.calibration_photos(self.count)
        while self.next <= trainer.global_step:
            self.next *= 2

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Write previews at step 50 and each doubling."""
        if trainer.global_step >= self.next:
            self.next *= 2
            self._show(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write previews with the averaged weights, where weights are averaged."""
        if not trainer.sanity_checking and trainer.state.fn == "fit":
            self._show(trainer, pl_module)

    @torch.no_grad()
    def _show(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.photos is None or not trainer.is_global_zero:
            return
        module, photos = cast(StyleTraining, pl_module), self.photos.to(pl_module.device)
        styled = module(photos, _spread_looks(module, len(photos))).clamp(0, 1)
        grid = torch.cat([torch.cat(list(row), dim=2) for row in (photos, styled)], dim=1)
        for logger in trainer.loggers:
            if isinstance(logger, TrainingLog):
                logger.show("preview", grid.float().cpu(), trainer.global_step)
            elif isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("preview", grid.float().cpu(), trainer.global_step)


def _spread_looks(module: StyleTraining, count: int) -> list[int]:
    """Return a look for each of so many previews, from all over the table, where there are many looks."""
    return [] if module.looks is None else [index * len(module.looks.titles) // count for index in range(count)]
