"""Show and leave behind what a training run does: a progress line, previews, the end of a budget."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, Timer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from stylenet.durations import clock
from stylenet.errors import InputError
from stylenet.progress import ProgressLine
from stylenet.training.module import StyleTraining


class TrainingProgress(ProgressBar):
    """One line: step, objective, photos a second, time left. The first one comes with the first step."""

    def __init__(self, seconds: float = 5.0, stream: IO[str] | None = None) -> None:
        super().__init__()
        self.line = ProgressLine(stream, seconds)
        self.began = 0.0
        self.first_step = 0
        self.active = True

    def disable(self) -> None:
        """Hide the line; Lightning asks this of every process but the first."""
        self.active = False

    def enable(self) -> None:
        """Show again."""
        self.active = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say what will be done."""
        module = cast(StyleTraining, pl_module)
        self.first_step = trainer.global_step
        plan = _plan(trainer, module)  # by every process: the log folder is agreed on by a broadcast
        if self.active:
            self.line.stream.write(f"{plan}\n")
            self.line.stream.flush()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Show the line, and log photos a second."""
        now, step = time.monotonic(), trainer.global_step
        if step == self.first_step + 1 or not self.began:
            self.began = now  # the first step compiles and warms up
        done = step - self.first_step - 1
        photos = photos_a_step(trainer)
        pace = (now - self.began) / done if done > 0 else 0.0
        if pace:
            pl_module.log("train/photos_per_second", photos / pace, rank_zero_only=True)
        if not self.active or not self.line.due(always=done == 0):
            return
        objective = trainer.callback_metrics.get("train/objective", torch.tensor(float("nan")))
        spent = now - self.began
        left = _remaining(trainer, cast(StyleTraining, pl_module), self.first_step + 1, spent)
        speed = f"  {photos / pace:.1f} photos/s  {clock(left)} left" if pace else ""
        text = f"step {step}{_of(trainer)}  objective {float(objective):.4g}{speed}"
        self.line.show(text, spent / (spent + left) if pace else 0.0)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the line."""
        self.line.close()


def _plan(trainer: Trainer, module: StyleTraining) -> str:
    data = cast(Any, trainer).datamodule
    parameters = sum(p.numel() for p in module.parameters() if p.requires_grad)
    resumed = f"goes on after step {trainer.global_step}: " if trainer.global_step else ""
    start = f"from {Path(module.init).stem}" if module.init else ""
    start = f"{start}, whose look {module.nearest} is nearest; " if module.nearest else f"{start}; " if start else ""
    return (
        f"{resumed}training {parameters:,} parameters on {len(data.train_set)} photos of {data.size} pixels,"
        f" {photos_a_step(trainer)} a step, for {_length(trainer, module)}; {start}{len(data.val_set)} photos are held out;"
        f" {trainer.precision} on {module.device.type}; log: {(trainer.loggers and trainer.log_dir) or 'none'}"
    )


def _length(trainer: Trainer, module: StyleTraining) -> str:
    """Return what ends the training, whichever comes first."""
    timer = next((callback for callback in cast(Any, trainer).callbacks if isinstance(callback, Timer)), None)
    ends = [
        f"{int(trainer.max_steps)} steps" if trainer.max_steps > 0 else "",
        f"{trainer.max_epochs} epochs" if (trainer.max_epochs or 0) > 0 else "",
        clock(module.budget) if module.budget else "",
        clock(timer.time_remaining() or 0.0) if timer else "",
    ]
    return " or ".join(end for end in ends if end)


def photos_a_step(trainer: Trainer) -> int:
    """Return the batch of all processes, and of all gradients that are added up for a step."""
    return int(cast(Any, trainer).datamodule.batch_size * trainer.world_size * trainer.accumulate_grad_batches)


def _of(trainer: Trainer) -> str:
    total = trainer.estimated_stepping_batches
    return f"/{int(total)}" if total != float("inf") else ""


def _remaining(trainer: Trainer, module: StyleTraining, first: int, seconds: float) -> float:
    """Estimate the seconds to the end from those that the steps since the first took; steps at half size cost a quarter of
    the others."""
    total = float(trainer.estimated_stepping_batches)
    left = []
    if total != float("inf"):
        begun, now, end = (module.cost(step) for step in (first, trainer.global_step, total))
        left.append((end - now) * seconds / (now - begun) if now > begun else 0.0)
    if module.budget is not None and module.began is not None:
        left.append(module.began + module.budget - time.monotonic())
    return max(min(left), 0.0) if left else 0.0


class StyleWriter(Callback):
    """Writes the style when the training has ended, before anything else can fail.

    Args:
        write: does it.
    """

    def __init__(self, write: Callable[[], None]) -> None:
        self.write = write

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the result in the first process, which may be one that the trainer started; keep nothing of a dry run.

        Raises:
            InputError: if there was no step.
        """
        if trainer.global_step == 0:
            raise InputError("the training ended before its first step: no style is written")
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self.write()


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
        count: photos.
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
        network = cast(StyleTraining, pl_module).network
        photos = self.photos.to(pl_module.device)
        styled = network(photos).clamp(0, 1)
        grid = torch.cat([torch.cat(list(row), dim=2) for row in (photos, styled)], dim=1)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("preview", grid.float().cpu(), trainer.global_step)
