"""Engine 2: a network that learns one style (Johnson, Alahi & Fei-Fei, ECCV 2016) against the same loss as engine 1."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional as F

from stylenet.choices import check_choice
from stylenet.deprecation import renamed
from stylenet.durations import parse_seconds
from stylenet.errors import InputError, argument
from stylenet.images.picture import read_image
from stylenet.losses.metrics import saturation
from stylenet.losses.settings import LossSettings, present_names
from stylenet.losses.targets import Losses
from stylenet.losses.terms import Grams
from stylenet.network.checkpoints import LOOK_TITLES
from stylenet.network.look_files import find_base
from stylenet.network.looks import Learns, LookTable, look_names, wear_look
from stylenet.network.shipped import BODY_PREFIX, shipped_bodies
from stylenet.network.styles import load_looks, load_style
from stylenet.network.transform_net import PRESETS, NetSettings, Preset, TransformNet
from stylenet.training.nearest import nearest_look
from stylenet.training.objective import Objective
from stylenet.training.optimizers import Optimizer, make_optimizer
from stylenet.training.paintings import find_paintings
from stylenet.training.resuming import change_rate, compare_settings, describe_styles, settings_of
from stylenet.training.stability import Disturbed, disturb, instability

_tell = rank_zero_only(logging.getLogger(__name__).info)

# What a network learns by default. Deeper style layers bring the painting's objects, shallower content keeps the photo's: the
# weights stand between the two.
TRAINING_LOSS = LossSettings(
    content_layers={"relu3_3": 0.5, "relu4_2": 0.5},
    style_layers={"relu1_1": 0.2, "relu2_1": 0.2, "relu3_1": 0.2, "relu4_1": 0.2, "relu5_1": 0.2},
    style_weight=7.0,
    tv_weight=0.02,
    lattice_weight=0.1,
)

# Whether many paintings make one style, or a look each on one body.
Several = Literal["mixed", "looks"]

Schedule = Literal["cosine", "constant"]

# A function of photos, their looks and the disturbed photos, if any. It returns the losses, and the share of the styled values
# that are outside 0..1.
_LossFunction = Callable[[Tensor, Sequence[int], Disturbed | None], tuple[Losses, Tensor]]

# What a checkpoint keeps of a training beside its settings and its time.
_KEPT = ("bad_steps", "bad_in_a_row", "nearest", "changes")

# Photos are not halved to less: the deepest style layer would have fewer than 6 x 6 positions.
_SMALLEST_HALF = 96

# Held-out photos that looks are compared on.
_NEAREST_PHOTOS = 2

# Seeds of the order in which photos are dealt to looks, and of the noise that they are disturbed with.
_DEALING, _DISTURBING = 1, 2


class StyleTraining(LightningModule):
    """Trains a :class:`~stylenet.network.TransformNet` on one style, or on many that share a body.

    Args:
        style: style picture, several, or folders of them.
        several: what several style pictures are: ``mixed`` into one style, or ``looks``, a style each on one body.
        leave_out: names (without their endings) of pictures that are not trained on.
        network: ``standard``, ``half``, ``quarter`` or ``swift``, or the fields of a network.
        loss: what is minimised; calibrated, or a paper's own form.
        style_size: size of the style pictures, as in optimize: ``384`` (longest side), ``short:256``, ``full``. Strokes come
            out at this scale, in pixels of the photo.
        style_shares: share of each style picture in a mixture; equal by default.
        init: what to start from, so that a style is learnt in a fraction of the time: a trained style or a body (name or file),
            or ``body``, the one that comes with stylenet for this network, and nothing where there is none. On a body the
            training starts from the look that is nearest to the painting. None starts from nothing.
        learns: ``all`` of the network, ``norms`` (the look alone: scale and shift of every instance normalisation), or
            ``norms+ends`` (the first and the last convolution too).
        optimizer: ``muon`` (of the inner convolutions; Adam for the rest), which learns a style in two thirds of the time, or
            ``adam``, as the papers have it.
        learning_rate: learning rate of the optimizer, at its height.
        coarse_share: share of the training, from its beginning, that sees photos at half their size: a step then costs a
            quarter, and colours and strokes are learnt as well. Photos below 192 pixels keep their size.
        margin: pixels that photos and styled photos are extended by, mirrored, before the loss network sees them. Its
            convolutions pad with zeros, and a network answers them with stripes along the edges. Papers have 0.
        stability_weight: weight of a part of the objective that is large where a styled photo changes because its photo was
            given a little noise and moved by up to three pixels; 0 leaves the part out. Videos flicker less with it
            (docs/notes/video.md has what it costs).
        warmup: steps in which the learning rate rises.
        schedule: ``cosine`` (to a hundredth at the end) or ``constant`` after that.
        budget: ``15m``: ends in time, with the schedule stretched to fit.
        compile: compile network and loss. Brought nothing on the processor it was measured on; needs a C++ compiler there.
        calibration_photos: held-out photos that the units of a calibrated loss are measured on.
        most_bad_steps: the run ends after so many steps in a row whose gradient is not finite; each is skipped.
    """

    @renamed(half_size="coarse_share", style_weights="style_shares")
    def __init__(
        self,
        style: str | list[str],
        several: Several = "mixed",
        leave_out: list[str] | None = None,
        network: Preset | NetSettings = "standard",
        loss: LossSettings = TRAINING_LOSS,
        style_size: str | int = 384,
        style_shares: list[float] | None = None,
        init: str | None = "body",
        learns: Learns = "all",
        optimizer: Optimizer = "muon",
        learning_rate: float = 2e-3,
        coarse_share: float = 0.5,
        margin: int = 8,
        stability_weight: float = 0.0,
        warmup: int = 50,
        schedule: Schedule = "cosine",
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
        least = {"learning_rate": 0, "margin": 0, "stability_weight": 0, "warmup": 0, "most_bad_steps": 1}
        for name, lowest in least.items():
            if not math.isfinite(plain[name]) or plain[name] < lowest:
                raise InputError(f"{name} is {plain[name]}: it must be a finite number of {lowest} or more")
        check_choice("optimizer", optimizer, Optimizer)
        check_choice("schedule", schedule, Schedule)
        check_choice("several", several, Several)
        check_choice("learns", learns, Learns)
        if isinstance(network, str):
            check_choice("network", network, Preset)
        if not 0 <= coarse_share <= 1:
            raise InputError(f"coarse_share is {coarse_share}: it is a share of the training, 0 to 1")
        self.loss_settings = loss if isinstance(loss, LossSettings) else LossSettings(**present_names(loss))
        if several == "looks" and compile:
            raise InputError("compile is for one style: with several set to looks, leave it false")
        if several == "looks" and learns != "all":
            raise InputError(f"learns is {learns!r}, which is for one style: with several set to looks, leave it out")
        if several == "looks" and style_shares:
            raise InputError("style_shares are for a mixture: with several set to looks, leave them out")
        if stability_weight and compile:
            raise InputError("compile and stability_weight do not go together: leave one of them out")
        self.styles = find_paintings(style, leave_out or [])
        self.budget = parse_seconds(budget)
        self.learning_rate, self.warmup, self.schedule = learning_rate, warmup, schedule
        self.init = _find_init(network, init)
        if learns != "all" and self.init is None:
            raise InputError(
                f"learns is {learns!r}, which leaves the rest of the network untrained: give init a style or a body"
            )
        # A look goes by the body that it stands on: what cannot be one is said before anything starts.
        self.base = find_base(self.init) if learns != "all" and self.init is not None else None
        self.on_body = self.init is not None and bool(load_looks(self.init).titles)
        self.network = _make_network(network, self.init).to(memory_format=torch.channels_last)
        if stability_weight and self.network.settings.norm == "batch":
            raise InputError("a network with batch normalisation would count disturbed photos too: leave stability_weight out")
        self.bad_steps = self.bad_in_a_row = 0
        self.began: float | None = None
        self.broken = ""
        self.nearest = ""  # the title of the body's look that the training started from
        self.changes: list[dict[str, Any]] = []  # of settings, by steps that the training was resumed at
        self.style_files: list[dict[str, str]] = []
        self.looks = self._make_looks(several, learns)
        self._objective: Objective | None = None
        self._compiled: _LossFunction | None = None
        self._look_sums = torch.empty(2, 0)  # of a validation: objectives of each look, and its photos

    def _make_looks(self, several: str, learns: Learns) -> LookTable | None:
        """Freeze what is not learnt; return the table of looks where there are many."""
        learnt = set(look_names(self.network, learns))
        titles = [Path(path).stem for path in self.styles]
        if several == "looks" and (twice := next((title for title in titles if titles.count(title) > 1), None)):
            raise InputError(f"two style pictures have the name {twice}, by which looks are told apart: rename one of them")
        looks = LookTable(self.network, titles) if several == "looks" else None
        if looks is not None and self.init is not None:
            looks.take(load_looks(self.init))
        if looks is not None:  # they stand in for the network's own
            learnt -= set(looks.names)
        for name, weight in self.network.named_parameters():
            weight.requires_grad_(name in learnt)
        return looks

    def forward(self, photos: Tensor, looks: Sequence[int] = ()) -> Tensor:
        """Return photos ``[B, 3, H, W]`` in 0..1 styled, each in its look where there are many."""
        styled: Tensor = self.network(photos) if self.looks is None else self.looks(self.network, photos, looks)
        return styled

    # --- set-up -------------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Load the loss network and the style pictures, so that what is wrong with them is said before anything starts."""
        if self._objective is not None:  # the pictures may be gone when the result is measured
            return
        self.style_files = describe_styles(self.styles)
        paintings = [read_image(path).visible().resized(self.hparams["style_size"]) for path in self.styles]
        for note in dict.fromkeys(note for painting in paintings for note in painting.notes):
            _tell(note)
        pictures = [painting.pixels for painting in paintings]
        weights, margin = self.hparams["style_shares"], self.hparams["margin"]
        self._objective = Objective(self.loss_settings, pictures, weights, self.looks is not None, margin)

    @property
    def objective(self) -> Objective:
        """Return what styled photos are judged by; it is loaded when it is asked for first."""
        if self._objective is None:
            self.setup("fit")
        assert self._objective is not None
        return self._objective

    def on_fit_start(self) -> None:
        """Move everything to the device, and measure the units of the loss on the same photos in every process."""
        self._prepare_loss()
        if self.init is not None and self.looks is None and not self.trainer.ckpt_path:
            self._wear_nearest_look(self.init)
        if self.began is None:
            self.began = time.monotonic()

    def _wear_nearest_look(self, body: str) -> None:
        """Start from the look that is nearest, where the network began as a body of many; every process finds the same one."""
        looks = load_looks(body)
        if looks.titles:
            photos = self._calibration_photos()[:_NEAREST_PHOTOS].to(self.device)
            row = nearest_look(self.network, looks, self.objective, photos)
            self.nearest = looks.titles[row]
            wear_look(self.network, looks.table[row].to(self.device))

    def on_validation_start(self) -> None:
        """Prepare for ``trainer.validate`` alone, as :meth:`on_fit_start` does for a training."""
        if self.objective.targets is None:
            self._prepare_loss()

    def _prepare_loss(self) -> None:
        half = str(self.trainer.precision).startswith("bf16")
        self.prepare(self._calibration_photos(), self.device, torch.bfloat16 if half else torch.float32)

    def prepare(self, photos: Tensor, device: torch.device, dtype: torch.dtype) -> None:
        """Put the loss network on a device, in the type of its convolutions, and work out what styled photos are compared
        with; ``photos [N, 3, S, S]`` give the units of a calibrated loss. The trainer does this when it starts."""
        self.objective.prepare(photos, device, dtype)

    def style_grams(self) -> Grams | None:
        """Return Gram matrices of the style picture for the style file; None where there are several pictures."""
        return self.objective.style_grams()

    def worn_network(self) -> TransformNet:
        """Return the network as a style file holds it: a body of many looks wears their mean, and knows their paintings."""
        if self.looks is None:
            return self.network
        self.looks.signatures = self.objective.signatures()
        return wear_look(self.network, self.looks.table.detach().mean(dim=0))

    def _calibration_photos(self) -> Tensor:
        module = getattr(self.trainer, "datamodule", None)
        if module is None:
            raise InputError("StyleTraining wants its photos from a PhotoDataModule: trainer.fit(model, datamodule=...)")
        photos: Tensor = module.calibration_photos(self.hparams["calibration_photos"])
        return photos

    # --- a checkpoint -------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what the training was so far."""
        checkpoint["training"] = {
            "seconds": self.seconds,
            "settings": self._settings(),
            **({LOOK_TITLES: self.looks.titles} if self.looks is not None else {}),
            **{name: getattr(self, name) for name in _KEPT},
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on as the same training, with the learning rate that is asked for now.

        Raises:
            InputError: for settings that a training cannot change.
            ValueError: for a checkpoint without the state of an optimizer.
        """
        if self._trainer is None or self.trainer.state.fn != "fit":  # to look at
            return
        if not checkpoint["optimizer_states"]:
            raise ValueError("it holds no state of an optimizer")
        past = checkpoint.get("training")
        if past is None:  # of an older version
            return
        before, step = past["settings"], int(checkpoint["global_step"])
        changed = compare_settings(before, self._settings(), step)
        for name in _KEPT:
            setattr(self, name, past[name])
        self.began = time.monotonic() - past["seconds"]
        if changed:
            self.changes = [*self.changes, {"step": step, **changed}]
        if "model.learning_rate" in changed and before["model.learning_rate"]:
            change_rate(checkpoint, self.learning_rate / before["model.learning_rate"])

    def _settings(self) -> dict[str, Any]:
        body = self.base.digest if self.base is not None else None
        made = {"network": asdict(self.network.settings), "loss": asdict(self.loss_settings), "body": body}
        return settings_of({**self.hparams, **made}, self.style_files, self.trainer)

    @property
    def seconds(self) -> float:
        """Return the seconds of training so far, those before a resume included."""
        return time.monotonic() - self.began if self.began is not None else 0.0

    def _function(self) -> _LossFunction:
        """Return :meth:`losses`, compiled where that is asked for. Validation has another size and is done as it is."""
        if not self.hparams["compile"]:
            return self.losses
        if self._compiled is None:
            self._compiled = torch.compile(self.losses, dynamic=False)
        return self._compiled

    def log(self, name: str, value: Any, *arguments: Any, **options: Any) -> None:
        """Log a number, but where ``barebones`` asks for none: Lightning would warn of each."""
        if self._trainer is None or not self._trainer.barebones:
            super().log(name, value, *arguments, **options)

    # --- training -----------------------------------------------------------------------------------------------------

    def training_step(self, photos: Tensor, batch_idx: int) -> Tensor:
        """Return the objective of a batch ``[B, 3, S, S]`` in 0..1."""
        photos = self._sized(photos)
        looks, disturbed = self._drawn_looks(batch_idx, len(photos)), self._disturbed(photos, batch_idx)
        losses, outside = self._function()(photos, looks, disturbed)
        self.log("train/objective", losses.total.detach())
        self.log("train/saturation", outside)
        self.log_dict({f"train/{name}": value.detach() for name, value in losses.parts.items()})
        total: Tensor = losses.total
        return total

    def _drawn_looks(self, batch_idx: int, count: int) -> list[int]:
        """Return the look of each photo of a batch, where there are many.

        Photos are dealt to the looks in rounds, each round in an order of its own. The order depends on the place in the
        training alone, so that a run which is resumed, or shared among processes, deals the same.
        """
        if self.looks is None:
            return []
        looks, batches = len(self.looks.titles), int(self.trainer.num_training_batches)
        rounds = [divmod(place, looks) for place in self._places(self.current_epoch * batches + batch_idx, count)]
        return [int(np.random.default_rng((_DEALING, number)).permutation(looks)[place]) for number, place in rounds]

    def _sized(self, photos: Tensor) -> Tensor:
        """Return photos ``[B, 3, S, S]`` at the size of this part of the training."""
        early = self.progress(self.global_step) < self._half_share(photos.shape[-1])
        return F.avg_pool2d(photos, 2) if early else photos

    def _half_share(self, side: int) -> float:
        """Share of the training at half the size of photos of this side."""
        return float(self.hparams["coarse_share"]) if side >= 2 * _SMALLEST_HALF else 0.0

    def cost(self, step: float) -> float:
        """Return the cost of all steps before this one, in steps at the whole size, where no budget changes the plan."""
        total = float(self.trainer.estimated_stepping_batches)
        half = self._half_share(cast(Any, self.trainer).datamodule.size) * total
        return step - 0.75 * min(step, half) if half else step

    def _places(self, batch: int, count: int) -> range:
        """Return where the photos of this process' batch stand among those of all processes, which take turns in the
        sampler. The last batch may have fewer than those before it."""
        processes = self.trainer.world_size
        first = batch * int(cast(Any, self.trainer).datamodule.batch_size) * processes + self.global_rank
        return range(first, first + count * processes, processes)

    def losses(self, photos: Tensor, looks: Sequence[int] = (), disturbed: Disturbed | None = None) -> tuple[Losses, Tensor]:
        """Return the objective of a batch ``[B, 3, S, S]`` in 0..1 and its parts, and the share of values that left 0..1.

        With disturbed photos the objective has one more part: how much they change the styled photos.
        """
        styled = self(photos, looks)
        losses = self.objective.compare(styled, photos, looks)
        if disturbed is not None:
            unstable = self.hparams["stability_weight"] * self._instability(styled, disturbed, looks)
            losses = Losses(losses.total + unstable, {**losses.parts, "stability": unstable})
        return losses, saturation(styled.detach())

    def _disturbed(self, photos: Tensor, batch_idx: int) -> Disturbed | None:
        """Return the batch disturbed, where that is asked for. A training that is resumed draws the same noise; every batch and
        every process draws its own."""
        if not self.hparams["stability_weight"]:
            return None
        return disturb(photos, (_DISTURBING, self.global_step, batch_idx, self.global_rank))

    def _instability(self, styled: Tensor, disturbed: Disturbed, looks: Sequence[int]) -> Tensor:
        """Return how far styled photos are from those of the disturbed photos, which are styled for it."""
        return instability(styled, self(disturbed.photos, looks), disturbed)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Plan a warm-up, then a cosine over what is left of the steps or of the budget."""
        optimizer = self.optimizer()
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def optimizer(self) -> torch.optim.Optimizer:
        """Return what moves the weights that are learnt."""
        options = self.hparams
        return make_optimizer(
            options["optimizer"],
            self.learning_rate,
            self.network,
            self.looks,
            learns=options["learns"],
            on_body=self.on_body,
        )

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
        """Skip a step whose gradient is not finite: without gradients nothing changes. Under DDP gradients are averaged
        before, so that all processes skip together."""
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if torch.isfinite(norm):
            self.bad_in_a_row = 0
            return
        optimizer.zero_grad(set_to_none=True)
        self.bad_steps += 1
        self.bad_in_a_row += 1
        rank_zero_warn(f"step {self.global_step} is skipped: its gradient is not finite ({self.bad_steps} so far)")
        if self.bad_in_a_row >= self.hparams["most_bad_steps"]:
            rate, precision = argument("learning_rate", group="model"), argument("precision", "32-true", group="trainer")
            self.broken = (
                f"{self.bad_in_a_row} steps in a row had a gradient that is not finite: the weights are those from before;"
                f" try a lower {rate}, or {precision}"
            )
            self.trainer.should_stop = True

    # --- validation ---------------------------------------------------------------------------------------------------

    def validation_step(self, photos: Tensor, batch_idx: int) -> None:
        """Measure the objective and what it does not see, on held-out photos."""
        if self.looks is None:
            self.log_dict(self.measure(photos), on_epoch=True, sync_dist=True, batch_size=len(photos))
            return
        for looks in self._validated_looks(batch_idx, len(photos)):
            for look in dict.fromkeys(looks):
                rows = [row for row, other in enumerate(looks) if other == look]
                metrics = self.measure(photos[rows], [look] * len(rows))
                self.log_dict(metrics, on_epoch=True, sync_dist=True, batch_size=len(rows))
                self._look_sums[0, look] += metrics["val/objective"] * len(rows)
                self._look_sums[1, look] += len(rows)

    def on_validation_epoch_start(self) -> None:
        """Begin the sums of each look's objectives and the numbers of its photos."""
        self._look_sums = torch.zeros(2, len(self.looks.titles) if self.looks is not None else 0, device=self.device)

    def on_validation_epoch_end(self) -> None:
        """Log the mean objective of each look over the photos of all processes."""
        if self.looks is None:
            return
        sums, counts = cast(Tensor, self.trainer.strategy.reduce(self._look_sums, reduce_op="sum"))
        means = {
            f"val/looks/{title}": total / count
            for title, total, count in zip(self.looks.titles, sums, counts, strict=True)
            if count
        }
        self.log_dict(means, sync_dist=True)

    def _validated_looks(self, batch_idx: int, count: int) -> list[list[int]]:
        """Return looks for the photos of a batch, as often as it takes for every look to have its turn in a validation."""
        assert self.looks is not None
        looks = len(self.looks.titles)
        photos = len(cast(Any, self.trainer).datamodule.val_set)
        places = self._places(batch_idx, count)
        return [[(turn * photos + place) % looks for place in places] for turn in range(-(-looks // photos))]

    @torch.no_grad()
    def measure(self, photos: Tensor, looks: Sequence[int] = ()) -> dict[str, Tensor]:
        """Return metrics of held-out photos ``[B, 3, S, S]`` in 0..1, by name; see :meth:`Objective.measure`."""
        photos = photos.contiguous(memory_format=torch.channels_last)
        styled = self(photos, looks)
        metrics = self.objective.measure(styled, photos, looks)
        if self.hparams["stability_weight"]:
            metrics["val/stability"] = self._instability(styled, disturb(photos, (_DISTURBING,)), looks)
        return metrics


def _find_init(network: Preset | NetSettings | dict[str, Any], init: str | None) -> str | None:
    """Return the style or body to start from; ``body`` is the one that comes with stylenet for this network, if any does."""
    if init != "body":
        return init
    name = f"{BODY_PREFIX}{network}" if isinstance(network, str) else ""
    return name if name in shipped_bodies() else None


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
