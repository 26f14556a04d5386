"""The perceptual loss that both engines minimise: content, Gram (style) and total variation.

Numeric core first, as plain functions of tensors; then :class:`PerceptualLoss`, which ties them to a VGG. Weights are either
*calibrated* (every term is measured in units of how wrong it can be, see :meth:`PerceptualLoss.targets`) or the paper's own
numbers in the paper's own form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylenet.errors import InputError
from stylenet.images.inputs import check_shape, check_tensor
from stylenet.images.picture import PictureLike, as_picture
from stylenet.losses.gram import gram_matrix
from stylenet.losses.style_terms import moments_distance, wasserstein_distance
from stylenet.losses.vgg import INPUT_SPACES, VGG, Architecture, Pooling, on_this_machine

ContentForm = Literal["mean", "sum", "half_sum"]
StyleForm = Literal["gatys", "johnson", "raw", "keras"]
VariationForm = Literal["l1", "l2", "power"]

# --- the terms --------------------------------------------------------------------------------------------------------


def content_loss(features: Tensor, target: Tensor, form: ContentForm = "mean") -> Tensor:
    """Return the squared distance of activations ``[B, C, h, w]``, averaged over the batch.

    ``half_sum`` is Gatys et al., CVPR 2016, eq. 1; ``mean`` is Johnson et al., ECCV 2016, eq. 2.
    """
    squared = (features.float() - target.float()).square()
    if form == "mean":
        return squared.mean()
    total = squared.sum() / len(features)
    return total / 2 if form == "half_sum" else total


@dataclass(frozen=True, eq=False)
class GramTarget:
    """The statistics that a style is compared by at one layer: sums over the places of pictures, divided by their number.

    Attributes:
        matrix: Gram matrices ``[B, C, C]``, of one style picture ``[1, C, C]``.
        positions: the places that they were averaged over.
        mean: means ``[B, C]`` of the activations, or None where only the matrix is known, as in older style files.
    """

    matrix: Tensor
    positions: int
    mean: Tensor | None = None

    def to(self, device: torch.device | str) -> GramTarget:
        """Return a copy on another device."""
        return replace(self, matrix=self.matrix.to(device), mean=None if self.mean is None else self.mean.to(device))


def gram_target(features: Tensor, mean: bool = True) -> GramTarget:
    """Return the Gram matrices of activations ``[B, C, h, w]`` with the places, and their means if they are wanted."""
    places = features.shape[2] * features.shape[3]
    means = features.mean(dim=(2, 3), dtype=torch.float32) if mean else None
    return GramTarget(gram_matrix(features), places, means)


# What a loss needs to know of a style picture: the target of each layer by its name.
Grams = dict[str, GramTarget]


def moved(style: Tensor | Grams, device: torch.device) -> Tensor | Grams:
    """Return a style picture, or its Gram matrices, on a device."""
    if isinstance(style, Tensor):
        return style.to(device)
    return {name: target.to(device) for name, target in style.items()}


def style_loss(features: Tensor, target: GramTarget, form: StyleForm = "johnson", pixels: int | None = None) -> Tensor:
    """Return the squared distance between the Gram matrix of ``features [B, C, h, w]`` and a target, averaged over the batch.

    With N channels, M positions and unnormalised Gram matrices G and A:

    - ``gatys``: ``1 / (4 N² M²) sum (G - A)²`` (CVPR 2016, eq. 4); for a style picture of another size each of G and A
      is divided by its own M.
    - ``johnson``: mean of the squared difference of ``G / (N M)`` and ``A / (N M)`` (ECCV 2016, eqs. 3 and 4).
    - ``raw``: mean of ``(G - A)²``, divided by ``N M``.
    - ``keras``: ``sum (G - A)² / (4 * 3² * pixels²)`` with the pixels of the whole picture (Keras' example code).
    """
    return gram_distance(gram_matrix(features), features.shape[2] * features.shape[3], target, form, pixels)


def gram_distance(
    gram: Tensor, positions: int, target: GramTarget, form: StyleForm = "johnson", pixels: int | None = None
) -> Tensor:
    """Return what :func:`style_loss` does from a Gram matrix ``[B, C, C]`` that is at hand, averaged over ``positions``."""
    channels = gram.shape[1]
    if form == "gatys":
        return (gram - target.matrix).square().mean() / 4
    if form == "johnson":
        return (gram - target.matrix).square().mean() / channels**2
    unnormalised = (gram * positions - target.matrix * target.positions).square()
    if form == "raw":
        return unnormalised.mean() / (channels * positions)
    if pixels is None:
        raise ValueError("the form 'keras' needs the number of pixels of the picture")
    return unnormalised.sum() / len(gram) / (4 * 3**2 * pixels**2)


def total_variation(picture: Tensor, form: VariationForm = "l2", reduction: Literal["mean", "sum"] = "mean") -> Tensor:
    """Return the roughness of pictures ``[B, 3, H, W]`` from the differences of neighbours across and down.

    ``l1``: absolute, ``l2``: squared; each direction is reduced by itself and both are added. ``power``:
    ``(dx² + dy²)^1.25`` (Keras' example code). ``mean`` does not depend on the size of the picture; ``sum`` is a sum over
    one picture, averaged over the batch.
    """
    across = picture[..., :, 1:] - picture[..., :, :-1]
    down = picture[..., 1:, :] - picture[..., :-1, :]
    if form == "power":
        terms = [(across[..., :-1, :].square() + down[..., :, :-1].square()).pow(1.25)]
    else:
        terms = [d.abs() if form == "l1" else d.square() for d in (across, down)]
    if reduction == "mean":
        return torch.stack([term.mean() for term in terms]).sum()
    return torch.stack([term.sum() for term in terms]).sum() / len(picture)


# Period 2 against period 4 in :func:`lattice`: pictures have so much less power there that a pattern shows much sooner.
_PERIOD_TWO = 100.0


def lattice(picture: Tensor, window: int = 64) -> Tensor:
    """Return how strongly pictures ``[B, 3, H, W]`` repeat every 4 or 2 pixels, as upsampling leaves it: 0 for not at all, 1
    for a pattern of period 4 with a contrast (rms) of a hundredth of the range.

    The mean of each of the 4 x 4 places in windows of ``window`` pixels a side; its variance is the power of the patterns that
    hold their phase all over a window. Texture does not. Coarser things are taken away first by a smooth copy, in which
    periods of 2 and 4 pixels are exactly zero. 0 for pictures below 8 pixels a side.
    """
    side = min(window, *((length - 4) // 4 * 4 for length in picture.shape[-2:]))
    if side < 4:
        return picture.new_zeros(())
    picture = picture.float()
    smooth = F.avg_pool2d(F.avg_pool2d(picture, 4, stride=1), 2, stride=1)
    detail = picture[..., 2:-2, 2:-2] - smooth
    batch, channels, height, width = detail.shape
    rows, columns = height // side, width // side
    windows = detail[..., : rows * side, : columns * side].reshape(batch, channels, rows, side // 4, 4, columns, side // 4, 4)
    places = windows.mean(dim=(3, 6))  # [B, 3, rows, 4, columns, 4]
    four = places - places.mean(dim=(3, 5), keepdim=True)
    two = four.reshape(batch, channels, rows, 2, 2, columns, 2, 2).mean(dim=(3, 6))
    return (four.square().mean() + _PERIOD_TWO * two.square().mean()) * 1e4


# --- all of them together ---------------------------------------------------------------------------------------------


# The factors of the terms among the settings.
_FACTORS = ("content_weight", "style_weight", "tv_weight", "lattice_weight", "moments_weight", "wasserstein_weight")


@dataclass(frozen=True)
class LossSettings:
    """Settings of what is minimised, for both engines. The defaults are stylenet's own recipe.

    Attributes:
        vgg: the loss network.
        vgg_weights: ``caffe`` (offline), ``torchvision`` (downloaded, 550 MB), or a file in torchvision's layout.
        vgg_space: input space of a weights file, ``torchvision`` unless it is said to be ``caffe``.
        pooling: ``max`` or ``average``.
        content_layers: weight of each content layer.
        style_layers: weight of each style layer.
        calibrated: measure each term in units of how wrong it can be, so that weights mean the same for every picture.
        content_form: ``mean``, ``sum`` or ``half_sum`` of squared differences.
        style_form: ``gatys``, ``johnson``, ``raw`` or ``keras``: how Gram matrices are compared.
        content_weight: factor of all content layers.
        style_weight: factor of all style layers.
        tv_weight: factor of the total variation.
        tv_form: ``l1``, ``l2`` or ``power``.
        tv_reduction: ``mean`` (does not depend on the picture's size) or ``sum``.
        tv_range: value of white in the total variation: 1, or 255 for recipes that were written for bytes.
        lattice_weight: factor of what repeats every 2 or 4 pixels; for networks, which weave it where nothing forbids it.
        moments_weight: factor of the distance of means and standard deviations of the style layers, beside Gram matrices.
        wasserstein_weight: factor of the 2-Wasserstein distance of the style layers, beside Gram matrices or, with a
            style_weight of 0, in their place.
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
    style_form: StyleForm = "johnson"
    content_weight: float = 1.0
    style_weight: float = 10.0
    tv_weight: float = 0.0
    tv_form: VariationForm = "l2"
    tv_reduction: Literal["mean", "sum"] = "mean"
    tv_range: float = 1.0
    lattice_weight: float = 0.0
    moments_weight: float = 0.0
    wasserstein_weight: float = 0.0
    numbers_for: Literal["caffe", "torchvision"] = "caffe"

    def __post_init__(self) -> None:
        if not self.content_layers and not self.style_layers:
            raise InputError("nothing to minimise: give at least one of content_layers and style_layers")
        for name in (*_FACTORS, "tv_range"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0:
                raise InputError(f"{name} is {value}: it must be a number of 0 or more")
        for layer, value in [*self.content_layers.items(), *self.style_layers.items()]:
            if not math.isfinite(value) or value < 0:
                raise InputError(f"the weight of {layer} is {value}: it must be a number of 0 or more")


@dataclass(frozen=True, eq=False)
class Targets:
    """Everything that a picture is compared with: the photo's activations, the styles' Gram matrices, and the unit of every
    term.

    The units of a style go by the names of its parts without the first word, as in ``relu1_1``, and in full for other terms
    than Gram matrices, as in ``moments/relu1_1``.
    """

    content: dict[str, Tensor]
    styles: list[dict[str, GramTarget]]
    style_shares: list[float]
    content_units: Mapping[str, float | Tensor]
    style_units: Sequence[Mapping[str, float | Tensor]]


@dataclass(frozen=True, eq=False)
class Losses:
    """The objective and its parts. ``parts`` holds weighted terms by name (``content/relu4_2``, ``style/relu1_1``, ``tv``)
    that add up to ``total``; every value is a scalar tensor."""

    total: Tensor
    parts: dict[str, Tensor]

    def detached(self) -> Losses:
        """Return the same numbers without the graph that made them."""
        return Losses(self.total.detach(), {name: value.detach() for name, value in self.parts.items()})


class PerceptualLoss(nn.Module):
    """Content, style and total variation of pictures ``[B, 3, H, W]`` in 0..1.

    As a loss of ``torch.nn`` it compares an output with a picture: ``PerceptualLoss()(output, target).backward()``. Both
    engines compare with :class:`Targets` instead, which are measured once. The loss network is frozen; its weights are in no
    ``state_dict()``. It works under autocast, ``torch.compile``, ``torch.func`` and a second differentiation.

    Args:
        settings: forms, layers and weights.
        vgg: a network to use instead of the one that ``settings`` names; it must return all layers needed.
        painting: the picture whose style outputs are to have: whatever :func:`~stylenet.read_image` takes, or its Gram
            matrices. Without one an output is compared with its target's content alone.
    """

    def __init__(
        self, settings: LossSettings | None = None, vgg: VGG | None = None, painting: PictureLike | Grams | None = None
    ) -> None:
        super().__init__()
        self.settings = settings = settings or LossSettings()
        layers = [*settings.content_layers, *settings.style_layers]
        self.vgg = vgg or VGG(layers, settings.vgg, settings.vgg_weights, settings.pooling, settings.vgg_space)
        self._ratios: dict[str, float] | None = None
        self.painting = None if painting is None else GramBuffers(self.grams(_style_picture(painting, self.vgg)))

    @torch.no_grad()
    def targets(
        self,
        content: Tensor,
        styles: Sequence[Tensor | Grams],
        style_shares: Sequence[float] | None = None,
        reference: Tensor | None = None,
    ) -> Targets:
        """Measure targets from a photo ``[B, 3, H, W]`` and style pictures ``[1, 3, h, w]`` (any sizes) or their Gram matrices,
        with their units.

        Calibrated units: a content term is divided by twice the variance of the photo's activations, which is what two
        unrelated places of photos differ by; a style term by its value for the photo itself. So 1 means "not there at
        all" and 0 means "perfect". ``reference`` gives other photos to measure the units on.

        Raises:
            InputError: for weights that do not match the styles.
        """
        weights = shares(style_shares, len(styles))
        features = self.vgg(content)
        kept = {name: features[name].clone() for name in self.settings.content_layers}
        targets = self.without_units(kept, [self.grams(style) for style in styles], weights)
        if self.settings.calibrated:
            if reference is not None:
                features = self.vgg(reference)
            return _in_numbers(self._calibrate(targets, features, content.shape[-2] * content.shape[-1]))
        return self.converted(targets, content)

    def without_units(self, content: dict[str, Tensor], styles: list[Grams], style_shares: list[float]) -> Targets:
        """Return targets whose units are all 1."""
        return Targets(
            content=content,
            styles=styles,
            style_shares=style_shares,
            content_units=dict.fromkeys(self.settings.content_layers, 1.0),
            style_units=[dict.fromkeys(self._unit_names(), 1.0) for _ in styles],
        )

    @torch.no_grad()
    def grams(self, style: Tensor | Grams) -> Grams:
        """Return the Gram matrices of one style picture ``[1, 3, h, w]`` by layer. If Gram matrices are given, they are
        returned as they are."""
        if not isinstance(style, Tensor):
            return {name: style[name] for name in self.settings.style_layers}
        features = self.vgg(style)
        return {name: gram_target(features[name]) for name in self.settings.style_layers}

    def _calibrate(self, targets: Targets, photo: Mapping[str, Tensor], pixels: int) -> Targets:
        form = self.settings.content_form
        content = {}
        for name in self.settings.content_layers:
            features = photo[name].float()
            nothing = torch.zeros_like(features)
            spread = features - features.mean(dim=(0, 2, 3), keepdim=True)
            content[name] = (content_loss(spread, nothing, form), content_loss(features, nothing, form))
        layers = self.settings.style_layers if targets.styles else ()
        return self._with_units(targets, content, {name: gram_target(photo[name]) for name in layers}, pixels)

    def calibrated(
        self,
        targets: Targets,
        content: Mapping[str, tuple[Tensor, Tensor]],
        photo: Mapping[str, GramTarget],
        pixels: int,
    ) -> Targets:
        """Return targets with the units that :meth:`targets` describes.

        Args:
            targets: targets with units of 1.
            content: for each content layer, :func:`content_loss` of the photo's activations without their means, and of all of
                them, both against 0.
            photo: :func:`gram_target` of the photo at each style layer.
            pixels: pixels of one photo.
        """
        return _in_numbers(self._with_units(targets, content, photo, pixels))

    def _with_units(
        self,
        targets: Targets,
        content: Mapping[str, tuple[Tensor, Tensor]],
        photo: Mapping[str, GramTarget],
        pixels: int,
    ) -> Targets:
        """Return what :meth:`calibrated` does, with units that are still tensors."""
        content_units = {name: _unit(2 * spread, magnitude) for name, (spread, magnitude) in content.items()}
        style_units: list[dict[str, Tensor]] = [{} for _ in targets.styles]
        for name, summary in photo.items():
            # This is done once for all styles: a training of many looks has a hundred.
            mean = None if summary.mean is None else torch.zeros_like(summary.mean)
            nothing = replace(summary, matrix=torch.zeros_like(summary.matrix), mean=mean)
            for part in self._style_parts(name):
                for units, style in zip(style_units, targets.styles, strict=True):
                    distance, magnitude = (self._style_distance(part, one, style[name], pixels) for one in (summary, nothing))
                    units[_unit_name(part)] = _unit(distance, magnitude)
        return replace(targets, content_units=content_units, style_units=style_units)

    def _unit_names(self) -> list[str]:
        return [_unit_name(part) for name in self.settings.style_layers for part in self._style_parts(name)]

    def converted(self, targets: Targets, content: Tensor) -> Targets:
        """Return targets with units for weights that were written for the other input space.

        Gram terms scale with the fourth power of the activations, all others with the square.
        """
        ratios = self.conversion(content)
        if not ratios:
            return targets
        return replace(
            targets,
            content_units={name: ratios[name] ** 2 for name in targets.content_units},
            style_units=[
                {name: ratios[name.rpartition("/")[2]] ** (2 if "/" in name else 4) for name in units}
                for units in targets.style_units
            ],
        )

    @property
    def converts(self) -> bool:
        """Return whether the weights of the loss were written for a network of the other input space."""
        return not self.settings.calibrated and self.settings.numbers_for != self.vgg.space_name

    @torch.no_grad()
    def conversion(self, photo: Tensor) -> dict[str, float]:
        """Return, by layer, how many times larger this network's activations are than those of the network that the weights
        were written for; nothing if they were written for this one.

        Measured on the first photo ``[B, 3, H, W]``, or a smaller copy of a large one, and kept: on every layer where the
        other network is on this machine, else on the input, since activations of ReLU networks grow in proportion to it but
        for the biases.
        """
        if not self.converts:
            return {}
        if self._ratios is None:
            pixels = photo.shape[-2] * photo.shape[-1]
            if pixels > _ENOUGH_PIXELS:
                photo = F.interpolate(photo, scale_factor=math.sqrt(_ENOUGH_PIXELS / pixels), mode="area")
            self._ratios = self._measure_ratios(photo)
        return self._ratios

    def _measure_ratios(self, photo: Tensor) -> dict[str, float]:
        other = INPUT_SPACES[self.settings.numbers_for]
        layers = list(dict.fromkeys([*self.settings.content_layers, *self.settings.style_layers]))
        if not on_this_machine(self.settings.numbers_for, self.settings.vgg):
            return dict.fromkeys(layers, _rms(self.vgg.space.preprocess(photo)) / _rms(other.preprocess(photo)))
        network = VGG(layers, self.settings.vgg, self.settings.numbers_for, self.settings.pooling).to(photo.device)
        ours, theirs = self.vgg(photo), network(photo)
        return {name: _rms(ours[name]) / _rms(theirs[name]) for name in layers}

    def conversion_note(self, photo: Tensor) -> list[str]:
        """Return a sentence on :meth:`conversion`, if there is anything to say."""
        ratios = sorted(self.conversion(photo).values())
        if not ratios:
            return []
        where = "on every layer" if on_this_machine(self.settings.numbers_for, self.settings.vgg) else "on the input"
        span = f"{ratios[0]:.4g}" if ratios[0] == ratios[-1] else f"{ratios[0]:.4g} to {ratios[-1]:.4g}"
        return [
            f"the weights of the loss were written for {self.settings.numbers_for} activations, which are {span} times smaller"
            f" than these ({self.vgg.space_name}; measured {where}): content is divided by the square of that, style by the"
            " fourth power"
        ]

    @overload
    def forward(self, picture: Tensor, targets: Targets) -> Losses: ...

    @overload
    def forward(self, picture: Tensor, targets: Tensor) -> Tensor: ...

    def forward(self, picture: Tensor, targets: Targets | Tensor) -> Losses | Tensor:
        """Return the objective for pictures ``[B, 3, H, W]`` in 0..1, differentiable with respect to them.

        Args:
            picture: the output of a network; values may lie a little outside 0..1.
            targets: what it is compared with: pictures of the same shape, uint8 or float in 0..1, which are taken as constants;
                or what :meth:`targets` has measured of them.

        Returns:
            A scalar for pictures, averaged over the batch; the objective with its parts for targets.

        Raises:
            InputError: for tensors of other shapes, types or ranges.
        """
        if isinstance(targets, Targets):
            return self.compare(self.vgg(picture), picture, targets)
        output, wanted = check_pair(picture, targets)
        return self.compare(self.vgg(output), output, self._targets_of(wanted)).total

    @torch.no_grad()
    def _targets_of(self, pictures: Tensor) -> Targets:
        """Return targets whose units are tensors, so that nothing waits for a device and compilers see one graph."""
        features = self.vgg(pictures)
        styles = [] if self.painting is None else [self.painting.grams()]
        targets = Targets(
            content={name: features[name].clone() for name in self.settings.content_layers},
            styles=styles,
            style_shares=[1.0] * len(styles),
            content_units=dict.fromkeys(self.settings.content_layers, 1.0),
            style_units=[dict.fromkeys(self._unit_names(), 1.0) for _ in styles],
        )
        if self.settings.calibrated:
            return self._calibrate(targets, features, pictures.shape[-2] * pictures.shape[-1])
        return self.converted(targets, pictures)

    def compare(self, features: Mapping[str, Tensor], picture: Tensor, targets: Targets) -> Losses:
        """Return the objective from activations that are already at hand."""
        settings = self.settings
        contents = {
            name: content_loss(features[name], targets.content[name], settings.content_form) for name in settings.content_layers
        }
        layers = settings.style_layers if targets.styles else ()
        styles = {name: gram_target(features[name], self.needs_means) for name in layers}
        return self.combine(contents, styles, self.picture_terms(picture), picture.shape[-2] * picture.shape[-1], targets)

    def picture_terms(self, picture: Tensor) -> dict[str, Tensor]:
        """Return what depends on pixels alone, without weights: ``tv`` and ``lattice`` where they have a weight."""
        settings, terms = self.settings, {}
        if settings.tv_weight:
            terms["tv"] = total_variation(picture.float() * settings.tv_range, settings.tv_form, settings.tv_reduction)
        if settings.lattice_weight:
            terms["lattice"] = lattice(picture)
        return terms

    def combine(
        self,
        contents: Mapping[str, Tensor],
        styles: Mapping[str, GramTarget],
        picture_terms: Mapping[str, Tensor],
        pixels: int,
        targets: Targets,
    ) -> Losses:
        """Return the objective from sums over the places of pictures.

        Args:
            contents: :func:`content_loss` of each content layer.
            styles: :func:`gram_target` of each style layer, with means where :attr:`needs_means`.
            picture_terms: as :meth:`picture_terms` gives them.
            pixels: pixels of one picture.
            targets: what they are compared with.
        """
        settings = self.settings
        parts: dict[str, Tensor] = {}
        for name, weight in settings.content_layers.items():
            parts[f"content/{name}"] = contents[name] * (settings.content_weight * weight / targets.content_units[name])
        for name, summary in styles.items():
            for part in self._style_parts(name):
                values = [
                    self._style_distance(part, summary, style[name], pixels) * (share / units[_unit_name(part)])
                    for style, share, units in zip(targets.styles, targets.style_shares, targets.style_units, strict=True)
                ]
                parts[part] = torch.stack(values).sum() * self.weight(part)
        for name, value in picture_terms.items():
            parts[name] = value * self.weight(name)
        return Losses(torch.stack(list(parts.values())).sum(), parts)

    @property
    def needs_means(self) -> bool:
        """Return whether styles are compared by the means of activations too, and not by Gram matrices alone."""
        return bool(self.settings.moments_weight or self.settings.wasserstein_weight)

    def weight(self, part: str) -> float:
        """Return the factor of a part of the objective, such as ``content/relu4_2`` or ``tv``."""
        kind, _, layer = part.partition("/")
        settings = self.settings
        factor = float(getattr(settings, f"{kind}_weight"))
        if not layer:
            return factor
        return factor * (settings.content_layers if kind == "content" else settings.style_layers)[layer]

    def _style_parts(self, layer: str) -> list[str]:
        """Return the names of the parts that compare one layer with the styles."""
        kinds = ["style", *(kind for kind in _MEAN_TERMS if getattr(self.settings, f"{kind}_weight"))]
        return [f"{kind}/{layer}" for kind in kinds]

    def _style_distance(self, part: str, summary: GramTarget, target: GramTarget, pixels: int) -> Tensor:
        """Return the value of one part, without its weight and unit."""
        kind = part.partition("/")[0]
        if kind == "style":
            return gram_distance(summary.matrix, summary.positions, target, self.settings.style_form, pixels)
        if summary.mean is None or target.mean is None:
            raise InputError(
                f"{kind}_weight needs the means of activations, which these Gram matrices lack: give the style picture itself"
            )
        return _MEAN_TERMS[kind](summary.matrix, summary.mean, target.matrix, target.mean)


class GramBuffers(nn.Module):
    """Gram matrices that move with a module, stay float32, and are in no ``state_dict()``."""

    def __init__(self, grams: Grams) -> None:
        super().__init__()
        self.positions = {name: target.positions for name, target in grams.items()}
        for name, target in grams.items():
            self.register_buffer(name, target.matrix.float(), persistent=False)
            self.register_buffer(f"{name}_mean", None if target.mean is None else target.mean.float(), persistent=False)

    def grams(self) -> Grams:
        """Return them as they are compared with."""
        return {
            name: GramTarget(self.get_buffer(name), positions, self._buffers[f"{name}_mean"])
            for name, positions in self.positions.items()
        }

    def _apply(self, fn: Any, recurse: bool = True) -> GramBuffers:
        """Follow to another device, but not to a shorter type, in which the sums would overflow."""
        before = dict(self._buffers)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, value in self._buffers.items():
            old = before[name]
            if value is not None and old is not None and value.dtype != old.dtype:
                self._buffers[name] = old.to(value.device)
        return self


def _style_picture(painting: PictureLike | Grams, vgg: VGG) -> Tensor | Grams:
    """Return a painting on the device of a loss network, or its Gram matrices."""
    device = next(vgg.parameters()).device
    return moved(painting if isinstance(painting, dict) else as_picture(painting, "the painting").pixels, device)


def check_output(output: Tensor) -> Tensor:
    """Return the output of a network as ``[B, 3, H, W]``. Its range is that network's affair.

    Raises:
        InputError: for another shape, or what is no tensor of floats.
    """
    if not isinstance(output, Tensor) or not output.is_floating_point():
        kind = str(output.dtype) if isinstance(output, Tensor) else type(output).__name__
        raise InputError(f"the output is {kind}: a loss compares tensors [B, 3, H, W] of floats in 0..1")
    return check_shape(output, "the output")


def check_pair(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return an output and its target as ``[B, 3, H, W]``, both of floats and the target in 0..1.

    The range of a target is looked at where that is possible: not while a program is
    compiled, and not under ``torch.func``.

    Raises:
        InputError: for what cannot be compared.
    """
    output = check_output(output)
    if not isinstance(target, Tensor):
        raise InputError(f"the target is of type {type(target).__name__}: give a tensor like the output, [B, 3, H, W] in 0..1")
    readable = not torch.compiler.is_compiling() and not torch._C._functorch.is_functorch_wrapped_tensor(target)
    if readable or target.dtype == torch.uint8:
        target = check_tensor(target, "the target")
    else:
        target = check_shape(target, "the target").detach()
    if output.shape != target.shape:
        raise InputError(f"the output is {list(output.shape)} and the target {list(target.shape)}: they must be alike")
    return output, target.to(output.device)


# Style terms beside Gram matrices, by the first word of their parts. They are of the second degree in the activations.
_MEAN_TERMS = {"moments": moments_distance, "wasserstein": wasserstein_distance}


def _unit_name(part: str) -> str:
    """Return the key of a part's unit in :class:`Targets`."""
    return part.removeprefix("style/")


# The most pixels of a photo that the loss network takes as a whole for a measurement.
_ENOUGH_PIXELS = 2**20


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


def _rms(tensor: Tensor) -> float:
    return max(float(tensor.float().square().mean().sqrt()), 1e-8)


def _in_numbers(targets: Targets) -> Targets:
    """Return targets with their units as plain numbers."""
    return replace(
        targets,
        content_units={name: float(unit) for name, unit in targets.content_units.items()},
        style_units=[{name: float(unit) for name, unit in units.items()} for units in targets.style_units],
    )


def _unit(value: Tensor, magnitude: Tensor) -> Tensor:
    """Return a divisor that stays usable for a picture of one colour, or a style that is the photo itself: at least a
    millionth of the same term's value for no activations at all, so that the scale of a network's activations does not
    matter."""
    unit = torch.maximum(value, 1e-6 * magnitude)
    return torch.where(unit > 0, unit, 1.0)
