"""The log of a training: TensorBoard's, which costs no training if it cannot be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from stylenet.training.notes import say


class TrainingLog(TensorBoardLogger):
    """Lightning's logger, given up where the disk is full or its folder is gone: this is said once, and the training goes on.

    Its writer has a thread of its own: a failure shows itself at some later line, which Lightning then takes for a value that
    TensorBoard does not know.
    """

    lost = False

    def _tried(self, write: Callable[[], object]) -> None:
        if self.lost:
            return
        try:
            write()
        except (OSError, ValueError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            if not isinstance(cause, OSError):
                raise
            self.lost = True
            say(f"the log is given up, and the training goes on without: {cause.strerror or cause}")

    def log_metrics(self, *arguments: Any, **options: Any) -> None:
        """Write numbers."""
        self._tried(lambda: TensorBoardLogger.log_metrics(self, *arguments, **options))

    def log_hyperparams(self, *arguments: Any, **options: Any) -> None:
        """Write settings."""
        self._tried(lambda: TensorBoardLogger.log_hyperparams(self, *arguments, **options))

    def show(self, name: str, picture: Tensor, step: int) -> None:
        """Write a picture ``[3, H, W]`` in 0..1."""
        self._tried(lambda: self.experiment.add_image(name, picture, step))

    def save(self) -> None:
        """Write what waits."""
        self._tried(lambda: TensorBoardLogger.save(self))

    def finalize(self, status: str) -> None:
        """Write what waits, and close the log."""
        self._tried(lambda: TensorBoardLogger.finalize(self, status))
