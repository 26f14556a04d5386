"""The LightningModule: what it minimises, what it guards against, what it measures."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn import ReflectionPad2d
from training_kit import LOSS, PAINTING, TINY, fit, make_photos, module, photos

from stylenet.errors import InputError
from stylenet.images.picture import read_image
from stylenet.losses.perceptual import PerceptualLoss
from stylenet.network.cards import Card
from stylenet.network.styles import save_style
from stylenet.network.transform_net import TransformNet
from stylenet.training.averaging import AveragedWeights
from stylenet.training.callbacks import BudgetEnd, Previews
from stylenet.training.module import StyleTraining
from stylenet.training.progress_line import TrainingProgress


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def weights(model: StyleTraining) -> torch.Tensor:
    return torch.cat([p.detach().flatten().clone() for p in model.network.parameters()])


class Each(Callback):
    """Calls a function before each optimizer step, and keeps what it returns."""

    def __init__(self, function: Callable[[StyleTraining, int], Any]) -> None:
        self.function = function
        self.seen: list[Any] = []

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        self.seen.append(self.function(pl_module, trainer.global_step))


# --- what it minimises ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["muon", "adam"])
def test_objective_falls(folder: Path, optimizer: str) -> None:
    model = module(learning_rate=5e-3, optimizer=optimizer)
    objectives = Each(lambda m, _: float(m.trainer.callback_metrics["train/objective"]))
    fit(model, photos(folder), 80, objectives)
    assert len(objectives.seen) == 80
    assert sum(objectives.seen[-5:]) < 0.4 * sum(objectives.seen[:5])


@pytest.mark.parametrize(("calibrated", "margin"), [(True, 0), (False, 0), (True, 8), (True, 100)])
def test_objective_is_the_loss_of_optimize(folder: Path, calibrated: bool, margin: int) -> None:
    """A step's objective is what PerceptualLoss says of the same pictures with their margins, each on its own."""
    settings = LOSS if calibrated else LOSS.__class__(**{**vars(LOSS), "calibrated": False})
    model, data = module(loss=settings, margin=margin), photos(folder)
    fit(model, data, 0)
    batch = torch.rand(2, 3, 48, 48)
    losses, outside = model.losses(batch)
    loss = PerceptualLoss(settings)
    painting = read_image(PAINTING, 96).pixels
    units = loss.targets(data.calibration_photos(2), [painting])
    expected = {}
    mirror = ReflectionPad2d(min(margin, 47))
    for photo, styled in zip(batch.split(1), model.network(batch).split(1), strict=True):
        alone = loss.targets(mirror(photo), [painting])
        alone.content_units.update(units.content_units)
        alone.style_units[0].update(units.style_units[0])
        for name, value in loss.compare(loss.vgg(mirror(styled)), styled, alone).parts.items():
            expected[name] = expected.get(name, 0.0) + float(value.detach()) / 2
    assert {name: float(value.detach()) for name, value in losses.parts.items()} == pytest.approx(expected, rel=1e-4)
    assert float(losses.total.detach()) == pytest.approx(sum(expected.values()), rel=1e-4)
    styled = model.network(batch)
    assert float(outside) == pytest.approx(float(((styled < 0) | (styled > 1)).double().mean()))


def test_gradient_reaches_every_weight(folder: Path) -> None:
    model = module()
    names = Each(lambda m, _: [name for name, p in m.network.named_parameters() if p.grad is None or not p.grad.any()])
    fit(model, photos(folder), 1, names)
    # A convolution's bias before an instance normalisation changes nothing.
    assert all(name.endswith("conv.bias") and not name.startswith("last") for name in names.seen[0])


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_two_styles(folder: Path, norm: str) -> None:
    model = StyleTraining(
        [PAINTING, PAINTING.replace("brush_strokes", "woodcut")],
        network=TINY.__class__(width=4, residual_blocks=1, norm=norm),
        loss=LOSS,
        style_size=96,
        style_shares=[0.25, 0.75],
        calibration_photos=2,
    )
    trainer = fit(model, photos(folder), 3)
    assert trainer.global_step == 3
    targets = model.objective.targets
    assert targets.style_shares == pytest.approx([0.25, 0.75])
    assert len(targets.styles) == 2
    assert math.isfinite(float(trainer.callback_metrics["train/objective"]))


