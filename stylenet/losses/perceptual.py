"""The perceptual loss that both engines minimise: the terms over the named layers of a loss network, with their weights.

Weights are either *calibrated* (every term is measured in units of how wrong it can be, see :meth:`PerceptualLoss.targets`)
or the paper's own numbers in the paper's own form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import overload

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylenet.errors import InputError
from stylenet.images.picture import PictureLike, as_picture
from stylenet.losses.checks import check_pair, check_pictures
from stylenet.losses.settings import LossSettings, shares
from stylenet.losses.style_terms import covariance_root, moments_distance, wasserstein_distance
from stylenet.losses.targets import GramBuffers, Losses, Targets, in_numbers, unit
from stylenet.losses.terms import (
    Grams,
    GramTarget,
    content_loss,
    gram_distance,
    gram_target,
    lattice,
    moved,
    total_variation,
)
from stylenet.losses.vgg import INPUT_SPACES, VGG, on_this_machine
from stylenet.modes import guest, made_by_guest


class PerceptualLoss(nn.Module):
    """Content, style and total variation of pictures ``[B, 3, H, W]`` in 0..1.

    As a loss of ``torch.nn`` it compares an output with a picture: ``PerceptualLoss()(output, target).backward()``. Both
    engines compare with :class:`Targets` instead, which are measured once. The loss network is frozen; its weights are in no
    ``state_dict()``. It works under ``torch.compile``, ``torch.func`` and a second differentiation. It computes in the type of
    its weights, float32 unless it is moved, also under autocast.

    Args:
        settings: forms, layers and weights.
        vgg: a network to use instead of the one that ``settings`` names; it must return all layers needed.
        painting: the picture whose style outputs are to have: whatever :func:`~stylenet.read_image` takes, or its Gram
            matrices. Without one an output is compared with its target's content alone.
    """

    @made_by_guest
    def __init__(
        self, settings: LossSettings | None = None, vgg: VGG | None = None, painting: PictureLike | Grams | None = None
    ) -> None:
        super().__init__()
        self.settings = settings = settings or LossSettings()
        layers = [*settings.content_layers, *settings.style_layers]
        self.vgg = vgg or VGG(layers, settings.vgg, settings.vgg_weights, settings.pooling, settings.vgg_space)
        self._ratios: dict[str, float] | None = None
        self.painting = None if painting is None else GramBuffers(self.grams(_style_picture(painting, self.vgg)))

    @guest
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
            InputError: for weights that do not match the styles, and tensors of another shape or range, such as 0..255.
        """
        content = check_pictures(content, "the content")
        reference = None if reference is None else check_pictures(reference, "the reference")
        styles = [one if isinstance(one, dict) else check_pictures(one, "a style picture") for one in styles]
        weights = shares(style_shares, len(styles))
        features = self.vgg(content)
        kept = {name: features[name].clone() for name in self.settings.content_layers}
        targets = self.without_units(kept, [self.grams(style) for style in styles], weights)
        if self.settings.calibrated:
            if reference is not None:
                features = self.vgg(reference)
            return in_numbers(self._calibrate(targets, features, content.shape[-2] * content.shape[-1]))
        return self.converted(targets, content)

    def without_units(self, content: dict[str, Tensor], styles: list[Grams], style_shares: list[float]) -> Targets:
        """Return targets whose units are all 1."""
        return Targets(
            content=content,
            styles=[{name: self._with_root(target) for name, target in style.items()} for style in styles],
            style_shares=style_shares,
            content_units=dict.fromkeys(self.settings.content_layers, 1.0),
            style_units=[dict.fromkeys(self._unit_names(), 1.0) for _ in styles],
        )

    @torch.no_grad()
    def _with_root(self, target: GramTarget) -> GramTarget:
        """Return a target with the root that the Wasserstein distance needs at every step."""
        if self.settings.style_distance != "wasserstein" or target.mean is None or target.root is not None:
            return target
        return replace(target, root=covariance_root(target.matrix, target.mean))

    @guest
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
        return in_numbers(self._with_units(targets, content, photo, pixels))

    def _with_units(
        self,
        targets: Targets,
        content: Mapping[str, tuple[Tensor, Tensor]],
        photo: Mapping[str, GramTarget],
        pixels: int,
    ) -> Targets:
        """Return what :meth:`calibrated` does, with units that are still tensors."""
        content_units = {name: unit(2 * spread, magnitude) for name, (spread, magnitude) in content.items()}
        style_units: list[dict[str, Tensor]] = [{} for _ in targets.styles]
        for name, summary in photo.items():
            # This is done once for all styles: a training of many looks has a hundred.
            mean = None if summary.mean is None else torch.zeros_like(summary.mean)
            nothing = replace(summary, matrix=torch.zeros_like(summary.matrix), mean=mean)
            for part in self._style_parts(name):
                for units, style in zip(style_units, targets.styles, strict=True):
                    distance, magnitude = (self._style_distance(part, one, style[name], pixels) for one in (summary, nothing))
                    units[_unit_name(part)] = unit(distance, magnitude)
        return replace(targets, content_units=content_units, style_units=style_units)

    def _unit_names(self) -> list[str]:
        return [_unit_name(part) for name in self.settings.style_layers for part in self._style_parts(name)]

    def converted(self, targets: Targets, content: Tensor) -> Targets:
        """Return targets with units for weights that were written for the other input space.

        Distances of Gram matrices grow with the fourth power of the activations, all others with the square.
        """
        ratios = self.conversion(content)
        if not ratios:
            return targets
        degree = self._style_degree
        return replace(
            targets,
            content_units={name: ratios[name] ** 2 for name in targets.content_units},
            style_units=[
                {name: ratios[name.rpartition("/")[2]] ** (2 if "/" in name else degree) for name in units}
                for units in targets.style_units
            ],
        )

    @property
    def _style_degree(self) -> int:
        """Return the power of the activations that the distance of styles grows with."""
        return 4 if self.settings.style_distance == "gram" else 2

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
            f" {'fourth power' if self._style_degree == 4 else 'square too'}"
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
            with torch.autocast(picture.device.type, enabled=False):
                return self.compare(self.vgg(picture), picture, targets)
        output, wanted = check_pair(picture, targets)
        with torch.autocast(output.device.type, enabled=False):
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
        return bool(self.settings.moments_weight) or self.settings.style_distance == "wasserstein"

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
        kinds = ["style", "moments"] if self.settings.moments_weight else ["style"]
        return [f"{kind}/{layer}" for kind in kinds]

    def _style_distance(self, part: str, summary: GramTarget, target: GramTarget, pixels: int) -> Tensor:
        """Return the value of one part, without its weight and unit."""
        of_moments = part.startswith("moments/")
        if not of_moments and self.settings.style_distance == "gram":
            return gram_distance(summary.matrix, summary.positions, target, self.settings.style_form, pixels)
        if summary.mean is None or target.mean is None:
            what = "moments_weight" if of_moments else "style_distance wasserstein"
            raise InputError(
                f"{what} needs the means of activations, which these Gram matrices lack: give the style picture itself"
                f"{'' if of_moments else ', or style_distance gram'}"
            )
        if of_moments:
            return moments_distance(summary.matrix, summary.mean, target.matrix, target.mean)
        return wasserstein_distance(summary.matrix, summary.mean, target.matrix, target.mean, target.root)


def _style_picture(painting: PictureLike | Grams, vgg: VGG) -> Tensor | Grams:
    """Return a painting on the device of a loss network, or its Gram matrices."""
    device = next(vgg.parameters()).device
    return moved(painting if isinstance(painting, dict) else as_picture(painting, "the painting").visible().pixels, device)


def _unit_name(part: str) -> str:
    """Return the key of a part's unit in :class:`Targets`."""
    return part.removeprefix("style/")


# The most pixels of a photo that the loss network takes as a whole for a measurement.
_ENOUGH_PIXELS = 2**20


def _rms(tensor: Tensor) -> float:
    return max(float(tensor.float().square().mean().sqrt()), 1e-8)
