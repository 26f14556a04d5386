"""The settings of the loss: its network, its layers, the forms of its terms and their weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from stylenet.choices import check_choices
from stylenet.errors import InputError
from stylenet.losses.terms import ContentForm, StyleDistance, StyleForm, VariationForm
from stylenet.losses.vgg import Architecture, Pooling

# The factors of the terms among the settings.
_FACTORS = ("content_weight", "style_weight", "tv_weight", "lattice_weight", "moments_weight")


@dataclass(frozen=True)
class LossSettings:
    """Settings of what is minimised, for both engines.

    The defaults compare Gram matrices in calibrated units. Each engine starts from settings of its own:
    :data:`~stylenet.optimization.settings.SEARCH_LOSS` and :data:`~stylenet.training.module.TRAINING_LOSS`.

    Attributes:
        vgg: the loss network.
        vgg_weights: ``caffe`` (offline), ``torchvision`` (downloaded, 550 MB), or a file in torchvision's layout.
        vgg_space: input space of a weights file, ``torchvision`` unless it is said to be ``caffe``.
        pooling: ``max`` or ``average``.
        content_layers: weight of each content layer.
        style_layers: weight of each style layer.
        calibrated: measure each term in units of how wrong it can be, so that weights mean the same for every picture.
        content_form: ``mean``, ``sum`` or ``half_sum`` of squared differences.
        style_distance: what styles are compared by at each layer: ``gram`` for Gram matrices, ``wasserstein`` for the
            2-Wasserstein distance of activations, which keeps means and correlations apart.
        style_form: ``gatys``, ``johnson``, ``raw`` or ``keras``: how Gram matrices are compared.
        content_weight: factor of all content layers.
        style_weight: factor of all style layers.
        tv_weight: factor of the total variation.
        tv_form: ``l1``, ``l2`` or ``power``.
        tv_reduction: ``mean`` (does not depend on the picture's size) or ``sum``.
        tv_range: value of white in the total variation: 1, or 255 for recipes that were written for bytes.
        lattice_weight: factor of what repeats every 2 or 4 pixels; for networks, which weave it where nothing forbids it.
        moments_weight: factor of the distance of means and standard deviations of the style layers, beside the style's own.
        numbers_for: the input space that the weights of an uncalibrated recipe were written for. With a network of the
            other kind they are converted by a measured factor.
    """

    vgg: Architecture = "vgg19"
    vgg_weights: str = "caffe"
    vgg_space: Literal["caffe", "torchvision"] | None = None
    pooling: Pooling = "max"
    content_layers: dict[str, float] = field(default_factory=lambda: {"relu4_2": 1.0})
    style_layers: dict[str, float] = field(
        default_factory=lambda: {"relu1_1": 0.2, "relu2_1": 0.2, "relu3_1": 0.2, "relu4_1": 0.2, "relu5_1": 0.2}
    )
    calibrated: bool = True
    content_form: ContentForm = "mean"
    style_distance: StyleDistance = "gram"
    style_form: StyleForm = "johnson"
    content_weight: float = 1.0
    style_weight: float = 10.0
    tv_weight: float = 0.0
    tv_form: VariationForm = "l2"
    tv_reduction: Literal["mean", "sum"] = "mean"
    tv_range: float = 1.0
    lattice_weight: float = 0.0
    moments_weight: float = 0.0
    numbers_for: Literal["caffe", "torchvision"] = "caffe"

    def __post_init__(self) -> None:
        check_choices(self)
        if self.style_distance != "gram" and self.style_form != "johnson":
            raise InputError(f"style_form {self.style_form} compares Gram matrices: give style_distance gram with it")
        if not self.content_layers and not self.style_layers:
            raise InputError("nothing to minimise: give at least one of content_layers and style_layers")
        for name in (*_FACTORS, "tv_range"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0:
                raise InputError(f"{name} is {value}: it must be a number of 0 or more")
        for layer, value in [*self.content_layers.items(), *self.style_layers.items()]:
            if not math.isfinite(value) or value < 0:
                raise InputError(f"the weight of {layer} is {value}: it must be a number of 0 or more")


def present_names(loss: object) -> Any:
    """Return the fields of a loss that a file holds, under the names that they have now; anything else as it is.

    Older files have a ``wasserstein_weight``, whose distance stood in place of Gram matrices where ``style_weight`` was 0.

    Raises:
        ValueError: for a file whose training had both, which there is no name for.
    """
    if not isinstance(loss, dict) or "wasserstein_weight" not in loss:
        return loss
    weight = loss["wasserstein_weight"]
    fields = {name: value for name, value in loss.items() if name != "wasserstein_weight"}
    if not weight:
        return fields
    if fields.get("style_weight", LossSettings.style_weight):
        raise ValueError("Gram matrices and the Wasserstein distance beside each other")
    return {**fields, "style_distance": "wasserstein", "style_weight": weight}


def shares(style_shares: Sequence[float] | None, count: int) -> list[float]:
    """Return the share of each of ``count`` styles: equal ones unless they are given.

    Raises:
        InputError: for shares that do not match the styles.
    """
    weights = list(style_shares) if style_shares else [1 / max(count, 1)] * count
    if len(weights) != count:
        raise InputError(f"{len(weights)} style shares for {count} style pictures: give one for each")
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
        raise InputError(f"style shares {weights}: each must be a number of 0 or more")
    return weights
