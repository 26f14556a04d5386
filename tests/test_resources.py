"""Recipes and styles come with the package: in a checkout, in a wheel, and in a wheel made from the archive of sources."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from stylenet import resources
from stylenet.commands.recipes import list_recipes
from stylenet.errors import RunError
from stylenet.network.shipped import shipped_styles
from stylenet.resources import shipped_folder

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = """
import stylenet
from stylenet.commands.recipes import list_recipes, recipe_path
from stylenet.network.shipped import shipped_styles
assert all(recipe_path(name, engine).is_file() for engine in ("optimize", "train") for name in list_recipes(engine))
print(stylenet.__file__, *list_recipes("train"), *shipped_styles(), *(card.name for card in stylenet.list_styles()), sep="|")
"""


def test_a_checkout_has_the_folders_at_the_top() -> None:
    assert shipped_folder("configs").resolve() == ROOT / "configs"
    assert shipped_folder("checkpoints").resolve() == ROOT / "checkpoints"


def test_links_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "configs").write_text("../configs")
    monkeypatch.setattr(resources.resources, "files", lambda _: tmp_path)
    with pytest.raises(RunError, match=r"configs should be a folder or a link to one: git config core\.symlinks true"):
        shipped_folder("configs")


def build(root: Path, target: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


@pytest.mark.parametrize("source", ["checkout", "sdist"])
def test_a_wheel_has_all_of_it(source: str, tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    root = ROOT
    if source == "sdist":
        with tarfile.open(build(ROOT, "sdist", tmp_path / "sdist")) as archive:
            archive.extractall(tmp_path / "sources", filter="data")
        (root,) = (tmp_path / "sources").iterdir()
    with zipfile.ZipFile(build(root, "wheel", tmp_path / "wheel")) as wheel:
        names = wheel.namelist()
        wheel.extractall(tmp_path / "installed")
    assert len(names) == len(set(names))
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {"stylenet"}
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    place, *found = done.stdout.strip().split("|")
    assert Path(place).is_relative_to(tmp_path)
    assert found == [*list_recipes("train"), *shipped_styles(), *shipped_styles()]
