"""The loss as people of torch.nn expect it: a scalar in one line, out of state dicts, under every transform of torch."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import stylenet
from stylenet.errors import InputError
from stylenet.losses.criteria import ContentLoss, StyleLoss
from stylenet.losses.gram import gram_matrix
from stylenet.losses.perceptual import PerceptualLoss
from stylenet.losses.settings import LossSettings
from stylenet.losses.style_terms import wasserstein_distance
from stylenet.losses.vgg import VGG

GENERATOR = torch.Generator().manual_seed(0)
OUTPUT, TARGET = (torch.rand(2, 3, 24, 32, generator=GENERATOR) for _ in range(2))
PAINTING = torch.rand(1, 3, 28, 20, generator=GENERATOR)
SMALL: dict[str, Any] = {
    "vgg_weights": "random",
    "content_layers": {"relu2_1": 1.0},
    "style_layers": {"relu1_1": 0.5, "relu2_1": 0.5},
}

MAKERS: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
    "perceptual": lambda: bound(PerceptualLoss(LossSettings(**SMALL))),
    "perceptual, raw": lambda: bound(PerceptualLoss(LossSettings(**SMALL, calibrated=False, numbers_for="caffe"))),
    "perceptual, painting": lambda: bound(PerceptualLoss(LossSettings(**SMALL, tv_weight=0.1), painting=PAINTING)),
    "perceptual, Wasserstein": lambda: bound(
        PerceptualLoss(LossSettings(**SMALL, style_distance="wasserstein", moments_weight=1.0), painting=PAINTING)
    ),
    "content": lambda: bound(ContentLoss(["relu1_2", "relu2_1"], vgg_weights="random")),
    "style": lambda: StyleLoss(PAINTING, {"relu1_1": 1.0, "relu2_1": 1.0}, vgg_weights="random"),
}


class Bound(nn.Module):
    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, output: Tensor) -> Tensor:
        return self.loss(output, TARGET[: len(output)])


def bound(loss: nn.Module) -> Bound:
    return Bound(loss)


def each_loss() -> Any:
    return pytest.mark.parametrize("kind", MAKERS)


def make(kind: str) -> Any:
    torch.manual_seed(0)
    return MAKERS[kind]()


def gradient(loss: Callable[[Tensor], Tensor], output: Tensor = OUTPUT) -> Tensor:
    output = output.clone().requires_grad_(True)
    loss(output).backward()
    assert output.grad is not None
    return output.grad


@each_loss()
def test_a_scalar_with_a_gradient(kind: str) -> None:
    loss = make(kind)
    value = loss(OUTPUT)
    assert value.ndim == 0
    assert value > 0
    assert torch.isfinite(gradient(loss)).all()
    assert gradient(loss).abs().max() > 0


def test_the_value_of_calibrated_content() -> None:
    """Against the definition: squared difference over twice the variance."""
    loss = ContentLoss("relu2_1", vgg_weights="random")
    ours, theirs = (loss.loss.vgg(x)["relu2_1"].double() for x in (OUTPUT, TARGET))
    spread = (theirs - theirs.mean(dim=(0, 2, 3), keepdim=True)).square().mean()
    assert float(loss(OUTPUT, TARGET)) == pytest.approx(float((ours - theirs).square().mean() / (2 * spread)), rel=1e-4)
    assert float(loss(TARGET, TARGET)) == 0


def test_the_value_of_style() -> None:
    """Against loops over channels: 0 for the painting, 1 for nothing."""
    loss = StyleLoss(PAINTING, ["relu1_1", "relu2_1"], vgg_weights="random")
    expected = 0.0
    for name in ("relu1_1", "relu2_1"):
        ours, theirs = (loss.vgg(x)[name].double().flatten(2) for x in (OUTPUT, PAINTING))
        wanted = theirs[0] @ theirs[0].T / theirs.shape[2]
        distances = [(one @ one.T / one.shape[1] - wanted).square().sum() for one in ours]
        expected += 0.5 * float(sum(distances) / 2 / wanted.square().sum())
    assert float(loss(OUTPUT)) == pytest.approx(expected, rel=1e-4)
    assert float(loss(PAINTING)) == pytest.approx(0, abs=1e-9)


def test_it_is_what_the_engines_minimise() -> None:
    loss = PerceptualLoss(LossSettings(**SMALL), painting=PAINTING)
    targets = loss.targets(TARGET, [PAINTING])
    assert float(loss(OUTPUT, TARGET)) == pytest.approx(float(loss(OUTPUT, targets).total), rel=1e-5)


def test_one_line_on_real_weights() -> None:
    output = OUTPUT.clone().requires_grad_(True)
    stylenet.PerceptualLoss()(output, TARGET).backward()
    assert output.grad is not None
    assert output.grad.abs().max() > 0


# --- as a module --------------------------------------------------------------------------------------------------------


@each_loss()
def test_weights_are_in_no_state_dict(kind: str) -> None:
    model = nn.ModuleDict({"net": nn.Conv2d(3, 3, 1), "loss": make(kind)})
    assert list(model.state_dict()) == ["net.weight", "net.bias"]
    model.load_state_dict(model.state_dict())
    model.load_state_dict({**nn.ModuleDict({"net": nn.Conv2d(3, 3, 1)}).state_dict()})
    assert not [parameter for parameter in make(kind).parameters() if parameter.requires_grad]


@each_loss()
def test_moves(kind: str) -> None:
    """To another device, and to a shorter type with Gram matrices that stay float32."""
    loss = make(kind).to("meta")
    assert {value.device.type for value in [*loss.parameters(), *loss.buffers()]} == {"meta"}
    short = make(kind).to(torch.bfloat16)
    assert {value.dtype for value in short.buffers()} <= {torch.float32}
    assert float(short(OUTPUT)) == pytest.approx(float(make(kind)(OUTPUT)), rel=0.05)


@each_loss()
def test_host_of_another_default_type(kind: str) -> None:
    expected = make(kind)(OUTPUT)
    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(0)
        loss = make(kind)
        assert {value.dtype for value in [*loss.parameters(), *loss.buffers()]} == {torch.float32}
        assert loss(OUTPUT).dtype == torch.float32 == expected.dtype
    finally:
        torch.set_default_dtype(torch.float32)


def test_no_random_numbers_are_drawn() -> None:
    before = torch.get_rng_state()
    PerceptualLoss()
    assert torch.equal(torch.get_rng_state(), before)


# --- under the transforms of torch ----------------------------------------------------------------------------------------


@each_loss()
def test_autocast(kind: str) -> None:
    loss = make(kind)
    plain, exact = gradient(loss), float(loss(OUTPUT))
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(OUTPUT)
        short = gradient(loss)
    assert value.dtype == torch.float32
    assert float(value) == pytest.approx(exact, rel=0.05)
    assert torch.nn.functional.cosine_similarity(short.flatten(), plain.flatten(), dim=0) > 0.95


@each_loss()
@pytest.mark.filterwarnings("ignore")
def test_compiled(kind: str) -> None:
    torch.compiler.reset()  # what other losses had compiled counts against a limit
    loss = make(kind)
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    assert float(compiled(OUTPUT)) == pytest.approx(float(loss(OUTPUT)), rel=1e-4)
    assert torch.allclose(gradient(compiled), gradient(loss), rtol=1e-3, atol=1e-7)


@each_loss()
def test_torch_func(kind: str) -> None:
    loss = make(kind)
    assert torch.allclose(torch.func.grad(loss)(OUTPUT), gradient(loss), rtol=1e-4, atol=1e-8)
    each = torch.func.vmap(lambda one: loss(one[None]))(OUTPUT[:1])
    assert float(each[0]) == pytest.approx(float(loss(OUTPUT[:1])), rel=1e-4)
    slopes = torch.func.vmap(torch.func.grad(lambda one: loss(one[None])))(OUTPUT[:1])
    assert torch.allclose(slopes, gradient(loss, OUTPUT[:1]), rtol=1e-3, atol=1e-8)


@each_loss()
def test_double_backward(kind: str) -> None:
    """The gradient's derivative along a direction, against differences of gradients."""
    loss = make(kind)
    output = OUTPUT.clone().requires_grad_(True)
    (first,) = torch.autograd.grad(loss(output), output, create_graph=True)
    direction = first.detach() / first.detach().norm()
    (second,) = torch.autograd.grad((first * direction).sum(), output)
    step = 1e-3
    ahead, behind = (gradient(loss, OUTPUT + sign * step * direction) for sign in (1, -1))
    difference = (ahead - behind) / (2 * step)
    # ReLU and max pooling switch between the two at a few places, where differences are no derivative.
    assert float((second - difference).abs().median()) < 0.05 * float(difference.abs().median())


