"""What is added to a person's own options of Lightning's Trainer, and which objects are refused as their names are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lightning.fabric.plugins.environments import LightningEnvironment, SLURMEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.plugins import AsyncCheckpointIO, DoublePrecision, HalfPrecision, MixedPrecision, TorchCheckpointIO
from lightning.pytorch.strategies import DDPStrategy, FSDPStrategy, SingleDeviceStrategy

from stylenet.errors import InputError
from stylenet.training.callbacks import StyleWriter
from stylenet.training.checkpoints import CheckpointFiles
from stylenet.training.run import RunSettings
from stylenet.training.trainer_options import check_left_by_lightning, check_trainer, complete

# What ``srun`` tells the one process of a job.
SLURM = {
    **{"NTASKS": "1", "NTASKS_PER_NODE": "1", "NNODES": "1", "PROCID": "0", "LOCALID": "0", "NODEID": "0"},
    **{"JOB_ID": "1", "JOB_NAME": "train", "NODELIST": "localhost"},
}


def made(run: Path, **options: Any) -> Trainer:
    """The trainer of these options."""
    check_trainer(options)
    config = RunSettings(name="a", run=str(run), output=str(run / "a.safetensors"))
    added, callbacks = complete(options, config, StyleWriter(lambda: None))
    return Trainer(**{"accelerator": "cpu", **options, **added, "callbacks": callbacks})


@pytest.fixture
def in_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SLURM.items():
        monkeypatch.setenv(f"SLURM_{name}", value)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "spawn": ({"strategy": DDPStrategy(start_method="spawn")}, "trainer.strategy starts processes by 'spawn': use auto"),
    "forkserver": ({"strategy": DDPStrategy(start_method="forkserver")}, "starts processes by 'forkserver'"),
    "shards": ({"strategy": FSDPStrategy()}, "trainer.strategy is FSDPStrategy: use auto"),
    "doubles": ({"plugins": DoublePrecision()}, "trainer.plugins has DoublePrecision: leave it out, and use trainer.precision"),
    "halves": ({"plugins": [HalfPrecision("bf16-true")]}, "trainer.plugins has HalfPrecision"),
    "doubles of a strategy": (
        {"strategy": SingleDeviceStrategy("cpu", precision_plugin=DoublePrecision())},
        "trainer.plugins has DoublePrecision",
    ),
    "other files": ({"plugins": [TorchCheckpointIO()]}, "trainer.plugins has TorchCheckpointIO: checkpoints are written whole"),
    "other files inside": ({"plugins": AsyncCheckpointIO(TorchCheckpointIO())}, "trainer.plugins has TorchCheckpointIO"),
    "a requeue": ({"plugins": [SLURMEnvironment()]}, "SLURMEnvironment, which would save in the midst of a step"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_objects(tmp_path: Path, name: str) -> None:
    options, message = REFUSED[name]
    with pytest.raises(InputError) as caught:
        made(tmp_path, **options)
    assert message in str(caught.value)


def test_what_wraps_files_wraps_ours(tmp_path: Path) -> None:
    """Nested or not; Lightning's own way to files would leave half of one behind."""
    for wrapper in (AsyncCheckpointIO(), AsyncCheckpointIO(AsyncCheckpointIO()), AsyncCheckpointIO(CheckpointFiles())):
        inner: Any = made(tmp_path, plugins=wrapper).strategy.checkpoint_io
        assert inner is wrapper
        while isinstance(inner, AsyncCheckpointIO):
            inner = inner.checkpoint_io
        assert type(inner) is CheckpointFiles


def test_objects_that_are_taken(tmp_path: Path) -> None:
    plugins = [MixedPrecision("bf16-mixed", "cpu"), LightningEnvironment()]
    trainer = made(tmp_path, plugins=plugins, strategy=DDPStrategy(start_method="fork"))
    assert trainer.precision == "bf16-mixed"
    assert type(trainer.strategy.checkpoint_io) is CheckpointFiles


@pytest.mark.usefixtures("in_slurm")
def test_slurm_saves_nothing_in_the_midst_of_a_step(tmp_path: Path) -> None:
    """Lightning's handler of SIGUSR1 would, into the folder that it was started in."""
    environment = made(tmp_path)._accelerator_connector.cluster_environment
    assert isinstance(environment, SLURMEnvironment)
    assert not environment.auto_requeue
    own = made(tmp_path, plugins=[LightningEnvironment()])._accelerator_connector.cluster_environment
    assert isinstance(own, LightningEnvironment)


def test_elsewhere_there_is_no_slurm(tmp_path: Path) -> None:
    assert isinstance(made(tmp_path)._accelerator_connector.cluster_environment, LightningEnvironment)


@pytest.mark.usefixtures("in_slurm")
def test_what_lightning_left_is_not_gone_on_from(tmp_path: Path) -> None:
    trainer = made(tmp_path / "run", default_root_dir=str(tmp_path))
    check_left_by_lightning(trainer)
    (tmp_path / "hpc_ckpt_3.ckpt").write_bytes(b"")
    with pytest.raises(InputError, match=r"Lightning would go on from .*hpc_ckpt_3\.ckpt under Slurm: move it .*ckpt_path="):
        check_left_by_lightning(trainer)
