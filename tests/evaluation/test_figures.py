"""Figures of what the loss network sees, and labelled grids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from PIL import Image
from torch import Tensor

from stylenet.commands.cli import main
from stylenet.errors import InputError
from stylenet.evaluation import figures
from stylenet.evaluation.figures import features, reconstruct
from stylenet.images.sheets import contact_sheet
from stylenet.losses.settings import LossSettings
from stylenet.losses.vgg import VGG, layer_names
from stylenet.optimization.engine import Result
from stylenet.optimization.settings import OptimizeSettings

PHOTO, STYLE = reference.photo("chelsea", 32, 48), reference.photo("coffee", 32, 32)
BAND, GAP = 22, 6


def plain(height: int, width: int, shade: float) -> Tensor:
    return torch.full((1, 3, height, width), shade)


# --- grids ------------------------------------------------------------------------------------------------------------


def test_contact_sheet_places_pictures() -> None:
    pictures = [plain(20, 30, 0.2), plain(40, 20, 0.4), plain(20, 10, 0.6)]
    sheet = contact_sheet(pictures, ["", "", ""], columns=2, height=20)
    assert sheet.shape == (1, 3, 2 * (20 + BAND + GAP) + GAP, 30 + 10 + 3 * GAP)
    for row, left, width, shade in ((0, GAP, 30, 0.2), (0, 30 + 2 * GAP, 10, 0.4), (1, GAP, 10, 0.6)):
        top = GAP + row * (20 + BAND + GAP) + BAND
        assert torch.allclose(sheet[..., top : top + 20, left : left + width], torch.tensor(round(shade * 255) / 255)), shade
    assert float(sheet.mean()) > 0.6
    assert torch.equal(sheet[..., :GAP, :], torch.ones_like(sheet[..., :GAP, :]))


def test_contact_sheet_writes_labels() -> None:
    blank, labelled = (contact_sheet([plain(20, 60, 1.0)], [label], 1, 20) for label in ("", "conv1_1"))
    assert torch.equal(blank, torch.ones_like(blank))
    dark = (labelled[0, 0] < 0.5).nonzero()
    assert len(dark) > 20
    assert int(dark[:, 0].max()) < GAP + BAND


@pytest.mark.parametrize("columns", [1, 3, 9])
def test_contact_sheet_columns(columns: int) -> None:
    sheet = contact_sheet([plain(10, 10, 0.5)] * 3, ["x"] * 3, columns, height=10)
    across = min(columns, 3)
    assert sheet.shape[2:] == (-(-3 // across) * (10 + BAND + GAP) + GAP, across * (10 + GAP) + GAP)


def test_contact_sheet_needs_a_label_for_each() -> None:
    with pytest.raises(ValueError, match="shorter"):
        contact_sheet([plain(9, 9, 0.5)] * 2, ["one"], 2)


# --- features ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Pictures of the last sheet by label."""
    last: dict[str, Tensor] = {}

    def spy(pictures: list[Tensor], labels: list[str], columns: int, height: int) -> Tensor:
        last.clear()
        last.update(zip(labels, pictures, strict=True))
        return contact_sheet(pictures, labels, columns, height)

    monkeypatch.setattr(figures, "contact_sheet", spy)
    return last


@pytest.mark.parametrize(
    ("photo", "deepest"), [(PHOTO, "pool5"), (PHOTO[..., :20, :20], "relu5_4"), (PHOTO[..., :9, :9], "relu4_4")]
)
def test_features_show_every_layer_that_fits(shown: dict[str, Tensor], photo: Tensor, deepest: str) -> None:
    sheet = features(photo, vgg_weights="random", columns=7)
    names = [label.split()[0] for label in shown]
    fits = layer_names("vgg19")
    fits = fits[: fits.index(deepest) + 1]
    # A pool is left out where it would be empty, and with it what follows.
    assert names == ["photo", *fits]
    assert sheet.shape[1] == 3
    assert 0 <= sheet.min() < sheet.max() <= 1


def test_features_are_means_over_channels(shown: dict[str, Tensor]) -> None:
    features(PHOTO)
    expected = VGG(["relu3_1"])(PHOTO)["relu3_1"][0].double().numpy().mean(axis=0)
    low, high = expected.min(), expected.max()
    (label,) = [label for label in shown if label.startswith("relu3_1 ")]
    assert label == f"relu3_1  {low:.3g} .. {high:.3g}"
    np.testing.assert_allclose(shown[label][0, 1].numpy(), (expected - low) / (high - low), atol=1e-4)


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_features_vgg16(shown: dict[str, Tensor], pooling: str) -> None:
    features(PHOTO, "vgg16", "random", pooling)
    assert [label.split()[0] for label in shown][1:] == layer_names("vgg16")


# --- reconstructions --------------------------------------------------------------------------------------------------


def test_reconstruct_is_gatys_figure(shown: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Tensor, list[Tensor], LossSettings, OptimizeSettings]] = []

    def fake(content: Tensor, styles: list[Tensor], loss: LossSettings, settings: OptimizeSettings) -> Result:
        calls.append((content, styles, loss, settings))
        return Result(content)

    monkeypatch.setattr(figures, "optimize_pixels", fake)
    reported: list[str] = []
    reconstruct(PHOTO, STYLE, steps=7, vgg_weights="random", seed=3, observe=reported.append)
    firsts = [f"conv{block}_1" for block in range(1, 6)]
    assert [list(loss.content_layers) for _, _, loss, _ in calls] == [*([name] for name in firsts), *[[]] * 5]
    assert [list(loss.style_layers) for _, _, loss, _ in calls] == [*[[]] * 5, *(firsts[:n] for n in range(1, 6))]
    for number, (content, styles, loss, settings) in enumerate(calls):
        assert torch.equal(content, PHOTO if number < 5 else STYLE)
        assert len(styles) == (number >= 5)
        assert sum(loss.style_layers.values()) == pytest.approx(int(number >= 5))
        assert (settings.init, settings.steps, settings.seed) == ("normal", 7, 3)
    assert len(reported) == 10
    assert len(set(reported)) == 10
    assert next(iter(shown)) == "photo"
    assert len(shown) == 12


def test_reconstruct_rebuilds_the_photo(shown: dict[str, Tensor]) -> None:
    """A shallow layer keeps the photo, a deep one less of it."""
    sheet = reconstruct(PHOTO, steps=12, device="cpu")
    errors = [float((shown[f"content: conv{block}_1"].cpu() - PHOTO).square().mean()) for block in (1, 5)]
    assert errors[0] < 0.75 * errors[1]
    styles = [label for label in shown if label.startswith("style: ")]
    assert len(styles) == 5
    assert sheet.shape[3] == 6 * 48 + 7 * GAP


def test_photo_too_small_to_reconstruct() -> None:
    with pytest.raises(InputError, match="too small"):
        reconstruct(PHOTO[..., :12, :12], steps=1, vgg_weights="random", device="cpu")


@pytest.mark.parametrize(
    "words",
    [
        ["features", "--columns", "5"],
        ["reconstruct", "--steps", "1", "--device", "cpu"],
        ["reconstruct", "--style", "PHOTO", "--steps", "0"],
    ],
)
def test_commands(tmp_path: Path, words: list[str]) -> None:
    photo, output = tmp_path / "photo.png", tmp_path / "sheet.png"
    Image.fromarray(reference.to_bytes(PHOTO)).save(photo)
    words = [str(photo) if word == "PHOTO" else word for word in words]
    assert main([words[0], str(photo), "--vgg_weights", "random", "-o", str(output), *words[1:]]) == 0
    assert np.asarray(Image.open(output)).std() > 5
