"""Every command and the Python of the README run as written, on small pictures and for a few steps."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from skimage import data

from stylenet.cli import main
from stylenet.images import read_image, write_image
from stylenet.recipes import list_recipes

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if kind == "bash" for line in block.splitlines() if line.strip()]
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


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("stylenet")])
def test_command(command: str, user_folder: Path) -> None:
    words = shlex.split(command, comments=True)
    # What the README itself says comes later, and so wins.
    assert main([words[1], *QUICK[words[1]], *words[2:]]) == 0
    output = next(words[i + 1] for i, word in enumerate(words) if word in ("--output", "-o"))
    assert read_image(user_folder / output).width >= 48


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("scripts/")])
def test_script_is_there(command: str) -> None:
    assert os.access(ROOT / shlex.split(command, comments=True)[0], os.X_OK)


def test_python(user_folder: Path) -> None:
    (block,) = [block for kind, block in BLOCKS if kind == "python"]
    exec(block.replace("steps=100", "steps=2").replace("size=512", "size=64"), {})
    assert read_image(user_folder / "result.jpg").width == 64


def test_recipes_are_listed() -> None:
    section = README[README.index("### Recipes") : README.index("### Look inside")]
    assert all(f"`{name}`" in section for name in list_recipes())
