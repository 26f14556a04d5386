"""``stylenet train`` as a person runs it: files in, a style out; stopped, killed, resumed, in two processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_kit import PAINTING, make_photos

from stylenet.commands.cli import main
from stylenet.commands.recipes import list_recipes, recipe_path
from stylenet.commands.train import parse
from stylenet.files import sha256
from stylenet.losses.settings import LossSettings
from stylenet.network.styles import load_style
from stylenet.training.data import PhotoDataModule
from stylenet.training.module import StyleTraining
from stylenet.training.run import DEFAULT_STEPS

# Each process has one thread: two of them share the machine in some tests.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("photos"), 26)


@pytest.fixture
def words(folder: Path, tmp_path: Path) -> list[str]:
    """A run of a second or two, on the processor and in float32."""
    run = ["--run", str(tmp_path / "run"), "--trainer.accelerator", "cpu", "--trainer.precision", "32-true"]
    return ["train", "--recipe", "debug", "--style", PAINTING, "--photos", str(folder), "--data.size", "48", *run]


def command(words: list[str]) -> list[str]:
    return [sys.executable, "-m", "stylenet", *words]


def run(words: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(words), env=ENVIRONMENT, capture_output=True, text=True, timeout=240, check=False, **options)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(("name", "devices", "nodes"), [("eight_gpus", 8, 1), ("four_nodes", 8, 4)])
def test_files_of_machines(words: list[str], name: str, devices: int, nodes: int, capsys: pytest.CaptureFixture[str]) -> None:
    """They say how many processes there are beside any recipe, and nothing else."""
    path = recipe_path("default", "train").parents[1] / "machines" / f"{name}.yaml"
    plain = words[: words.index("--trainer.accelerator")]
    assert main([*plain, "--print_config"]) == 0
    before = yaml.safe_load(capsys.readouterr().out)
    assert main([*plain, "--config", str(path), "--print_config"]) == 0
    after = yaml.safe_load(capsys.readouterr().out)
    trainer = after["trainer"]
    assert (trainer["devices"], trainer["num_nodes"], trainer["strategy"]) == (devices, nodes, "ddp")
    assert (trainer["accelerator"], trainer["precision"]) == ("gpu", "bf16-mixed")
    assert {**after, "trainer": None} == {**before, "trainer": None}


# --- a run ------------------------------------------------------------------------------------------------------------


def test_a_style_with_its_card(words: list[str], tmp_path: Path) -> None:
    output = tmp_path / "mine.safetensors"
    result = run([*words, "--output", str(output), "--name", "brushes", "--credit", "nobody, CC0", "--steps", "12"])
    assert result.returncode == 0, result.stderr
    assert f"{output}: 12 steps in 0:0" in result.stdout
    assert "training 9,651 parameters on 24 photos of 48 pixels, 4 a step, for 12 steps" in result.stderr
    assert "step 1/12" in result.stderr
    card = load_style(output).card
    assert (card.name, card.credit, card.source) == ("brushes", "nobody, CC0", "stylenet")
    assert card.style == [{"file": "brush_strokes.jpg", "sha256": sha256(PAINTING)}]
    assert card.network["width"] == 4
    assert (card.loss["vgg"], card.loss["vgg_weights"]) == ("vgg19", "caffe")
    assert (card.training["steps"], card.training["batch"], card.training["size"]) == (12, 4, 48)
    assert (card.training["seed"], card.training["smallest_crop"]) == (0, 0.35)
    assert card.data.startswith("24 photos, ")
    assert {"val/objective", "val/style_held_out", "val/checkerboard", "val/border"} <= set(card.metrics)
    assert {"torch", "stylenet"} <= set(card.versions)
    log = [name for name in files(tmp_path / "run") if not name.startswith("log/events")]
    assert log == ["checkpoints/last.ckpt", "log/hparams.yaml"]
    tags = EventAccumulator(str(tmp_path / "run" / "log")).Reload().Tags()["scalars"]
    assert {"lr-Muon/pg1", "lr-Muon/pg2", "train/objective", "train/saturation"} <= set(tags)
    assert {"val/objective", "val/style_held_out"} <= set(tags)


def test_the_same_seed_is_the_same_style(words: list[str], tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        seed = ["--seed_everything", "7" if name == "c" else "0"]
        output = ["--output", str(tmp_path / f"{name}.safetensors"), "--run", str(tmp_path / f"run {name}")]
        assert main([*words, *output, "--steps", "3", *seed]) == 0
    a, b, c = (load_file(tmp_path / f"{name}.safetensors") for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


def test_budget(words: list[str], tmp_path: Path) -> None:
    """The time from the first step to the end is the budget's, validation included."""
    output = tmp_path / "run" / "brush_strokes.safetensors"
    assert main([*words, "--steps", "-1", "--budget", "6s"]) == 0
    training = load_style(output).card.training
    assert 3 <= training["seconds"] <= 9  # a busy machine's last step and validation are slower than those before
    assert training["steps"] > 2


