"""From files to a file: the photo's colours in the result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
import torch
from torch import Tensor

from stylenet import render as render_module
from stylenet.cli import main
from stylenet.images import read_image, write_image
from stylenet.losses import LossSettings
from stylenet.optimize import Result, optimize
from stylenet.render import render
from stylenet.settings import OptimizeSettings

LOSS = LossSettings(vgg_weights="random", content_layers={"relu2_2": 1.0}, style_layers={"relu1_1": 0.5, "relu2_1": 0.5})
SEARCH = OptimizeSettings(device="cpu", precision="32", steps=2, scales=1)
LUMA = np.array([0.299, 0.587, 0.114])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A photo, 48 x 32 pixels, and a painting of other colours, 40 x 36."""
    write_image(reference.photo("chelsea", 32, 48), tmp_path / "photo.png")
    write_image(reference.photo("coffee", 36, 40), tmp_path / "painting.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the search was given, and what it found."""
    seen: dict[str, Any] = {}

    def spy(content: Tensor, styles: list[Tensor], *rest: Any, **options: Any) -> Result:
        result = optimize(content, styles, *rest, **options)
        seen.update(content=content, styles=styles, found=result.picture)
        return result

    monkeypatch.setattr(render_module, "optimize", spy)
    return seen


def rows(picture: Tensor) -> np.ndarray:
    """``[1, 3, H, W]`` as ``[H W, 3]``, float64."""
    return picture[0].flatten(1).T.double().numpy()


def run(**options: Any) -> Tensor:
    render("photo.png", ["painting.png"], "result.png", LOSS, SEARCH, **options)
    return read_image("result.png").pixels


def test_without_it_the_pictures_are_their_own(folder: Path, searched: dict[str, Any]) -> None:
    result = run()
    assert torch.equal(searched["content"], read_image("photo.png").pixels)
    assert torch.equal(searched["styles"][0], read_image("painting.png").pixels)
    assert torch.allclose(result, searched["found"], atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("how", ["histogram", "covariance"])
def test_style_is_recoloured_before(folder: Path, searched: dict[str, Any], how: Any) -> None:
    result = run(keep_colors=how)
    photo, (style,) = rows(read_image("photo.png").pixels), searched["styles"]
    assert style.shape == (1, 3, 36, 40)
    # Cutting to 0..1 moves a few colours.
    assert rows(style).mean(axis=0) == pytest.approx(photo.mean(axis=0), abs=0.02)
    assert np.cov(rows(style).T) == pytest.approx(np.cov(photo.T), abs=4e-3)
    assert torch.equal(searched["content"], read_image("photo.png").pixels)
    assert torch.allclose(result, searched["found"], atol=0.5 / 255 + 1e-6)


def test_luminance_is_searched_in_grey(folder: Path, searched: dict[str, Any]) -> None:
    photo = rows(read_image("photo.png").pixels)
    result = rows(run(keep_colors="luminance"))
    for picture in (searched["content"], *searched["styles"]):
        assert torch.equal(picture, picture[:, :1].expand_as(picture))
    grey = photo @ LUMA
    assert rows(searched["content"])[:, 0] == pytest.approx(grey, abs=1e-6)
    style = rows(searched["styles"][0])[:, 0]
    assert (style.mean(), style.std()) == pytest.approx((grey.mean(), grey.std()), abs=0.01)
    assert result @ LUMA == pytest.approx(rows(searched["found"]) @ LUMA, abs=0.5 / 255 + 1e-5)
    inside = ((result > 0.02) & (result < 0.98)).all(axis=1)
    assert inside.mean() > 0.7
    difference = result - photo  # the same for red, green and blue: colour is the photo's
    assert difference[inside] == pytest.approx(np.repeat(difference[inside][:, :1], 3, axis=1), abs=1 / 255 + 1e-5)


def test_all_that_is_written_has_the_photos_colours(folder: Path, searched: dict[str, Any]) -> None:
    search = replace(SEARCH, scales=2, size=192, upscale=True)
    options = {"keep_colors": "luminance", "save_every": 1, "panel": True, "log": "log"}
    render("photo.png", ["painting.png"], "result.png", LOSS, search, **options)
    snapshots = sorted(path.name for path in folder.glob("result_0*.png"))
    assert len(snapshots) == 4
    for name in (*snapshots, "result.png", "result_panel.png"):
        picture = read_image(name).pixels
        assert float((picture.amax(dim=1) - picture.amin(dim=1)).mean()) > 0.1, name


@pytest.mark.parametrize("how", ["none", "luminance", "histogram", "covariance"])
def test_command(folder: Path, how: str) -> None:
    words = ["optimize", "photo.png", "painting.png", "-o", "result.png", "--keep_colors", how, "--steps", "1"]
    words += ["--vgg_weights", "random", "--content_layers", "{relu2_2: 1}", "--style_layers", "{relu1_1: 1}"]
    assert main(words) == 0
    assert read_image("result.png").width == 48


def test_unknown_colours(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", "photo.png", "painting.png", "-o", "result.png", "--keep_colors", "hue"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "keep_colors" in error
    assert not (folder / "result.png").exists()
