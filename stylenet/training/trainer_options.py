"""Lightning's Trainer as ``stylenet train`` makes it: what is added to a person's options, and which cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ProgressBar
from lightning.pytorch.plugins import CheckpointIO, MixedPrecision, Precision
from lightning.pytorch.plugins.io.wrapper import _WrappingCheckpointIO

from stylenet.errors import InputError, argument
from stylenet.storage import is_address, join
from stylenet.training.averaging import AveragedWeights
from stylenet.training.callbacks import BudgetEnd, Previews, StyleWriter
from stylenet.training.checkpoints import BestCheckpoint, CheckpointFiles, LastCheckpoint
from stylenet.training.log import TrainingLog
from stylenet.training.progress_line import TrainingProgress
from stylenet.training.steps import FinishedSteps

# Types to compute in, with the names that Lightning has for each.
_PRECISIONS = {
    "32-true": ("32-true", "32", 32),
    "bf16-mixed": ("bf16-mixed", "bf16"),
    "16-mixed": ("16-mixed", "16", 16),
}

_ONE_PROCESS_OR_DDP = "auto, ddp (several devices or machines), or ddp_fork"

# Callbacks of Lightning that would change what a training learns behind its back, and what to do instead.
_CALLBACKS = {
    "BaseFinetuning": "what learns is chosen by the option learns of the model",
    "BatchSizeFinder": "it would try batches before the loss is set up: give batch_size itself",
    "LearningRateFinder": "it would try rates on the training itself: give learning_rate",
    "ModelPruning": "a style of single weights left out is no smaller: take a smaller network",
}
_AVERAGES = ("WeightAveraging", "StochasticWeightAveraging")

# Least values of options that Lightning does not check, though it divides by them or ignores them.
_LEAST = {"accumulate_grad_batches": 1, "gradient_clip_val": 0}

# Options of what is no part of a training: they would be taken, and do nothing.
_OF_OTHERS = {
    "limit_test_batches": "a training tests nothing; held-out photos are limited by limit_val_batches",
    "limit_predict_batches": "a training predicts nothing; photos are styled by stylenet stylize",
    "model_registry": "nothing is uploaded; the style file is the model",
}

# Ends of a training, none of which may be nothing at all.
_LENGTHS = ("max_steps", "max_epochs", "limit_train_batches")


def check_trainer(options: Any) -> None:
    """Refuse options of the Trainer under which no style can be learnt.

    Args:
        options: by name, as they were given.

    Raises:
        InputError: for one of them.
    """
    for name in _LENGTHS:
        if options.get(name) == 0:
            raise InputError(f"trainer.{name} is 0: nothing would be learnt, and no style written")
    for name in ("val_check_interval", "check_val_every_n_epoch"):
        if options.get(name) == 0:
            raise InputError(f"trainer.{name} is 0: for no validation at all take limit_val_batches 0")
    for name, reason in _OF_OTHERS.items():
        if options.get(name) is not None:
            raise InputError(f"trainer.{name} does nothing here: {reason}")
    for name, least in _LEAST.items():
        value = options.get(name)
        if value is not None and not value >= least:  # nan is not
            raise InputError(f"trainer.{name} is {value}: it must be {least} or more")
    precision = options.get("precision")
    if precision is not None and not _known(precision):
        raise InputError(
            f"trainer.precision is {precision!r}: use {', '.join(_PRECISIONS)}; weights are kept in float32, as the small steps"
            " of a training are lost in 16 bits, and the loss network has no more"
        )
    strategy = options.get("strategy")
    name = strategy if isinstance(strategy, str) else _name_of_class(strategy)
    if not isinstance(strategy, str | None) and name not in ("DDPStrategy", "SingleDeviceStrategy"):
        raise InputError(f"trainer.strategy is {name}: use {_ONE_PROCESS_OR_DDP}")
    if (isinstance(strategy, str) and strategy != "auto" and not strategy.startswith("ddp")) or "spawn" in name:
        raise InputError(
            f"trainer.strategy is {name!r}: use {_ONE_PROCESS_OR_DDP}; the networks are small, and each process has all of it"
        )


def _name_of_class(one: object) -> str:
    """Return the name of the class of an object, or of one that is still to be made as the command line asks for it."""
    return str(getattr(one, "class_path", type(one).__name__)).rpartition(".")[2]


def _check_made(strategy: object, plugins: list[Any]) -> None:
    """Refuse objects that do what the option of a plain name refuses."""
    start = getattr(strategy, "_start_method", "popen")
    if start not in ("popen", "fork"):
        raise InputError(f"trainer.strategy starts processes by {start!r}: use {_ONE_PROCESS_OR_DDP}")
    for plugin in [*plugins, getattr(strategy, "_precision_plugin", None)]:
        if isinstance(plugin, Precision) and (type(plugin) not in (Precision, MixedPrecision) or not _known(plugin.precision)):
            name = type(plugin).__name__
            raise InputError(f"trainer.plugins has {name}: leave it out, and use trainer.precision, {', '.join(_PRECISIONS)}")
        if isinstance(plugin, SLURMEnvironment) and plugin.auto_requeue:
            raise InputError(
                f"trainer.plugins has {type(plugin).__name__}, which would save in the midst of a step: give it auto_requeue"
                f" false, and go on by {argument('ckpt_path', 'last')}"
            )


def _known(precision: object) -> bool:
    return any(precision in names for names in _PRECISIONS.values())


def _with_own_files(plugins: list[Any]) -> list[Any]:
    """Return plugins with our way to files, inside of what wraps another one.

    Raises:
        InputError: for another way to files.
    """
    found = [plugin for plugin in plugins if isinstance(plugin, CheckpointIO)]
    if not found:
        return [*plugins, CheckpointFiles()]
    for plugin in found:
        inner = plugin
        while isinstance(inner, _WrappingCheckpointIO) and inner.checkpoint_io is not None:
            inner = inner.checkpoint_io
        if isinstance(inner, _WrappingCheckpointIO):
            inner.checkpoint_io = CheckpointFiles()
        elif not isinstance(inner, CheckpointFiles):
            raise InputError(
                f"trainer.plugins has {type(inner).__name__}: checkpoints are written whole or not at all, by a way of their"
                " own; leave it out"
            )
    return plugins


def _in_slurm(strategy: object, plugins: list[Any]) -> bool:
    """Return whether Lightning would find by itself that Slurm has started this process."""
    given = any(isinstance(plugin, ClusterEnvironment) for plugin in plugins) or getattr(strategy, "cluster_environment", None)
    return not given and not TorchElasticEnvironment.detect() and SLURMEnvironment.detect()


def check_left_by_lightning(trainer: Trainer) -> None:
    """Refuse to go on from a checkpoint that nobody asked for: Lightning does under Slurm, from the folder it is started in.

    Raises:
        InputError: naming the checkpoint.
    """
    folder = str(trainer.default_root_dir)
    if is_address(folder) or not SLURMEnvironment.detect():
        return
    for path in sorted(Path(folder).glob("hpc_ckpt_*.ckpt")):
        raise InputError(
            f"Lightning would go on from {path} under Slurm: move it away, or go on from it by"
            f" {argument('ckpt_path', str(path))}"
        )


def _check_callbacks(callbacks: list[Callback], ema: float) -> None:
    for callback in callbacks:
        kinds = [kind.__name__ for kind in type(callback).__mro__]
        for name in _CALLBACKS.keys() & set(kinds):
            raise InputError(f"trainer.callbacks has {kinds[0]}: {_CALLBACKS[name]}")
        if ema and any(name in kinds for name in _AVERAGES):
            raise InputError(f"trainer.callbacks has {kinds[0]}, and weights are averaged already: add {argument('ema', 0)}")


def complete(options: dict[str, Any], config: Any, writer: StyleWriter) -> tuple[dict[str, Any], list[Callback]]:
    """Return what is to be set beside a person's own options of the Trainer, and the callbacks to be added to theirs.

    Args:
        options: theirs, with classes made.
        config: all options of the command.
        writer: what writes the style at the end.

    Raises:
        InputError: for a callback, a strategy or a plugin that no style can be learnt with.
    """
    dry, bare = bool(options.get("fast_dev_run")), bool(options.get("barebones"))
    own = options.get("callbacks") or []
    own = own if isinstance(own, list) else [own]
    _check_callbacks(own, config.ema)
    added: dict[str, Any] = {}
    callbacks: list[Callback] = [AveragedWeights(config.ema)] if config.ema else []
    steps = FinishedSteps()  # after the average, which belongs to a step
    callbacks += [steps, BudgetEnd(), writer]
    if options.get("enable_progress_bar") is not False and not bare and not any(isinstance(c, ProgressBar) for c in own):
        callbacks.append(TrainingProgress())
    if options.get("enable_checkpointing") is not False and not bare:
        folder = join(config.run, "checkpoints")
        callbacks += [BestCheckpoint(folder), LastCheckpoint(folder, config.checkpoint_every, steps)]
    if bare:
        added |= {"log_every_n_steps": None, "enable_model_summary": None, "num_sanity_val_steps": None}
    elif options.get("logger") is None and not dry:
        added["logger"] = TrainingLog(config.run, name=None, version="log")
    if added.get("logger", options.get("logger")) and not dry:
        callbacks += [Previews(), LearningRateMonitor("step")]
    plugins = options.get("plugins") or []
    plugins = list(plugins) if isinstance(plugins, list) else [plugins]
    strategy = options.get("strategy")
    _check_made(strategy, plugins)
    added["plugins"] = _with_own_files(plugins)
    if _in_slurm(strategy, plugins):  # its own handler of signals would save in the midst of a step
        added["plugins"].append(SLURMEnvironment(auto_requeue=False))
    return added, callbacks
