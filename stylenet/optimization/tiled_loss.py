"""The perceptual loss of a picture that memory would not hold with its activations, with its exact gradient.

All terms depend on sums over places: Gram matrices, means, squared differences of activations and of pixels. A first pass adds
them up tile by tile and keeps nothing else. From the sums follow the loss and its derivative with respect to each of them. With
those known, a second pass takes each tile alone forward and backward. The idea is that of Gonzalez-Garcia et al., "Scaling
Painting Style Transfer" (Computer Graphics Forum 2024, section 3). The result is that of the whole picture, but for rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from stylenet.losses.gram import gram_matrix
from stylenet.losses.perceptual import PerceptualLoss
from stylenet.losses.settings import LossSettings, shares
from stylenet.losses.targets import Losses, Targets
from stylenet.losses.terms import ContentForm, Grams, GramTarget, lattice
from stylenet.losses.vgg import VGG, layer_stride
from stylenet.optimization.scratch import new_tensor
from stylenet.optimization.tiles import Tile, plan_tiles
from stylenet.optimization.variation import VariationSums


class TiledLoss:
    """:class:`PerceptualLoss` of one picture ``[1, 3, H, W]``, tile by tile.

    Args:
        loss: the loss, with its network.
        side: pixels of a tile, a side. What a tile sees around itself comes on top.
    """

    def __init__(self, loss: PerceptualLoss, side: int) -> None:
        self.loss, self.side = loss, side

    @property
    def settings(self) -> LossSettings:
        """Return the settings of the loss."""
        return self.loss.settings

    @property
    def vgg(self) -> VGG:
        """Return the loss network."""
        return self.loss.vgg

    def tiles(self, picture: Tensor) -> list[Tile]:
        """Return the tiles that a picture is cut into."""
        return plan_tiles(picture.shape[-2], picture.shape[-1], self.side, self.vgg.stride, self.vgg.reach)

    # --- what a picture is compared with ------------------------------------------------------------------------------

    @torch.no_grad()
    def targets(
        self, content: Tensor, styles: Sequence[Tensor | Grams], style_shares: Sequence[float] | None = None
    ) -> Targets:
        """Return what :meth:`PerceptualLoss.targets` does. Large activations of the photo lie in a temporary file."""
        weights = shares(style_shares, len(styles))
        grams = [self.loss.grams(style) if not isinstance(style, Tensor) else self._grams(style) for style in styles]
        kept: dict[str, Tensor] = {}
        spreads = {name: _Spread(self.settings.content_form) for name in self.settings.content_layers}
        photo = {name: _StyleSum() for name in (self.settings.style_layers if styles else ())}
        for tile, cores in self._cores(content):
            for name, spread in spreads.items():
                if name not in kept:
                    shape = (1, cores[name].shape[1], *(side // layer_stride(name) for side in content.shape[-2:]))
                    kept[name] = new_tensor(shape, cores[name].dtype, cores[name].device)
                tile.place(kept[name], name).copy_(cores[name])
                spread.add(cores[name])
            for name, style_sum in photo.items():
                style_sum.add(cores[name])
        targets = self.loss.without_units(kept, grams, weights)
        if not self.settings.calibrated:
            return self.loss.converted(targets, content)
        pixels = content.shape[-2] * content.shape[-1]
        content_sums = {name: spread.result() for name, spread in spreads.items()}
        return self.loss.calibrated(targets, content_sums, {name: one.result() for name, one in photo.items()}, pixels)

    def _grams(self, style: Tensor) -> Grams:
        sums = {name: _StyleSum() for name in self.settings.style_layers}
        for _, cores in self._cores(style):
            for name, style_sum in sums.items():
                style_sum.add(cores[name])
        return {name: style_sum.result() for name, style_sum in sums.items()}

    # --- the loss and its gradient ------------------------------------------------------------------------------------

    def __call__(self, picture: Tensor, targets: Targets) -> Losses:
        """Return the objective of ``[1, 3, H, W]``; only its total is differentiable."""
        pixels = picture.detach()
        wanted = torch.is_grad_enabled() and picture.requires_grad
        losses, slopes = self._summed(pixels, targets)
        if not wanted:
            return losses
        gradient = self._gradient(pixels, targets, slopes)
        total: Tensor = _KnownGradient.apply(picture, losses.total, gradient)
        return Losses(total, losses.parts)

    def _summed(self, picture: Tensor, targets: Targets) -> tuple[Losses, _Slopes]:
        """Take the first pass: the objective, and its derivatives with respect to the sums that it depends on."""
        settings = self.settings
        squares = {name: picture.new_zeros((), dtype=_wide(picture)) for name in settings.content_layers}
        styles = {name: _StyleSum() for name in (settings.style_layers if targets.styles else ())}
        variation = VariationSums(picture, settings) if settings.tv_weight else None
        with torch.no_grad():
            for tile, cores in self._cores(picture):
                for name in squares:
                    squares[name] += _difference(cores[name], tile.place(targets.content[name], name)).sum(dtype=_wide(picture))
                for name, style_sum in styles.items():
                    style_sum.add(cores[name])
                if variation is not None:
                    variation.add(tile)
        contents = {
            name: _leaf(value * _content_factor(settings.content_form, targets.content[name]))
            for name, value in squares.items()
        }
        summaries = {name: _leaves(style_sum.result(), self.loss.needs_means) for name, style_sum in styles.items()}
        terms = {} if variation is None else {"tv": _leaf(variation.value())}
        if settings.lattice_weight:
            with torch.no_grad():
                terms["lattice"] = _leaf(lattice(picture))
        with torch.enable_grad():
            losses = self.loss.combine(contents, summaries, terms, picture.shape[-2] * picture.shape[-1], targets)
            losses.total.backward()  # type: ignore[no-untyped-call]
        return losses.detached(), _Slopes(contents, summaries, terms)

    def _gradient(self, picture: Tensor, targets: Targets, slopes: _Slopes) -> Tensor:
        """Take the second pass: what each tile's activations add to the gradient of the pixels that they see."""
        gradient = torch.zeros_like(picture, memory_format=torch.contiguous_format)
        variation = VariationSums(picture, self.settings) if "tv" in slopes.terms else None
        for tile in self.tiles(picture):
            self._add_seen(tile, picture, gradient, targets, slopes)
            if variation is not None:
                variation.add_gradient(tile, gradient, slopes.of_term("tv"))
        if "lattice" in slopes.terms:
            whole = picture.detach().requires_grad_()
            with torch.enable_grad():
                (seen,) = torch.autograd.grad(lattice(whole), whole)
            gradient.add_(seen * slopes.of_term("lattice"))
        return gradient

    def _add_seen(self, tile: Tile, picture: Tensor, gradient: Tensor, targets: Targets, slopes: _Slopes) -> None:
        """Add what one tile's activations give to the gradient of the pixels in its window."""
        window = self._prepared(tile.window(picture)).requires_grad_()
        with torch.enable_grad():
            terms = self._surrogates(tile, self.vgg(window), targets, slopes)
            if not terms:  # a sliver at the border has no place in the deep layers
                return
            (seen,) = torch.autograd.grad(torch.stack(terms).sum(), window)
        tile.window(gradient).add_(seen)

    def _surrogates(self, tile: Tile, features: Mapping[str, Tensor], targets: Targets, slopes: _Slopes) -> list[Tensor]:
        """Yield numbers whose sum has the gradient that the objective has with respect to a tile's activations."""
        terms = []
        for name, value in slopes.contents.items():
            core, target = tile.core(features[name], name), tile.place(targets.content[name], name)
            factor = _content_factor(self.settings.content_form, targets.content[name])
            if core.numel():
                terms.append(_difference(core, target).sum() * (_slope(value) * factor))
        for name, summary in slopes.styles.items():
            core = _compact(tile.core(features[name], name))
            share = core.shape[2] * core.shape[3] / summary.positions
            if core.numel():
                terms.append((gram_matrix(core) * _slope(summary.matrix)).sum() * share)
            if core.numel() and summary.mean is not None:
                terms.append((core.mean(dim=(2, 3), dtype=torch.float32) * _slope(summary.mean)).sum() * share)
        return terms

    # --- tiles --------------------------------------------------------------------------------------------------------

    def _cores(self, picture: Tensor) -> Iterator[tuple[Tile, dict[str, Tensor]]]:
        """Yield each tile with its own activations of every wanted layer."""
        for tile in self.tiles(picture):
            features = self.vgg(self._prepared(tile.window(picture)))
            yield tile, {name: _compact(tile.core(value, name)) for name, value in features.items()}

    def _prepared(self, window: Tensor) -> Tensor:
        """Copy a tensor into the layout that the loss network computes in."""
        weights = next(self.vgg.convolutions.parameters())
        last = weights.is_contiguous(memory_format=torch.channels_last) and not weights.is_contiguous()
        return window.clone(memory_format=torch.channels_last if last else torch.contiguous_format)


