"""Run ``stylenet train``: from a painting and photos to a style file, by LightningCLI."""

from __future__ import annotations

import datetime
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from jsonargparse import capture_parser
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger

from stylenet.commands.parsing import VerbMixin, also_called, parsing
from stylenet.devices import gains_from_bf16, keep_freed_memory, pick_device, versions
from stylenet.durations import clock
from stylenet.errors import InputError, RunError
from stylenet.files import check_writable, sha256
from stylenet.logs import quiet_lightning
from stylenet.network.cards import Card
from stylenet.network.styles import save_look, save_style
from stylenet.training.averaging import AveragedWeights
from stylenet.training.callbacks import BudgetEnd, Previews, TrainingProgress, photos_a_step
from stylenet.training.data import PhotoDataModule
from stylenet.training.module import StyleTraining

# When neither steps, epochs nor a time are given.
DEFAULT_STEPS = 4000

# What people type most, without the group that it belongs to.
_SHORT = {
    "--model.style": "--style",
    "--data.photos": "--photos",
    "--model.network": "--network",
    "--model.budget": "--budget",
    "--model.init": "--init",
    "--trainer.max_steps": "--steps",
}

_COMMON = (
    "style",
    "photos",
    "output",
    "budget",
    "steps",
    "network",
    "init",
    "recipe",
    "model.style_size",
    "model.loss.style_weight",
    "data.batch_size",
    "trainer.devices",
    "ckpt_path",
)
_EXAMPLES = (
    "stylenet train --style painting.jpg --photos photos --budget 30m --output my_style.safetensors",
    "stylenet train --recipe default --style painting.jpg --photos train2017.zip --trainer.devices 2",
)


class TrainParser(VerbMixin, LightningArgumentParser):  # type: ignore[misc]
    """Lightning's parser with the short help, flags and recipes of all verbs."""

    common, examples = _COMMON, _EXAMPLES