def test_init_from_a_style(folder: Path, tmp_path: Path) -> None:
    net = TransformNet(TINY)
    save_style(net, Card("a"), tmp_path / "a.safetensors", bits=32)
    assert torch.equal(
        weights(module(init=str(tmp_path / "a.safetensors"))), torch.cat([p.flatten() for p in net.parameters()])
    )
    with pytest.raises(InputError, match="has another network"):
        module(init=str(tmp_path / "a.safetensors"), network="quarter")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": -1.0}, "learning_rate is -1"),
        ({"optimizer": "sgd"}, "optimizer is 'sgd': use muon or adam"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"margin": -1}, "margin is -1"),
        ({"schedule": "linear"}, "schedule is 'linear': use cosine or constant"),
        ({"warmup": -1}, "warmup is -1"),
        ({"coarse_share": 1.5}, "coarse_share is 1.5"),
        ({"coarse_share": math.nan}, "coarse_share is nan"),
        ({"most_bad_steps": 0}, "most_bad_steps is 0"),
        ({"budget": "soon"}, "budget 'soon'"),
    ],
    ids=str,
)
def test_wrong_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        module(**options)


@pytest.mark.parametrize(
    ("side", "share", "sides"), [(192, 0.5, [96, 96, 192, 192]), (176, 0.5, [176] * 4), (192, 0, [192] * 4)]
)
def test_half_size(folder: Path, side: int, share: float, sides: list[int]) -> None:
    model, seen = module(coarse_share=share), []
    model.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-1]) if model.training else None)
    fit(model, photos(folder, size=side), 4)
    assert seen == sides
    cost = {96: 0.25, 176: 1, 192: 1}
    assert model.cost(4) == sum(cost[side] for side in sides)
    assert model.cost(3) == sum(cost[side] for side in sides[:3])


def test_wrong_pictures_are_said_before_anything_starts(folder: Path) -> None:
    model = module()
    model.styles = ["missing.jpg"]
    with pytest.raises(InputError, match=r"missing\.jpg"):
        fit(model, photos(folder), 1)


# --- the rate ---------------------------------------------------------------------------------------------------------


def rates(model: StyleTraining, folder: Path, steps: int) -> list[float]:
    seen = Each(lambda m, _: m.optimizers().param_groups[0]["lr"])
    fit(model, photos(folder), steps, seen)
    return seen.seen


def test_warm_up_and_cosine(folder: Path) -> None:
    seen = rates(module(learning_rate=1.0, warmup=4), folder, 12)
    expected = [min((i + 1) / 4, 1) * (0.01 + 0.99 * (1 + math.cos(math.pi * i / 12)) / 2) for i in range(12)]
    assert seen == pytest.approx(expected)


def test_constant(folder: Path) -> None:
    assert rates(module(learning_rate=0.5, warmup=2, schedule="constant"), folder, 4) == [0.25, 0.5, 0.5, 0.5]


def test_budget_ends_in_time_and_stretches_the_schedule(folder: Path) -> None:
    model = module(budget="4s", learning_rate=1.0, warmup=0)
    seen = Each(lambda m, _: m.optimizers().param_groups[0]["lr"])
    trainer = fit(model, photos(folder), -1, seen, BudgetEnd(), max_epochs=-1)
    assert model.began is not None
    assert trainer.global_step > 3
    assert seen.seen[0] == pytest.approx(1.0, abs=0.05)
    assert seen.seen == sorted(seen.seen, reverse=True)
    assert seen.seen[-1] < 0.5


# --- what it guards against -------------------------------------------------------------------------------------------


class Poison(Callback):
    """A gradient that is not finite, at some steps."""

    def __init__(self, steps: set[int]) -> None:
        self.steps, self.backwards = steps, 0
        self.unchanged: list[bool] = []

    def on_after_backward(self, trainer: Trainer, pl_module: Any) -> None:
        self.before = weights(pl_module)
        if self.backwards in self.steps:
            pl_module.network.up1.conv.weight.grad[0, 0, 0, 0] = math.nan
        self.backwards += 1

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        self.unchanged.append(torch.equal(self.before, weights(pl_module)))


def test_a_step_that_is_not_finite_is_skipped(folder: Path) -> None:
    model, poison = module(), Poison({1, 4})
    with pytest.warns(UserWarning, match=r"step .* is skipped: its gradient is not finite \(1 so far\)"):
        fit(model, photos(folder), 6, poison, gradient_clip_val=1.0)
    assert poison.unchanged == [False, True, False, False, True, False]
    assert (model.bad_steps, model.bad_in_a_row, model.broken) == (2, 0, "")
    assert torch.isfinite(weights(model)).all()


@pytest.mark.filterwarnings("ignore:step")
def test_the_run_ends_after_a_few_in_a_row(folder: Path) -> None:
    model, poison = module(most_bad_steps=3), Poison({2, 3, 4, 5, 6})
    fit(model, photos(folder), 20, poison)
    assert len(poison.unchanged) == 5
    assert "3 steps in a row" in model.broken
    assert "learning_rate" in model.broken
    assert torch.isfinite(weights(model)).all()


