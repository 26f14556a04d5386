"""From files to a file: the photo's colours in the result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
import torch
from foreign_nets import randomised
from torch import Tensor

from stylenet.commands.cli import main
from stylenet.errors import InputError
from stylenet.images.picture import read_image, write_image
from stylenet.losses.settings import LossSettings
from stylenet.network import shipped
from stylenet.network.cards import Card
from stylenet.network.styles import load_style, save_style
from stylenet.network.transform_net import NetSettings, TransformNet
from stylenet.optimization import rendering as render_module
from stylenet.optimization.engine import Result, optimize_pixels
from stylenet.optimization.rendering import optimize
from stylenet.optimization.settings import OptimizeSettings

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

    def spy(content: Tensor, styles: list[Tensor], loss: Any, settings: Any, **options: Any) -> Result:
        result = optimize_pixels(content, styles, loss, settings, **options)
        seen.update(content=content, styles=styles, settings=settings, init=options["init"], found=result.picture)
        return result

    monkeypatch.setattr(render_module, "optimize_pixels", spy)
    return seen


def rows(picture: Tensor) -> np.ndarray:
    """``[1, 3, H, W]`` as ``[H W, 3]``, float64."""
    return picture[0].flatten(1).T.double().numpy()


def run(search: OptimizeSettings = SEARCH, **options: Any) -> Tensor:
    optimize("photo.png", ["painting.png"], LOSS, search, output="result.png", **options)
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
    optimize("photo.png", ["painting.png"], LOSS, search, output="result.png", **options)
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


@pytest.mark.parametrize("words", [["--style", "painting.png", "-o", "b.png"], ["-o", "b.png", "--style=painting.png"]])
def test_style_by_option(folder: Path, searched: dict[str, Any], words: list[str]) -> None:
    common = ["--steps", "1", "--vgg_weights", "random", "--content_layers", "{relu2_2: 1}", "--style_layers", "{relu1_1: 1}"]
    torch.manual_seed(0)  # of the network's weights
    assert main(["optimize", "photo.png", *words, *common]) == 0
    assert [style.shape for style in searched["styles"]] == [(1, 3, 36, 40)]
    torch.manual_seed(0)
    assert main(["optimize", "photo.png", "painting.png", "-o", "a.png", *common]) == 0
    assert torch.equal(read_image("a.png").pixels, read_image("b.png").pixels)


def test_several_styles_by_option(folder: Path, searched: dict[str, Any]) -> None:
    words = ["optimize", "photo.png", "-o", "a.png", "--style", "painting.png", "photo.png", "--steps", "0"]
    assert main(words) == 0
    assert [style.shape[-1] for style in searched["styles"]] == [40, 48]


def test_unknown_colours(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", "photo.png", "painting.png", "-o", "result.png", "--keep_colors", "hue"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "keep_colors" in error
    assert not (folder / "result.png").exists()


# --- from a trained style ---------------------------------------------------------------------------------------------


@pytest.fixture
def trained(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """The photo through a network that is a shipped style, waves, and a file beside the photo, mine.safetensors."""
    torch.manual_seed(0)
    net = randomised(TransformNet(NetSettings(width=4, residual_blocks=1)))
    (folder / "shipped").mkdir()
    monkeypatch.setattr(shipped, "style_folder", lambda: folder / "shipped")
    for path in ("shipped/waves.safetensors", "mine.safetensors"):
        save_style(net, Card("waves"), path)
    return load_style("waves").net(read_image("photo.png").pixels).clamp(0, 1)


def start(init: str, searched: dict[str, Any], keep_colors: Any = "none", **settings: Any) -> Tensor:
    """What a search without a step begins and ends with."""
    run(replace(SEARCH, init=init, steps=0, **settings), keep_colors=keep_colors)
    return searched["init"]


@pytest.mark.parametrize("init", ["waves", "mine.safetensors", "shipped/waves.safetensors"])
def test_starts_from_a_trained_style(trained: Tensor, searched: dict[str, Any], init: str) -> None:
    assert torch.allclose(start(init, searched), trained, atol=1e-5)
    assert torch.allclose(searched["found"], trained, atol=1e-5)
    assert not torch.allclose(trained, read_image("photo.png").pixels, atol=0.05)


@pytest.mark.parametrize("variables", ["pixels", "spectrum"])
def test_a_trained_style_is_searched_on(trained: Tensor, searched: dict[str, Any], variables: Any) -> None:
    run(replace(SEARCH, init="waves", steps=4, variables=variables, line_search=True))
    assert float((searched["found"] - trained).abs().mean()) > 0.01


def test_precision_is_the_searchs(trained: Tensor, searched: dict[str, Any]) -> None:
    assert 1e-4 < float((start("waves", searched, precision="bf16") - trained).abs().mean()) < 2 / 255


@pytest.mark.parametrize(
    ("init", "asked", "scales"),
    [("waves", "auto", 1), ("mine.safetensors", "auto", 1), ("waves", 2, 2), ("painting.png", "auto", "auto")],
)
def test_scales(trained: Tensor, searched: dict[str, Any], init: str, asked: Any, scales: object) -> None:
    start(init, searched, scales=asked)
    assert searched["settings"].scales == scales


@pytest.mark.parametrize("init", ["content", "style", "uniform", "normal"])
def test_words_win_over_names(trained: Tensor, folder: Path, searched: dict[str, Any], init: str) -> None:
    (folder / "shipped" / "waves.safetensors").rename(folder / "shipped" / f"{init}.safetensors")
    (folder / init).write_bytes((folder / "painting.png").read_bytes())
    assert start(init, searched) is None
    assert searched["settings"] == replace(SEARCH, init=init, steps=0)


def test_files_win_over_shipped_styles(trained: Tensor, folder: Path, searched: dict[str, Any]) -> None:
    (folder / "waves").write_bytes((folder / "painting.png").read_bytes())
    assert torch.equal(start("waves", searched), read_image("painting.png").pixels)


def test_a_folder_is_no_picture(trained: Tensor, folder: Path, searched: dict[str, Any]) -> None:
    (folder / "waves").mkdir()
    assert torch.allclose(start("waves", searched), trained, atol=1e-5)


@pytest.mark.parametrize("how", ["histogram", "covariance"])
def test_trained_style_is_recoloured(trained: Tensor, searched: dict[str, Any], how: str) -> None:
    first, photo = rows(start("waves", searched, how)), rows(read_image("photo.png").pixels)
    assert first.mean(axis=0) == pytest.approx(photo.mean(axis=0), abs=0.02)
    assert np.cov(first.T) == pytest.approx(np.cov(photo.T), abs=6e-3)


@pytest.mark.parametrize("init", ["waves", "painting.png"])
def test_luminance_starts_in_grey(trained: Tensor, searched: dict[str, Any], init: str) -> None:
    first = start(init, searched, "luminance")
    assert torch.equal(first, first[:, :1].expand_as(first))
    if init == "waves":
        grey = rows(searched["content"])[:, 0]
        assert (rows(first)[:, 0].mean(), rows(first)[:, 0].std()) == pytest.approx((grey.mean(), grey.std()), abs=0.02)


def test_trained_style_in_a_recipe(trained: Tensor, folder: Path, searched: dict[str, Any]) -> None:
    (folder / "mine.yaml").write_text("init: waves\nsteps: 0\nprecision: '32'\ndevice: cpu\n")
    assert main(["optimize", "photo.png", "painting.png", "-o", "result.png", "--recipe", "mine.yaml"]) == 0
    assert torch.allclose(searched["init"], trained, atol=1e-5)


def test_unknown_start(trained: Tensor, folder: Path) -> None:
    with pytest.raises(InputError, match=r"monet does not exist .*content, uniform, .* a picture, .* shipped style: waves\)"):
        run(replace(SEARCH, init="monet"))
    assert not (folder / "result.png").exists()