class _KnownGradient(torch.autograd.Function):
    """A number whose gradient with respect to a picture is at hand."""

    @staticmethod
    def forward(ctx: Any, _picture: Tensor, total: Tensor, gradient: Tensor) -> Tensor:
        ctx.gradient = gradient
        return total.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None]:
        gradient: Tensor = ctx.gradient
        del ctx.gradient  # of a print, a gigabyte
        return gradient.mul_(outer), None, None


@dataclass(frozen=True, eq=False)
class _Slopes:
    """The sums that an objective depends on; each tensor's ``grad`` is the derivative with respect to it."""

    contents: dict[str, Tensor]
    styles: dict[str, GramTarget]
    terms: dict[str, Tensor]

    def of_term(self, name: str) -> Tensor:
        return _slope(self.terms[name])


@dataclass(eq=False)
class _StyleSum:
    """Gram matrix and mean of parts as those of the whole."""

    positions: int = 0
    matrix: Tensor | None = None
    mean: Tensor | None = None

    def add(self, core: Tensor) -> None:
        places = core.shape[2] * core.shape[3]
        if not places:
            return
        wide = _wide(core)
        matrix, mean = gram_matrix(core).to(wide) * places, core.sum(dim=(2, 3), dtype=torch.float32).to(wide)
        self.positions += places
        self.matrix = matrix if self.matrix is None else self.matrix + matrix
        self.mean = mean if self.mean is None else self.mean + mean

    def result(self) -> GramTarget:
        assert self.matrix is not None
        assert self.mean is not None
        return GramTarget((self.matrix / self.positions).float(), self.positions, (self.mean / self.positions).float())


