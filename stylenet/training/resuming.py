"""A training that goes on: what it was is compared with what is asked for now, and told in the card of the style."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Timer

from stylenet.durations import parse_seconds
from stylenet.errors import InputError, argument
from stylenet.losses.settings import LossSettings, present_names
from stylenet.storage import exists, name_of
from stylenet.storage.places import is_web
from stylenet.storage.reading import hash_of
from stylenet.training.averaging import AveragedWeights
from stylenet.training.notes import say

# Settings that weights, the optimizer's state or the place in the photos depend on: a resumed training cannot change them.
_FIXED = {
    *("model.style", "model.several", "model.network", "model.init", "model.body", "model.learns", "model.optimizer"),
    *("data.photos", "data.sizes", "data.batch_size", "trainer.processes", "trainer.accumulate_grad_batches", "averaged"),
}

# Options that are not compared: compile changes no result, and leave_out shows itself in the list of style pictures.
_OPTIONS = ("leave_out", "compile")


def describe_styles(paths: list[str]) -> list[dict[str, str]]:
    """Return name and SHA-256 of style pictures, for the card; an http(s) address has no file to hash."""
    return [
        {"file": path, "sha256": ""} if is_web(path) or not exists(path) else {"file": name_of(path), "sha256": hash_of(path)}
        for path in paths
    ]


def settings_of(options: Mapping[str, Any], styles: list[dict[str, str]], trainer: Trainer) -> dict[str, Any]:
    """Return all that decides how a training goes, as plain values by the name of its option.

    Args:
        options: the module's options by name.
        styles: as returned by :func:`describe_styles`.
        trainer: the trainer, with photos and callbacks set up.
    """
    data = cast(Any, trainer).datamodule
    model = {name: value for name, value in options.items() if name not in _OPTIONS}
    model["style"] = [style["sha256"] or style["file"] for style in styles]
    model["budget"] = parse_seconds(model.get("budget"))
    model["init"] = Path(model["init"]).stem if model["init"] else None
    decay = next((callback.decay for callback in cast(Any, trainer).callbacks if isinstance(callback, AveragedWeights)), 0.0)
    longest = next((callback for callback in cast(Any, trainer).callbacks if isinstance(callback, Timer)), None)
    sizes = {"data.sizes": data.sizes("train"), "data.val_sizes": data.sizes("val")}
    return {
        **{f"model.{name}": value for name, value in model.items()},
        "data.photos": data.fingerprint,
        "data.val_photos": data.val_fingerprint,  # the units of a calibrated loss are measured on them
        **{name: value for name, value in sizes.items() if value is not None},
        **{f"data.{name}": getattr(data, name) for name in ("batch_size", "size", "val_size", "smallest_crop", "seed")},
        "trainer.processes": trainer.world_size,
        "trainer.accumulate_grad_batches": trainer.accumulate_grad_batches,
        "trainer.precision": str(trainer.precision),
        "trainer.gradient_clip_val": trainer.gradient_clip_val,
        "trainer.gradient_clip_algorithm": str(trainer.gradient_clip_algorithm or "norm"),
        "trainer.limit_train_batches": trainer.limit_train_batches,
        "trainer.overfit_batches": trainer.overfit_batches,  # type: ignore[attr-defined]
        "trainer.max_steps": trainer.max_steps,
        "trainer.max_epochs": trainer.max_epochs,
        "trainer.max_time": getattr(longest, "_duration", None),  # in seconds
        "averaged": bool(decay),
        "ema": decay,
    }


def compare_settings(before: Mapping[str, Any], now: Mapping[str, Any], step: int) -> dict[str, Any]:
    """Return what differs from the training that a checkpoint is of, as ``[before, now]`` by option, and say it.

    Raises:
        InputError: for what a training cannot change.
    """
    before = {"model.stability_weight": 0.0, **before}  # older versions had none
    if isinstance(loss := before.get("model.loss"), dict):  # of a version that had other fields, perhaps
        before = {**before, "model.loss": {**asdict(LossSettings()), **present_names(loss)}}
    changed = {name: [before[name], now[name]] for name in now if name in before and before[name] != now[name]}
    # Another body is the answer where nothing else explains it: other options bring another body with them.
    for name in sorted(_FIXED & set(changed), key=lambda name: (name == "model.body", name)):
        raise InputError(_refusal(name, *changed[name]))
    if changed:
        told = ", ".join(f"{name} was {old}, is {new}" for name, (old, new) in changed.items())
        say(f"resumed at step {step} with other settings: {told}")
    return changed


def _refusal(name: str, before: Any, now: Any) -> str:
    ways = "go on with what it had, or begin anew with another"
    ways += f" {argument('run')} (and {argument('init', None, 'model')} for what was learnt)"
    if name == "averaged":
        return f"the checkpoint's training had {'an' if before else 'no'} average of weights ({argument('ema')}): {ways}"
    if name == "model.style":
        return f"the checkpoint is of a training on other style pictures: {ways}"
    if name == "model.body":
        return f"the body that the checkpoint's training began with was replaced by another one of that name: {ways}"
    if name == "data.photos":
        return f"the checkpoint is of a training on other photos ({before}; now {now}): {ways}"
    if name == "data.sizes":
        return f"the checkpoint is of a training on other photos of the same names, as their sizes in bytes tell: {ways}"
    return f"the checkpoint is of a training with {name} {before}, not {now}: {ways}"


def change_rate(checkpoint: dict[str, Any], factor: float) -> None:
    """Multiply the learning rate in the states of optimizers and schedules: without it, the checkpoint's would stay."""
    for optimizer in checkpoint["optimizer_states"]:
        for group in optimizer["param_groups"]:
            group.update({name: group[name] * factor for name in ("lr", "initial_lr") if name in group})
    for schedule in checkpoint["lr_schedulers"]:
        schedule.update({name: [rate * factor for rate in schedule[name]] for name in ("base_lrs", "_last_lr")})
