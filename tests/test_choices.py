"""Words that are none of the choices are told of, at every entrance from Python."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_type_hints

import numpy as np
import pytest
import torch

import stylenet
from stylenet import ContentLoss, StyleLoss, Stylizer, optimize
from stylenet.choices import _parts, check_choice
from stylenet.devices import pick_precision
from stylenet.errors import InputError
from stylenet.images.sizes import SizeRule
from stylenet.inference.file_rules import Files
from stylenet.inference.recipe import recipe_of
from stylenet.losses.terms import content_loss, gram_target, style_loss, total_variation
from stylenet.losses.vgg import VGG, layer_names, load_weights, on_this_machine
from stylenet.network import TransformNet
from stylenet.network.cards import Card
from stylenet.network.look_files import save_look
from stylenet.network.looks import look_names
from stylenet.network.styles import save_style
from stylenet.network.transform_net import PRESETS
from stylenet.observing import ends_work
from stylenet.training.data import PhotoDataModule
from stylenet.training.module import StyleTraining
from stylenet.video import stylize_video


def settings_with_words() -> Iterator[Any]:
    """Yield every field that names words, of every dataclass that can be made without arguments."""
    for module in pkgutil.walk_packages(stylenet.__path__, "stylenet."):
        if module.name.endswith("__main__") or ".web" in module.name:
            continue
        for kind in vars(importlib.import_module(module.name)).values():
            if not (isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__ == module.name):
                continue
            fields = dataclasses.fields(kind)
            if any(f.default is f.default_factory is dataclasses.MISSING for f in fields):
                continue
            hints = get_type_hints(kind)
            for field in fields:
                if _parts(hints[field.name])[0]:
                    yield pytest.param(kind, field.name, id=f"{kind.__name__}.{field.name}")


@pytest.mark.parametrize(("kind", "name"), list(settings_with_words()))
def test_settings(kind: type, name: str) -> None:
    kind()
    with pytest.raises(InputError, match=f"^{name} is 'Other': use "):
        kind(**{name: "Other"})


def test_all_settings_are_met() -> None:
    met = {f"{param.values[0].__name__}.{param.values[1]}" for param in settings_with_words()}
    assert met >= {
        "OptimizeSettings.optimizer",
        "LossSettings.pooling",
        "NetSettings.norm",
        "Finish.keep_colors",
        "Scale.engine",
    }


FEATURES, NET = torch.zeros(1, 2, 4, 4), TransformNet(PRESETS["quarter"])
OTHER: Any = "other"
CALLS: dict[str, Callable[[Path], object]] = {
    "precision": lambda _: pick_precision(OTHER, torch.device("cpu")),
    "form of content": lambda _: content_loss(FEATURES, FEATURES, OTHER),
    "form of style": lambda _: style_loss(FEATURES, gram_target(FEATURES), OTHER),
    "form of variation": lambda _: total_variation(FEATURES, OTHER),
    "reduction": lambda _: total_variation(FEATURES, "l1", OTHER),
    "pooling": lambda _: VGG(["relu1_1"], weights="random", pooling=OTHER),
    "space": lambda _: VGG(["relu1_1"], weights="random", space=OTHER),
    "architecture": lambda _: layer_names(OTHER),
    "learns": lambda _: look_names(NET, OTHER),
    "bits": lambda folder: save_style(NET, Card("a"), folder / "a.safetensors", bits=OTHER),
    "bits of a look": lambda folder: save_look(NET, "norms", "body_standard", Card("a"), folder / "a.safetensors", bits=OTHER),
    "compile": lambda folder: stylize_video(folder / "a.mp4", "udnie", folder / "b.mp4", compile=OTHER),
    "architecture of weights": lambda _: load_weights("torchvision", OTHER),
    "architecture on this machine": lambda _: on_this_machine("torchvision", OTHER),
    "form of ContentLoss": lambda _: ContentLoss(form=OTHER),
    "form of StyleLoss": lambda _: StyleLoss(torch.rand(1, 3, 64, 64), form=OTHER),
    "kind": lambda _: SizeRule(OTHER),
    "tile": lambda folder: Stylizer("udnie", tile=OTHER)(torch.rand(1, 3, 64, 64)),
    "workers": lambda _: PhotoDataModule("photos", workers=OTHER),
    "keep_colors": lambda folder: optimize(folder / "a.jpg", folder / "b.jpg", keep_colors=OTHER, log=folder / "log"),
    "precision of a recipe": lambda _: recipe_of(["udnie"], None, None, "cpu", OTHER, "auto", Files()),
    "network": lambda _: StyleTraining("a.jpg", network=OTHER),
    "optimizer": lambda _: StyleTraining("a.jpg", optimizer=OTHER),
    "schedule": lambda _: StyleTraining("a.jpg", schedule=OTHER),
    "several": lambda _: StyleTraining("a.jpg", several=OTHER),
    "learns of a training": lambda _: StyleTraining("a.jpg", learns=OTHER),
}


@pytest.mark.parametrize("what", CALLS)
def test_arguments(what: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"^{what.split(maxsplit=1)[0]} is 'other': use "):
        CALLS[what](tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("value", "kind", "told"),
    [
        ("auto", Literal["auto"] | int, None),
        (3, Literal["auto"] | int, None),
        (np.int64(3), Literal["auto"] | int, None),
        ("three", Literal["auto"] | int, "a is 'three': use auto or int"),
        (3.5, Literal["auto"] | int, "a is 3.5: use auto or int"),
        (None, Literal["a", "b"] | None, None),
        (None, Literal["a", "b"], "a is None: use a or b"),
        (4, Literal[8, 16, 32], "a is 4: use 8, 16 or 32"),
        ("anything", str | int, None),
        ("anything", Literal["a"] | str, None),
        ("b", Literal["a"], "a is 'b': use a"),
    ],
)
def test_choices(value: object, kind: Any, told: str | None) -> None:
    if told is None:
        check_choice("a", value, kind)
        return
    with pytest.raises(InputError) as caught:
        check_choice("a", value, kind)
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("answer", "ends"),
    [
        (False, True),
        (np.mean([1.0, 2.0]) > 5, True),
        (torch.tensor(1.0) > 5, True),
        (True, False),
        (np.bool_(True), False),
        (torch.tensor(True), False),
        (None, False),
        (0, False),
        (0.0, False),
        (torch.tensor(0.0), False),
        ("", False),
    ],
)
def test_answers_of_observers(answer: object, ends: bool) -> None:
    assert ends_work(answer) is ends
