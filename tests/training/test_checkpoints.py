"""Checkpoint files: whole or not at all, the one before kept, and whatever is no checkpoint told in one line."""

from __future__ import annotations

import io
import math
import os
import pickle
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from PIL import Image

from stylenet.errors import InputError, speaking_options
from stylenet.losses.settings import LossSettings
from stylenet.training.averaging import AveragedWeights
from stylenet.training.checkpoints import (
    CheckpointFiles,
    LastCheckpoint,
    check_unused,
    find_checkpoint,
    pick_run,
    read_checkpoint,
)
from stylenet.training.log import TrainingLog
from stylenet.training.resuming import change_rate, compare_settings
from stylenet.training.steps import FinishedSteps

WHOLE: dict[str, Any] = {"state_dict": {}, "loops": {}, "optimizer_states": [], "lr_schedulers": []}


def saved(step: int, numbers: int = 1000) -> dict[str, Any]:
    return {**WHOLE, "global_step": step, "numbers": torch.full((numbers,), float(step))}


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file grows beyond so many bytes, as on a disk that fills."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    path, files = tmp_path / "last.ckpt", CheckpointFiles()
    files.save_checkpoint(saved(1), path)
    before = path.read_bytes()
    with (
        full_disk(100_000),
        pytest.warns(UserWarning, match=r"cannot write .*last\.ckpt: File too large; the training goes on"),
    ):
        files.save_checkpoint(saved(2, 100_000), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_full_disk_leaves_what_a_callback_would_delete(tmp_path: Path) -> None:
    """Lightning's own callbacks delete the best checkpoint so far as soon as they have saved a better one."""
    first, second, third = (tmp_path / f"epoch={number}.ckpt" for number in range(3))
    files = CheckpointFiles()
    files.save_checkpoint(saved(1), first)
    with full_disk(100_000), pytest.warns(UserWarning, match="the training goes on"):
        files.save_checkpoint(saved(2, 100_000), second)
    files.remove_checkpoint(first)
    assert read_checkpoint(first)["global_step"] == 1
    files.save_checkpoint(saved(3), third)
    files.remove_checkpoint(first)
    assert [file.name for file in tmp_path.iterdir()] == [third.name]


def test_a_save_that_was_interrupted_is_done_again(tmp_path: Path) -> None:
    saves: list[str] = []

    def save_checkpoint(path: str) -> None:
        saves.append(path)
        if len(saves) == 1:
            raise KeyboardInterrupt

    steps = FinishedSteps()
    steps.whole = True
    options = {"global_step": 3, "world_size": 1, "training": True, "fast_dev_run": 0, "save_checkpoint": save_checkpoint}
    trainer: Any = SimpleNamespace(**options)
    callback, module = LastCheckpoint(str(tmp_path), 3, steps), LightningModule()
    with pytest.raises(KeyboardInterrupt):
        callback.on_train_batch_end(trainer, module)
    callback.on_exception(trainer, module, KeyboardInterrupt())
    callback.on_train_end(trainer, module)  # there is nothing new
    assert saves == [str(tmp_path / "last.ckpt")] * 2


@pytest.mark.parametrize("links", [True, False])
def test_the_one_before_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def no_link(*_: Any) -> None:
        raise OSError("not on this file system")

    if not links:
        monkeypatch.setattr(os, "link", no_link)
    path, files = tmp_path / "last.ckpt", CheckpointFiles()
    for step in (1, 2, 3):
        files.save_checkpoint(saved(step), path)
    assert [read_checkpoint(tmp_path / name)["global_step"] for name in ("last.ckpt", "last-1.ckpt")] == [3, 2]
    assert len(list(tmp_path.iterdir())) == 2


def pictured() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 8)).save(content, "PNG")
    return content.getvalue()


def torched(value: object) -> bytes:
    content = io.BytesIO()
    torch.save(value, content)
    return content.getvalue()


