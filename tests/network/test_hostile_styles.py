"""Style files that lie: about sizes, types, names; and files that are something else. None is built, run or believed."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreign_nets import Numbered, randomised
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from training_kit import PAINTING

from stylenet import recognition
from stylenet.errors import InputError
from stylenet.losses.vgg import VGG, layer_names
from stylenet.network.cards import Card, read_card
from stylenet.network.styles import load_grams, load_looks, load_style, save_style
from stylenet.network.transform_net import NetSettings, TransformNet

SETTINGS = NetSettings(width=4, residual_blocks=1)
WHOLE: dict[str, Any] = dataclasses.asdict(Card("a", network=dataclasses.asdict(SETTINGS)))


def write(path: Path, card: object, extra: dict[str, Tensor] | None = None, drop: str = "") -> Path:
    """A style file with a card, and tensors beside or in place of those of a network."""
    state = {name: value for name, value in TransformNet(SETTINGS).state_dict().items() if name != drop}
    text = card if isinstance(card, str) else json.dumps(card)
    save_file({**state, **(extra or {})}, path, {"stylenet": text})
    return path


def with_network(**fields: Any) -> dict[str, Any]:
    return {**WHOLE, "network": {**WHOLE["network"], **fields}}


CARDS: dict[str, tuple[object, str]] = {
    "no JSON": ("{", "damaged"),
    "a list": ([WHOLE], "damaged"),
    "a number": (3, "damaged"),
    "nothing": (None, "damaged"),
    "nested": ("[" * 100_000, "nested too deeply|damaged"),
    "nested inside": (
        json.dumps({**WHOLE, "training": 0})[:-1].replace('"training": 0', '"training": {"a": ' + "[" * 900) + "]" * 900 + "}}",
        "damaged",
    ),
    "large": ({**WHOLE, "credit": "x" * 2_000_000}, "its card has 2,0"),
    "no name": ({key: value for key, value in WHOLE.items() if key != "name"}, "damaged.*name"),
    "name of another type": ({**WHOLE, "name": 3}, "Expected `str`"),
    "network of another type": ({**WHOLE, "network": [1]}, "Expected `object`"),
    "metrics of another type": ({**WHOLE, "metrics": {"a": "b"}}, "Expected `float`"),
    "boolean metric": ({**WHOLE, "metrics": {"a": True}}, "Expected `float`"),
    "style of another type": ({**WHOLE, "style": {"file": "a"}}, "Expected `array`"),
    "body of another type": ({**WHOLE, "body": {"name": None}}, "Expected `str`"),
    "looks of another type": ({**WHOLE, "looks": "abc"}, "Expected `array`"),
    "unknown field": ({**WHOLE, "hologram": 1}, "newer version.*no 'hologram' in Card"),
    "unknown setting": (with_network(hologram=1), "newer version.*no 'hologram' in NetSettings"),
    "evil choice": (with_network(upsample="evil"), "Invalid enum value 'evil'"),
    "boolean width": (with_network(width=True), "Expected `int`"),
    "width of text": (with_network(width="4"), "Expected `int`"),
    "fractional width": (with_network(width=4.5), "Expected `int`"),
    "negative width": (with_network(width=-4), "width must be from 1 to"),
    "wide": (with_network(width=10**9), "width must be from 1 to"),
    "wider than any integer": (with_network(width=10**30), "width must be from 1 to|damaged"),
    "deep": (with_network(residual_blocks=10**9), "residual_blocks from 0 to"),
    "deeper than the file": (with_network(residual_blocks=90), "describes: 90 residual blocks, and the file has 1"),
    "wider than the file": (with_network(width=500), r"is \[4\], wanted \[500\]|wanted"),
    "stem of another type": (with_network(stem=3), "Invalid enum value 3"),
    "body outside": ({**WHOLE, "body": {"name": "../../etc/passwd", "sha256": "", "learns": "norms"}}, "which is not here"),
    "body of a long name": ({**WHOLE, "body": {"name": "x" * 5000, "sha256": "", "learns": "norms"}}, "is a look on the body"),
    "body is itself": ({**WHOLE, "body": {"name": "a", "sha256": "0", "learns": "norms"}}, "a look on another a"),
}


@pytest.mark.parametrize("case", CARDS)
def test_card(tmp_path: Path, case: str) -> None:
    card, message = CARDS[case]
    with pytest.raises(InputError, match=message) as caught:
        load_style(write(tmp_path / "a.safetensors", card))
    assert len(str(caught.value)) <= 600


TENSORS: dict[str, tuple[dict[str, Tensor], str]] = {
    "boolean": ({"down1.conv.weight": torch.ones(4, 3, 9, 9, dtype=torch.bool)}, "bool"),
    "complex": ({"down1.conv.weight": torch.ones(4, 3, 9, 9, dtype=torch.complex64)}, "complex64"),
    "another shape": ({"down1.conv.weight": torch.ones(4, 3, 9, 8)}, r"is \[4, 3, 9, 8\], wanted \[4, 3, 9, 9\]"),
    "a number": ({"down1.conv.weight": torch.tensor(1.0)}, r"is \[\], wanted"),
    "no number": ({"down1.conv.weight": torch.ones(0, 3, 9, 9)}, r"is \[0, 3, 9, 9\], wanted"),
    "units that spread": (
        {"down1.conv.weight": torch.ones(1, 1, 1, 9).to(torch.int8), "down1.conv.weight.scale": torch.ones(9)},
        "units of down1.conv.weight do not fit",
    ),
    "one too many": ({"blocks.0.third.conv.weight": torch.ones(1)}, "not a part of it"),
    "a name that acts on the terminal": ({"\x1b[2Jblocks": torch.ones(1)}, r"\\x1b\[2Jblocks"),
}


@pytest.mark.parametrize("case", TENSORS)
def test_tensors(tmp_path: Path, case: str) -> None:
    extra, message = TENSORS[case]
    with pytest.raises(InputError, match=message):
        load_style(write(tmp_path / "a.safetensors", WHOLE, extra))


def test_a_tensor_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"last\.conv\.bias is missing"):
        load_style(write(tmp_path / "a.safetensors", WHOLE, drop="last.conv.bias"))


@pytest.mark.parametrize(
    "packed",
    [
        {"gram.relu1_1": torch.ones(10)},
        {"gram.relu1_1": torch.ones(10), "gram.relu1_1.scale": torch.ones(1)},
        {"gram.relu1_1": torch.ones(9), "gram.relu1_1.scale": torch.ones(2)},
        {"gram.relu1_1": torch.tensor(1.0), "gram.relu1_1.scale": torch.ones(2)},
        {"gram.relu1_1": torch.ones(10), "gram.relu1_1.scale": torch.tensor([1.0, float("inf")])},
        {"gram.relu1_1": torch.ones(10), "gram.relu1_1.scale": torch.ones(2), "gram.relu1_1.mean": torch.tensor(1.0)},
    ],
    ids=["no scale", "half a scale", "no triangle", "a number", "infinite", "no means"],
)
def test_grams(tmp_path: Path, packed: dict[str, Tensor]) -> None:
    with pytest.raises(InputError, match=r"Gram matrices cannot be unpacked|not finite"):
        load_grams(write(tmp_path / "a.safetensors", WHOLE, packed))


TABLES = [torch.ones(3, 5), torch.ones(2), torch.tensor(1.0), torch.full((2, 5), float("nan"))]


@pytest.mark.parametrize("table", TABLES, ids=["a row too many", "no rows", "a number", "not finite"])
def test_looks(tmp_path: Path, table: Tensor) -> None:
    with pytest.raises(InputError, match="looks do not fit their 2 titles"):
        load_looks(write(tmp_path / "a.safetensors", {**WHOLE, "looks": ["b", "c"]}, {"looks.table": table}))


# --- checkpoints ------------------------------------------------------------------------------------------------------


def theirs(**changes: Tensor) -> dict[str, Tensor]:
    return {**randomised(Numbered("deconv")).state_dict(), **changes}


def deflated(path: Path) -> None:
    torch.save(theirs(), path)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(path.with_suffix(".new"), "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, bytes(5_000_000) if name.endswith("data/0") else source.read(name))
    path.with_suffix(".new").replace(path)


def picture(path: Path, kind: str) -> None:
    Image.new("RGB", (9, 9)).save(path, kind)


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "views of stride 0": (
        lambda path: torch.save(theirs(**{"conv1.conv2d.weight": torch.zeros(1).expand(10**9)}), path),
        "conv1.conv2d.weight claims 4,000,000,000 bytes, and the file holds 4",
    ),
    "many views of one storage": (
        lambda path: torch.save(OrderedDict((f"a{i}", view) for view in [torch.zeros(1000)] for i in range(50)), path),
        "its tensors claim 200,000 bytes, and it holds 4,000",
    ),
    "meta": (
        lambda path: torch.save(theirs(**{"conv1.conv2d.weight": torch.zeros(9, device="meta")}), path),
        "conv1.conv2d.weight|cannot be read",
    ),
    "sparse": (lambda path: torch.save(theirs(**{"conv1.conv2d.weight": torch.eye(3).to_sparse()}), path), "sparse"),
    "complex": (
        lambda path: torch.save(theirs(**{"conv1.conv2d.weight": torch.zeros(3, dtype=torch.complex64)}), path),
        "complex64",
    ),
    "a number": (lambda path: torch.save(theirs(**{"conv1.conv2d.weight": torch.tensor(1.0)}), path), "width 0"),
    "deflated": (deflated, "a zip archive that torch did not write"),
    "a whole model": (lambda path: torch.save(torch.nn.Conv2d(3, 3, 3), path), "more than tensors, such as a whole model"),
    "an unknown wrapper": (
        lambda path: torch.save({"epoch": 3, "optimizer": {"lr": 0.1}}, path),
        "it holds epoch, optimizer, and no weights",
    ),
    "HTML": (
        lambda path: path.write_text("<!DOCTYPE html><title>404</title>"),
        "it is an HTML page, as a download",
    ),
    "Torch 7": (lambda path: path.write_bytes(b"\x04\0\0\0\x01\0\0\0\x03\0\0\0V 1" + bytes(90)), "Torch 7 file"),
    "PNG": (lambda path: picture(path, "PNG"), r"it is a picture \(PNG\)"),
    "JPEG": (lambda path: picture(path, "JPEG"), r"it is a picture \(JPEG\)"),
    "empty": (lambda path: path.write_bytes(b""), "it is empty; it was not written or downloaded to its end"),
    "a pointer of Git LFS": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
    "cut": (lambda path: (torch.save(theirs(), path), path.write_bytes(path.read_bytes()[:5000])), "damaged, or was not"),
}


@pytest.mark.parametrize("case", FILES)
def test_checkpoint(tmp_path: Path, case: str) -> None:
    make, message = FILES[case]
    path = tmp_path / ("a.t7" if case == "Torch 7" else "a.pth")
    make(path)
    with pytest.raises(InputError, match=message) as caught:
        load_style(path)
    assert "weights_only" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))


@pytest.mark.parametrize("case", ["HTML", "PNG", "empty", "Torch 7"])
def test_something_else_as_safetensors(tmp_path: Path, case: str) -> None:
    make, message = FILES[case]
    make(tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=message.split(";", maxsplit=1)[0]):
        load_style(tmp_path / "a.safetensors")


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model", "net"])
def test_wrapped(tmp_path: Path, wrapper: str) -> None:
    torch.save({"epoch": 2, wrapper: theirs(), "loss": 0.5}, tmp_path / "a.pth")
    assert load_style(tmp_path / "a.pth").card.source == "pytorch/examples"


# --- numbers that are none --------------------------------------------------------------------------------------------


def checkpoint(path: Path, averaged: dict[str, Any], current: object) -> None:
    """Write what a training with averaged weights leaves, with other weights for some of its own."""
    state = {f"network.{name}": value for name, value in TransformNet(SETTINGS).state_dict().items()}
    beside = {**state, **current} if isinstance(current, dict) else current
    options = {"network": dataclasses.asdict(SETTINGS)}
    told = {"pytorch-lightning_version": "2.6", "hyper_parameters": options, "state_dict": {**state, **averaged}}
    torch.save({**told, "current_model_state": beside}, path)


def network_of(path: Path) -> object:
    return VGG(["relu1_1"], "vgg19", str(path))


def vgg_weights(path: Path, broken: Tensor) -> None:
    shapes = {
        f"{name}.{kind}": value.shape
        for name, layer in VGG(layer_names(), weights="random").convolutions.items()
        for kind, value in layer.named_parameters()
    }
    numbers = {name: number for number, name in enumerate(layer_names())}
    state = {
        f"features.{numbers[name.split('.')[0]]}.{name.split('.')[1]}": torch.zeros(shape) for name, shape in shapes.items()
    }
    torch.save({**state, "features.0.bias": broken.expand(64).clone()}, path)


LAST = "last.conv.bias"
GRAM = {"gram.relu1_1": torch.rand(10), "gram.relu1_1.scale": torch.tensor([1.0, 9.0]), "gram.relu1_1.mean": torch.rand(4)}

# Files that hold a number, and what reads them; every place of a file where weights may be is among them.
BROKEN: dict[str, tuple[str, Callable[[Path, Tensor], object], Callable[[Path], object]]] = {
    "weights": ("a.safetensors", lambda path, bad: write(path, WHOLE, {LAST: bad.expand(3).clone()}), load_style),
    "units": (
        "a.safetensors",
        lambda path, bad: write(
            path,
            WHOLE,
            {"last.conv.weight": torch.ones(3, 4, 9, 9).to(torch.int8), "last.conv.weight.scale": bad.expand(3).clone()},
        ),
        load_style,
    ),
    "Gram matrices": (
        "a.safetensors",
        lambda path, bad: write(path, WHOLE, {**GRAM, "gram.relu1_1": bad.expand(10).clone()}),
        load_grams,
    ),
    "means": (
        "a.safetensors",
        lambda path, bad: write(path, WHOLE, {**GRAM, "gram.relu1_1.mean": bad.expand(4).clone()}),
        load_grams,
    ),
    "another program's": (
        "a.pth",
        lambda path, bad: torch.save(theirs(**{"deconv3.conv2d.bias": bad.expand(3).clone()}), path),
        load_style,
    ),
    "averaged weights": (
        "a.ckpt",
        lambda path, bad: checkpoint(path, {f"network.{LAST}": bad.expand(3).clone()}, {}),
        load_style,
    ),
    "weights beside the average": (
        "a.ckpt",
        lambda path, bad: checkpoint(path, {}, {f"network.{LAST}": bad.expand(3).clone()}),
        load_style,
    ),
    "a loss network": ("a.pth", vgg_weights, network_of),
}


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("case", BROKEN)
def test_numbers_that_are_not_finite(tmp_path: Path, case: str, bad: float) -> None:
    name, make, read = BROKEN[case]
    make(tmp_path / name, torch.tensor(1.0))
    read(tmp_path / name)
    make(tmp_path / name, torch.tensor(bad))
    with pytest.raises(InputError, match="weights that are not finite"):
        read(tmp_path / name)


@pytest.mark.parametrize("current", [None, 5, [], {"network.last.conv.bias": torch.zeros(2)}, {"network.more": torch.zeros(2)}])
def test_an_average_of_other_weights(tmp_path: Path, current: object) -> None:
    checkpoint(tmp_path / "a.ckpt", {}, current)
    with pytest.raises(InputError, match="its averaged weights are not those of the network"):
        load_style(tmp_path / "a.ckpt")


SPARSE: dict[str, Callable[[Path], object]] = {"a style": load_style, "a loss network": network_of, "Gram matrices": load_grams}


@pytest.mark.parametrize("reader", SPARSE)
def test_a_sparse_file_is_no_file_of_weights(tmp_path: Path, reader: str) -> None:
    """Whether or not memory would hold it."""
    path = tmp_path / "a.safetensors"
    path.touch()
    os.truncate(path, 1 << 30)
    with pytest.raises(InputError, match="is no safetensors file, or is damaged: it does not begin as one"):
        SPARSE[reader](path)
    write(path, WHOLE)
    os.truncate(path, recognition.LARGEST_WEIGHTS + 1)
    with pytest.raises(InputError, match="is no file of weights: it has 2,000,000,001 bytes"):
        SPARSE[reader](path)


# --- memory -----------------------------------------------------------------------------------------------------------

LOADING = """
import resource, sys
from pathlib import Path
from stylenet.errors import InputError
from stylenet.losses.vgg import VGG
from stylenet.network.styles import load_style
from stylenet.network.transform_net import NetSettings
from stylenet.optimization.saving import StateFile
from stylenet.training.checkpoints import CheckpointFiles
from stylenet.training.module import StyleTraining
readers = {
    "style": load_style,
    "init": lambda path: StyleTraining(sys.argv[1], network=NetSettings(width=4, residual_blocks=1), init=path),
    "ckpt_path": CheckpointFiles().load_checkpoint,
    "vgg_weights": lambda path: VGG(["relu1_1"], "vgg19", path),
    "search": lambda path: StateFile(Path(path), "job").load(),
}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for word in sys.argv[2:]:
    reader, _, path = word.partition("=")
    try:
        readers[reader](path)
    except InputError:
        print(word, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def checkpoint_of_views(path: Path, **parts: Any) -> None:
    """Write what a training goes on from, with other content for some of its parts."""
    whole: dict[str, Any] = {"state_dict": {}, "loops": {}, "optimizer_states": [], "lr_schedulers": [], "callbacks": {}}
    torch.save({**whole, **parts}, path)


def claim(path: Path) -> None:
    """Write the state of a search whose header claims more bytes than follow."""
    header = {
        "__metadata__": {"stylenet.search": json.dumps({"job": "job", "values": {}})},
        "picture": {"dtype": "F32", "shape": [4 * 10**9], "data_offsets": [0, 16 * 10**9]},
    }
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)


