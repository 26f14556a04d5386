"""Style terms of means and covariances, against numpy and scipy in float64."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import reference
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from stylenet.errors import InputError
from stylenet.losses import style_terms
from stylenet.losses.gram_packing import pack_grams, unpack_grams
from stylenet.losses.perceptual import PerceptualLoss
from stylenet.losses.settings import LossSettings
from stylenet.losses.style_terms import moments_distance, wasserstein_distance
from stylenet.losses.terms import GramTarget, gram_target
from stylenet.losses.vgg import VGG

TERMS = {"moments": moments_distance, "wasserstein": wasserstein_distance}


def activations(batch: int, channels: int, places: int, seed: int = 0) -> Tensor:
    """Correlated channels of different strengths, ``[B, C, places, 1]``."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(channels, channels, generator=generator)
    values = torch.randn(batch, places, channels, generator=generator) @ mixing + 3 * torch.randn(channels, generator=generator)
    return values.transpose(1, 2).unsqueeze(3).relu()


def expected(kind: str, own: np.ndarray, other: np.ndarray) -> float:
    """The terms of two samples ``[C, places]``, as printed in their sources, with a thousandth more variance everywhere."""
    own, other = own.astype(np.float64), other.astype(np.float64)
    apart, more = ((own.mean(1) - other.mean(1)) ** 2).mean(), 1e-3 * other.var(1).mean()
    if kind == "moments":
        return float(apart + ((np.sqrt(own.var(1) + more) - np.sqrt(other.var(1) + more)) ** 2).mean())
    first, second = (np.cov(one, bias=True) + more * np.eye(len(one)) for one in (own, other))
    root = sqrtm(second)
    cross = sqrtm(root @ first @ root).real
    return float(apart + np.trace(first + second - 2 * cross) / len(own))


def distance(kind: str, own: Tensor, other: Tensor) -> Tensor:
    ours, theirs = gram_target(own), gram_target(other)
    return TERMS[kind](ours.matrix, ours.mean, theirs.matrix, theirs.mean)


@pytest.mark.parametrize("kind", TERMS)
@pytest.mark.parametrize("batch", [1, 3])
def test_values(kind: str, batch: int) -> None:
    own, other = activations(batch, 6, 500), activations(1, 6, 300, seed=1)
    wanted = np.mean([expected(kind, one[..., 0].numpy(), other[0, ..., 0].numpy()) for one in own])
    assert float(distance(kind, own, other)) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("kind", TERMS)
