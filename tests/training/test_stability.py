"""Networks that are asked to paint a disturbed photo as they paint the photo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from training_kit import fit, make_photos, module, photos

from stylenet.errors import InputError
from stylenet.network.transform_net import NetSettings
from stylenet.training.module import StyleTraining
from stylenet.training.stability import Disturbed, disturb, instability


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("photos"), 22)


def test_photos_are_moved_and_noisy() -> None:
    batch = torch.rand(2, 3, 40, 48)
    moves = set()
    for step in range(40):
        disturbed = disturb(batch, (1, step))
        moves.add((disturbed.up, disturbed.left))
        kept = disturbed.photos[..., : 40 - disturbed.up, : 48 - disturbed.left]
        noise = kept - batch[..., disturbed.up :, disturbed.left :]
        assert float(noise.std()) == pytest.approx(0.02, rel=0.05)
        assert float(noise.mean()) == pytest.approx(0, abs=2e-3)
        assert disturbed.photos.shape == batch.shape
    assert {up for up, _ in moves} == {left for _, left in moves} == {0, 1, 2, 3}


def test_what_moves_out_is_mirrored() -> None:
    ramp = torch.arange(48.0).expand(1, 3, 40, 48) / 1000
    disturbed = next(found for step in range(40) if (found := disturb(ramp, (1, step))).left == 3 and found.up == 0)
    columns = disturbed.photos.mean(dim=(0, 1, 2)) * 1000
    assert columns.tolist() == pytest.approx([*range(3, 48), 46, 45, 44], abs=8)
    assert disturbed.photos.is_contiguous(memory_format=torch.channels_last)


def test_each_batch_of_each_process_is_disturbed_in_its_own_way(folder: Path) -> None:
    """The same step is disturbed in the same way, so that a training that is resumed goes on to the bit."""
    model, batch = module(stability_weight=2.0), torch.rand(1, 3, 48, 48)
    fit(model, photos(folder), 0)
    found = []
    for step, index, rank in ((5, 1, 0), (5, 1, 0), (6, 1, 0), (5, 2, 0), (5, 1, 1)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(StyleTraining, "global_step", step)
            patch.setattr(StyleTraining, "global_rank", rank)
            disturbed = model._disturbed(batch, index)
        assert disturbed is not None
        found.append(disturbed.photos)
    first, again, *others = found
    assert torch.equal(first, again)
    assert not any(torch.equal(first, other) for other in others)
    assert module()._disturbed(batch, 1) is None


def test_a_batch_has_the_mean_of_its_pictures() -> None:
    """A pale picture counts as much as one of strong contrasts."""
    styled, again = torch.rand(2, 3, 3, 16, 16) * torch.tensor([1.0, 0.3, 0.1]).view(3, 1, 1, 1)
    disturbed = Disturbed(styled, 1, 2)
    alone = [float(instability(one, other, disturbed)) for one, other in zip(styled.split(1), again.split(1), strict=True)]
    assert float(instability(styled, again, disturbed)) == pytest.approx(sum(alone) / 3)
    assert alone == pytest.approx([1, 1, 1], abs=0.2)


def test_instability_is_nothing_for_what_only_moved() -> None:
    picture = torch.rand(2, 3, 40, 48)
    moved = torch.rand(2, 3, 40, 48)
    moved[..., :38, :47] = picture[..., 2:, 1:]
    assert float(instability(picture, moved, Disturbed(moved, 2, 1))) == 0
    assert float(instability(picture, moved, Disturbed(moved, 0, 0))) == pytest.approx(1, abs=0.05)


def test_instability_of_one_colour_is_finite() -> None:
    grey = torch.full((1, 3, 16, 16), 0.5)
    assert float(instability(grey, grey, Disturbed(grey, 0, 0))) == 0
    assert 0 < float(instability(grey, grey + 1 / 255, Disturbed(grey, 0, 0))) < 1


def test_contrast_makes_no_picture_stable() -> None:
    """Both pictures with twice the contrast: the unit has no gradient, so that a network gains nothing by it."""
    contrast = torch.ones((), requires_grad=True)
    one, other = torch.rand(2, 1, 3, 16, 16)
    unstable = instability(contrast * one, contrast * other, Disturbed(one, 0, 0))
    (slope,) = torch.autograd.grad(unstable, contrast)
    assert float(slope) == pytest.approx(2 * float(unstable.detach()))


def test_a_part_of_the_objective(folder: Path) -> None:
    model = module(stability_weight=3.0)
    trainer = fit(model, photos(folder), 1)
    told = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("train/")}
    assert told["train/stability"] > 0
    parts = [value for name, value in told.items() if name not in ("train/objective", "train/saturation")]
    assert told["train/objective"] == pytest.approx(sum(parts), rel=1e-5)
    assert "train/stability" not in fit(module(), photos(folder), 1).callback_metrics


def test_training_makes_a_network_stable(folder: Path) -> None:
    data = photos(folder)
    data.setup()
    batch = data.calibration_photos(2)
    disturbed, left = disturb(batch, (0,)), {}
    for weight in (0.0, 30.0):
        torch.manual_seed(1)
        model = module(stability_weight=weight, learning_rate=5e-3)
        fit(model, photos(folder), 40)
        with torch.no_grad():
            left[weight] = float(instability(model(batch), model(disturbed.photos), disturbed))
        assert ("val/stability" in model.measure(batch)) == bool(weight)
    assert left[30.0] < 0.7 * left[0.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stability_weight": -1.0}, "stability_weight is -1"),
        ({"stability_weight": float("nan")}, "stability_weight is nan"),
        ({"stability_weight": float("inf")}, "stability_weight is inf: it must be a finite number"),
        ({"stability_weight": 1.0, "compile": True}, "compile and stability_weight do not go together"),
        ({"stability_weight": 1.0, "network": NetSettings(norm="batch")}, "a network with batch normalisation"),
    ],
    ids=str,
)
def test_wrong_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        module(**options)
