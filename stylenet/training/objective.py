"""Judge a network in training, by the loss network and by what one style or each of many looks asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stylenet.losses.gram_packing import pack_grams, unpack_grams
from stylenet.losses.metrics import STYLE_LAYERS, border_index, checkerboard_index, content_lost, saturation, style_errors
from stylenet.losses.perceptual import PerceptualLoss
from stylenet.losses.settings import LossSettings
from stylenet.losses.targets import Losses, Targets
from stylenet.losses.terms import Grams, gram_target
from stylenet.losses.vgg import VGG
from stylenet.network.padding import pad_by_reflection

# Layers to measure the style at that no default trains on.
_HELD_OUT = ["relu1_2", "relu2_2", "relu3_2", "relu4_2"]


# Channels that answer less to a painting count as silent.
_SMALLEST_SQUARE = 1e-4


@dataclass(frozen=True, eq=False)
class _Look:
    """One style among many: its Gram matrices in 16 bits, and the units of its terms."""

    grams: dict[str, Tensor]
    units: Mapping[str, float | Tensor]


class Objective:
    """Compares styled photos with photos and style pictures.

    It holds the frozen loss network and is no module itself, because the loss network belongs neither into checkpoints nor into
    averages of weights.

    Args:
        settings: the loss.
        pictures: style pictures ``[1, 3, h, w]`` in 0..1.
        style_shares: share of each picture in a mixture; equal by default.
        looks: whether every picture is a style of its own, instead of all being mixed into one.
        margin: pixels that pictures are extended by, mirrored, before the loss network sees them in training.
    """

    def __init__(
        self,
        settings: LossSettings,
        pictures: Sequence[Tensor],
        style_shares: Sequence[float] | None = None,
        looks: bool = False,
        margin: int = 0,
    ) -> None:
        self.settings, self.pictures, self.style_shares = settings, list(pictures), style_shares
        self.margin = margin
        self.trained = list(dict.fromkeys([*settings.content_layers, *settings.style_layers]))
        self.held_out = [name for name in _HELD_OUT if name not in settings.style_layers]
        vgg = VGG([*self.trained, *self.held_out], settings.vgg, settings.vgg_weights, settings.pooling, settings.vgg_space)
        self.loss = PerceptualLoss(settings, vgg)
        self.targets: Targets | None = None
        self._held_out_grams: dict[str, Tensor] = {}
        self._looks: list[_Look] | None = [] if looks else None

    @torch.no_grad()
    def prepare(self, photos: Tensor, device: torch.device, dtype: torch.dtype) -> None:
        """Put the loss network on a device and measure what styled photos are compared with.

        Args:
            photos: ``[N, 3, S, S]`` in 0..1; they give the units of a calibrated loss.
            device: where the training computes.
            dtype: type of the loss network's convolutions.
        """
        self.loss.to(device)
        self.loss.vgg.convolutions.to(dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        photos = photos.to(device).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, enabled=False):
            grams = [self._measure_grams(picture.to(device)) for picture in self.pictures]
            # With looks, each photo is compared with one style: only mixtures have shares.
            shares = self.style_shares if self._looks is None else None
            targets = self.loss.targets(photos, grams, shares)
        if self._looks is not None:
            packed = [pack_grams(gram) for gram in grams]
            self._looks = [_Look(*pair) for pair in zip(packed, targets.style_units, strict=True)]
            self.targets = replace(targets, styles=[], style_shares=[1.0], style_units=[])
            return
        self.targets = targets
        self._held_out_grams = {
            name: torch.stack([share * gram[name].matrix for share, gram in zip(targets.style_shares, grams, strict=True)]).sum(
                dim=0
            )
            for name in self.held_out
        }

    def _measure_grams(self, picture: Tensor) -> Grams:
        layers = list(dict.fromkeys([*self.settings.style_layers, *self.held_out]))
        features = self.loss.vgg(picture, only=layers)
        return {name: gram_target(features[name]) for name in layers}

    def signatures(self) -> Tensor:
        """Return the root mean square answer of every channel of the style layers to each style, as logarithms ``[K, S]``.

        It is the diagonal of the Gram matrices: the marks and colours of a painting, without what occurs with what. A mixture
        of pictures is one style.
        """
        assert self.targets is not None, "prepare() comes first"
        if self._looks is not None:
            return torch.stack([self._answers([(1.0, unpack_grams(look.grams))]) for look in self._looks])
        return self._answers(list(zip(self.targets.style_shares, self.targets.styles, strict=True)))[None]

    def _answers(self, styles: Sequence[tuple[float, Grams]]) -> Tensor:
        layers = [
            torch.stack([share * grams[name].matrix[0].diagonal().float() for share, grams in styles]).sum(dim=0)
            for name in self.settings.style_layers
        ]
        return torch.cat([squares.clamp_min(_SMALLEST_SQUARE).log() / 2 for squares in layers]).cpu()

    def compare(self, styled: Tensor, photos: Tensor, looks: Sequence[int] = ()) -> Losses:
        """Return the objective of styled photos ``[B, 3, S, S]``, differentiable with respect to them.

        Args:
            styled: pictures in about 0..1.
            photos: what they were made from.
            looks: the style of each picture, where there are many.
        """
        with torch.autocast(photos.device.type, enabled=False):
            # The photo's features are needed to the deepest content layer alone, and without a gradient.
            with torch.no_grad():
                content = self.loss.vgg(self._extended(photos), only=list(self.settings.content_layers))
            ours = self.loss.vgg(self._extended(styled), only=self.trained)
            losses = []
            for rows, targets, _ in self._by_style(len(photos), looks):
                wanted = replace(targets, content=_rows(content, rows))
                losses.append((len(rows), self.loss.compare(_rows(ours, rows), styled[rows], wanted)))
            return _mean(losses)

    def _by_style(self, count: int, looks: Sequence[int]) -> Iterator[tuple[list[int], Targets, dict[str, Tensor]]]:
        """Yield the pictures of a batch that share a style, what is asked of them, and Gram matrices at layers not trained
        on."""
        assert self.targets is not None, "prepare() comes first"
        if self._looks is None:
            yield list(range(count)), self.targets, self._held_out_grams
            return
        for look in dict.fromkeys(looks):
            grams = unpack_grams(self._looks[look].grams)
            targets = replace(self.targets, styles=[grams], style_units=[self._looks[look].units])
            rows = [row for row, other in enumerate(looks) if other == look]
            yield rows, targets, {name: grams[name].matrix for name in self.held_out}

    def _extended(self, pictures: Tensor) -> Tensor:
        """Return pictures ``[B, 3, S, S]`` with their mirrored margin, as far as there is something to mirror."""
        margin = min(self.margin, pictures.shape[-1] - 1)
        return pad_by_reflection(pictures, (margin,) * 4).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def measure(self, styled: Tensor, photos: Tensor, looks: Sequence[int] = ()) -> dict[str, Tensor]:
        """Return metrics of held-out photos ``[B, 3, S, S]`` in 0..1, by name.

        Parts of a calibrated loss are given without their weights: 1 is "not there at all", 0 "perfect".
        """
        with torch.autocast(photos.device.type, enabled=False):
            ours, theirs = self.loss.vgg(styled), self.loss.vgg(photos)
            content = {name: theirs[name] for name in self.settings.content_layers}
            lost = {name: content_lost(ours[name], theirs[name]) for name in content}
            losses, held_out = [], []
            for rows, targets, grams in self._by_style(len(photos), looks):
                here, there = _rows(ours, rows), _rows(theirs, rows)
                compared = self.loss.compare(here, styled[rows], replace(targets, content=_rows(content, rows)))
                losses.append((len(rows), compared))
                held_out += [error * len(rows) / len(photos) for error in style_errors(here, there, grams).values()]
            mean = _mean(losses)
        metrics = {"val/objective": mean.total}
        metrics |= {f"val/{name}": value / weight for name, value in mean.parts.items() if (weight := self.loss.weight(name))}
        if held_out:
            metrics["val/style_held_out"] = torch.stack(held_out).sum() / len(self.held_out)
        metrics |= {f"val/content_lost/{name}": value for name, value in lost.items()}
        metrics["val/checkerboard"] = checkerboard_index(styled, photos)
        metrics["val/border"] = border_index(styled, photos)
        metrics["val/saturation"] = saturation(styled)
        return metrics

    def style_grams(self) -> Grams | None:
        """Return the Gram matrices of the style picture for the style file, or None where there are several pictures.

        They are of the layers that were trained on, and of those that every style is measured at.
        """
        if len(self.pictures) > 1 or self.targets is None:
            return None
        [grams] = self.targets.styles or [unpack_grams(look.grams) for look in self._looks or []]
        trained = {name: grams[name] for name in self.settings.style_layers}
        missing = {name: 1.0 for name in STYLE_LAYERS if name not in trained}
        if not missing:
            return trained
        wider = PerceptualLoss(replace(self.settings, style_layers=missing, content_layers={}))
        return {**trained, **wider.grams(self.pictures[0])}


def _rows(features: dict[str, Tensor], rows: list[int]) -> dict[str, Tensor]:
    """Return activations of some pictures of a batch; all of them are not copied."""
    return {name: value if len(rows) == len(value) else value[rows] for name, value in features.items()}


def _mean(losses: list[tuple[int, Losses]]) -> Losses:
    """Return the mean over pictures of losses that are each a mean over so many pictures."""
    if len(losses) == 1:
        return losses[0][1]
    whole = sum(count for count, _ in losses)
    parts = {
        name: torch.stack([one.parts[name] * (count / whole) for count, one in losses]).sum() for name in losses[0][1].parts
    }
    return Losses(torch.stack(list(parts.values())).sum(), parts)