VIEW = torch.zeros(1).expand(4 * 10**9)

# What claims 16 GB, and which readers may get it.
LIES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "deep.safetensors": (lambda path: write(path, with_network(residual_blocks=10**9)), ["style", "init"]),
    "views.pth": (FILES["views of stride 0"][0], ["style", "init", "vgg_weights"]),
    "lightning.ckpt": (lambda path: checkpoint(path, {"network.last.conv.bias": VIEW}, None), ["style", "init", "ckpt_path"]),
    "weights.ckpt": (lambda path: checkpoint_of_views(path, state_dict={"network.a": VIEW}), ["ckpt_path"]),
    "momentum.ckpt": (lambda path: checkpoint_of_views(path, optimizer_states=[{"state": {0: (VIEW,)}}]), ["ckpt_path"]),
    "callbacks.ckpt": (lambda path: checkpoint_of_views(path, callbacks={"Stop": {"best": VIEW}}), ["ckpt_path"]),
    "vgg.pth": (lambda path: torch.save({"features.0.weight": VIEW}, path), ["vgg_weights"]),
    ".a.png.search": (claim, ["search"]),
}


def test_lies_cost_no_memory(tmp_path: Path) -> None:
    """Megabytes that a process grows by while it refuses the largest claims, whichever reader they come to."""
    for name, (make, _) in LIES.items():
        make(tmp_path / name)
    told = [f"{reader}={tmp_path / name}" for name, (_, readers) in LIES.items() for reader in readers]
    command = [sys.executable, "-c", LOADING, PAINTING, *told]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    grown = dict(line.rsplit(" ", 1) for line in lines)
    assert list(grown) == told
    assert {word: grown[word] for word in told if int(grown[word]) >= 100} == {}


# --- a short fuzzer ---------------------------------------------------------------------------------------------------


def test_random_damage(tmp_path: Path) -> None:
    """Bytes of a style file and of a checkpoint changed at random: a style, or one line."""
    generator = np.random.default_rng(17)
    save_style(TransformNet(SETTINGS), Card("a"), tmp_path / "whole.safetensors")
    buffer = io.BytesIO()
    torch.save(theirs(), buffer)
    wholes = {"a.safetensors": (tmp_path / "whole.safetensors").read_bytes(), "a.pth": buffer.getvalue()}
    for name, whole in wholes.items():
        for _ in range(80):
            damaged = bytearray(whole)
            # Most of what can be believed wrongly stands at the beginning of the one and at the end of the other.
            for place in generator.integers(0, min(3000, len(damaged)), 3) * (1 if name == "a.safetensors" else -1):
                damaged[place] = generator.integers(0, 256)
            path = tmp_path / name
            path.write_bytes(damaged[: generator.integers(1, len(damaged))] if generator.random() < 0.2 else damaged)
            with contextlib.suppress(InputError):
                read_card(path)
                load_style(path)