# --- stopped and resumed ----------------------------------------------------------------------------------------------


def start(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command(words), env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def last_step(path: Path) -> int:
    return int(torch.load(path, weights_only=True)["global_step"]) if path.is_file() else 0


@pytest.mark.long  # training/test_stops.py stops trainings in every run of the tests
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_killed_and_resumed_is_never_stopped(words: list[str], tmp_path: Path) -> None:
    """Bit for bit: SIGKILL in the middle of the second epoch (6 steps each), workers, averaged weights."""
    more = [
        "--steps",
        "30",
        "--checkpoint_every",
        "1",
        "--data.workers",
        "2",
        "--trainer.deterministic",
        "true",
        "--ema",
        "0.9",
    ]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert run([*words, *more, "--run", str(whole)]).returncode == 0
    process = start([*words, *more, "--run", str(broken)])
    checkpoint = broken / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 120
    while last_step(checkpoint) < 8 and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
    process.send_signal(signal.SIGKILL)
    process.wait()
    stopped = last_step(checkpoint)
    assert 8 <= stopped < 30
    assert not (broken / "brush_strokes.safetensors").exists()
    resumed = run([*words, *more, "--run", str(broken), "--ckpt_path", "last"])
    assert resumed.returncode == 0, resumed.stderr
    assert f"step {stopped + 1}/30" in resumed.stderr
    ours, theirs = (torch.load(path / "checkpoints" / "last.ckpt", weights_only=True) for path in (broken, whole))
    assert ours["global_step"] == theirs["global_step"] == 30
    for state in ("state_dict", "current_model_state"):
        assert all(torch.equal(ours[state][name], theirs[state][name]) for name in theirs[state])
    ours, theirs = (load_file(path / "brush_strokes.safetensors") for path in (broken, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_leaves_a_checkpoint(words: list[str], tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's children would ignore it
    process = start([*words, "--steps", "100000", "--checkpoint_every", "100000"])
    signal.signal(signal.SIGINT, before)
    lines = []
    while not lines or not lines[-1].startswith("step 1/"):
        lines.append(process.stderr.readline())
        assert lines[-1], "".join(lines)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "Traceback" not in error
    assert "--ckpt_path last" in error
    stopped = last_step(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert stopped > 0
    resumed = run([*words, "--steps", str(stopped + 2), "--ckpt_path", "last"])
    assert resumed.returncode == 0, resumed.stderr


def test_a_new_run_leaves_an_old_one_alone(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--steps", "2"]) == 0
    before = {name: sha256(tmp_path / "run" / name) for name in files(tmp_path / "run")}
    assert main([*words, "--steps", "3"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "holds a training already" in error
    assert "--ckpt_path last" in error
    assert "--run" in error
    assert {name: sha256(tmp_path / "run" / name) for name in files(tmp_path / "run")} == before


# --- in two processes -------------------------------------------------------------------------------------------------

GRADIENTS = """
import sys
import torch
from lightning.pytorch import Callback, seed_everything
from training_kit import fit, module, photos

class Save(Callback):
    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        if trainer.is_global_zero:
            torch.save([p.grad.clone() for p in pl_module.network.parameters()], f"{sys.argv[2]}_{trainer.global_step}.pt")

if __name__ == "__main__":
    seed_everything(0)
    devices = int(sys.argv[3])
    data = photos(sys.argv[1], batch_size=4 // devices)
    options = {"devices": devices, "strategy": "ddp"} if devices > 1 else {}
    fit(module(learning_rate=1e-4), data, 2, Save(), limit_val_batches=0, **options)
"""


def test_gradients_of_two_processes_are_those_of_one(folder: Path, tmp_path: Path) -> None:
    """Each with half of the batch."""
    script = tmp_path / "gradients.py"
    script.write_text(GRADIENTS)
    environment = {**ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parents[1])}
    for devices in ("1", "2"):
        words = [sys.executable, str(script), str(folder), str(tmp_path / devices), devices]
        result = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=240, check=False)
        assert result.returncode == 0, result.stderr
    # The second step's weights differ by what Adam makes of rounding: its first step is the sign of the gradient.
    for step, tolerance in ((0, 1e-5), (1, 2e-3)):
        saved = [torch.load(tmp_path / f"{devices}_{step}.pt", weights_only=True) for devices in (1, 2)]
        one, two = (torch.cat([gradient.flatten() for gradient in gradients]) for gradients in saved)
        assert float((two - one).norm()) <= tolerance * float(one.norm())
        assert float((two - one).abs().max()) <= tolerance * float(one.abs().max())


@pytest.mark.long  # the gradients of two processes are compared in every run of the tests
def test_two_processes_train_one_style(words: list[str], tmp_path: Path) -> None:
    """Only the first one writes, and what it validates is the mean over both."""
    ddp = ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--data.batch_size", "2", "--steps", "6"]
    two = run([*words, *ddp, "--trainer.val_check_interval", "6", "--checkpoint_every", "3"])
    assert two.returncode == 0, two.stderr
    assert two.stderr.count("training 9,651 parameters") == 1
    assert two.stdout.count("6 steps in") == 1
    found = [name for name in files(tmp_path / "run") if not name.startswith("log/events")]
    checkpoints = [f"checkpoints/{name}.ckpt" for name in ("best", "last-1", "last")]
    assert found == ["brush_strokes.safetensors", *checkpoints, "log/hparams.yaml"]
    card = load_style(tmp_path / "run" / "brush_strokes.safetensors").card
    assert (card.training["steps"], card.training["batch"]) == (6, 4)
    assert main([*words, "--run", str(tmp_path / "one"), "--steps", "6"]) == 0
    alone = load_style(tmp_path / "one" / "brush_strokes.safetensors").card
    for name, value in alone.metrics.items():
        if name not in ("val/checkerboard", "val/border"):  # of a batch, not of a photo
            assert card.metrics[name] == pytest.approx(value, rel=0.02), name


# --- what cannot be -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--style", "missing.jpg"], "missing.jpg"),
        (["--photos", "missing"], "no photos at 'missing'"),
        (["--photos", PAINTING.replace("brush_strokes.jpg", "nothing.zip")], "cannot read"),
        (["--recipe", "monet"], "no recipe 'monet'"),
        (["--output", "style.pth"], "change the ending of style.pth"),
        (["--network", "gigantic"], "gigantic"),
        (["--steps", "many"], "many"),
        (["--ckpt_path", "last"], "nothing to resume"),
        (["--ckpt_path", "missing.ckpt"], "no checkpoint 'missing.ckpt'"),
        (["--ema", "1.5"], "ema is 1.5"),
        (["--data.size", "0"], "size is 0"),
        (["--data.smallest_crop", "2"], "smallest_crop is 2"),
        (["--model.loss.style_layers", "{relu9_9: 1.0}"], "relu9_9"),
        (["--model.loss.style_weight", "-3"], "style_weight is -3"),
        (["--model.budget", "soon"], "budget 'soon'"),
        (["--init", "monet"], "no style 'monet'"),
        (["--frobnicate", "1"], "frobnicate"),
    ],
    ids=lambda value: " ".join(value)[-30:] if isinstance(value, list) else "",
)
def test_wrong_input(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], change: list[str], message: str
) -> None:
    assert main([*words, *change]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("stylenet: ")
    assert message in error
    assert not list(tmp_path.rglob("*.safetensors"))


def test_photos_that_cannot_be_read(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad").mkdir()
    for index in range(3):
        (tmp_path / "bad" / f"{index}.jpg").write_text("no photo")
    words[words.index("--photos") + 1] = str(tmp_path / "bad")
    assert main(words) == 2
    assert "none of" in capsys.readouterr().err.strip().splitlines()[-1]


# --- the shipped settings -----------------------------------------------------------------------------------------------


def test_default_recipe_is_the_defaults() -> None:
    """Every value in it is the code's own."""
    import inspect

    written = yaml.safe_load(recipe_path("default", "train").read_text())
    model, data = (inspect.signature(kind.__init__).parameters for kind in (StyleTraining, PhotoDataModule))
    assert written["trainer"] == {"max_steps": DEFAULT_STEPS}
    loss = written["model"].pop("loss")
    assert written["model"] == {name: model[name].default for name in written["model"]}
    assert set(model) - set(written["model"]) == {"self", "style", "loss"}
    assert written["data"] == {name: data[name].default for name in written["data"]}
    assert loss == {name: getattr(model["loss"].default, name) for name in loss}
    assert isinstance(model["loss"].default, LossSettings)


@pytest.mark.parametrize(("more", "steps"), [([], DEFAULT_STEPS), (["--budget", "5m"], -1), (["--steps", "7"], 7)])
def test_how_long(folder: Path, tmp_path: Path, more: list[str], steps: int) -> None:
    """The short form has a length of its own; a budget needs no other."""
    words = ["--style", PAINTING, "--photos", str(folder), "--run", str(tmp_path), "--trainer.accelerator", "cpu", *more]
    assert parse(words).trainer.max_steps == steps


@pytest.mark.parametrize("recipe", list_recipes("train"))
def test_every_recipe_is_understood(recipe: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--style", PAINTING, "--photos", str(folder), "--run", str(tmp_path), "--trainer.accelerator", "cpu"]
    assert main(["train", "--recipe", recipe, *common, "--print_config"]) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["trainer"]["max_steps"] > 0 or config["model"]["budget"]
    for group, values in yaml.safe_load(recipe_path(recipe, "train").read_text()).items():
        for name, value in values.items() if isinstance(values, dict) else ():
            written = config[group][name]
            assert value.items() <= written.items() if isinstance(value, dict) else written == value
