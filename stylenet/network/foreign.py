"""Read checkpoints of other repositories' transformation networks, which are recognised by their keys.

| repository | keys | what its network works on |
|---|---|---|
| pytorch/examples, ``fast_neural_style`` | ``conv1.conv2d``, ``deconv1.conv2d`` | bytes in and out |
| gordicaleksa, ``pytorch-neural-style-transfer-johnson`` | ``conv1.conv2d``, ``up1.conv2d.conv2d`` | ImageNet mean and std |
| eriklindernoren, ``Fast-Neural-Style-Transfer`` | ``model.0.block.1`` | ImageNet mean and std; ReLU everywhere |
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from stylenet.errors import InputError, one_line
from stylenet.network.transform_net import NetSettings
from stylenet.tensor_files import check_tensors

# Names under which a state dict lies among metadata.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "generator", "transformer")

_OURS = ["down1", "down2", "down3", "up1", "up2", "last"]


def from_foreign(loaded: object, path: Path) -> tuple[dict[str, Tensor], NetSettings, str]:
    """Return the weights under our names, the shape of the network, and the repository, of what a file holds.

    Raises:
        InputError: if it is none of those known.
    """
    state = _without_wrappers(loaded)
    check_tensors(path, state)
    for repository, marker, mapping in (
        ("pytorch/examples", "deconv1.conv2d.weight", _examples_names),
        ("gordicaleksa/pytorch-neural-style-transfer-johnson", "up1.conv2d.conv2d.weight", _gordicaleksa_names),
        ("eriklindernoren/Fast-Neural-Style-Transfer", "model.0.block.1.weight", _eriklindernoren_names),
    ):
        if marker in state:
            return _translate(state, mapping(_count_blocks(state)), path, repository)
    raise InputError(
        f"{path} is no style that is known: expected a file of stylenet, pytorch/examples, gordicaleksa or eriklindernoren;"
        f" {_found(loaded, state)}"
    )


def _found(loaded: object, state: Mapping[str, Tensor]) -> str:
    """Return what there is instead, in words."""
    if state:
        return f"its keys begin with {', '.join(one_line(name, 60) for name in list(state)[:3])}"
    if isinstance(loaded, Mapping) and loaded:
        return f"it holds {', '.join(one_line(name, 60) for name in list(loaded)[:3])}, and no weights"
    return f"it holds a {type(loaded).__name__} without weights"


def _without_wrappers(loaded: object) -> dict[str, Tensor]:
    """Return the state dict inside metadata, without ``module.`` of DataParallel and without the running statistics that
    instance normalisation kept in torch 0.3 and before."""
    for wrapper in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
            break
    if not isinstance(loaded, Mapping):
        return {}
    dropped = ("running_mean", "running_var", "num_batches_tracked")
    return {
        str(name).removeprefix("module."): value
        for name, value in loaded.items()
        if isinstance(value, Tensor) and not str(name).endswith(dropped)
    }


def _count_blocks(state: Mapping[str, Tensor]) -> int:
    by_name = {name.split(".")[0] for name in state if name.startswith("res")}
    by_number = {name.split(".")[1] for name in state if name.startswith("model.") and ".block.0.block.1.weight" in name}
    return len(by_name) or len(by_number)


# Each mapping gives, for our layers, the names of its convolution and normalisation there.
Names = dict[str, tuple[str, str | None]]


def _numbered_names(blocks: int, ups: tuple[str, str, str]) -> Names:
    theirs = ["conv1.conv2d", "conv2.conv2d", "conv3.conv2d", *ups]
    norms = ["in1", "in2", "in3", "in4", "in5", None]
    names: Names = dict(zip(_OURS, zip(theirs, norms, strict=True), strict=True))
    for index in range(blocks):
        for ours, number in (("first", 1), ("second", 2)):
            block = f"res{index + 1}"
            names[f"blocks.{index}.{ours}"] = (f"{block}.conv{number}.conv2d", f"{block}.in{number}")
    return names


def _examples_names(blocks: int) -> tuple[Names, dict[str, Any]]:
    names = _numbered_names(blocks, ("deconv1.conv2d", "deconv2.conv2d", "deconv3.conv2d"))
    return names, {"space": "bytes", "upsample": "nearest"}


def _gordicaleksa_names(blocks: int) -> tuple[Names, dict[str, Any]]:
    names = _numbered_names(blocks, ("up1.conv2d.conv2d", "up2.conv2d.conv2d", "up3.conv2d"))
    return names, {"space": "imagenet", "upsample": "nearest"}


def _eriklindernoren_names(blocks: int) -> tuple[Names, dict[str, Any]]:
    """Return that repository's names. Its blocks test ``self.relu is not None`` where relu is a bool, so that every layer
    ends in a ReLU, the last one too."""
    places = [0, 1, 2, 3 + blocks, 4 + blocks, 5 + blocks]
    names: Names = {
        ours: (f"model.{place}.block.1", None if ours == "last" else f"model.{place}.norm")
        for ours, place in zip(_OURS, places, strict=True)
    }
    for index in range(blocks):
        for number, ours in enumerate(("first", "second")):
            inner = f"model.{3 + index}.block.{number}"
            names[f"blocks.{index}.{ours}"] = (f"{inner}.block.1", f"{inner}.norm")
    return names, {"space": "imagenet", "upsample": "nearest", "residual_relu": True, "output": "relu"}


def _translate(
    state: Mapping[str, Tensor], mapping: tuple[Names, dict[str, Any]], path: Path, repository: str
) -> tuple[dict[str, Tensor], NetSettings, str]:
    names, differences = mapping
    result = {}
    for ours, (conv, norm) in names.items():
        parts: list[tuple[Literal["conv", "norm"], str | None]] = [("conv", conv), ("norm", norm)]
        for part, theirs in parts:
            for kind in ("weight", "bias") if theirs else ():
                if f"{theirs}.{kind}" not in state:
                    raise InputError(f"{path} looks like a checkpoint of {repository}, but has no {theirs}.{kind}")
                result[f"{ours}.{part}.{kind}"] = state[f"{theirs}.{kind}"]
    blocks = sum(name.endswith(".first") for name in names)
    first = result["down1.conv.weight"]
    width = len(first) if first.dim() else 0
    settings = NetSettings(width=width, residual_blocks=blocks, **differences)
    return result, settings, repository
