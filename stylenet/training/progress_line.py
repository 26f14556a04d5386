"""Show how a training goes on: one line with step, objective, photos a second and the time that is left."""

from __future__ import annotations

import time
from pathlib import Path
from typing import IO, Any, cast

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, Timer

from stylenet.durations import clock
from stylenet.errors import one_line
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
            self.line.stream.write(f"{one_line(plan, 1000)}\n")
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