def test_gradients_of_gradients_of_the_terms() -> None:
    """gradgradcheck, in float64 where the terms keep it."""
    features = torch.rand(2, 3, 4, 5, dtype=torch.float64, generator=GENERATOR)
    mean = torch.rand(1, 3, dtype=torch.float64, generator=GENERATOR)
    target = torch.eye(3, dtype=torch.float64)[None] * 2 + mean[:, :, None] * mean[:, None]

    def wasserstein(values: Tensor) -> Tensor:
        flat = values.flatten(2)
        gram = flat @ flat.transpose(1, 2) / flat.shape[2]
        return wasserstein_distance(gram, flat.mean(dim=2), target, mean)

    assert torch.autograd.gradcheck(wasserstein, features.requires_grad_(True))
    assert torch.autograd.gradgradcheck(wasserstein, features)
    same = torch.zeros(1, 3, 2, 2, dtype=torch.float64)  # equal eigenvalues
    same[0, range(3), [0, 0, 1], [0, 1, 0]] = 1.0
    assert torch.autograd.gradcheck(wasserstein, same.requires_grad_(True))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gram_matrix_twice(layout: torch.memory_format) -> None:
    """Against autograd through einsum."""
    features = torch.rand(2, 3, 4, 5, generator=GENERATOR).contiguous(memory_format=layout).requires_grad_(True)
    weights = torch.rand(2, 3, 3, generator=GENERATOR)
    results = []
    for gram in (gram_matrix, lambda x: torch.einsum("bchw,bdhw->bcd", x, x) / 20):
        (first,) = torch.autograd.grad((gram(features) * weights).square().sum(), features, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), features)
        results.append((first, second))
    assert torch.allclose(results[0][0], results[1][0], rtol=1e-4, atol=1e-6)
    assert torch.allclose(results[0][1], results[1][1], rtol=1e-4, atol=1e-5)


