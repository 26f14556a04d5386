"""Average the weights of the last steps of a training."""

from __future__ import annotations

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class AveragedWeights(WeightAveraging):
    """Lightning's averaging of weights, with a moving average that forgets how it began.

    After ``n`` steps the newest weights count for ``1 - decay``, or for ``9 / (10 + n)`` where that is more (the rule of
    TensorFlow's ``ExponentialMovingAverage``). With 0.995 alone the weights of the first step would still be 8 % of the average
    after 500, and three quarters after 60.

    Args:
        decay: share of the average that stays at each step, in the long run: 0 or more, below 1.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay

        def average(averaged: Tensor, current: Tensor, steps: Tensor | int) -> Tensor:
            share = (9 / (10 + torch.as_tensor(steps))).clamp(min=1 - decay)
            return averaged + (current - averaged) * share

        super().__init__(avg_fn=average)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the weights as they are, for the checkpoint of the end."""

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the average the result, also where a run was resumed that had been trained to its end."""
        self._copy_average_to_current(pl_module)
