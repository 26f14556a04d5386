"""Every option of Lightning's Trainer trains a style, or is refused in one line that says why."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer, callbacks
from lightning.pytorch.callbacks import Timer
from training_kit import LOSS as SHALLOW
from training_kit import PAINTING, make_photos

import stylenet
from stylenet.commands import train
from stylenet.commands.cli import main
from stylenet.errors import InputError
from stylenet.network.cards import Card
from stylenet.network.styles import load_style, save_style
from stylenet.network.transform_net import NetSettings, TransformNet

LOSS = ["--model.loss.content_layers", '{"relu2_1": 1.0}', "--model.loss.style_layers", '{"relu1_1": 0.5, "relu2_1": 0.5}']
SMALL = [
    *("--network", json.dumps({"width": 4, "residual_blocks": 1}), "--model.style_size", "64", "--model.warmup", "2"),
    *("--model.calibration_photos", "2", "--data.size", "48", "--data.batch_size", "2", "--data.workers", "0"),
    *("--data.val_count", "2", "--trainer.accelerator", "cpu", "--name", "a"),
]

# What can be asked for in one run, as nothing of it stands in the way of the others.
TOGETHER = {
    "precision": "bf16-mixed",
    "max_steps": "3",
    "min_steps": "2",
    "max_epochs": "2",
    "min_epochs": "1",
    "max_time": "00:00:10:00",
    "limit_train_batches": "4",
    "limit_val_batches": "1",
    "val_check_interval": "2",
    "check_val_every_n_epoch": "1",
    "num_sanity_val_steps": "1",
    "log_every_n_steps": "1",
    "enable_model_summary": "true",
    "accumulate_grad_batches": "2",
    "gradient_clip_val": "0.000001",
    "gradient_clip_algorithm": "value",
    "deterministic": "true",
    "benchmark": "true",
    "inference_mode": "false",
    "use_distributed_sampler": "false",
    "profiler": "simple",
    "detect_anomaly": "true",
    "sync_batchnorm": "true",
    "reload_dataloaders_every_n_epochs": "1",
    "enable_autolog_hparams": "false",
}

# What is tried by itself, with what the run prints or leaves.
ALONE = [
    ({"precision": "16-mixed"}, ""),
    ({"logger": "false"}, "log: none"),
    ({"logger": "CSVLogger", "logger.save_dir": "{run}/csv"}, r"log: .*csv"),
    ({"enable_checkpointing": "false"}, "training"),
    ({"enable_progress_bar": "false"}, "2 steps in"),
    ({"barebones": "true"}, "2 steps in"),
    ({"callbacks": "ModelCheckpoint", "callbacks.monitor": "val/objective", "callbacks.dirpath": "{run}/own"}, "2 steps in"),
    ({"callbacks": "TQDMProgressBar"}, "2 steps in"),
    ({"callbacks": "EarlyStopping", "callbacks.monitor": "val/objective", "callbacks.strict": "false"}, "2 steps in"),
    ({"limit_val_batches": "0"}, "2 steps in"),
    ({"overfit_batches": "1"}, "2 steps in"),
    ({"plugins": "lightning.pytorch.plugins.io.AsyncCheckpointIO"}, "2 steps in"),
    ({"strategy": "ddp_fork", "devices": "2"}, "2 steps in"),
    ({"default_root_dir": "{run}/root"}, "2 steps in"),
    ({"max_steps": "-1", "max_epochs": "1", "val_check_interval": "0.5", "check_val_every_n_epoch": "1"}, "for 1 epochs;"),
]

# Lightning's callbacks: what is asked for in one run, what is refused, and what no command can give.
CALLBACKS = (
    *("Checkpoint", "DeviceStatsMonitor", "LearningRateMonitor", "ModelSummary", "RichModelSummary", "SpikeDetection", "Timer"),
    *("RichProgressBar", "GradientAccumulationScheduler", "OnExceptionCheckpoint"),
)
OPTIONS_OF_CALLBACKS = {
    "GradientAccumulationScheduler": ["--trainer.callbacks.scheduling", "{0: 2}"],
    "OnExceptionCheckpoint": ["--trainer.callbacks.dirpath", "RUN/broken"],
}
REFUSED_CALLBACKS = {
    "BackboneFinetuning": "what learns is chosen by",
    "BatchSizeFinder": "give batch_size itself",
    "LearningRateFinder": "give learning_rate",
    "ModelPruning": "take a smaller network",
    "StochasticWeightAveraging": "weights are averaged already: add --ema 0",
    "WeightAveraging": "weights are averaged already: add --ema 0",
    "EMAWeightAveraging": "weights are averaged already: add --ema 0",
}
OPTIONS_OF_REFUSED = {"ModelPruning": {"pruning_fn": "l1_unstructured"}, "StochasticWeightAveraging": {"swa_lrs": "0.001"}}
BASES = {"BaseFinetuning", "BasePredictionWriter", "Callback", "ProgressBar"}
OF_FUNCTIONS = {"LambdaCallback", "ThroughputMonitor"}  # their arguments are functions, which a command line does not know
ELSEWHERE_CALLBACKS = {"ModelCheckpoint", "TQDMProgressBar", "EarlyStopping"}  # in ALONE

REFUSED = [
    ({"precision": "bf16-true"}, "trainer.precision is 'bf16-true': use 32-true, bf16-mixed, 16-mixed"),
    ({"precision": "64-true"}, "trainer.precision is '64-true'"),
    ({"precision": "16-true"}, "trainer.precision is '16-true'"),
    ({"precision": "transformer-engine"}, "trainer.precision is 'transformer-engine'"),
    ({"max_steps": "0"}, "trainer.max_steps is 0: nothing would be learnt"),
    ({"max_steps": "-1", "max_epochs": "0"}, "trainer.max_epochs is 0"),
    ({"limit_train_batches": "0"}, "trainer.limit_train_batches is 0"),
    ({"strategy": "ddp_spawn", "devices": "2"}, "trainer.strategy is 'ddp_spawn': use auto, ddp"),
    ({"strategy": "DDPStrategy", "strategy.start_method": "spawn", "devices": "2"}, "starts processes by 'spawn': use auto"),
    ({"plugins": "lightning.pytorch.plugins.DoublePrecision"}, "trainer.plugins has DoublePrecision: leave it out, and use"),
    (
        {"plugins": "lightning.pytorch.plugins.HalfPrecision", "plugins.precision": "16-true"},
        "trainer.plugins has HalfPrecision: leave it out, and use trainer.precision, 32-true, bf16-mixed",
    ),
    ({"plugins": "lightning.pytorch.plugins.TorchCheckpointIO"}, "trainer.plugins has TorchCheckpointIO: checkpoints are"),
    ({"strategy": "fsdp"}, "trainer.strategy is 'fsdp'"),
    ({"strategy": "deepspeed"}, "trainer.strategy is 'deepspeed'"),
    ({"accelerator": "abacus"}, "abacus"),
    ({"accelerator": "tpu"}, "torch_xla"),
    ({"devices": "a"}, "`devices` selected with `CPUAccelerator` should be an int > 0"),
    ({"devices": "[0]"}, "`devices` selected with `CPUAccelerator` should be an int > 0"),
    ({"accumulate_grad_batches": "0"}, "trainer.accumulate_grad_batches is 0: it must be 1 or more"),
    ({"accumulate_grad_batches": "-2"}, "trainer.accumulate_grad_batches is -2: it must be 1 or more"),
    ({"gradient_clip_val": "-1"}, "trainer.gradient_clip_val is -1: it must be 0 or more"),
    ({"gradient_clip_val": ".nan"}, "trainer.gradient_clip_val is nan: it must be 0 or more"),
    ({"val_check_interval": "0"}, "for no validation at all take limit_val_batches 0"),
    ({"check_val_every_n_epoch": "0"}, "for no validation at all take limit_val_batches 0"),
    ({"profiler": "stopwatch"}, "it can only be one of ['simple', 'advanced', 'pytorch', 'xla']"),
    ({"logger": "CometLogger"}, "CometLogger: Requirement 'comet-ml"),
    ({"callbacks": "ThroughputMonitor"}, "ThroughputMonitor: "),
    ({"limit_test_batches": "1"}, "trainer.limit_test_batches does nothing here: a training tests nothing"),
    ({"limit_predict_batches": "0.5"}, "trainer.limit_predict_batches does nothing here"),
    ({"model_registry": "mine"}, "trainer.model_registry does nothing here: nothing is uploaded"),
    ({"barebones": "true", "detect_anomaly": "true"}, "barebones"),
]

# Tried elsewhere, and why not here.
ELSEWHERE = {
    "fast_dev_run": "test_a_dry_run_writes_nothing",
    "num_nodes": "tests/training/test_nodes.py starts the processes of two nodes",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("photos"), 22)


def words(folder: Path, run: Path, options: dict[str, str]) -> list[str]:
    flags = {"max_steps": "2", "val_check_interval": "2", **options}
    given = [word for name, value in flags.items() for word in (f"--trainer.{name}", value.format(run=run))]
    return ["train", "--photos", str(folder), "--style", PAINTING, "--run", str(run), *SMALL, *LOSS, *given]


def test_no_flag_is_forgotten() -> None:
    tried = {name.partition(".")[0] for table in (ALONE, REFUSED) for options, _ in table for name in options}
    assert {*tried, *TOGETHER, *ELSEWHERE} == set(inspect.signature(Trainer.__init__).parameters) - {"self"}


def test_no_callback_is_forgotten() -> None:
    tried = {*CALLBACKS, *REFUSED_CALLBACKS, *BASES, *OF_FUNCTIONS, *ELSEWHERE_CALLBACKS}
    assert tried == set(callbacks.__all__)


def told(folder: Path, run: Path, options: dict[str, str], capfd: pytest.CaptureFixture[str]) -> str:
    """Train, and return what was printed."""
    code = main(words(folder, run, options))
    out, error = capfd.readouterr()
    assert code == 0, error
    assert "Traceback" not in error
    assert load_style(run / "a.safetensors").card.training["steps"] > 0
    return out + error


class Spy(callbacks.Callback):
    """Sees what a training does, to tell options that work from those that are only taken."""

    def __init__(self) -> None:
        self.batches = self.validations = self.sanity = 0
        self.loaders: set[int] = set()
        self.modes: dict[str, bool] = {}
        self.gradients: list[float] = []
        self.logged: dict[str, Any] = {}
        self.trainer: Any = None
        self.printed = ""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self.trainer = trainer
        if trainer.global_step > len(self.gradients):  # a step has been taken, with gradients that were clipped
            found = [float(value.grad.abs().max()) for value in pl_module.parameters() if value.grad is not None]
            self.gradients.append(max(found, default=0.0))
        self.batches += 1
        self.loaders.add(id(trainer.train_dataloader))
        self.modes["deterministic"] = torch.are_deterministic_algorithms_enabled()
        self.modes["anomaly"] = torch.is_anomaly_enabled()
        self.modes["benchmark"] = torch.backends.cudnn.benchmark
        self.logged = dict(getattr(trainer.logger, "hparams", {}))

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.modes["inference"] = torch.is_inference_mode_enabled()
        self.sanity += trainer.sanity_checking
        self.validations += trainer.state.fn == "fit" and not trainer.sanity_checking


# What each option of ``TOGETHER`` does, as a callback or a reader sees it.
EFFECTS: dict[str, Callable[[Spy], bool]] = {
    "precision": lambda spy: spy.trainer.precision == "bf16-mixed",
    "max_steps": lambda spy: spy.trainer.global_step == 3,
    "min_steps": lambda spy: spy.trainer.fit_loop.min_steps == 2,
    "max_epochs": lambda spy: spy.trainer.max_epochs == 2,
    "min_epochs": lambda spy: spy.trainer.fit_loop.min_epochs == 1,
    "max_time": lambda spy: [one.time_remaining() > 0 for one in spy.trainer.callbacks if isinstance(one, Timer)] == [True],
    "limit_train_batches": lambda spy: spy.trainer.num_training_batches == 4,
    "limit_val_batches": lambda spy: spy.trainer.num_val_batches == [1],
    "val_check_interval": lambda spy: spy.validations >= 2,
    "check_val_every_n_epoch": lambda spy: spy.trainer.check_val_every_n_epoch == 1,
    "num_sanity_val_steps": lambda spy: spy.sanity == 1,
    "log_every_n_steps": lambda spy: spy.trainer.log_every_n_steps == 1,
    "enable_model_summary": lambda spy: "Trainable params" in spy.printed,
    "accumulate_grad_batches": lambda spy: spy.batches == 2 * 3,
    "gradient_clip_val": lambda spy: 0 < max(spy.gradients) <= 1.01e-6,
    "gradient_clip_algorithm": lambda spy: max(spy.gradients) > 0.99e-6,  # by its norm each would be less
    "deterministic": lambda spy: spy.modes["deterministic"],
    "benchmark": lambda spy: spy.modes["benchmark"],
    "inference_mode": lambda spy: not spy.modes["inference"],
    "use_distributed_sampler": lambda spy: not spy.trainer._accelerator_connector.use_distributed_sampler,
    "profiler": lambda spy: "Profiler Report" in spy.printed,
    "detect_anomaly": lambda spy: spy.modes["anomaly"],
    "sync_batchnorm": lambda spy: spy.trainer._accelerator_connector._layer_sync is not None,
    "reload_dataloaders_every_n_epochs": lambda spy: len(spy.loaders) == 2,
    "enable_autolog_hparams": lambda spy: not spy.logged,
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_flags_together(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each has its effect: an option that is taken and does nothing would be found here."""
    spy, fit = Spy(), train.fit

    def fit_watched(session: Any) -> object:
        session.trainer.callbacks.append(spy)
        return fit(session)

    monkeypatch.setattr(train, "fit", fit_watched)
    spy.printed = told(folder, tmp_path / "run", TOGETHER, capfd) + caplog.text  # Lightning logs to what pytest has set up
    assert "3 steps in" in spy.printed
    assert EFFECTS.keys() == TOGETHER.keys()
    assert [name for name, works in EFFECTS.items() if not works(spy)] == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("options", "text"), ALONE, ids=lambda value: " ".join(value) if isinstance(value, dict) else "")