class TrainCLI(LightningCLI):
    """Lightning's own command line, with what a style needs beside model, data and trainer."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add options that belong to no class."""
        assert isinstance(parser, TrainParser)
        for name, short in _SHORT.items():
            also_called(parser, name, short)
        parser.add_recipes("train")
        parser.add_argument("--output", type=str, help="Style file to write; RUN/NAME.safetensors by default.")
        parser.add_argument("--name", type=str, help="Name of the style; that of its picture by default.")
        parser.add_argument("--credit", type=str, default="", help="Painter, title, year: goes into the style's card.")
        parser.add_argument("--run", type=str, help="Folder for log and checkpoints; runs/NAME by default.")
        parser.add_argument("--ckpt_path", type=str, help="Checkpoint to resume from; 'last' takes the run's own last one.")
        parser.add_argument(
            "--ema", type=float, default=0.995, help="Decay of the averaged weights, after a while; 0 for none."
        )
        parser.add_argument("--checkpoint_every", type=int, default=200, help="Steps between checkpoints to resume from.")

    def before_instantiate_classes(self) -> None:
        """Settle names and folders."""
        config = self.config
        styles = config.model.style if isinstance(config.model.style, list) else [config.model.style]
        config.name = config.name or Path(styles[0]).stem
        config.run = config.run or str(Path("runs") / config.name)
        config.output = config.output or str(Path(config.run) / f"{config.name}.safetensors")
        if Path(config.output).suffix != ".safetensors":
            raise InputError(f"a style is written as .safetensors: change the ending of {config.output}")
        if not 0 <= config.ema < 1:
            raise InputError(f"ema is {config.ema}: it must be 0 or more, and below 1")
        check_writable(Path(config.output))
        ends = (config.trainer.max_steps != -1, config.trainer.max_epochs != -1, config.trainer.max_time, config.model.budget)
        if not any(ends):
            config.trainer.max_steps = DEFAULT_STEPS

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build a trainer with checkpoints, averaged weights, previews and the progress line."""
        config, folder = self.config, Path(self.config.run) / "checkpoints"
        callbacks: list[Callback] = [
            TrainingProgress(),
            Previews(),
            BudgetEnd(),
            ModelCheckpoint(folder, "best", monitor="val/objective", enable_version_counter=False),
            ModelCheckpoint(
                folder,
                "last",
                every_n_train_steps=config.checkpoint_every,
                save_on_exception=True,
                enable_version_counter=False,
            ),
        ]
        if config.ema:
            callbacks.append(AveragedWeights(config.ema))
        self.trainer_defaults["callbacks"] = callbacks
        if config.trainer.logger is not False:
            callbacks.append(LearningRateMonitor("step"))
        if config.trainer.logger is None:
            kwargs["logger"] = TensorBoardLogger(config.run, name=None, version="log")
        return super().instantiate_trainer(**kwargs)


def run(words: list[str]) -> int:
    """Train a style as the words of the command line say, and return the exit code."""
    train(words)
    return 0


def train(words: list[str]) -> str:
    """Train a style as the words of the command line say.

    Returns:
        The path of the style file.

    Raises:
        InputError: for wrong options, pictures or photos.
        RunError: if the gradients stay not finite; the style is then written with the weights from before.
    """
    quiet_lightning()
    keep_freed_memory()
    return _fit(parse(words))


def parse(words: list[str]) -> TrainCLI:
    """Build model, data and trainer as the words of the command line say.

    Raises:
        InputError: for words that are not understood.
    """
    with parsing():
        return _cli(words)


def make_parser() -> TrainParser:
    """Return the parser of the command, which Lightning makes on its way to a training."""
    return cast(TrainParser, capture_parser(_cli, []))


def _cli(words: list[str]) -> TrainCLI:
    return TrainCLI(
        StyleTraining,
        PhotoDataModule,
        run=False,
        args=words,
        save_config_callback=None,
        load_from_checkpoint_support=False,
        auto_configure_optimizers=False,
        seed_everything_default=0,
        parser_class=TrainParser,
        parser_kwargs={
            "prog": "stylenet train",
            "description": "Trains a network on a style, for real-time use on any photo.",
            "default_env": False,
        },
        trainer_defaults={
            "precision": "bf16-mixed" if gains_from_bf16(pick_device()) else "32-true",
            "max_steps": -1,
            "max_epochs": -1,
            "val_check_interval": 500,
            "check_val_every_n_epoch": None,
            "num_sanity_val_steps": 0,
            "gradient_clip_val": 1.0,
            "log_every_n_steps": 10,
            "enable_model_summary": False,
        },
    )


def _fit(cli: TrainCLI) -> str:
    module, data, trainer, config = cli.model, cli.datamodule, cli.trainer, cli.config
    _check_checkpoint(config.ckpt_path, Path(config.run))
    try:
        trainer.fit(module, datamodule=data, ckpt_path=config.ckpt_path, weights_only=True)
    except SystemExit as error:  # what Lightning makes of Ctrl-C, after it has written a checkpoint
        raise KeyboardInterrupt(f"interrupted: go on with --run {config.run} --ckpt_path last") from error
    seconds = time.monotonic() - (module.began or time.monotonic())
    metrics = trainer.validate(module, datamodule=data, verbose=False)[0]
    if trainer.is_global_zero:
        _save(module, _card(cli, seconds, metrics), config.output)
        print(f"{config.output}: {trainer.global_step} steps in {clock(seconds)}, {_summary(metrics)}")
    if module.broken:
        raise RunError(f"{module.broken} ({config.output})")
    return str(config.output)


def _save(module: StyleTraining, card: Card, path: str) -> None:
    """Write what was learnt: a look, or a network with its looks, if it has any."""
    learns = module.hparams["learns"]
    if learns != "all" and module.init is not None:
        save_look(module.network, learns, module.init, card, path)
    else:
        save_style(module.worn_network(), card, path, grams=module.style_grams(), looks=module.looks)


def _check_checkpoint(path: str | None, run: Path) -> None:
    if path == "last" and not (run / "checkpoints" / "last.ckpt").is_file():
        raise InputError(f"nothing to resume: there is no {run}/checkpoints/last.ckpt; --run names the folder of the run")
    if path not in (None, "last", "best") and not Path(str(path)).is_file():
        raise InputError(f"no checkpoint {path!r}")


def _card(cli: TrainCLI, seconds: float, metrics: Any) -> Card:
    module, data, trainer, config = cli.model, cli.datamodule, cli.trainer, cli.config
    return Card(
        name=config.name,
        style=[{"file": Path(path).name, "sha256": sha256(path)} for path in module.styles],
        credit=config.credit,
        loss=asdict(module.loss_settings),
        training={
            "steps": trainer.global_step,
            "batch": photos_a_step(trainer),
            "size": data.size,
            "half_size": module.hparams["half_size"],
            "margin": module.hparams["margin"],
            "init": Path(module.init).stem if module.init else None,  # no path of this machine
            "nearest": module.nearest,
            "learns": module.hparams["learns"],
            "style_size": module.hparams["style_size"],
            "optimizer": module.hparams["optimizer"],
            "learning_rate": module.learning_rate,
            "schedule": module.schedule,
            "ema": config.ema,
            "precision": str(trainer.precision),
            "device": module.device.type,
            "seconds": round(seconds),
            "skipped_steps": module.bad_steps,
        },
        data=data.fingerprint,
        metrics={name: round(float(value), 5) for name, value in metrics.items()},
        versions=versions(),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )


def _summary(metrics: Any) -> str:
    names = {"val/objective": "objective", "val/style_held_out": "style error at layers not trained on"}
    return ", ".join(f"{title} {metrics[name]:.4g}" for name, title in names.items() if name in metrics)
