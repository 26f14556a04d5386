"""Tile by tile is the whole picture: the loss, its gradient and its units, against PerceptualLoss and plain autograd."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any, get_args

import pytest
import reference
import torch
from torch import Tensor

from stylenet.errors import InputError
from stylenet.losses import terms
from stylenet.losses.perceptual import PerceptualLoss
from stylenet.losses.settings import LossSettings
from stylenet.losses.targets import Losses, Targets
from stylenet.losses.terms import total_variation
from stylenet.losses.vgg import VGG, layer_stride
from stylenet.optimization import scratch
from stylenet.optimization.tiled_loss import TiledLoss
from stylenet.optimization.tiles import plan_tiles
from stylenet.optimization.variation import VariationSums

SHALLOW = LossSettings(
    vgg_weights="random", content_layers={"relu2_2": 1.0}, style_layers={"relu1_1": 0.5, "relu3_1": 0.5}, style_weight=10.0
)
PHOTO, PICTURE = reference.photo("chelsea", 45, 59), reference.photo("astronaut", 45, 59)
STYLES = [reference.photo("coffee", 41, 50), reference.photo("rocket", 57, 30)]


@pytest.fixture(scope="module")
def networks() -> dict[str, VGG]:
    layers = ["relu1_1", "relu2_2", "relu3_1"]
    return {pooling: reference.lively(VGG(layers, weights="random", pooling=pooling)) for pooling in ("max", "average")}


@pytest.fixture(scope="module")
def real() -> VGG:
    settings = LossSettings()
    return VGG([*settings.content_layers, *settings.style_layers])


def differentiated(loss: PerceptualLoss | TiledLoss, picture: Tensor, targets: Targets) -> tuple[Losses, Tensor]:
    moved = picture.clone().requires_grad_()
    losses = loss(moved, targets)
    losses.total.backward()
    return losses, moved.grad


def check_same(
    loss: PerceptualLoss,
    side: int,
    picture: Tensor,
    photo: Tensor,
    styles: list[Tensor],
    weights: Any = None,
    rel: float = 1e-5,
) -> None:
    """Targets, units, parts, total and gradient."""
    tiled = TiledLoss(loss, side)
    targets, ours = loss.targets(photo, styles, weights), tiled.targets(photo, styles, weights)
    assert ours.style_shares == targets.style_shares
    assert ours.content_units == pytest.approx(targets.content_units, rel=rel)
    assert list(ours.style_units) == [pytest.approx(units, rel=rel) for units in targets.style_units]
    for name, features in targets.content.items():
        assert ours.content[name].shape == features.shape
        torch.testing.assert_close(ours.content[name], features, rtol=rel, atol=rel * float(features.abs().max()))
    (expected, gradient), (losses, tiled_gradient) = (
        differentiated(one, picture, one_targets) for one, one_targets in ((loss, targets), (tiled, ours))
    )
    assert list(losses.parts) == list(expected.parts)
    for name, part in expected.parts.items():
        assert losses.parts[name].item() == pytest.approx(part.item(), rel=rel), name
    assert losses.total.item() == pytest.approx(expected.total.item(), rel=rel)
    assert float((tiled_gradient - gradient).norm() / gradient.norm()) < rel
    # Nowhere more than rounding, corners and borders of tiles included.
    assert float((tiled_gradient - gradient).abs().max()) < 10 * rel * float(gradient.abs().max())


FORMS: list[dict[str, Any]] = [
    *[{"style_form": form, "calibrated": calibrated} for form in get_args(terms.StyleForm) for calibrated in (True, False)],
    *[{"content_form": form, "calibrated": calibrated} for form in get_args(terms.ContentForm) for calibrated in (True, False)],
    *[
        {"tv_weight": 3.0, "tv_form": form, "tv_reduction": how, "tv_range": size}
        for form in get_args(terms.VariationForm)
        for how, size in (("mean", 1.0), ("sum", 255.0))
    ],
    {"lattice_weight": 2.0},
    {"moments_weight": 4.0},
    {"style_distance": "wasserstein"},
    {"moments_weight": 1.0, "style_distance": "wasserstein", "calibrated": False},
    {"numbers_for": "torchvision", "calibrated": False},
    {"content_layers": {}},
    {"content_layers": {"relu1_1": 1.0, "relu3_1": 0.5}},
    {"style_layers": {"relu3_1": 1.0}, "content_layers": {}},
]


@pytest.mark.parametrize("changes", FORMS, ids=str)
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_every_form(networks: dict[str, VGG], changes: dict[str, Any], pooling: str) -> None:
    loss = PerceptualLoss(replace(SHALLOW, pooling=pooling, **changes), networks[pooling])
    # Inverse roots of covariances enlarge the rounding of sums: see the test of rounding below. 1.7e-5 were measured.
    rel = 3e-5 if "style_distance" in changes else 1e-5
    check_same(loss, 32, PICTURE, PHOTO, STYLES[:1], rel=rel)


@pytest.mark.parametrize("side", [1, 17, 32, 1000])
@pytest.mark.parametrize("shape", [(45, 59), (32, 32), (33, 50), (5, 71), (4, 4)])
def test_every_size(networks: dict[str, VGG], side: int, shape: tuple[int, int]) -> None:
    """Also slivers that have no place in the deepest layer, and tiles larger than the picture."""
    loss = PerceptualLoss(replace(SHALLOW, tv_weight=1.0), networks["max"])
    picture, photo = (reference.photo(name, *shape) for name in ("astronaut", "chelsea"))
    check_same(loss, side, picture, photo, STYLES[:1])


@pytest.mark.parametrize("weights", [None, [0.3, 1.2], [1.0, 0.0]])
def test_several_styles(networks: dict[str, VGG], weights: list[float] | None) -> None:
    loss = PerceptualLoss(replace(SHALLOW, moments_weight=1.0), networks["max"])
    check_same(loss, 24, PICTURE, PHOTO, STYLES, weights)


def test_matrices_in_place_of_a_picture(networks: dict[str, VGG]) -> None:
    loss = PerceptualLoss(SHALLOW, networks["max"])
    tiled = TiledLoss(loss, 32)
    grams = loss.grams(STYLES[0])
    assert tiled.targets(PHOTO, [grams]).styles == [grams]
    with pytest.raises(InputError, match="2 style shares for 1 style"):
        tiled.targets(PHOTO, STYLES[:1], [1.0, 2.0])


@pytest.mark.parametrize(
    ("side", "changes"), [(80, {}), (112, {"pooling": "average"}), (112, {"style_distance": "wasserstein"})]
)
def test_the_real_network(real: VGG, side: int, changes: dict[str, Any]) -> None:
    """All five blocks of VGG-19 with its own weights, at an odd size."""
    real.pooling = changes.get("pooling", "max")
    try:
        picture, photo = (reference.photo(name, 155, 201) for name in ("astronaut", "chelsea"))
        check_same(PerceptualLoss(LossSettings(**changes), real), side, picture, photo, STYLES[:1])
    finally:
        real.pooling = "max"


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_the_rounding_of_the_wasserstein_distance(networks: dict[str, VGG], pooling: str) -> None:
    """In float32 the whole picture's gradient is 1.5e-5 away from that in float64, and the tiled one is hardly further."""
    settings = replace(SHALLOW, pooling=pooling, style_distance="wasserstein")
    loss, exact = (PerceptualLoss(settings, network) for network in (networks[pooling], deepcopy(networks[pooling]).double()))
    tiled = TiledLoss(loss, 32)
    _, truth = differentiated(exact, PICTURE.double(), exact.targets(PHOTO.double(), [STYLES[0].double()]))
    _, whole = differentiated(loss, PICTURE, loss.targets(PHOTO, STYLES[:1]))
    _, ours = differentiated(tiled, PICTURE, tiled.targets(PHOTO, STYLES[:1]))
    rounding = (whole - truth).norm()
    assert rounding < 2e-5 * truth.norm()
    assert (ours - truth).norm() < 1.5 * rounding


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_bfloat16_within_rounding(layout: torch.memory_format) -> None:
    """The tiled gradient is as far from that in float32 as the whole one, and nearer to the whole one."""
    settings = LossSettings()
    network = VGG([*settings.content_layers, *settings.style_layers])
    picture, photo = (reference.photo(name, 83, 101) for name in ("astronaut", "chelsea"))
    loss = PerceptualLoss(settings, network)
    _, exact = differentiated(loss, picture, loss.targets(photo, STYLES[:1]))
    network.convolutions.to(torch.bfloat16, memory_format=layout)
    tiled = TiledLoss(loss, 64)
    expected, whole = differentiated(loss, picture, loss.targets(photo, STYLES[:1]))
    losses, ours = differentiated(tiled, picture, tiled.targets(photo, STYLES[:1]))
    assert losses.total.item() == pytest.approx(expected.total.item(), rel=2e-3)
    rounding = (whole - exact).norm()
    assert (ours - exact).norm() < 1.1 * rounding
    assert (ours - whole).norm() < rounding


