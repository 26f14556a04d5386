"""Losses in one line, as modules of ``torch.nn``: the content of a target, the style of a painting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from stylenet.choices import check_choice
from stylenet.errors import InputError
from stylenet.images.picture import PictureLike
from stylenet.losses.checks import check_output
from stylenet.losses.perceptual import PerceptualLoss
from stylenet.losses.settings import LossSettings
from stylenet.losses.terms import ContentForm, Grams, StyleForm, style_loss
from stylenet.losses.vgg import Architecture, Pooling
from stylenet.modes import made_by_guest

_STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


class ContentLoss(nn.Module):
    """The distance between the content of outputs and that of targets (Johnson et al., ECCV 2016, eq. 2).

    ``ContentLoss("relu2_2")(sr, hr)`` is a scalar: 0 for the same activations, 1 for those of an unrelated picture.

    Args:
        layers: one layer, several with equal shares, or several with their weights.
        calibrated: divide each layer by twice the variance of the target's activations, so that layers and loss networks
            can be compared; False leaves the paper's own numbers.
        form: ``mean``, ``sum`` or ``half_sum`` of squared differences.
        vgg: the loss network.
        vgg_weights: ``caffe`` (offline), ``torchvision``, or a file.
        pooling: ``max`` or ``average``.
    """

    @made_by_guest
    def __init__(
        self,
        layers: str | Iterable[str] | Mapping[str, float] = "relu2_2",
        *,
        calibrated: bool = True,
        form: ContentForm = "mean",
        vgg: Architecture = "vgg19",
        vgg_weights: str = "caffe",
        pooling: Pooling = "max",
    ) -> None:
        super().__init__()
        check_choice("form", form, ContentForm)
        settings = LossSettings(
            vgg, vgg_weights, None, pooling, _weighted(layers), {}, calibrated, form, numbers_for=_own_numbers(vgg_weights)
        )
        self.loss = PerceptualLoss(settings)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Return a scalar, averaged over the batch.

        Args:
            output: ``[B, 3, H, W]`` of floats, about 0..1.
            target: the same shape, uint8 or float in 0..1; taken as a constant.

        Raises:
            InputError: for tensors of other shapes, types or ranges.
        """
        result: Tensor = self.loss(output, target)
        return result


class StyleLoss(nn.Module):
    """The distance between the style of outputs and that of a painting (Gatys et al., CVPR 2016, eq. 4).

    ``StyleLoss("painting.jpg")(output)`` is a scalar: 0 for the painting's own Gram matrices, 1 for those of no activations.

    Args:
        painting: whatever :func:`~stylenet.read_image` takes, of any size; or its Gram matrices.
        layers: one layer, several with equal shares, or several with their weights.
        calibrated: divide each layer by its value for no activations at all; False leaves the numbers of ``form``.
        form: ``gatys``, ``johnson`` or ``raw``: how Gram matrices are compared.
        vgg: the loss network.
        vgg_weights: ``caffe`` (offline), ``torchvision``, or a file.
        pooling: ``max`` or ``average``.
    """

    @made_by_guest
    def __init__(
        self,
        painting: PictureLike | Grams,
        layers: str | Iterable[str] | Mapping[str, float] = _STYLE_LAYERS,
        *,
        calibrated: bool = True,
        form: StyleForm = "johnson",
        vgg: Architecture = "vgg19",
        vgg_weights: str = "caffe",
        pooling: Pooling = "max",
    ) -> None:
        super().__init__()
        check_choice("form", form, StyleForm)
        self.weights, self.form, self.calibrated = _weighted(layers), form, calibrated
        settings = LossSettings(vgg, vgg_weights, None, pooling, {}, self.weights, numbers_for=_own_numbers(vgg_weights))
        loss = PerceptualLoss(settings, painting=painting)
        assert loss.painting is not None
        self.vgg, self.painting = loss.vgg, loss.painting

    def forward(self, output: Tensor) -> Tensor:
        """Return a scalar, averaged over the batch, for an output ``[B, 3, H, W]`` of floats, about 0..1.

        Raises:
            InputError: for a tensor of another shape or type.
        """
        output = check_output(output)
        with torch.autocast(output.device.type, enabled=False):
            return self._compare(output)

    def _compare(self, output: Tensor) -> Tensor:
        features, targets = self.vgg(output), self.painting.grams()
        pixels = output.shape[-2] * output.shape[-1]
        terms = []
        for name, weight in self.weights.items():
            distance = style_loss(features[name], targets[name], self.form, pixels)
            terms.append(weight * distance / self._unit(features[name], targets, name, pixels))
        return torch.stack(terms).sum()

    def _unit(self, features: Tensor, targets: Grams, name: str, pixels: int) -> Tensor | float:
        """Return the distance of no activations at all."""
        if not self.calibrated:
            return 1.0
        nothing = torch.zeros_like(features[:1].detach())
        return style_loss(nothing, targets[name], self.form, pixels).clamp_min(torch.finfo(torch.float32).tiny)


def _weighted(layers: str | Iterable[str] | Mapping[str, float]) -> dict[str, float]:
    """Return layers with their weights."""
    if isinstance(layers, Mapping):
        return dict(layers)
    names = [layers] if isinstance(layers, str) else list(layers)
    if not names:
        raise InputError("no layer was named: give one, such as relu2_2")
    return dict.fromkeys(names, 1 / len(names))


def _own_numbers(vgg_weights: str) -> Literal["caffe", "torchvision"]:
    return "caffe" if vgg_weights == "caffe" else "torchvision"
