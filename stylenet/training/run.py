"""Train a style from start to file: names and folders, the trainer, the card."""

from __future__ import annotations

import logging
import random
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.seed import isolate_rng

from stylenet.devices import gains_from_bf16, pick_device
from stylenet.errors import InputError, Interrupted, RunError, argument
from stylenet.images.picture import PictureLike, as_picture, write_image
from stylenet.logs import quiet_lightning
from stylenet.modes import guest
from stylenet.network.cards import Card
from stylenet.network.look_files import find_body
from stylenet.network.looks import Learns
from stylenet.network.styles import Style, add_metrics, load_style
from stylenet.network.transform_net import NetSettings, Preset
from stylenet.storage import check_apart, check_writable, exists, join
from stylenet.training.alone import alone_in
from stylenet.training.callbacks import StyleWriter
from stylenet.training.checkpoints import LAST, check_unused, describe_misfit, find_checkpoint, pick_run
from stylenet.training.data import PhotoDataModule
from stylenet.training.module import TRAINING_LOSS, StyleTraining
from stylenet.training.saving import save
from stylenet.training.steps import FinishedSteps
from stylenet.training.trainer_options import check_left_by_lightning, check_trainer, complete

# When neither steps, epochs nor a time are given.
DEFAULT_STEPS = 4000


class Session(Protocol):
    """The parts of a training: the command line makes one, and so does :func:`train`."""

    @property
    def model(self) -> StyleTraining: ...

    @property
    def datamodule(self) -> PhotoDataModule: ...

    @property
    def trainer(self) -> Trainer: ...

    @property
    def config(self) -> Any:
        """Return names and folders: the fields of :class:`RunSettings`."""
        ...


@dataclass
class RunSettings:
    """Names, folders and what belongs to a training beside its model, its photos and its trainer.

    Attributes:
        name: name of the style; that of its picture by default.
        run: folder for log and checkpoints, also in a store; ``runs/NAME`` by default.
        output: style file to write; ``RUN/NAME.safetensors`` by default.
        credit: painter, title, year, for the style's card.
        ckpt_path: checkpoint to resume from; ``last`` takes the run's own last one.
        ema: decay of the averaged weights, 0 for none.
        checkpoint_every: steps between checkpoints.
    """

    name: str | None = None
    run: str | None = None
    output: str | None = None
    credit: str = ""
    ckpt_path: str | None = None
    ema: float = 0.995
    checkpoint_every: int = 200


def trainer_defaults() -> dict[str, Any]:
    """Return the options of Lightning's trainer that a training begins with."""
    return {
        "precision": "bf16-mixed" if gains_from_bf16(pick_device()) else "32-true",
        "max_steps": -1,
        "max_epochs": -1,
        "val_check_interval": 500,
        "check_val_every_n_epoch": None,
        "num_sanity_val_steps": 0,
        "gradient_clip_val": 1.0,
        "log_every_n_steps": 10,
        "enable_model_summary": False,
    }


def settle(config: Any, style: str, trainer: Any, budget: object) -> None:
    """Fill in the names and folders that are not given, and the number of steps where nothing else ends the training.

    Args:
        config: the fields of :class:`RunSettings`.
        style: path of the first style picture, or a name for it.
        trainer: options of the trainer, by name.
        budget: time that the training may take.

    Raises:
        InputError: for options under which no style could be learnt or written.
    """
    config.name = config.name or Path(style).stem
    config.run = config.run or str(pick_run(Path("runs") / config.name, resumed=config.ckpt_path is not None))
    config.output = config.output or join(config.run, f"{config.name}.safetensors")
    if Path(config.output).suffix != ".safetensors":
        raise InputError(f"a style is written as .safetensors: change the ending of {config.output}")
    if not 0 <= config.ema < 1:
        raise InputError(f"ema is {config.ema}: it must be 0 or more, and below 1")
    check_trainer(trainer)
    if not trainer.get("fast_dev_run"):  # a dry run writes nothing
        check_writable(config.output)
        check_writable(join(config.run, "checkpoints", LAST))
    ends = (trainer.get("max_steps", -1) != -1, trainer.get("max_epochs", -1) != -1, trainer.get("max_time"), budget)
    if not any(ends):
        trainer["max_steps"] = DEFAULT_STEPS


