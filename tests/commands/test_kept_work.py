"""What a training leaves when something goes otherwise than planned: nothing that was learnt is lost."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from stop_kit import holder, same
from test_trainer_flags import words
from training_kit import PAINTING, make_photos

from stylenet.commands.cli import main
from stylenet.errors import InputError, RunError
from stylenet.network import styles
from stylenet.network.styles import load_style
from stylenet.training import run as training_run
from stylenet.training import saving
from stylenet.training.checkpoints import LastCheckpoint
from stylenet.training.steps import FinishedSteps

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("photos"), 22)


def test_a_finished_training_is_made_longer(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With another rate, which holds from there on; the card tells both, and the time of both parts."""
    run = tmp_path / "run"
    last = run / "checkpoints" / "last.ckpt"
    base = [*words(folder, run, {"max_steps": "2"}), "--model.schedule", "constant", "--model.warmup", "0"]
    assert main([*base, "--model.learning_rate", "0.002"]) == 0
    state = torch.load(last, weights_only=True)
    assert state["global_step"] == 2
    state["training"]["seconds"] = 1000.0
    torch.save(state, last)
    capfd.readouterr()
    again = [*base, "--trainer.max_steps", "3", "--model.learning_rate", "0.001", "--ckpt_path", "last"]
    assert main(again) == 0
    error = capfd.readouterr().err
    assert "resumed at step 2 with other settings: model.learning_rate was 0.002, is 0.001" in error
    assert "goes on after step 2: training" in error
    training = load_style(run / "a.safetensors").card.training
    assert (training["steps"], training["learning_rate"]) == (3, 0.001)
    [change] = training["changes"]
    assert (change["step"], change["model.learning_rate"]) == (2, [0.002, 0.001])
    assert training["seconds"] >= 1000
    rates = [group["lr"] for group in torch.load(last, weights_only=True)["optimizer_states"][0]["param_groups"]]
    assert 0.001 in rates
    assert 0.002 not in rates
    numbers = load_file(run / "a.safetensors")
    (run / "a.safetensors").unlink()
    assert main([*again, "--model.learning_rate", "0.001"]) == 0  # at its end already: the averaged weights once more
    assert same(load_file(run / "a.safetensors"), numbers)
    training = load_style(run / "a.safetensors").card.training
    capfd.readouterr()
    assert main([*again, "--model.optimizer", "adam"]) == 2
    assert "model.optimizer muon, not adam" in capfd.readouterr().err
    assert load_style(run / "a.safetensors").card.training == training


def test_a_finished_training_by_epochs_is_finished(folder: Path, tmp_path: Path) -> None:
    """Made longer, and then asked for the same end once more, it takes no further step."""
    run = tmp_path / "run"
    for number, (epochs, steps) in enumerate([(1, 2), (2, 4), (2, 4), (3, 6)]):
        flags = {"max_steps": "-1", "max_epochs": str(epochs), "limit_train_batches": "2"}
        assert main([*words(folder, run, flags), *(["--ckpt_path", "last"] if number else [])]) == 0
        assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == steps