def packed(content: bytes) -> bytes:
    """The same archive with members that unfold to more than the file, as torch never writes them."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    return made.getvalue()


def broken(part: str) -> bytes:
    """A checkpoint with a number that is not finite in one of its parts."""
    numbers = torch.tensor([1.0, math.nan])
    found = {"state_dict": {"network.a": numbers}, "optimizer_states": [{"state": {0: {"momentum": numbers}}}]}
    return torched({**saved(1), part: found[part]})


def lying(part: str) -> bytes:
    """A checkpoint of a few bytes that claims gigabytes in one of its parts."""
    return torched({**saved(1), part: {"network.a": torch.zeros(1).expand(10**9)}})


FOREIGN = {
    "empty": (b"", "is empty"),
    "cut": (torched(saved(1))[:900], "is no checkpoint of a training, or is damaged"),
    "a page": (b"<!DOCTYPE html><html>not found</html>", "is no checkpoint"),
    "a picture": (pictured(), r"is no checkpoint of a training, or is damaged: it is a picture \(PNG\)"),
    "packed": (packed(torched(saved(1))), "is no checkpoint of a training, or is damaged"),
    "a pickle": (pickle.dumps({"a": 1}), "is no checkpoint|holds no training"),
    "a module": (torched(torch.nn.Linear(1, 1)), "is no checkpoint"),
    "of others": (torched({"model_state_dict": {}, "epoch": 3}), "holds no training to go on with: it lacks loops, "),
    "a broken weight": (broken("state_dict"), r"numbers that are not finite \(state_dict/network.a\)"),
    "a broken momentum": (broken("optimizer_states"), r"numbers that are not finite \(optimizer_states/0/state/0/momentum\)"),
    "a view": (lying("state_dict"), "damaged: state_dict/network.a claims 4,000,000,000 bytes, and the file holds 4"),
    "a view of a callback": (lying("callbacks"), "damaged: callbacks/network.a claims 4,000,000,000 bytes"),
    "a view in a tuple": (
        torched({**saved(1), "optimizer_states": ({"state": (torch.zeros(1).expand(10**9),)},)}),
        "damaged: optimizer_states/0/state/0 claims 4,000,000,000 bytes",
    ),
    "a tensor": (torched(torch.zeros(3)), "holds no training to go on with"),
}


@pytest.mark.parametrize("kind", list(FOREIGN))
@pytest.mark.parametrize("older", [False, True])
def test_what_is_no_checkpoint(tmp_path: Path, kind: str, older: bool) -> None:
    content, message = FOREIGN[kind]
    path = tmp_path / "last.ckpt"
    path.write_bytes(content)
    if older:
        (tmp_path / "last-1.ckpt").write_bytes(torched(saved(1)))
    with pytest.raises(InputError, match=message) as caught:
        CheckpointFiles().load_checkpoint(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    assert text.endswith(f"there is an older one: ckpt_path={str(tmp_path / 'last-1.ckpt')!r}") is older


def test_which_file_is_meant(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    for name in ("last", "best"):
        with pytest.raises(InputError, match=rf"nothing to resume: there is no .*{name}\.ckpt"):
            find_checkpoint(name, tmp_path)
    check_unused(tmp_path)
    folder.mkdir()
    for name in ("last", "best"):
        (folder / f"{name}.ckpt").write_bytes(b"")
        assert find_checkpoint(name, tmp_path) == str(folder / f"{name}.ckpt")
        with pytest.raises(InputError, match=r"holds a training already: .*ckpt_path='last', .* run"):
            check_unused(tmp_path)


def test_a_training_without_a_name_has_its_own_folder(tmp_path: Path) -> None:
    base = tmp_path / "udnie"
    assert pick_run(base, resumed=False) == pick_run(base, resumed=True) == base
    for number, name in enumerate(("udnie", "udnie-2", "udnie-3"), 2):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        (tmp_path / name / "checkpoints" / "last.ckpt").write_bytes(b"")
        assert pick_run(base, resumed=False) == tmp_path / f"udnie-{number}"
        assert pick_run(base, resumed=True) == tmp_path / name


def log(run: Path, content: bytes) -> None:
    (run / "log").mkdir(parents=True)
    (run / "log" / "events.out.tfevents.1.host").write_bytes(content)


def test_a_log_alone_is_a_training_too(tmp_path: Path) -> None:
    """One that was killed before its first checkpoint; not one that was refused before its first step."""
    log(tmp_path / "a", b"..brain.Event:2..")
    check_unused(tmp_path / "a")
    log(tmp_path / "a-2", b"..brain.Event:2..\n\x0ftrain/objective..")
    with pytest.raises(InputError, match=r"a-2 holds the log of a training that left no checkpoint: delete .*a-2/log, or name"):
        check_unused(tmp_path / "a-2")
    log(tmp_path / "b", b"train/objective")
    assert pick_run(tmp_path / "b", resumed=False) == tmp_path / "b-2"
    assert pick_run(tmp_path / "b", resumed=True) == tmp_path / "b"
    (tmp_path / "b" / "checkpoints").mkdir()
    (tmp_path / "b" / "checkpoints" / "last.ckpt").write_bytes(b"")
    log(tmp_path / "b-2", b"train/objective")
    assert pick_run(tmp_path / "b", resumed=True) == tmp_path / "b"  # which has something to go on from
    assert pick_run(tmp_path / "b", resumed=False) == tmp_path / "b-3"


def test_the_log_of_a_training_is_known(tmp_path: Path) -> None:
    """As TensorBoard writes it."""
    logger = TrainingLog(tmp_path, name=None, version="log")
    logger.log_hyperparams({"data": "train"})
    logger.save()
    check_unused(tmp_path)
    logger.log_metrics({"train/objective": 1.0}, 10)
    logger.finalize("success")
    with pytest.raises(InputError, match="holds the log of a training"):
        check_unused(tmp_path)


BEFORE = {
    **{"model.optimizer": "muon", "model.learning_rate": 0.002, "data.photos": "9 photos", "data.sizes": "ab"},
    **{"averaged": True, "ema": 0.9},
}


def test_what_a_training_may_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert compare_settings(BEFORE, BEFORE, 8) == {}
    assert capsys.readouterr().err == ""
    changed = compare_settings(BEFORE, {**BEFORE, "model.learning_rate": 0.001, "ema": 0.8}, 8)
    assert changed == {"model.learning_rate": [0.002, 0.001], "ema": [0.9, 0.8]}
    assert capsys.readouterr().err == (
        "resumed at step 8 with other settings: model.learning_rate was 0.002, is 0.001, ema was 0.9, is 0.8\n"
    )


def test_a_loss_of_before_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """Its Wasserstein distance had a weight of its own, and what is new has its default."""
    now = {**BEFORE, "model.loss": asdict(LossSettings(style_weight=5.0))}
    old = {name: value for name, value in now["model.loss"].items() if name != "style_distance"}
    assert compare_settings({**BEFORE, "model.loss": {**old, "wasserstein_weight": 0.0}}, now, 8) == {}
    assert capsys.readouterr().err == ""
    changed = compare_settings({**BEFORE, "model.loss": {**old, "style_weight": 7.0}}, now, 8)
    assert list(changed) == ["model.loss"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model.optimizer": "adam"}, "of a training with model.optimizer muon, not adam"),
        ({"data.photos": "8 photos"}, r"on other photos \(9 photos; now 8 photos\)"),
        ({"data.sizes": "cd"}, r"on other photos of the same names, as their sizes in bytes tell"),
        ({"averaged": False}, r"had an average of weights \(--ema\)"),
    ],
)
def test_what_a_training_cannot_change(change: dict[str, Any], message: str) -> None:
    with speaking_options(), pytest.raises(InputError) as caught:
        compare_settings(BEFORE, {**BEFORE, **change}, 8)
    assert re.search(message, str(caught.value))
    assert re.search(r"go on with what it had, or begin anew with another --run", str(caught.value))


def test_another_rate_is_that_of_optimizers_and_schedules() -> None:
    """Against a training that had the other rate from its beginning."""

    def states(rate: float) -> dict[str, Any]:
        optimizer = torch.optim.Adam([{"params": [torch.zeros(2)]}, {"params": [torch.zeros(2)], "lr": 5 * rate}], lr=rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
        return {"optimizer_states": [optimizer.state_dict()], "lr_schedulers": [schedule.state_dict()]}

    ours, theirs = states(1.0), states(0.5)
    change_rate(ours, 0.5)
    assert ours == theirs


def test_the_average_tells_its_decay() -> None:
    assert AveragedWeights(0.9).decay == 0.9