@dataclass(eq=False)
class _Session:
    """A training from Python."""

    model: StyleTraining
    datamodule: PhotoDataModule
    config: RunSettings
    options: dict[str, Any]

    def __post_init__(self) -> None:
        added, callbacks = complete(self.options, self.config, StyleWriter(partial(save, self)))
        own = self.options.get("callbacks") or []
        callbacks += own if isinstance(own, list) else [own]
        try:
            self.trainer = Trainer(**{**self.options, **added, "callbacks": callbacks})
        except (MisconfigurationException, ValueError, RuntimeError, TypeError, ImportError) as error:  # as Lightning refuses
            raise InputError(str(error)) from error


@guest
def train(
    style: PictureLike | Sequence[str | Path],
    photos: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    *,
    budget: str | float | None = None,
    steps: int | None = None,
    network: Preset | NetSettings = "standard",
    init: str | Path | None = "body",
    learns: Learns = "all",
    style_size: str | int = 384,
    style_weight: float | None = None,
    size: int = 256,
    batch_size: int = 4,
    name: str | None = None,
    credit: str = "",
    run: str | Path | None = None,
    resume: bool | str | Path = False,
    ema: float = 0.995,
    seed: int = 0,
    model: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    trainer: Mapping[str, Any] | None = None,
) -> Style:
    """Train a network on a style, as ``stylenet train`` does, with the same defaults.

    Args:
        style: the painting: whatever :func:`~stylenet.read_image` takes; or a list of paths.
        photos: folder, zip archive or ``.txt`` list of photos, or several of these.
        output: style file to write; ``RUN/NAME.safetensors`` by default.
        budget: ``15m``: ends in time. Without a budget or steps it takes 4000 steps.
        steps: number of steps.
        network: ``standard``, ``half``, ``quarter``, ``swift``, or the shape of a network.
        init: a trained style or a body to start from, by name or file; ``body`` for the one that comes with stylenet, or None.
        learns: ``all``, ``norms`` or ``norms+ends``.
        style_size: size that the painting is brought to; it decides how large strokes come out.
        style_weight: factor of the style in the loss; the default loss has 7.
        size: side of the photos' crops in pixels.
        batch_size: photos a step.
        name: name of the style; that of its picture by default.
        credit: painter, title, year: goes into the style's card.
        run: folder for log and checkpoints; ``runs/NAME`` by default.
        resume: go on from the run's last checkpoint, or from a file.
        ema: decay of the averaged weights; 0 for none.
        seed: seed of the weights and of the order of the photos.
        model: further arguments of :class:`~stylenet.training.StyleTraining`.
        data: further arguments of :class:`~stylenet.training.PhotoDataModule`.
        trainer: further arguments of ``lightning.Trainer``, such as ``{"devices": 2}``.

    Returns:
        The style as it is in the file.

    Raises:
        InputError: for wrong arguments, pictures or photos.
        Interrupted: after Ctrl-C; ``resume=True`` goes on from there.
        RunError: if the gradients stay not finite; the style is then written with the weights from before.
    """
    several = [str(one) for one in style] if isinstance(style, list | tuple) else None
    first = several[0] if several else str(style) if isinstance(style, str | Path) else "style"
    checkpoint = "last" if resume is True else str(resume) if resume else None
    config = RunSettings(name, _text(run), _text(output), credit, checkpoint, ema)
    options = {**trainer_defaults(), **(trainer or {})}
    options |= {} if steps is None else {"max_steps": steps}
    settle(config, first, options, budget)
    arguments: dict[str, Any] = {"network": network, "init": _text(init), "learns": learns, "style_size": style_size}
    arguments |= {"budget": budget, **(model or {})}
    if style_weight is not None:
        arguments["loss"] = replace(arguments.get("loss", TRAINING_LOSS), style_weight=style_weight)
    sources = [str(one) for one in photos] if isinstance(photos, list | tuple) else str(photos)
    with _isolated(seed), _words_of_train():
        module = StyleTraining(several or _style_file(cast(PictureLike, style), config), **arguments)
        datamodule = PhotoDataModule(sources, **{"size": size, "batch_size": batch_size, "seed": seed, **(data or {})})
        session = _Session(module, datamodule, config, options)
        card = fit(session)
    if card is not None and card.training.get("ended"):
        raise RunError(f"{card.training['ended']} ({config.output})")
    if session.trainer.fast_dev_run:  # type: ignore[attr-defined]
        raise InputError("a dry run writes no style: leave fast_dev_run out")
    return load_style(str(config.output))


