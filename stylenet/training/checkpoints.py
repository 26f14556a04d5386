"""Checkpoints: files that appear whole or not at all, and are written of finished steps alone."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from stylenet.errors import InputError, RunError, argument, one_line
from stylenet.recognition import also, what_is
from stylenet.storage import copy, exists, fetched, is_address, is_folder, join, name_of, open_read, parent_of, replacing, walk
from stylenet.tensor_files import check_archive, check_claims, check_tensors, first_not_finite
from stylenet.training.steps import FinishedSteps

# What a checkpoint begins as, be it whole or not.
_AS_TORCH_WRITES = ("a zip archive or a file that torch saved", "a pickle")

# Parts of a checkpoint that are weights, or are worked out with as if they were.
_TRAINED = ("state_dict", "optimizer_states", "current_model_state")

# What TensorBoard's file of a training's numbers has near its beginning, as plain text, and how far that is looked for.
_LOGGED, _LOOKED_AT = b"train/objective", 1_000_000

# What a run goes on from, and the one that was written before it.
LAST, BEFORE_LAST = "last.ckpt", "last-1.ckpt"


class CheckpointFiles(TorchCheckpointIO):
    """Lightning's way to files, for checkpoints: beside the target, synced, then renamed.

    A checkpoint that cannot be written costs no training: it is said, the one before stays, and the training goes on. Callbacks
    of Lightning delete that one as soon as the next is saved, and do not learn that it was not.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lost = False  # the last checkpoint could not be written

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint; where there was a ``last.ckpt``, that one becomes ``last-1.ckpt``."""
        place = str(path)
        content = io.BytesIO()
        torch.save(checkpoint, content)  # its own writer would leave a file open, and tell a full disk in C++
        try:
            with replacing(place, durable=True) as temporary:
                temporary.write_bytes(content.getbuffer())
                if name_of(place) == LAST and exists(place):
                    _keep(place, _older(place))
            self._lost = False
        except (RunError, InputError) as error:
            self._lost = True
            rank_zero_warn(f"{error}; the training goes on, and the checkpoint before is as it was")

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint, but not for one that could not be written."""
        if not self._lost:
            super().remove_checkpoint(path)

    def load_checkpoint(
        self, path: str | Path, map_location: Callable[..., Any] | None = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read a checkpoint; no code in it is run.

        Raises:
            InputError: for a file that is none, with the older one that there is.
        """
        place = str(path)
        handed_back = name_of(place) == ".temp.ckpt"  # weights of a forked process, as Lightning's launcher returns them
        state = _unpickled(place, map_location or (lambda storage, _: storage))
        return state if handed_back else _checked(state, place)


def _keep(place: str, name: str) -> None:
    """Give a file a second name in place of another; where there are no links, its name moves, and a store copies it."""
    if is_address(place):
        copy(place, name)
        return
    path, other = Path(place), Path(name)
    try:
        with contextlib.suppress(FileNotFoundError):
            other.unlink()
        os.link(path, other)
    except OSError:
        path.replace(other)


def _older(place: str) -> str:
    return join(parent_of(place), BEFORE_LAST)


def find_checkpoint(name: str, run: str | Path) -> str:
    """Return the place of the file that ``last``, ``best`` or a place stand for.

    Raises:
        InputError: if there is none.
        RunError: for a store that does not answer.
    """
    if name not in ("last", "best"):
        if not _is_file(name):
            raise InputError(f"no checkpoint {name!r}")
        return name
    path = join(run, "checkpoints", f"{name}.ckpt")
    if not _is_file(path):
        where = f"there is no {path}; {argument('run')} names the folder of the run"
        raise InputError(f"nothing to resume: {where}{_advice(path)}")
    return path


def pick_run(base: Path, resumed: bool) -> Path:
    """Return a folder for a training that has no name of its own: ``base``, ``base-2``, ``base-3`` and so on.

    Args:
        base: the first of them.
        resumed: whether the training goes on, in the latest folder with checkpoints; else the next one is taken.
    """
    folders = [base, *(base.with_name(f"{base.name}-{number}") for number in range(2, 10_000))]
    used = list(itertools.takewhile(_is_used, folders))
    if resumed:
        return next((run for run in reversed(used) if _has_checkpoints(run)), base)
    return folders[len(used)]


def _is_file(place: str) -> bool:
    if not is_address(place):
        return Path(place).is_file()  # and no pipe, which would keep its reader waiting
    return exists(place) and not is_folder(place)


def _is_used(run: str | Path) -> bool:
    return _has_checkpoints(run) or _has_log(run)


def _has_checkpoints(run: str | Path) -> bool:
    folder = join(run, "checkpoints")
    return is_folder(folder) and any(name.endswith(".ckpt") for name in walk(folder))


def _has_log(run: str | Path) -> bool:
    """Return whether a training has logged steps there. One that was refused before its first has an empty log, or none."""
    folder = join(run, "log")
    if not is_folder(folder):
        return False
    logs = [join(folder, name) for name in walk(folder) if name_of(name).startswith("events.out.tfevents")]
    return any(_tells_steps(log) for log in logs)


def _tells_steps(log: str) -> bool:
    with contextlib.suppress(OSError), open_read(log) as file:
        return _LOGGED in file.read(_LOOKED_AT)
    return False


def check_unused(run: str | Path) -> None:
    """Protect an older training from a new one in the same folder.

    Raises:
        InputError: if there is one.
    """
    if _has_checkpoints(run):
        raise InputError(
            f"{run} holds a training already: go on with it by {argument('ckpt_path', 'last')}, or name another folder"
            f" for the new one by {argument('run')}"
        )
    if _has_log(run):
        raise InputError(
            f"{run} holds the log of a training that left no checkpoint: delete {join(run, 'log')}, or name another folder by"
            f" {argument('run')}"
        )


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Return what a checkpoint of a training holds.

    Raises:
        InputError: for a file that is missing or none.
        RunError: for a store that does not answer.
    """
    return _checked(_unpickled(str(path), "cpu"), str(path))


def _unpickled(place: str, map_location: Any) -> Any:
    if not _is_file(place):
        raise InputError(f"no checkpoint {place!r}")
    path = fetched(place)
    try:
        check_archive(path)
        return torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # whatever a reader of pickles and archives makes of foreign bytes
        raise InputError(f"{place} {_what_instead(path)}{_advice(place)}") from error


def _what_instead(path: Path) -> str:
    what = what_is(path)
    if what == "empty":
        return "is empty"
    return f"is no checkpoint of a training, or is damaged{also(what) if what not in _AS_TORCH_WRITES else ''}"


def _checked(state: Any, place: str) -> dict[str, Any]:
    missing = {"state_dict", "loops", "optimizer_states", "lr_schedulers"} - (set(state) if isinstance(state, dict) else set())
    if missing:
        raise InputError(f"{place} holds no training to go on with: it lacks {', '.join(sorted(missing))}{_advice(place)}")
    parts = {part: state[part] for part in _TRAINED if part in state}
    try:
        check_claims(place, _tensors(state))  # before anything is looked at: what claims gigabytes would become them
        check_tensors(place, _tensors(parts))
    except InputError as error:
        raise InputError(f"{error}{_advice(place)}") from error
    broken = first_not_finite(_tensors(parts))
    if broken is not None:
        raise InputError(f"{place} holds numbers that are not finite ({one_line(broken, 80)}){_advice(place)}")
    return dict(state)


def _tensors(state: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in nested containers, with the names that lead to them; a container is looked into once, though it may
    hold itself."""
    seen: set[int] = set()
    waiting = [(name, state)]
    while waiting:
        name, found = waiting.pop()
        if isinstance(found, Tensor):
            yield name, found
        elif isinstance(found, dict | list | tuple) and id(found) not in seen:
            seen.add(id(found))
            inside = list(found.items() if isinstance(found, dict) else enumerate(found))
            waiting += [(f"{name}/{key}" if name else str(key), value) for key, value in reversed(inside)]


def describe_misfit(place: str, error: Exception) -> str:
    """Return a line for a checkpoint whose parts are of other kinds than a training's, with the older one that there is."""
    return f"{place} does not fit this training, or is damaged ({one_line(error, 120)}){_advice(place)}"


def _advice(place: str) -> str:
    if name_of(place) != LAST or not _is_file(_older(place)):
        return ""
    return f"; there is an older one: {argument('ckpt_path', _older(place))}"


class BestCheckpoint(ModelCheckpoint):
    """The weights with the lowest objective on held-out photos; a class of its own leaves room for a person's own."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder, "best", monitor="val/objective", enable_version_counter=False)


class LastCheckpoint(Checkpoint):
    """``last.ckpt``: every few steps, before each validation, when the training ends or is stopped.

    Args:
        folder: folder of the file.
        every: steps between two of them.
        steps: the callback that knows whether a step is finished.
    """

    def __init__(self, folder: str, every: int, steps: FinishedSteps) -> None:
        self.path, self.every, self.steps = join(folder, LAST), every, steps
        self.saved = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that nothing is new yet."""
        self.saved = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Save every few steps."""
        if self.steps.whole and trainer.global_step % self.every == 0:
            self._save(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save before each validation, as averaged weights then stand in for the others."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the end, as a training that came to its end can be made longer."""
        self._save(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Keep what is whole. Processes that do not stop together would wait for each other."""
        together = trainer.world_size == 1 or self.steps.asked
        if self.steps.whole and together and trainer.training:
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        if trainer.global_step != self.saved and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            trainer.save_checkpoint(self.path)
            self.saved = trainer.global_step  # not before: an interrupt in the midst of a save leaves it to be done again