def test_flag(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], options: dict[str, str], text: str) -> None:
    assert re.search(text, told(folder, tmp_path / "run", options, capfd))


@pytest.mark.filterwarnings("error:You are trying to `self.log")
def test_a_bare_trainer_is_not_asked_to_log(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Lightning would warn of every number, at every step."""
    assert "2 steps in" in told(folder, tmp_path / "run", {"barebones": "true"}, capfd)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("options", "text"), REFUSED, ids=lambda value: " ".join(value) if isinstance(value, dict) else "")
def test_refused(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], options: dict[str, str], text: str) -> None:
    assert main(words(folder, tmp_path / "run", options)) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1, error
    assert text in error
    assert len(error) < 400
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_callbacks_together(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    given = words(folder, tmp_path, {})
    for name in CALLBACKS:
        given += [
            "--trainer.callbacks+",
            name,
            *(word.replace("RUN", str(tmp_path)) for word in OPTIONS_OF_CALLBACKS.get(name, [])),
        ]
    assert main(given) == 0, capfd.readouterr().err
    assert load_style(tmp_path / "a.safetensors").card.training["steps"] == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFUSED_CALLBACKS)
def test_refused_callbacks(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    options = {"callbacks": name, **{f"callbacks.{key}": value for key, value in OPTIONS_OF_REFUSED.get(name, {}).items()}}
    assert main(words(folder, tmp_path / "run", options)) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1, error
    assert error.startswith(f"stylenet: trainer.callbacks has {name}")
    assert REFUSED_CALLBACKS[name] in error
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("steps", ["true", "2"])
def test_a_dry_run_writes_nothing(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], steps: str) -> None:
    good = tmp_path / "good.safetensors"
    good.write_bytes(b"a style")
    assert main([*words(folder, tmp_path / "run", {"fast_dev_run": steps}), "--output", str(good)]) == 0
    assert "it wrote nothing" in capfd.readouterr().out
    assert good.read_bytes() == b"a style"
    assert [path.name for path in tmp_path.iterdir()] == ["good.safetensors"]


@pytest.mark.filterwarnings("ignore")
def test_a_dry_run_from_python_gives_no_older_style(folder: Path, tmp_path: Path) -> None:
    good = tmp_path / "good.safetensors"
    save_style(TransformNet(NetSettings(width=4, residual_blocks=1)), Card("older"), good)
    with pytest.raises(InputError, match="a dry run writes no style: leave fast_dev_run out"):
        stylenet.train(
            PAINTING,
            folder,
            good,
            network=NetSettings(width=4, residual_blocks=1),
            run=tmp_path / "run",
            size=48,
            style_size=64,
            model={"loss": SHALLOW, "calibration_photos": 2},
            data={"workers": 0, "val_count": 1},
            trainer={"accelerator": "cpu", "fast_dev_run": True},
        )
    assert load_style(good).card.name == "older"
