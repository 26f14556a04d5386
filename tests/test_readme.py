"""Every command and the Python of the README run as written, on small pictures and for a few steps."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from film_kit import make_film
from skimage import data
from training_kit import make_photos

from stylenet.commands.cli import main
from stylenet.commands.recipes import list_recipes
from stylenet.images.picture import read_image, write_image
from stylenet.network.cards import Card
from stylenet.network.styles import save_style
from stylenet.network.transform_net import NetSettings, TransformNet

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if kind == "bash" for line in block.splitlines() if line.strip()]
STYLIZING = [c for c in COMMANDS if c.startswith(("stylenet stylize", "stylenet export", "stylenet video"))]
TRAINING = [c for c in COMMANDS if c.startswith(("stylenet train", "stylenet evaluate", "stylenet styles"))]
QUICK = {
    "optimize": ["--steps", "2", "--size", "72x48"],
    "features": ["--size", "48"],
    "reconstruct": ["--steps", "1", "--size", "48"],
}


@pytest.fixture
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the pictures that the README speaks of."""
    for name, picture in (("photo", data.chelsea()), ("painting", data.coffee()), ("other", data.rocket())):
        write_image(read_image(_png(picture), "72x48").pixels, tmp_path / f"{name}.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _png(array: object) -> bytes:
    import cv2

    return bytes(cv2.imencode(".png", array)[1])


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 10


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("stylenet") and c not in TRAINING + STYLIZING])
def test_command(command: str, user_folder: Path) -> None:
    words = shlex.split(command, comments=True)
    # What the README itself says comes later, and so wins.
    assert main([words[1], *QUICK[words[1]], *words[2:]]) == 0
    output = next(words[i + 1] for i, word in enumerate(words) if word in ("--output", "-o"))
    assert read_image(user_folder / output).width >= 48


@pytest.fixture
def stylist_folder(user_folder: Path) -> Path:
    """What the commands for trained styles read besides."""
    make_photos(user_folder / "photos", 2)
    write_image(read_image("photo.jpg"), user_folder / "photos" / "cat.jpg")
    write_image(read_image("photo.jpg", "36x24"), user_folder / "mask.png")
    net = TransformNet(NetSettings(width=4, residual_blocks=1))
    save_style(net, Card("my_style"), user_folder / "my_style.safetensors")
    make_film(user_folder / "holiday.mp4")
    return user_folder


@pytest.mark.parametrize("command", STYLIZING)
def test_stylizing(command: str, stylist_folder: Path) -> None:
    words = shlex.split(command, comments=True)
    if "--devices" in words:  # starts processes of its own, by its own command line
        run = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
    else:
        assert main(words[1:]) == 0
    output = next(words[i + 1] for i, word in enumerate(words) if word in ("--output", "-o"))
    assert (stylist_folder / output).exists()


def test_a_pipe(stylist_folder: Path) -> None:
    (command,) = [c for c in COMMANDS if c.startswith("cat ")]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(command, shell=True, check=True, env={**os.environ, "PATH": path})
    assert read_image(command.split()[-1]).width == 72


def test_python_for_trained_styles(stylist_folder: Path) -> None:
    block = next(block for kind, block in BLOCKS if kind == "python" and "import stylenet" in block)
    exec(block, {})
    assert read_image("called.jpg").width == read_image("written.jpg").width == 72


def test_training(user_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In order: each command uses what the one before has left."""
    for folder in ("photos", "held_out"):
        make_photos(user_folder / folder, 8)
    with zipfile.ZipFile(user_folder / "train2017.zip", "w") as archive:
        for path in sorted((user_folder / "photos").iterdir()):
            archive.write(path, f"train2017/{path.name}")
    steps = iter(range(2, 100))
    for command in TRAINING:
        words = shlex.split(command.replace("--recipe default", "--recipe debug"), comments=True)[1:]
        if words[0] == "train":
            words = ["train", "--recipe", "debug", *words[1:], "--steps", str(next(steps)), "--checkpoint_every", "1"]
            words += ["--trainer.accelerator", "cpu"]
        if words[0] == "evaluate":
            words += ["--sizes", "64", "--count", "1", "--most_iterations", "1"]
        assert main(words) == 0, command
    assert '"name": "painting"' in capsys.readouterr().out
    python = next(block for kind, block in BLOCKS if kind == "python" and 'load_style("my_style' in block)
    exec(python, {})
    assert (read_image("styled.jpg").width, read_image("styled.jpg").height) == (72, 48)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("scripts/")])
def test_script_is_there(command: str) -> None:
    assert os.access(ROOT / shlex.split(command, comments=True)[0], os.X_OK)


def test_python(user_folder: Path) -> None:
    block = next(block for kind, block in BLOCKS if kind == "python" and "optimize" in block)
    exec(block.replace("steps=100", "steps=2").replace("size=512", "size=64"), {})
    assert read_image(user_folder / "result.jpg").width == 64


def test_recipes_are_listed() -> None:
    optimizing = README[README.index("### Recipes") : README.index("### Look inside")]
    training = README[README.index("## Train a style") : README.index("## From Python")]
    assert all(f"`{name}`" in optimizing for name in list_recipes())
    assert all(f"`{name}`" in training for name in list_recipes("train"))
