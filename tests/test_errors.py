"""Messages speak of arguments in Python, and of options on the command line."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import stylenet
from stylenet.commands.cli import main
from stylenet.errors import InputError, argument, speaking_options
from stylenet.images import decoding
from stylenet.images.picture import read_image

ROOT = Path(stylenet.__file__).parent
LIBRARY = [path for path in sorted(ROOT.rglob("*.py")) if "commands" not in path.parts and path.name != "errors.py"]


@pytest.mark.parametrize(
    ("words", "in_python", "as_option"),
    [
        (("tile", 64), "tile=64", "--tile 64"),
        (("overwrite", True), "overwrite=True", "--overwrite"),
        (("precision", "32"), "precision='32'", "--precision 32"),
        (("size",), "size", "--size"),
        (("learning_rate", None, "model"), "learning_rate", "--model.learning_rate"),
    ],
)
def test_argument(words: tuple[str, object, str], in_python: str, as_option: str) -> None:
    assert argument(*words) == in_python
    with speaking_options():
        assert argument(*words) == as_option
    assert argument(*words) == in_python


def test_the_same_mistake_in_both_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(decoding, "HUGE", 100)
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(path)
    with pytest.raises(InputError, match=r"without allow_huge=True$"):
        read_image(path)
    assert main(["features", str(path), "-o", str(tmp_path / "b.png")]) == 2
    assert capsys.readouterr().err.endswith("without --allow_huge\n")
    with pytest.raises(InputError, match=r"without allow_huge=True$"):
        read_image(path)


# The page runs long jobs as commands of their own, and so writes command lines.
WRITING_COMMANDS = {"web/optimize_tab.py", "web/train_tab.py", "web/video_tab.py"}


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_room_but_the_commands_knows_options(path: Path) -> None:
    """In its messages; docstrings may point to a command."""
    tree = ast.parse(path.read_text())
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body and isinstance(node.body[0], ast.Expr)
    }
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    options = [text.value for text in texts if id(text) not in docstrings and re.search(r"(^|\s)--[a-z]", text.value)]
    writes_commands = path.relative_to(ROOT).as_posix() in WRITING_COMMANDS
    assert bool(options) == writes_commands, options
