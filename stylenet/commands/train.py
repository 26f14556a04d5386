"""Run ``stylenet train``: from a painting and photos to a style file, by LightningCLI."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, cast

from jsonargparse import capture_parser
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from stylenet.commands.parsing import VerbMixin, also_called, parsing
from stylenet.commands.telling import tell_result
from stylenet.devices import keep_freed_memory
from stylenet.durations import clock
from stylenet.errors import InputError, RunError
from stylenet.logs import quiet_lightning
from stylenet.network.cards import Card
from stylenet.training.callbacks import StyleWriter
from stylenet.training.data import PhotoDataModule
from stylenet.training.module import StyleTraining
from stylenet.training.run import fit, settle, trainer_defaults
from stylenet.training.saving import save
from stylenet.training.trainer_options import complete

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


# How Lightning refuses options that do not go together, that this machine cannot meet, or whose package is not installed.
_REFUSALS = (MisconfigurationException, ValueError, RuntimeError, TypeError, ImportError)


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
        settle(config, styles[0], config.trainer, config.model.budget)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build a trainer with checkpoints, averaged weights, previews, the progress line, and what writes the style."""
        options = dict(self.config_init.trainer)
        added, callbacks = complete(options, self.config, StyleWriter(partial(save, self)))
        self.trainer_defaults["callbacks"] = callbacks
        try:
            return super().instantiate_trainer(**{**kwargs, **added})
        except _REFUSALS as error:
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
    cli = parse(words)
    card = fit(cli)
    if card is not None:
        _tell(card, cli.config.output)
    elif cli.trainer.fast_dev_run:  # type: ignore[attr-defined]
        print("the dry run went well; it wrote nothing")
        return ""
    return str(cli.config.output)


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
        trainer_defaults=trainer_defaults(),
    )


def _tell(card: Card, path: str) -> None:
    training = card.training
    length = f"{training['steps']} steps in {clock(training['seconds'])}"
    tell_result(f"{path}: {', '.join([length, *_summary(card.metrics)])}")
    if training.get("ended"):
        raise RunError(f"{training['ended']} ({path})")


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
