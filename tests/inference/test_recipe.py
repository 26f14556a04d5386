"""Two works have the same text where their pixels are the same, and only there."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import noise
from foreign_nets import randomised
from PIL import Image

from stylenet.errors import InputError
from stylenet.inference import Files, Finish, Scale
from stylenet.inference.recipe import Recipe, recipe_of
from stylenet.inference.stylize_files import stylize_files
from stylenet.network.cards import Card
from stylenet.network.styles import Style, save_style
from stylenet.network.transform_net import NetSettings, TransformNet


def tiny(seed: int, **options: Any) -> Style:
    torch.manual_seed(seed)
    return Style(randomised(TransformNet(NetSettings(**{"width": 4, "residual_blocks": 0, **options}))), Card("tiny"))


def mask(seed: int = 0) -> np.ndarray:
    return noise(8, 10, seed)[..., 0]


ONE, OTHER = tiny(0), tiny(1)
RECIPE = Recipe((ONE,), Finish(mask=mask()), OTHER, "cpu", "32", "auto", Files())

# A value for each setting that changes pixels, by the part of the recipe that it belongs to.
OTHER_PIXELS: dict[str, dict[str, Any]] = {
    "": {"styles": (OTHER,), "outside": ONE, "precision": "bf16"},
    "finish": {"strength": 0.5, "keep_colors": "luminance", "mask": mask(1), "feather": 2.0, "scale": 2.0},
    "files": {"size": 16, "quality": 90, "bits": 16},
}

# Those that change none, or none but by rounding.
SAME_PIXELS: dict[str, dict[str, Any]] = {
    "": {"device": "cuda", "tile": 64},
    "finish": {},
    "files": {"allow_huge": True, "overwrite": True},
}


def changed(part: str, name: str, value: object) -> Recipe:
    if not part:
        return dataclasses.replace(RECIPE, **{name: value})  # type: ignore[arg-type]
    return dataclasses.replace(RECIPE, **{part: dataclasses.replace(getattr(RECIPE, part), **{name: value})})


def test_no_setting_is_forgotten() -> None:
    for part, kind in (("", Recipe), ("finish", Finish), ("files", Files)):
        names = {field.name for field in dataclasses.fields(kind)} - {"finish", "files"}
        assert OTHER_PIXELS[part].keys() | SAME_PIXELS[part].keys() == names
        assert not OTHER_PIXELS[part].keys() & SAME_PIXELS[part].keys()


@pytest.mark.parametrize(("part", "name"), [(part, name) for part, values in OTHER_PIXELS.items() for name in values])
def test_other_pixels(part: str, name: str) -> None:
    assert changed(part, name, OTHER_PIXELS[part][name]).work != RECIPE.work


@pytest.mark.parametrize(("part", "name"), [(part, name) for part, values in SAME_PIXELS.items() for name in values])
def test_same_pixels(part: str, name: str) -> None:
    assert changed(part, name, SAME_PIXELS[part][name]).work == RECIPE.work


def test_styles_in_another_order_or_of_another_kind() -> None:
    works = [dataclasses.replace(RECIPE, styles=styles).work for styles in [(ONE, OTHER), (OTHER, ONE), (ONE,)]]
    works += [dataclasses.replace(RECIPE, styles=(tiny(0, space="unit"),)).work, dataclasses.replace(RECIPE, outside=None).work]
    assert len(set(works)) == 5


def test_the_same_in_other_words(tmp_path: Path) -> None:
    Image.fromarray(mask()).save(tmp_path / "mask.png")
    save_style(ONE.net, Card("renamed"), tmp_path / "renamed.safetensors", bits=32)
    finish = Finish(strength=1, mask=tmp_path / "mask.png")
    given = (OTHER, "cpu", "32", "auto", Files(size="full"))
    assert recipe_of([str(tmp_path / "renamed.safetensors")], finish, *given).work == RECIPE.work  # type: ignore[arg-type]
    assert changed("files", "size", 16).work == changed("files", "size", "16").work


def test_no_finish_is_the_usual_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    Image.fromarray(noise(16, 20, 0)).save("photos/a.png")
    save_style(ONE.net, Card("tiny"), Path("tiny.safetensors"), bits=32)
    done = []
    for finish in (None, Finish()):
        summary = stylize_files(["photos"], ["tiny.safetensors"], "out", finish, scale=Scale(resume=True), device="cpu")
        done.append((summary.done, summary.skipped))
    assert done == [(1, 0), (0, 1)]


def test_what_does_not_go_together() -> None:
    with pytest.raises(InputError, match="a style for outside the mask needs a mask"):
        recipe_of([ONE], None, "udnie", "cpu", "32", "auto", Files())
    with pytest.raises(InputError, match="tile is -4"):
        recipe_of([ONE], None, None, "cpu", "32", -4, Files())