@dataclass(eq=False)
class _Spread:
    """The statistics of a photo's activations that :meth:`PerceptualLoss.calibrated` wants, from parts."""

    form: ContentForm
    values: int = 0
    positions: int = 0
    sums: list[Tensor] = field(default_factory=list)

    def add(self, core: Tensor) -> None:
        wide, core = _wide(core), core.float()
        parts = [core.sum(dim=(0, 2, 3), dtype=wide), core.square().sum(dim=(0, 2, 3), dtype=wide)]
        self.sums = [one + part for one, part in zip(self.sums, parts, strict=True)] if self.sums else parts
        self.values += core.numel()
        self.positions += core.shape[2] * core.shape[3]

    def result(self) -> tuple[Tensor, Tensor]:
        total, squares = self.sums
        spread = (squares - total.square() / self.positions).clamp_min(0)
        factor = {"mean": 1 / self.values, "sum": 1.0, "half_sum": 0.5}[self.form]
        return spread.sum() * factor, squares.sum() * factor


def _difference(core: Tensor, target: Tensor) -> Tensor:
    return (core.float() - target.float()).square()


def _content_factor(form: ContentForm, target: Tensor) -> float:
    """Return the factor by which a sum of squared differences becomes :func:`content_loss`, for one picture."""
    return {"mean": 1 / target.numel(), "sum": 1.0, "half_sum": 0.5}[form]


def _leaf(value: Tensor) -> Tensor:
    return value.detach().float().requires_grad_()


def _leaves(summary: GramTarget, means: bool) -> GramTarget:
    mean = _leaf(summary.mean) if means and summary.mean is not None else None
    return GramTarget(_leaf(summary.matrix), summary.positions, mean)


def _slope(value: Tensor) -> Tensor:
    return torch.zeros_like(value) if value.grad is None else value.grad


def _compact(core: Tensor) -> Tensor:
    """Copy a part of a layer without the rest of it between its rows, in the layout of the whole."""
    last = core.stride(1) == 1 and core.shape[1] > 1
    return core.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def _wide(values: Tensor) -> torch.dtype:
    """Return the type that sums are taken in: float64 where the device has it."""
    return torch.float32 if values.device.type == "mps" else torch.float64
