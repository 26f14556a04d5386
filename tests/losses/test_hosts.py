"""All that the losses export gives the numbers of a clean host, whatever modes of torch a host has set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import stylenet.losses as public
from stylenet.losses import VGG, ContentLoss, LossSettings, PerceptualLoss, StyleLoss

GENERATOR = torch.Generator().manual_seed(0)
OUTPUT, TARGET = (torch.rand(1, 3, 64, 72, generator=GENERATOR) for _ in range(2))
PAINTING = torch.rand(1, 3, 28, 20, generator=GENERATOR)
FEATURES, OTHERS = (torch.rand(1, 4, 6, 8, generator=GENERATOR) for _ in range(2))
LAYERS = {"relu1_1": 0.5, "relu2_1": 0.5}
SETTINGS = LossSettings(content_layers={"relu2_1": 1.0}, style_layers=LAYERS, tv_weight=0.1, style_distance="wasserstein")
GRAM = public.GramTarget(torch.rand(1, 4, 4, generator=GENERATOR), 48)


def with_gradient(loss: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """Return a loss of the output and its gradient."""
    with torch.inference_mode(False), torch.enable_grad():
        output = OUTPUT.clone().requires_grad_(True)
        value = loss(output)
        (gradient,) = torch.autograd.grad(value, output)
    return [value.detach(), gradient]


def perceptual() -> list[Tensor]:
    loss = PerceptualLoss(SETTINGS, painting=PAINTING)
    return with_gradient(lambda output: loss(output, TARGET))


def measured() -> list[Tensor]:
    """Compare with targets that were measured in the host's modes."""
    loss = PerceptualLoss(SETTINGS)
    targets = loss.targets(TARGET, [PAINTING, loss.grams(PAINTING)])
    return with_gradient(lambda output: loss(output, targets).total)


def content() -> list[Tensor]:
    loss = ContentLoss(["relu1_2", "relu2_1"])
    return with_gradient(lambda output: loss(output, TARGET))


def vgg() -> list[Tensor]:
    """Autocast asks for shorter convolutions, and gets them: a training in 16 bits is made of that."""
    network = VGG(["relu2_1", "conv1_2"])
    with torch.autocast("cpu", enabled=False):
        return [*network(OUTPUT).values(), *network.parameters()]


CALLS: dict[str, Callable[[], Any]] = {
    "VGG": vgg,
    "ContentLoss": content,
    "GramTarget": lambda: [GRAM.to("cpu").matrix],
    "Grams": lambda: [],
    "LossSettings": lambda: [],
    "Losses": measured,
    "Targets": measured,
    "PerceptualLoss": perceptual,
    "StyleLoss": lambda: with_gradient(StyleLoss(PAINTING, LAYERS)),
    "border_index": lambda: [public.border_index(OUTPUT, TARGET)],
    "checkerboard_index": lambda: [public.checkerboard_index(OUTPUT, TARGET)],
    "content_loss": lambda: [public.content_loss(FEATURES, OTHERS)],
    "content_lost": lambda: [public.content_lost(FEATURES, OTHERS)],
    "gram_matrix": lambda: [public.gram_matrix(FEATURES)],
    "layer_names": lambda: [],
    "saturation": lambda: [public.saturation(OUTPUT * 2 - 0.5)],
    "style_errors": lambda: list(public.style_errors({"a": FEATURES}, {"a": OTHERS}, {"a": GRAM.matrix}).values()),
    "style_loss": lambda: [public.style_loss(FEATURES, GRAM)],
    "total_variation": lambda: with_gradient(public.total_variation),
}


class OtherType:
    """A host whose default type is float64."""

    def __enter__(self) -> None:
        torch.set_default_dtype(torch.float64)

    def __exit__(self, *_: object) -> None:
        torch.set_default_dtype(torch.float32)


class OnMeta:
    """A host whose default device holds no numbers."""

    def __enter__(self) -> None:
        torch.set_default_device("meta")

    def __exit__(self, *_: object) -> None:
        torch.set_default_device(None)


HOSTS: dict[str, Callable[[], Any]] = {
    "float64": OtherType,
    "meta": OnMeta,
    "with meta": lambda: torch.device("meta"),
    "inference mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


def test_every_public_name_is_tried() -> None:
    assert CALLS.keys() == set(public.__all__)


@pytest.fixture(scope="module")
def expected() -> dict[str, list[Tensor]]:
    return {name: call() for name, call in CALLS.items()}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("name", CALLS)
def test_the_host_has_no_say(name: str, host: str, expected: dict[str, list[Tensor]]) -> None:
    with HOSTS[host]():
        found = CALLS[name]()
    assert len(found) == len(expected[name])
    for one, other in zip(found, expected[name], strict=True):
        assert one.dtype == other.dtype
        assert one.device == other.device
        assert torch.equal(one, other)
