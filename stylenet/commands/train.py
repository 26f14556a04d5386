"""Run ``stylenet train``: from a painting and photos to a style file, by LightningCLI."""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, cast

from jsonargparse import capture_parser
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from stylenet.commands.parsing import VerbMixin, also_called, parsing
from stylenet.commands.trainer_options import check_trainer, complete
from stylenet.devices import gains_from_bf16, keep_freed_memory, pick_device, versions
from stylenet.durations import clock
from stylenet.errors import InputError, RunError
from stylenet.files import check_writable
from stylenet.logs import quiet_lightning
from stylenet.network.cards import Card
from stylenet.network.styles import add_metrics, save_look, save_style
from stylenet.training.callbacks import StyleWriter, photos_a_step
from stylenet.training.checkpoints import LAST, check_unused, find_checkpoint, pick_run
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

# Names before, which recipes may have.
_FORMER = {"--model.style_shares": "--model.style_weights", "--model.coarse_share": "--model.half_size"}

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


# What can be given more than once, or with several values, by the name that it is known under.
_SEVERAL = {
    "--style": "--style",
    "--model.style": "--style",
    "--photos": "--photos",
    "--data.photos": "--photos",
    "--data.val_photos": "--data.val_photos",
}


class TrainCLI(LightningCLI):
    """Lightning's own command line, with what a style needs beside model, data and trainer."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add options that belong to no class."""
        assert isinstance(parser, TrainParser)
        for name, other in [*_SHORT.items(), *_FORMER.items()]:
            also_called(parser, name, other)
        parser.add_recipes("train")
        parser.add_argument("--output", type=str, help="Style file to write; RUN/NAME.safetensors by default.")
        parser.add_argument("--name", type=str, help="Name of the style; that of its picture by default.")
        parser.add_argument("--credit", type=str, default="", help="Painter, title, year: goes into the style's card.")
        parser.add_argument("--run", type=str, help="Folder for log and checkpoints; runs/NAME by default, then runs/NAME-2.")
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
        config.run = config.run or str(pick_run(Path("runs") / config.name, resumed=config.ckpt_path is not None))
        config.output = config.output or str(Path(config.run) / f"{config.name}.safetensors")
        if Path(config.output).suffix != ".safetensors":
            raise InputError(f"a style is written as .safetensors: change the ending of {config.output}")
        if not 0 <= config.ema < 1:
            raise InputError(f"ema is {config.ema}: it must be 0 or more, and below 1")
        check_trainer(config.trainer)
        if not config.trainer.fast_dev_run:  # a dry run writes nothing
            check_writable(Path(config.output))
            check_writable(Path(config.run) / "checkpoints" / LAST)
        ends = (config.trainer.max_steps != -1, config.trainer.max_epochs != -1, config.trainer.max_time, config.model.budget)
        if not any(ends):
            config.trainer.max_steps = DEFAULT_STEPS

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build a trainer with checkpoints, averaged weights, previews, the progress line, and what writes the style."""
        options = dict(self.config_init.trainer)
        added, callbacks = complete(options, self.config, StyleWriter(partial(_save, self)))
        self.trainer_defaults["callbacks"] = callbacks
        try:
            return super().instantiate_trainer(**{**kwargs, **added})
        except (MisconfigurationException, ValueError, RuntimeError) as error:  # options that do not go together
            raise InputError(str(error)) from error


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
        return _cli(_gathered(words))


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
    run, dry = Path(config.run), bool(cli.trainer.fast_dev_run)  # type: ignore[attr-defined]
    checkpoint = find_checkpoint(config.ckpt_path, run) if config.ckpt_path else None
    if checkpoint is None and not dry:
        check_unused(run)
    try:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except (SystemExit, KeyboardInterrupt) as error:  # Lightning makes one of the other, after the callbacks had their say
        raise KeyboardInterrupt(_how_to_go_on(run)) from error
    if dry:
        print("the dry run went well; it wrote nothing")
        return ""
    try:
        metrics = _measure(cli)
    except (SystemExit, KeyboardInterrupt) as error:
        raise KeyboardInterrupt(f"interrupted: {config.output} is written, but was not measured") from error
    if trainer.is_global_zero:
        _tell(add_metrics(config.output, metrics), config.output)
    return str(config.output)


def _how_to_go_on(run: Path) -> str:
    if not (run / "checkpoints" / LAST).is_file():
        return "interrupted: nothing was kept"
    return f"interrupted: go on with --run {run} --ckpt_path last"


def _measure(cli: TrainCLI) -> dict[str, float]:
    """Return the metrics of the result, if held-out photos are looked at."""
    found = cli.trainer.validate(cli.model, datamodule=cli.datamodule, verbose=False) if cli.trainer.limit_val_batches else []
    return {name: round(float(value), 5) for name, value in found[0].items()} if found else {}


def _tell(card: Card, path: str) -> None:
    training = card.training
    length = f"{training['steps']} steps in {clock(training['seconds'])}"
    print(f"{path}: {', '.join([length, *_summary(card.metrics)])}")
    if training.get("ended"):
        raise RunError(f"{training['ended']} ({path})")


def _save(cli: TrainCLI) -> None:
    """Write what was learnt: a look, or a network with its looks, if it has any."""
    module, card, path = cli.model, _card(cli), cli.config.output
    learns = module.hparams["learns"]
    if learns != "all" and module.init is not None:
        save_look(module.network, learns, module.init, card, path)
    else:
        save_style(module.worn_network(), card, path, grams=module.style_grams(), looks=module.looks)


def _card(cli: TrainCLI) -> Card:
    module, data, trainer, config = cli.model, cli.datamodule, cli.trainer, cli.config
    return Card(
        name=config.name,
        style=module.style_files,
        credit=config.credit,
        loss=asdict(module.loss_settings),
        training={
            "steps": trainer.global_step,
            "batch": photos_a_step(trainer),
            "size": data.size,
            "coarse_share": module.hparams["coarse_share"],
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
            "device": trainer.strategy.root_device.type,
            "seconds": round(module.seconds),
            "skipped_steps": module.bad_steps,
            **({"changes": module.changes} if module.changes else {}),
            **({"ended": module.broken} if module.broken else {}),
        },
        data=data.fingerprint,
        versions=versions(),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )


def _summary(metrics: dict[str, float]) -> list[str]:
    names = {"val/objective": "objective", "val/style_held_out": "style error at layers not trained on"}
    return [f"{title} {metrics[name]:.4g}" for name, title in names.items() if name in metrics]


def _gathered(words: list[str]) -> list[str]:
    """Return the words with the values of an option that takes several as one list, wherever they stand."""
    result: list[str] = []
    several: dict[str, list[str]] = {}
    taking = ""
    for word in words:
        option, equals, value = word.partition("=")
        if not word.startswith("--"):
            (several[taking] if taking else result).append(word)
            continue
        taking = _SEVERAL.get(option, "")
        if not taking:
            result.append(word)
        else:
            several.setdefault(taking, []).extend([value] if equals else [])
            taking = "" if equals else taking
    for option, values in several.items():
        result += [option, values[0] if len(values) == 1 else json.dumps(values)] if values else [option]
    return result
