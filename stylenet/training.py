"""Engine 2: a network that learns one style (Johnson, Alahi & Fei-Fei, ECCV 2016) against the same loss as engine 1."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, Literal, cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional as F

from stylenet.errors import InputError
from stylenet.images import read_image
from stylenet.losses import Grams, Losses, LossSettings, PerceptualLoss, Targets, gram_matrix
from stylenet.metrics import STYLE_LAYERS, border_index, checkerboard_index, content_lost, saturation, style_errors
from stylenet.muon import Muon
from stylenet.settings import parse_seconds
from stylenet.styles import load_style
from stylenet.transform_net import PRESETS, NetSettings, Preset, TransformNet
from stylenet.vgg import VGG

# What a network learns by default. Deeper style layers bring the painting's objects, shallower content keeps the photo's: the
# weights stand between the two.
TRAINING_LOSS = LossSettings(
    content_layers={"relu3_3": 0.5, "relu4_2": 0.5},
    style_layers={"relu1_1": 0.2, "relu2_1": 0.2, "relu3_1": 0.2, "relu4_1": 0.2, "relu5_1": 0.2},
    style_weight=7.0,
    tv_weight=0.02,
    lattice_weight=0.1,
)

# Photos are not halved to less: the deepest style layer would have fewer than 6 x 6 positions.
_SMALLEST_HALF = 96

# Layers to measure the style at that no default trains on.
_HELD_OUT = ["relu1_2", "relu2_2", "relu3_2", "relu4_2"]


class StyleTraining(LightningModule):
    """Trains a :class:`~stylenet.transform_net.TransformNet` on one style.

    Args:
        style: style picture, or several that are mixed.
        network: ``standard``, ``half``, ``quarter`` or ``swift``, or the fields of a network.
        loss: what is minimised; calibrated, or a paper's own form.
        style_size: size of the style pictures, as in optimize: ``384`` (longest side), ``short:256``, ``full``. Strokes come
            out at this scale, in pixels of the photo.
        style_weights: share of each style picture; equal by default.
        init: a trained style (name or file) to start from: another style is then learnt in a fraction of the time.
        optimizer: ``muon`` (of the inner convolutions; Adam for the rest), which learns a style in two thirds of the time, or
            ``adam``, as the papers have it.
        learning_rate: of the optimizer, at its height.
        half_size: share of the training, from its beginning, that sees photos at half their size: a step then costs a quarter,
            and colours and strokes are learnt as well. Photos below 192 pixels keep their size.
        margin: pixels that photos and styled photos are extended by, mirrored, before the loss network sees them. Its
            convolutions pad with zeros, and a network answers them with stripes along the edges. Papers have 0.
        warmup: steps in which the learning rate rises.
        schedule: ``cosine`` (to a hundredth at the end) or ``constant`` after that.
        budget: ``15m``: ends in time, with the schedule stretched to fit.
        compile: compile network and loss. Brought nothing on the processor it was measured on; needs a C++ compiler there.
        calibration_photos: held-out photos that the units of a calibrated loss are measured on.
        most_bad_steps: the run ends after so many steps in a row whose gradient is not finite; each is skipped.
    """

    def __init__(
        self,
        style: str | list[str],
        network: Preset | NetSettings = "standard",
        loss: LossSettings = TRAINING_LOSS,
        style_size: str | int = 384,
        style_weights: list[float] | None = None,
        init: str | None = None,
        optimizer: Literal["muon", "adam"] = "muon",
        learning_rate: float = 2e-3,
        half_size: float = 0.5,
        margin: int = 8,
        warmup: int = 50,
        schedule: Literal["cosine", "constant"] = "cosine",
        budget: str | float | None = None,
        compile: bool = False,
        calibration_photos: int = 16,
        most_bad_steps: int = 10,
    ) -> None:
        super().__init__()
        # Plain values alone, so that a checkpoint can be read without running any code of it.
        plain = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        plain["network"] = asdict(network) if isinstance(network, NetSettings) else network
        plain["loss"] = asdict(loss) if isinstance(loss, LossSettings) else loss
        self.save_hyperparameters(plain)
        least = {"learning_rate": 0, "margin": 0, "warmup": 0, "most_bad_steps": 1}
        for name, lowest in least.items():
            if not math.isfinite(plain[name]) or plain[name] < lowest:
                raise InputError(f"{name} is {plain[name]}: it must be {lowest} or more")
        if optimizer not in ("muon", "adam"):
            raise InputError(f"optimizer is {optimizer!r}: it is muon or adam")
        if schedule not in ("cosine", "constant"):
            raise InputError(f"schedule is {schedule!r}: it is cosine or constant")
        if not 0 <= half_size <= 1:
            raise InputError(f"half_size is {half_size}: it is a share of the training, 0 to 1")
        self.loss_settings = loss if isinstance(loss, LossSettings) else LossSettings(**loss)
        self.styles = [style] if isinstance(style, str) else list(style)
        self.budget = parse_seconds(budget)
        self.learning_rate, self.warmup, self.schedule = learning_rate, warmup, schedule
        self.network = _make_network(network, init).to(memory_format=torch.channels_last)
        self.bad_steps = self.bad_in_a_row = 0
        self.began: float | None = None
        self.broken = ""
        # Not registered as a module: the loss network is frozen, and belongs neither into checkpoints nor into averages.
        self._frozen: dict[str, Any] = {}

    def forward(self, photos: Tensor) -> Tensor:
        """``[B, 3, H, W]`` in 0..1 to the same, styled."""
        styled: Tensor = self.network(photos)
        return styled

    # --- set-up -------------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Loads the loss network and the style pictures, so that what is wrong with them is said before anything starts."""
        held_out = [name for name in _HELD_OUT if name not in self.loss_settings.style_layers]
        trained = [*self.loss_settings.content_layers, *self.loss_settings.style_layers]
        settings = self.loss_settings
        vgg = VGG([*trained, *held_out], settings.vgg, settings.vgg_weights, settings.pooling, settings.vgg_space)
        self._frozen["loss"] = PerceptualLoss(settings, vgg)
        self._frozen["held_out"] = held_out
        self._frozen["pictures"] = [read_image(path, self.hparams["style_size"]).pixels for path in self.styles]

    def on_fit_start(self) -> None:
        """Moves everything to the device, and measures the units of the loss on the same photos in every process."""
        self._prepare_loss()
        if self.began is None:
            self.began = time.monotonic()

    def on_validation_start(self) -> None:
        """The same for ``trainer.validate`` alone."""
        if "targets" not in self._frozen:
            self._prepare_loss()

    def _prepare_loss(self) -> None:
        half = str(self.trainer.precision).startswith("bf16")
        self.prepare(self._calibration_photos(), self.device, torch.bfloat16 if half else torch.float32)

    @torch.no_grad()
    def prepare(self, photos: Tensor, device: torch.device, dtype: torch.dtype) -> None:
        """Puts the loss network on a device, in the type of its convolutions, and works out what styled photos are compared
        with; ``photos [N, 3, S, S]`` give the units of a calibrated loss. The trainer does this when it starts."""
        if "loss" not in self._frozen:
            self.setup("fit")
        loss: PerceptualLoss = self._frozen["loss"].to(device)
        loss.vgg.convolutions.to(dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        pictures = [picture.to(device) for picture in self._frozen["pictures"]]
        photos = photos.to(device).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, enabled=False):
            self._frozen["targets"] = loss.targets(photos, pictures, self.hparams["style_weights"])
            shares = self._frozen["targets"].style_weights
            grams = [_grams(loss.vgg, picture, self._frozen["held_out"]) for picture in pictures]
        self._frozen["held_out_grams"] = {
            name: torch.stack([share * gram[name] for share, gram in zip(shares, grams, strict=True)]).sum(dim=0)
            for name in self._frozen["held_out"]
        }

    def style_grams(self) -> Grams | None:
        """Gram matrices of the style picture at the layers that were trained on and those that every style is measured at, for
        the style file; None where several pictures are mixed."""
        styles = self._frozen["targets"].styles
        if len(styles) > 1:
            return None
        missing = {name: 1.0 for name in STYLE_LAYERS if name not in styles[0]}
        if not missing:
            return dict(styles[0])
        wider = PerceptualLoss(replace(self.loss_settings, style_layers=missing, content_layers={}))
        return {**styles[0], **wider.grams(self._frozen["pictures"][0])}

    def _calibration_photos(self) -> Tensor:
        module = getattr(self.trainer, "datamodule", None)
        if module is None:
            raise InputError("StyleTraining wants its photos from a PhotoDataModule: trainer.fit(model, datamodule=...)")
        photos: Tensor = module.calibration_photos(self.hparams["calibration_photos"])
        return photos

    def _function(self) -> Callable[[Tensor], tuple[Losses, Tensor]]:
        """:meth:`losses`, compiled where that is asked for. Validation has another size and is done as it is."""
        if not self.hparams["compile"]:
            return self.losses
        if "compiled" not in self._frozen:
            self._frozen["compiled"] = torch.compile(self.losses, dynamic=False)
        compiled: Callable[[Tensor], tuple[Losses, Tensor]] = self._frozen["compiled"]
        return compiled

    # --- training -----------------------------------------------------------------------------------------------------

    def training_step(self, photos: Tensor, batch_idx: int) -> Tensor:
        """The objective of a batch ``[B, 3, S, S]`` in 0..1."""
        losses, outside = self._function()(self._sized(photos))
        self.log("train/objective", losses.total.detach())
        self.log("train/saturation", outside)
        self.log_dict({f"train/{name}": value.detach() for name, value in losses.parts.items()})
        total: Tensor = losses.total
        return total

    def _sized(self, photos: Tensor) -> Tensor:
        """Photos ``[B, 3, S, S]`` at the size of this part of the training."""
        early = self.progress(self.global_step) < self._half_share(photos.shape[-1])
        return F.avg_pool2d(photos, 2) if early else photos

    def _half_share(self, side: int) -> float:
        """Share of the training at half the size of photos of this side."""
        return float(self.hparams["half_size"]) if side >= 2 * _SMALLEST_HALF else 0.0

    def cost(self, step: float) -> float:
        """Of all steps before this one, in steps at the whole size, where no budget changes the plan."""
        total = float(self.trainer.estimated_stepping_batches)
        half = self._half_share(cast(Any, self.trainer).datamodule.size) * total
        return step - 0.75 * min(step, half) if half else step

    def losses(self, photos: Tensor) -> tuple[Losses, Tensor]:
        """The objective of a batch ``[B, 3, S, S]`` in 0..1 and its parts, and the share of values that left 0..1."""
        styled = self.network(photos)
        loss: PerceptualLoss = self._frozen["loss"]
        with torch.autocast(photos.device.type, enabled=False):
            # The photo's features are needed to the deepest content layer alone, and without a gradient.
            with torch.no_grad():
                content = loss.vgg(self._extended(photos), only=list(self.loss_settings.content_layers))
            trained = [*self.loss_settings.content_layers, *self.loss_settings.style_layers]
            targets: Targets = replace(self._frozen["targets"], content=content)
            ours = loss.vgg(self._extended(styled), only=trained)
            return loss.compare(ours, styled, targets), saturation(styled.detach())

    def _extended(self, pictures: Tensor) -> Tensor:
        """Pictures ``[B, 3, S, S]`` with their mirrored margin, as far as there is something to mirror."""
        margin = min(self.hparams["margin"], pictures.shape[-1] - 1)
        return F.pad(pictures, (margin,) * 4, mode="reflect").contiguous(memory_format=torch.channels_last)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Warm-up, then a cosine over what is left of the steps or of the budget."""
        optimizer = self.optimizer()
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def optimizer(self) -> torch.optim.Optimizer:
        """What moves the network's weights."""
        if self.hparams["optimizer"] == "adam":
            return torch.optim.Adam(self.network.parameters(), lr=self.learning_rate)
        inner = self.network.inner_convolutions
        known = {id(weight) for weight in inner}
        others = [weight for weight in self.network.parameters() if id(weight) not in known]
        return Muon(inner, others, self.learning_rate)

    def _rate(self, step: int) -> float:
        rising = min((step + 1) / self.warmup, 1.0) if self.warmup else 1.0
        if self.schedule == "constant":
            return rising
        return rising * (0.01 + 0.99 * (1 + math.cos(math.pi * min(self.progress(step), 1.0))) / 2)

    def progress(self, step: int) -> float:
        """How much of the training is done, 0..1: by steps or by the budget, whichever is further."""
        total = float(self.trainer.estimated_stepping_batches)
        by_steps = step / total if math.isfinite(total) and total > 0 else 0.0
        if self.budget is None or self.began is None:
            return by_steps
        return max(by_steps, (time.monotonic() - self.began) / self.budget)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Skips a step whose gradient is not finite: without gradients nothing changes. Under DDP gradients are averaged
        before, so that all processes skip together."""
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if torch.isfinite(norm):
            self.bad_in_a_row = 0
            return
        optimizer.zero_grad(set_to_none=True)
        self.bad_steps += 1
        self.bad_in_a_row += 1
        rank_zero_warn(f"step {self.global_step} is skipped: its gradient is not finite ({self.bad_steps} so far)")
        if self.bad_in_a_row >= self.hparams["most_bad_steps"]:
            self.broken = (
                f"{self.bad_in_a_row} steps in a row had a gradient that is not finite: the weights are those from before;"
                " try a lower --model.learning_rate, or --trainer.precision 32-true"
            )
            self.trainer.should_stop = True

    # --- validation ---------------------------------------------------------------------------------------------------

    def validation_step(self, photos: Tensor, batch_idx: int) -> None:
        """The objective and what it does not see, on held-out photos."""
        self.log_dict(self.measure(photos), on_epoch=True, sync_dist=True, batch_size=len(photos))

    @torch.no_grad()
    def measure(self, photos: Tensor) -> dict[str, Tensor]:
        """Metrics of held-out photos ``[B, 3, S, S]`` in 0..1, by name. Parts of a calibrated loss are given without their
        weights: 1 is "not there at all", 0 "perfect"."""
        photos = photos.contiguous(memory_format=torch.channels_last)
        styled = self.network(photos)
        loss: PerceptualLoss = self._frozen["loss"]
        with torch.autocast(self.device.type, enabled=False):
            ours, theirs = loss.vgg(styled), loss.vgg(photos)
            content = {name: theirs[name] for name in self.loss_settings.content_layers}
            losses = loss.compare(ours, styled, replace(self._frozen["targets"], content=content))
            held_out = style_errors(ours, theirs, self._frozen["held_out_grams"])
            lost = {name: content_lost(ours[name], theirs[name]) for name in content}
        metrics = {"val/objective": losses.total}
        metrics |= {f"val/{name}": value / self._weight(name) for name, value in losses.parts.items() if self._weight(name)}
        if held_out:
            metrics["val/style_held_out"] = torch.stack(list(held_out.values())).mean()
        metrics |= {f"val/content_lost/{name}": value for name, value in lost.items()}
        metrics["val/checkerboard"] = checkerboard_index(styled, photos)
        metrics["val/border"] = border_index(styled, photos)
        metrics["val/saturation"] = saturation(styled)
        return metrics

    def _weight(self, part: str) -> float:
        kind, _, layer = part.partition("/")
        settings = self.loss_settings
        if kind == "content":
            return settings.content_weight * settings.content_layers[layer]
        if kind == "style":
            return settings.style_weight * settings.style_layers[layer]
        return settings.tv_weight if kind == "tv" else settings.lattice_weight


def _make_network(network: Preset | NetSettings | dict[str, Any], init: str | None) -> TransformNet:
    settings = PRESETS[network] if isinstance(network, str) else network
    settings = settings if isinstance(settings, NetSettings) else NetSettings(**settings)
    net = TransformNet(settings)
    if init:
        trained = load_style(init).net
        if trained.settings != settings:
            raise InputError(f"{init} has another network ({trained.settings}) than the one to be trained ({settings})")
        net.load_state_dict(trained.state_dict())
    return net


@torch.no_grad()
def _grams(vgg: VGG, picture: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    features = vgg(picture, only=layers)
    return {name: gram_matrix(features[name]) for name in layers}