def test_without_a_gradient(networks: dict[str, VGG]) -> None:
    tiled = TiledLoss(PerceptualLoss(SHALLOW, networks["max"]), 32)
    targets = tiled.targets(PHOTO, STYLES[:1])
    with torch.no_grad():
        looked = tiled(PICTURE.clone().requires_grad_(), targets)
    assert not looked.total.requires_grad
    assert float(looked.total) == pytest.approx(differentiated(tiled, PICTURE, targets)[0].total.item(), rel=1e-6)


def test_the_gradient_goes_on_to_what_made_the_picture(networks: dict[str, VGG]) -> None:
    """Scaled, and through another function, as variables and optimisers need it."""
    tiled = TiledLoss(PerceptualLoss(SHALLOW, networks["max"]), 32)
    targets = tiled.targets(PHOTO, STYLES[:1])
    _, gradient = differentiated(tiled, PICTURE, targets)
    half = (PICTURE / 2).requires_grad_()
    (tiled(half * 2, targets).total * 1e5).backward()
    torch.testing.assert_close(half.grad, gradient * 2e5, rtol=1e-5, atol=0)


# --- parts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 15, 16, 17, 100, 333])
@pytest.mark.parametrize("side", [16, 40, 1000])
def test_tiles_cover_every_pixel_once(length: int, side: int) -> None:
    count = torch.zeros(1, 1, length, 50)
    for tile in plan_tiles(length, 50, side, 16, 70):
        count[..., tile.rows.start : tile.rows.end, tile.columns.start : tile.columns.end] += 1
        for span, whole in ((tile.rows, length), (tile.columns, 50)):
            assert span.end - span.start <= max(side // 16 * 16, 16)
            assert span.seen_from % 16 == span.start % 16 == 0
            assert span.seen_from == 0 or span.start - span.seen_from >= 70
            assert span.seen_to == whole or span.seen_to - span.end >= 70
    assert torch.equal(count, torch.ones_like(count))


@pytest.mark.parametrize("layer", ["relu1_1", "relu2_2", "pool3", "relu5_1", "conv4_3"])
def test_reach_and_stride_of_layers(layer: str) -> None:
    """One place's gradient touches the pixels that they promise, and goes that far with weights that let all through."""
    network = VGG([layer], weights="random", pooling="average")
    for convolution in network.convolutions.values():
        convolution.weight.data.fill_(1 / convolution.weight[0].numel())
        convolution.bias.data.fill_(1.0)
    side = 256
    picture = torch.full((1, 3, side, side), 1.0, requires_grad=True)
    features = network(picture)[layer]
    stride = layer_stride(layer)
    assert features.shape[-1] == side // stride
    place = side // stride // 2
    features[0, 0, place, place].backward()
    touched = picture.grad[0].abs().sum(dim=(0, 1)).nonzero().flatten()
    assert int(touched.min()) == place * stride - network.reach
    assert int(touched.max()) == (place + 1) * stride - 1 + network.reach
    assert network.stride == stride


@pytest.mark.parametrize("form", get_args(terms.VariationForm))
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_variation_of_tiles(form: str, reduction: str) -> None:
    """Against loops over every pixel."""
    settings = LossSettings(tv_weight=1.0, tv_form=form, tv_reduction=reduction, tv_range=2.0)
    picture = PICTURE[..., :21, :18]
    sums = VariationSums(picture, settings)
    for tile in plan_tiles(21, 18, 8, 8, 8):
        sums.add(tile)
    assert float(sums.value()) == pytest.approx(reference.variation_loop(2 * picture[0].numpy(), form, reduction), rel=1e-4)
    assert float(sums.value()) == pytest.approx(float(total_variation(2 * picture, form, reduction)), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_large_tensors_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    monkeypatch.setattr(scratch, "IN_MEMORY", 1000)
    made = []
    monkeypatch.setattr(scratch, "_mapping", lambda size, make=scratch._mapping: made.append(size) or make(size))
    small, large = scratch.new_tensor((10, 10), dtype), scratch.new_tensor((30, 40), dtype)
    assert made == [1200 * dtype.itemsize]
    for tensor in (small, large):
        tensor.copy_(torch.arange(tensor.numel()).view(tensor.shape) % 100)
        assert float(tensor.flatten()[-1]) == (tensor.numel() - 1) % 100


def test_little_memory_puts_less_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr(scratch, "_mapping", lambda size, make=scratch._mapping: made.append(size) or make(size))
    monkeypatch.setattr(scratch, "_SMALL", 100)
    for free in (40_000, 30_000):
        monkeypatch.setattr(scratch, "free_main_memory", lambda free=free: free)
        scratch.new_tensor((10, 25), torch.float32)
    assert made == [1000]


def test_content_in_a_file_is_the_same(networks: dict[str, VGG], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "IN_MEMORY", 1000)
    check_same(PerceptualLoss(SHALLOW, networks["max"]), 32, PICTURE, PHOTO, STYLES[:1])
