"""Stop a training where it can be stopped: between two steps, and nowhere else."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from stylenet.interrupts import STOPS
from stylenet.training.data import PhotoDataModule

# What is written when a stop is asked for: in the midst of the training, and where nothing is left but to write its result.
_NOTE = b"\nstopping after this step (again: at once)\n"
_NOTE_AT_THE_END = b"\nstopping when the style is written (again: at once)\n"


class FinishedSteps(Callback):
    """Keeps checkpoints and stops to finished steps.

    Lightning counts a batch when it begins, and raises Ctrl-C wherever it falls: weights, averages and counters are then of
    different steps, and a run that goes on from them is another one. Here every checkpoint has the counters of the last step
    that was finished; Ctrl-C, SIGTERM and SIGHUP wait for the end of theirs, and the next Ctrl-C does not. Nothing is waited
    for where no step is at work, as while photos are read.

    Attributes:
        asked: a stop was asked for.
        whole: weights, optimizer and averages are those of the last finished step.
        begun: everything is set up, and what a checkpoint holds is restored.
    """

    def __init__(self) -> None:
        self.asked = self.whole = self.begun = False
        self._step = 0
        self._state: dict[str, Any] = {}
        self._keeps_statistics = False
        self._note_of_stop = _NOTE
        self._idle = False  # photos are waited for

    # --- what belongs to a step ---------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that nothing is finished yet."""
        self.begun = True
        self._step = trainer.global_step
        self._keeps_statistics = any(True for _ in pl_module.buffers())  # a batch normalisation's move in the forward pass
        self._listen()
        data = getattr(trainer, "datamodule", None)
        if isinstance(data, PhotoDataModule) and trainer.world_size == 1:  # several processes stop together, after a step
            data.waiting.context = self._waiting

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Note that statistics may change from here."""
        if self._keeps_statistics:
            self.whole = False

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Note that weights may change from here."""
        self.whole = False

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Take note of counters; a batch whose gradient waits for others is no step."""
        if trainer.global_step == self._step:
            return
        self._step, self.whole = trainer.global_step, True
        self._state = {"loops": {"fit_loop": _counters(trainer)}}
        data = getattr(trainer, "datamodule", None)
        if data is not None:
            self._state[type(data).__qualname__] = data.state_dict()
        self._end_if_asked(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Put the counters into every checkpoint, of whichever moment it is."""
        for name, value in self._state.items():
            checkpoint[name] = {**checkpoint.get(name, {}), **value}

    # --- signals ------------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Listen for signals. Lightning puts back what was there before, whichever way the training ends."""
        if threading.current_thread() is threading.main_thread():
            for number in STOPS:
                if signal.getsignal(number) is not signal.SIG_IGN:  # as for jobs in the background of a shell, and by nohup
                    signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True
        with contextlib.suppress(OSError):  # a terminal that is closed, which may be what is told
            os.write(2, self._note_of_stop)  # print is not for handlers: it may be what was interrupted
        self._end_if_idle()

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        """Stop at once while photos are waited for, which may take minutes."""
        self._idle = True
        try:
            self._end_if_idle()
            yield
        finally:
            self._idle = False

    def _end_if_idle(self) -> None:
        if self.asked and self._idle and (self.whole or not self._state):
            raise KeyboardInterrupt

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Stop a validation, which need not come to its end: it changes nothing, and the step before it is on the disk."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._end_if_asked(trainer)

    def _end_if_asked(self, trainer: Trainer) -> None:
        if trainer.world_size > 1:  # all processes, whichever of them was asked
            self.asked = trainer.strategy.reduce_boolean_decision(self.asked, all=False)
        if self.asked:
            raise KeyboardInterrupt

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let a stop wait for the last checkpoint and the style, which are all that is left."""
        self._note_of_stop = _NOTE_AT_THE_END
        self._forget(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the photos to whoever reads them next."""
        self._forget(trainer)

    def _forget(self, trainer: Trainer) -> None:
        data = getattr(trainer, "datamodule", None)
        if isinstance(data, PhotoDataModule):
            data.waiting.context = contextlib.nullcontext


def _counters(trainer: Trainer) -> dict[str, Any]:
    """Return Lightning's counters inside of an epoch: it has begun, and those before it have ended.

    A training that goes on after a whole epoch counts its next one as ended, but not as begun; a checkpoint of that looked
    like one of another moment, and the training went on beyond its last epoch.
    """
    counters = trainer.fit_loop.state_dict()
    for count in counters["epoch_progress"].values():
        count["ready"] = count["started"] = count["processed"] + 1
    return counters
