"""Checkpoints of a training as styles: Lightning's files of stylenet's own module, of which the averaged weights are taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylenet.errors import InputError
from stylenet.losses.settings import LossSettings, present_names
from stylenet.network.cards import Card, typed
from stylenet.network.looks import Looks, no_looks, wear_look
from stylenet.network.transform_net import PRESETS, NetSettings, TransformNet
from stylenet.tensor_files import check_finite, check_tensors

_NETWORK, _TABLE = "network.", "looks.table"

# Where a checkpoint's part about the training has the titles of its looks.
LOOK_TITLES = "looks"

# Where weights are averaged, Lightning keeps those of the last step under this name.
_CURRENT = "current_model_state"


def is_checkpoint(loaded: object) -> bool:
    """Return whether what a file holds is a checkpoint of stylenet's training."""
    if not isinstance(loaded, Mapping) or "pytorch-lightning_version" not in loaded:
        return False
    options, state = loaded.get("hyper_parameters"), loaded.get("state_dict")
    return isinstance(options, Mapping) and "network" in options and isinstance(state, Mapping)


def from_checkpoint(loaded: Any, path: Path) -> tuple[dict[str, Tensor], Card]:
    """Return the weights of a network under our names, and what is known of it as a card.

    Where weights are averaged, the checkpoint's ``state_dict`` holds the average. A training of many looks gives what its
    style file would hold: the body that wears their mean.

    Raises:
        InputError: for a checkpoint whose settings are not of their types.
    """
    options, found = loaded["hyper_parameters"], loaded["state_dict"]
    state = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    check_tensors(path, state)
    if _CURRENT in loaded:
        _check_current(loaded[_CURRENT], state, path)
    try:
        network = options["network"]
        settings = PRESETS[network] if isinstance(network, str) else typed(network, NetSettings)
        loss = typed(present_names(options.get("loss", {})), LossSettings)
    except (LookupError, ValueError) as error:
        raise InputError(f"{path} is a checkpoint of another version of stylenet, or is damaged ({error})") from error
    weights = {name.removeprefix(_NETWORK): value.float() for name, value in state.items() if name.startswith(_NETWORK)}
    if _TABLE in state:
        weights = _wearing_the_mean(weights, state[_TABLE].float(), settings, path)
    return weights, _card(loaded, options, settings, loss, path)


def looks_from_checkpoint(loaded: Any, path: Path) -> Looks:
    """Return the looks in a checkpoint of a training of many; none in another's. Signatures are in style files alone.

    Raises:
        InputError: if the looks do not fit their titles.
    """
    table, titles = loaded["state_dict"].get(_TABLE), _past(loaded).get(LOOK_TITLES)
    if not isinstance(table, Tensor) or titles is None:
        return no_looks()
    check_tensors(path, {_TABLE: table})
    check_finite(path, {_TABLE: table})
    named = isinstance(titles, list) and all(isinstance(title, str) for title in titles)
    if not named or table.dim() != 2 or len(table) != len(titles):
        raise InputError(f"{path} is damaged: its looks do not fit their titles")
    return Looks(titles, table.float(), torch.empty(0, 0))


def _past(loaded: Any) -> Mapping[str, Any]:
    """Return what a checkpoint says of its training."""
    past = loaded.get("training")
    return past if isinstance(past, Mapping) else {}


def _check_current(found: object, averaged: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights beside an average that are not those of the same network, or not finite: then the average is none."""
    current = {str(name): value for name, value in found.items()} if isinstance(found, Mapping) else {}
    shapes = {name: value.shape for name, value in current.items() if isinstance(value, Tensor)}
    if shapes != {name: value.shape for name, value in averaged.items()}:
        raise InputError(f"{path} is damaged: its averaged weights are not those of the network that it has beside them")
    check_tensors(path, current)
    check_finite(path, current)


def _wearing_the_mean(weights: dict[str, Tensor], table: Tensor, settings: NetSettings, path: Path) -> dict[str, Tensor]:
    net = TransformNet(settings)
    try:
        net.load_state_dict(weights)
        return dict(wear_look(net, table.mean(dim=0)).state_dict())
    except (RuntimeError, IndexError) as error:
        raise InputError(f"{path} is damaged: its looks do not fit its network") from error


def _card(loaded: Any, options: Any, settings: NetSettings, loss: LossSettings, path: Path) -> Card:
    named = options.get("style", [])
    styles = [str(style) for style in ([named] if isinstance(named, str) else named if isinstance(named, list) else [])]
    steps, seconds = (loaded.get("global_step"), _past(loaded).get("seconds"))
    about = {"steps": steps, "style_size": options.get("style_size"), "seconds": seconds}
    return Card(
        name=Path(styles[0]).stem if styles else path.stem,
        network=dataclasses.asdict(settings),
        style=[{"file": Path(style).name} for style in styles],
        loss=dataclasses.asdict(loss),
        training={name: value for name, value in about.items() if isinstance(value, int | float | str)},
    )