def test_every_setting_that_changes_steps_is_told(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert main(words(folder, run, {"max_steps": "1"})) == 0
    changed = {"gradient_clip_algorithm": "value", "limit_train_batches": "3", "overfit_batches": "2"}
    capfd.readouterr()
    assert main([*words(folder, run, {"max_steps": "2", **changed}), "--ckpt_path", "last"]) == 0
    error = capfd.readouterr().err
    assert all(f"trainer.{name} was" in error for name in changed), error


def test_one_training_at_a_time(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    other = holder(tmp_path / "run")
    try:
        assert main(words(folder, tmp_path / "run", {"max_steps": "2"})) == 2
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
    assert "another training is at work in" in capfd.readouterr().err


def test_the_style_picture_may_go(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    painting = Path(shutil.copy(PAINTING, tmp_path / "painting.jpg"))
    start = FinishedSteps.on_train_start

    def on_train_start(callback: FinishedSteps, *arguments: Any) -> None:
        painting.unlink()
        start(callback, *arguments)

    monkeypatch.setattr(FinishedSteps, "on_train_start", on_train_start)
    given = [str(painting) if word == PAINTING else word for word in words(folder, tmp_path / "run", {"max_steps": "1"})]
    assert main(given) == 0
    card = load_style(tmp_path / "run" / "a.safetensors").card
    assert [len(style["sha256"]) for style in card.style] == [64]
    assert "val/objective" in card.metrics


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RunError("the disk is gone")])
def test_the_style_is_there_before_it_is_measured(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: Any
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(training_run, "_measure", fail)
    code = main(words(folder, tmp_path / "run", {"max_steps": "1"}))
    assert code == (1 if isinstance(error, RunError) else 130)
    assert load_style(tmp_path / "run" / "a.safetensors").card.training["steps"] == 1
    told = capfd.readouterr().err.splitlines()[-1]
    assert ("a.safetensors is written, but was not measured" in told) is not isinstance(error, RunError)


@pytest.mark.parametrize("without", ["enable_checkpointing", "barebones"])
@pytest.mark.parametrize(("run", "error"), [("run", RunError), ("disk/run", InputError)])
def test_a_style_that_cannot_be_written_is_kept(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    without: str,
    run: str,
    error: type[Exception],
) -> None:
    """On a disk that is full at the end, or in a store that refuses, in the folder of the run if that is elsewhere, else among
    temporary files."""
    disk, spare = tmp_path / "disk", tmp_path / "spare"
    spare.mkdir()
    monkeypatch.setenv("TMPDIR", str(spare))
    monkeypatch.setattr(tempfile, "tempdir", None)
    write = styles.write

    def write_elsewhere(place: Any, content: bytes) -> object:
        if disk in Path(place).parents:
            raise error(f"cannot write {place}: No space left on device")
        return write(place, content)

    monkeypatch.setattr(styles, "write", write_elsewhere)
    value = "false" if without == "enable_checkpointing" else "true"
    options = words(folder, tmp_path / run, {"max_steps": "1", without: value})
    assert main([*options, "--output", str(disk / "a.safetensors")]) == 1
    told = capfd.readouterr().err.splitlines()[-1]
    assert told.startswith(f"stylenet: cannot write {disk / 'a.safetensors'}: No space left on device; the style is kept as ")
    [kept] = [path for folder in (tmp_path / "run", spare) for path in folder.rglob("*.safetensors")]
    assert told.endswith(f" {kept}")
    assert load_style(kept).card.training["steps"] == 1
    assert [path for path in spare.iterdir() if not list(path.iterdir())] == []


def test_numbers_that_are_not_finite_are_kept_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise InputError("a.safetensors is not written: first.conv.weight holds numbers that are not finite")

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(saving, "_save", refuse)
    session: Any = SimpleNamespace(config=SimpleNamespace(output=str(tmp_path / "a.safetensors"), run=str(tmp_path / "run")))
    with pytest.raises(InputError, match=r"not finite$"):
        saving.save(session)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("place", "name"), [(LastCheckpoint, "on_train_end"), (styles, "write")])
def test_a_stop_in_the_last_checkpoint_or_style(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], place: Any, name: str
) -> None:
    """Both are written, and nothing more is done; Ctrl-C is then as it was."""
    done, before = getattr(place, name), signal.getsignal(signal.SIGINT)

    def stopped(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        done(*arguments)

    monkeypatch.setattr(place, name, stopped)
    run = tmp_path / "run"
    assert main(words(folder, run, {"max_steps": "1"})) == 130
    assert capfd.readouterr().err.splitlines()[-1].endswith("a.safetensors is written, but was not measured")
    assert load_style(run / "a.safetensors").card.training["steps"] == 1
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 1
    assert signal.getsignal(signal.SIGINT) is before