# --- what is refused ------------------------------------------------------------------------------------------------------


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "bytes as output": ((OUTPUT * 255).byte(), TARGET, "the output is torch.uint8"),
    "an array": (OUTPUT.numpy(), TARGET, "the output is ndarray"),
    "an array as target": (OUTPUT, TARGET.numpy(), "the target is of type ndarray"),
    "target to 255": (OUTPUT, TARGET * 255, "divide it by 255"),
    "target of another size": (OUTPUT, TARGET[..., :8], "they must be alike"),
    "one channel": (OUTPUT[:, :1], TARGET[:, :1], "repeat the one channel"),
    "NaN": (OUTPUT, TARGET * float("nan"), "NaN"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind: str) -> None:
    output, target, message = REFUSED[kind]
    with pytest.raises(InputError, match=re.escape(message)):
        ContentLoss("relu1_1", vgg_weights="random")(output, target)


def test_bytes_as_target() -> None:
    loss = ContentLoss("relu1_1", vgg_weights="random")
    assert float(loss(OUTPUT, (TARGET * 255).round().byte())) == pytest.approx(
        float(loss(OUTPUT, (TARGET * 255).round() / 255)), rel=1e-6
    )


@pytest.mark.parametrize("layers", [[], "relu9_1", {"relu1_1": -1.0}])
def test_layers_that_are_none(layers: Any) -> None:
    with pytest.raises(InputError):
        ContentLoss(layers, vgg_weights="random")


def test_the_network_of_a_caller_stays() -> None:
    network = VGG(["relu1_1"], weights="random")
    settings = stylenet.OptimizeSettings(steps=1, scales=1, precision="bf16", device="cpu")
    loss = LossSettings(content_layers={"relu1_1": 1.0}, style_layers={"relu1_1": 1.0}, vgg_weights="random")
    stylenet.optimize(OUTPUT[:1], PAINTING, loss, settings, vgg=network)
    assert next(network.parameters()).dtype == torch.float32