@contextmanager
def _words_of_train() -> Iterator[None]:
    """Name :func:`train`'s own argument where the rooms of training name the trainer's."""
    try:
        yield
    except (InputError, Interrupted) as error:
        raise type(error)(str(error).replace(argument("ckpt_path", "last"), "resume=True")) from error


def _text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)


def _style_file(style: PictureLike, settings: RunSettings) -> str:
    """Return the path of the painting; one in memory is kept in the folder of the run, where a resume finds it."""
    if isinstance(style, str | Path):
        return str(style)
    return str(write_image(as_picture(style, "the style picture"), join(str(settings.run), "style.png")))


@contextmanager
def _isolated(seed: int) -> Iterator[None]:
    """Seed every source of random numbers, and put back at the end what Lightning and the training change of a process."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    levels = {name: logging.getLogger(name).level for name in ("lightning.pytorch", "lightning.fabric")}
    benchmark, threads = torch.backends.cudnn.benchmark, torch.get_num_threads()
    with warnings.catch_warnings(), isolate_rng():
        quiet_lightning()
        random.seed(seed)
        np.random.seed(seed)  # Lightning's own seeding does the same
        torch.manual_seed(seed)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])
            torch.backends.cudnn.benchmark = benchmark
            torch.set_num_threads(threads)
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


def fit(session: Session) -> Card | None:
    """Run a training, which writes the style file, and measure the style on held-out photos.

    Returns:
        The card of the style; None after a dry run, which writes nothing, and in all but the first of several processes.

    Raises:
        InputError: for a checkpoint that is not there, a run that is, or one in which another training is at work, and for
            an output that is one of the files which the training reads.
        Interrupted: after Ctrl-C, which leaves a checkpoint.
    """
    module, data, trainer, config = session.model, session.datamodule, session.trainer, session.config
    run, dry = str(config.run), bool(session.trainer.fast_dev_run)  # type: ignore[attr-defined]
    checkpoint = find_checkpoint(config.ckpt_path, run) if config.ckpt_path else None
    if checkpoint is None:
        check_left_by_lightning(trainer)
    if checkpoint is None and not dry:
        check_unused(run)
    photos = data.sources if isinstance(data.sources, list) else [data.sources]
    body = find_body(module.init) if module.init is not None else None
    check_apart(str(config.output), [module.init, body, *module.styles, *photos, checkpoint])
    try:
        with _ctrl_c_given_back(), nullcontext() if dry or not trainer.is_global_zero else alone_in(run):
            trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except (SystemExit, KeyboardInterrupt) as error:  # Lightning makes one of the other, after the callbacks had their say
        written = any(one.written for one in cast(Any, trainer).callbacks if isinstance(one, StyleWriter))
        raise Interrupted(_not_measured(config) if written else _how_to_go_on(run)) from error
    except (AttributeError, LookupError, TypeError, ValueError, RuntimeError, AssertionError) as error:
        begun = any(callback.begun for callback in cast(Any, trainer).callbacks if isinstance(callback, FinishedSteps))
        if checkpoint is None or begun or isinstance(error, InputError | RunError):
            raise
        raise InputError(describe_misfit(checkpoint, error)) from error
    if dry:
        return None
    if trainer.world_size == 1 and any(one.asked for one in cast(Any, trainer).callbacks if isinstance(one, FinishedSteps)):
        raise Interrupted(_not_measured(config))  # asked when the last step was done
    try:
        metrics = _measure(session)
    except (SystemExit, KeyboardInterrupt) as error:
        raise Interrupted(_not_measured(config)) from error
    return add_metrics(config.output, metrics) if trainer.is_global_zero else None


@contextmanager
def _ctrl_c_given_back() -> Iterator[None]:
    """Leave Ctrl-C as it was: Lightning ignores it from an interrupt on, for good where the steps were done by then."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _not_measured(config: Any) -> str:
    return f"interrupted: {config.output} is written, but was not measured"


def _how_to_go_on(run: str) -> str:
    if not exists(join(run, "checkpoints", LAST)):
        return "interrupted: nothing was kept"
    return f"interrupted: go on with {argument('run', run)} {argument('ckpt_path', 'last')}"


def _measure(session: Session) -> dict[str, float]:
    """Return the metrics of the result, if held-out photos are looked at."""
    found = (
        session.trainer.validate(session.model, datamodule=session.datamodule, verbose=False)
        if session.trainer.limit_val_batches
        else []
    )
    return {name: round(float(value), 5) for name, value in found[0].items()} if found else {}