# --- what it leaves ---------------------------------------------------------------------------------------------------


def test_checkpoint_holds_the_network_alone_and_no_code(folder: Path, tmp_path: Path) -> None:
    model = module()
    fit(model, photos(folder), 2, ModelCheckpoint(tmp_path, "a", every_n_train_steps=2), enable_checkpointing=True)
    state = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert all(name.startswith("network.") for name in state["state_dict"])
    again = StyleTraining.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    assert torch.equal(weights(again), weights(model))
    assert again.loss_settings == LOSS
    assert again.network.settings == TINY
    assert again.hparams == model.hparams


@pytest.mark.parametrize("decay", [0.25, 0.5, 0.995])
def test_averaged_weights_are_the_result(folder: Path, decay: float) -> None:
    """Against the average worked out step by step in float64."""
    model, history = module(learning_rate=1e-2), []

    class Note(Callback):
        def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
            history.append(weights(pl_module).double())

    fit(model, photos(folder), 6, Note(), AveragedWeights(decay))
    average = history[0]
    for steps, value in enumerate(history[1:], start=1):
        share = max(1 - decay, 9 / (10 + steps))
        average = (1 - share) * average + share * value
    assert torch.allclose(weights(model).double(), average, atol=1e-6)
    assert not torch.allclose(weights(model).double(), history[-1], atol=1e-5)


def test_metrics_of_validation(folder: Path) -> None:
    model, data = module(learning_rate=5e-3), photos(folder, val_size=64)
    trainer = fit(model, data, 60)
    (metrics,) = trainer.validate(model, data, verbose=False)
    parts = ["content/relu2_2", "style/relu1_1", "style/relu2_1", "tv"]
    others = ["objective", "style_held_out", "content_lost/relu2_2", "checkerboard", "border", "saturation"]
    assert set(metrics) == {f"val/{name}" for name in parts + others}
    assert all(math.isfinite(value) for value in metrics.values())
    weighted = (
        metrics["val/content/relu2_2"]
        + 5 * (0.5 * metrics["val/style/relu1_1"] + 0.5 * metrics["val/style/relu2_1"])
        + 0.02 * metrics["val/tv"]
    )
    assert metrics["val/objective"] == pytest.approx(weighted, rel=1e-4)
    assert metrics["val/style/relu2_1"] < 1


def test_validation_metrics_are_means_over_the_photos(folder: Path) -> None:
    """In one batch or in several, of unlike size."""
    results = []
    for batch_size in (3, 2):
        torch.manual_seed(0)
        model, data = module(), photos(folder, val_count=3, batch_size=batch_size, val_photos=str(folder))
        trainer = fit(model, data, 0)
        results.append(trainer.validate(model, data, verbose=False)[0])
    for name in ("val/objective", "val/content/relu2_2", "val/style/relu2_1", "val/saturation"):
        assert results[0][name] == pytest.approx(results[1][name], rel=1e-4)


def test_log_and_previews(folder: Path, tmp_path: Path) -> None:
    previews = Previews(count=2)
    previews.next = 2
    fit(
        module(),
        photos(folder),
        5,
        previews,
        TrainingProgress(stream=io.StringIO()),
        logger=TensorBoardLogger(tmp_path, name=None, version="log"),
        log_every_n_steps=1,
        enable_progress_bar=True,
        val_check_interval=5,
    )
    log = EventAccumulator(str(tmp_path / "log"), {"images": 0, "scalars": 0}).Reload()
    tags = log.Tags()
    assert {"train/objective", "train/content/relu2_2", "train/style/relu1_1", "train/tv", "val/objective"} <= set(
        tags["scalars"]
    )
    assert {"train/photos_per_second", "train/saturation", "val/saturation"} <= set(tags["scalars"])
    assert [event.step for event in log.Images("preview")] == [2, 4, 5]
    assert (log.Images("preview")[0].width, log.Images("preview")[0].height) == (96, 96)


def test_progress_line(folder: Path) -> None:
    stream = io.StringIO()
    fit(module(), photos(folder), 4, TrainingProgress(0.0, stream), enable_progress_bar=True)
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith(
        "training 9,651 parameters on 22 photos of 48 pixels, 2 a step, for 4 steps; 2 photos are held out"
    )
    assert len(lines) == 5
    assert lines[1].startswith("step 1/4  objective ")
    assert "photos/s" in lines[4]
    assert lines[4].endswith(" left")
