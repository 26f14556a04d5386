"""Every option of Lightning's Trainer trains a style, or is refused in one line that says why."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest
from lightning.pytorch import Trainer, callbacks
from training_kit import PAINTING, make_photos

from stylenet.commands.cli import main
from stylenet.network.styles import load_style

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
    "limit_test_batches": "1",
    "limit_predict_batches": "1",
    "val_check_interval": "2",
    "check_val_every_n_epoch": "1",
    "num_sanity_val_steps": "1",
    "log_every_n_steps": "1",
    "enable_model_summary": "true",
    "accumulate_grad_batches": "2",
    "gradient_clip_val": "0.5",
    "gradient_clip_algorithm": "value",
    "deterministic": "true",
    "benchmark": "false",
    "inference_mode": "false",
    "use_distributed_sampler": "false",
    "profiler": "simple",
    "detect_anomaly": "true",
    "sync_batchnorm": "true",
    "reload_dataloaders_every_n_epochs": "1",
    "enable_autolog_hparams": "false",
    "model_registry": "none",
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
    ({"barebones": "true", "detect_anomaly": "true"}, "barebones"),
]

# Tried elsewhere, and why not here.
ELSEWHERE = {
    "fast_dev_run": "test_a_dry_run_writes_nothing",
    "num_nodes": "needs a second machine",
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_flags_together(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "3 steps in" in told(folder, tmp_path / "run", TOGETHER, capfd)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("options", "text"), ALONE, ids=lambda value: " ".join(value) if isinstance(value, dict) else "")
def test_flag(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], options: dict[str, str], text: str) -> None:
    assert re.search(text, told(folder, tmp_path / "run", options, capfd))


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