def test_gradient(kind: str) -> None:
    """Against differences in float64 of the values with the same floor under the variances."""
    own, other = activations(1, 5, 200).double(), activations(1, 5, 200, seed=1).double()

    def value(features: Tensor) -> Tensor:
        flat, wanted = (one[..., 0] for one in (features, other))
        return TERMS[kind](flat @ flat.mT / 200, flat.mean(2), wanted @ wanted.mT / 200, wanted.mean(2))

    assert torch.autograd.gradcheck(value, (own.requires_grad_(),), eps=1e-5, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("kind", TERMS)
@pytest.mark.parametrize(("channels", "places"), [(4, 100), (64, 9)])
def test_nothing_between_a_picture_and_itself(kind: str, channels: int, places: int) -> None:
    """Also where places are fewer than channels, and covariances have no full rank."""
    features = activations(1, channels, places).requires_grad_()
    value = distance(kind, features, features.detach())
    value.backward()
    unit = distance(kind, torch.zeros_like(features), features.detach()).item()
    assert abs(value.item()) < 1e-4 * unit
    assert features.grad.abs().max() < 1e-2 * unit


@pytest.mark.parametrize("kind", TERMS)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_flat_pictures_have_a_finite_gradient(kind: str, value: float) -> None:
    for other in (activations(1, 4, 100), torch.zeros(1, 4, 100, 1)):
        flat = torch.full((1, 4, 100, 1), value, requires_grad=True)
        distance(kind, flat, other).backward()
        assert torch.isfinite(flat.grad).all()


# --- as parts of the objective ----------------------------------------------------------------------------------------

SETTINGS = LossSettings(vgg_weights="random", content_layers={"relu2_2": 1.0}, style_layers={"relu1_1": 0.5, "relu2_1": 0.25})


@pytest.fixture(scope="module")
def network() -> VGG:
    return reference.lively(VGG(["relu1_1", "relu2_1", "relu2_2"], weights="random"))


# How each is asked for, and the name of its parts: moments stand beside Gram matrices, the other in their place.
ASKED: dict[str, dict[str, Any]] = {"moments": {"moments_weight": 3.0}, "wasserstein": {"style_distance": "wasserstein"}}
PARTS = {"moments": ("moments", 3.0), "wasserstein": ("style", SETTINGS.style_weight)}


@pytest.mark.parametrize("kind", TERMS)
@pytest.mark.parametrize("calibrated", [True, False])
def test_parts(network: VGG, kind: str, calibrated: bool) -> None:
    """The other parts stay as they were; in units of the photo where they are calibrated."""
    content, picture = reference.photo("coffee", 48, 56), reference.photo("chelsea", 48, 56)
    styles = [reference.photo("rocket", 40, 56), reference.photo("astronaut", 48, 40)]
    plain = PerceptualLoss(replace(SETTINGS, calibrated=calibrated), network)
    loss = PerceptualLoss(replace(SETTINGS, calibrated=calibrated, **ASKED[kind]), network)
    part, factor = PARTS[kind]
    before = plain(picture, plain.targets(content, styles, [0.3, 0.9])).parts
    after = loss(picture, loss.targets(content, styles, [0.3, 0.9])).parts
    for name, value in before.items():
        assert name.startswith(f"{part}/") or float(after[name]) == float(value)
    for layer, weight in SETTINGS.style_layers.items():
        own, photo, *others = (network(one)[layer].flatten(2).numpy()[0] for one in (picture, content, *styles))
        wanted = sum(
            share * expected(kind, own, other) / (expected(kind, photo, other) if calibrated else 1)
            for share, other in zip((0.3, 0.9), others, strict=True)
        )
        assert float(after[f"{part}/{layer}"]) == pytest.approx(factor * weight * wanted, rel=1e-3)
    assert set(after) == set(before) | {f"{part}/{layer}" for layer in SETTINGS.style_layers}


@pytest.mark.parametrize("kind", TERMS)
def test_conversion_is_of_the_second_degree(network: VGG, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = reference.photo("coffee", 32, 32)
    settings = replace(SETTINGS, calibrated=False, numbers_for="torchvision", **ASKED[kind])
    loss = PerceptualLoss(settings, network)
    monkeypatch.setattr(loss, "_ratios", {"relu1_1": 3.0, "relu2_1": 5.0, "relu2_2": 7.0})
    targets = loss.targets(picture, [picture])
    beside = {"relu1_1": 81, "moments/relu1_1": 9, "relu2_1": 625, "moments/relu2_1": 25}
    assert targets.style_units == [beside if kind == "moments" else {"relu1_1": 9, "relu2_1": 25}]
    assert targets.content_units == {"relu2_2": 49}


@pytest.mark.parametrize("kind", TERMS)
def test_matrices_without_means(network: VGG, kind: str) -> None:
    picture = reference.photo("coffee", 32, 32)
    old = {
        name: GramTarget(one.matrix, one.positions) for name, one in PerceptualLoss(SETTINGS, network).grams(picture).items()
    }
    option = {"moments": "moments_weight", "wasserstein": "style_distance wasserstein"}[kind]
    with pytest.raises(InputError, match=f"{option} needs the means of activations"):
        PerceptualLoss(replace(SETTINGS, **ASKED[kind]), network).targets(picture, [old])


def test_the_root_of_a_target_is_taken_once(network: VGG, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes as long as the rest of the distance, and a search has hundreds of steps against one target."""
    content, style = reference.photo("coffee", 48, 56), reference.photo("rocket", 48, 56)
    loss = PerceptualLoss(replace(SETTINGS, style_distance="wasserstein"), network)
    targets = loss.targets(content, [style])
    shapes: list[torch.Size] = []
    eigen = style_terms._eigen
    monkeypatch.setattr(style_terms, "_eigen", lambda matrix: shapes.append(matrix.shape) or eigen(matrix))
    value = loss(style, targets).total
    assert shapes == [(1, 64, 64), (1, 128, 128)]
    bare = [{name: replace(one, root=None) for name, one in style.items()} for style in targets.styles]
    assert torch.equal(loss(style, replace(targets, styles=bare)).total, value)
    assert len(shapes) == 6
    moved = targets.styles[0]["relu1_1"].to("meta")
    assert moved.root is not None
    assert moved.root.device.type == "meta"


def test_a_form_of_gram_matrices_needs_them() -> None:
    with pytest.raises(InputError, match="style_form gatys compares Gram matrices"):
        LossSettings(style_distance="wasserstein", style_form="gatys")


def test_means_are_packed_with_the_matrices(network: VGG) -> None:
    grams = PerceptualLoss(SETTINGS, network).grams(reference.photo("coffee", 32, 32))
    again = unpack_grams(pack_grams(grams))
    assert list(again) == list(grams)
    for name, target in grams.items():
        assert torch.equal(again[name].mean, target.mean)
        assert again[name].positions == target.positions
    old = {name: replace(target, mean=None) for name, target in grams.items()}
    assert all(target.mean is None for target in unpack_grams(pack_grams(old)).values())
