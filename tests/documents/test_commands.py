"""Every command and every piece of Python in the documents runs as written, on small pictures and for a few steps.

A document is a story: its blocks run in their order in one folder, and each finds what the ones before have left. A block after
the comment ``<!-- not run: REASON -->`` is only parsed: it must name options that exist.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from documents_kit import DOCUMENTS, ROOT, Block, blocks_of
from world_kit import make_world

from stylenet.commands.cli import main
from stylenet.commands.recipes import list_recipes

# What makes a command quick. The first go before the words of the document, which override them, the others after them.
BEFORE = {
    "optimize": ["--size", "72x48"],
    "features": ["--size", "48"],
    "reconstruct": ["--steps", "1", "--size", "48"],
    "train": ["--recipe", "debug"],
}
AFTER = {
    "optimize": ["--steps", "2"],
    "evaluate": ["--sizes", "64", "--count", "1", "--most_iterations", "1"],
    "train": ["--checkpoint_every", "1", "--trainer.accelerator", "cpu", "--data.size", "64", "--data.batch_size", "2"],
}
# Programs of others, which the documents name and the tests do not start.
FOREIGN = {"tensorboard", "npm", "trtexec", "git", "source", "pre-commit"}
# Numbers in Python that decide how long it takes.
SHORTER = ((r"steps=\d+", "steps=2"), (r"size=\d+", "size=64"), (r'budget="\w+"', 'budget="2s"'))

STORIES = [document for document in DOCUMENTS if any(block.kind in ("bash", "python") for block in blocks_of(document))]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_world(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")  # documents speak from a checkout
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("document", STORIES, ids=lambda path: str(path.relative_to(ROOT)))
def test_story(document: Path, world: Path) -> None:
    names: dict[str, object] = {}
    steps = 1
    for block in blocks_of(document):
        where = f"{document.name}:{block.line}"
        for command in block.commands if block.kind == "bash" else []:
            steps += 1
            run(command, block, world, steps, where)
        if block.kind == "python" and not block.reason:
            text = block.text
            for pattern, shorter in SHORTER:
                text = re.sub(pattern, shorter, text)
            exec(compile(text, where, "exec"), names)


def run(command: str, block: Block, world: Path, steps: int, where: str) -> None:
    """Run one line of a shell block, or as much of it as a test can."""
    words = shlex.split(command, comments=True)
    if "|" in words or ">" in words:
        shell(command, where)
    elif words[0] == "stylenet":
        stylenet(words, block, world, steps, where)
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"{where}: no target {words[1]}"
    elif words[0] == "pip":
        check_extras(words, where)
    elif words[0] in ("python", "python3") and words[1].endswith(".py"):
        assert (ROOT / words[1]).is_file(), f"{where}: no file {words[1]}"
    elif words[0].startswith("scripts/"):
        assert os.access(ROOT / words[0], os.X_OK), f"{where}: no program {words[0]}"
    elif words[0] in ("ruff", "mypy", "pytest") or words[:2] in (["python", "-m"], ["python", "-c"]):
        assert "--" not in words
    else:
        assert words[0] in FOREIGN, f"{where}: no test knows how to run {command!r}"


def stylenet(words: list[str], block: Block, world: Path, steps: int, where: str) -> None:
    verb = words[1]
    if block.reason:
        assert main([*words[1:], "--print_config"]) == 0, f"{where}: {' '.join(words)}"
        return
    if "--devices" in words:  # starts processes of its own, by its own command line
        result = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"{where}: {result.stderr}"
    else:
        assert main(quick(words, steps)) == 0, f"{where}: {' '.join(words)}"
    if verb not in ("train", "evaluate", "styles"):
        outputs = [words[i + 1] for i, word in enumerate(words) if word in ("--output", "-o")]
        assert all((world / output).exists() for output in outputs), where


def quick(words: list[str], steps: int) -> list[str]:
    """Return the words of a command with options that make it quick; trainings of one document take more steps one by one."""
    verb, rest = words[1], words[2:]
    if verb == "train" and "--recipe" in rest:
        rest = rest[: rest.index("--recipe")] + rest[rest.index("--recipe") + 2 :]
    if verb == "train" and "--steps" not in rest:
        rest = [*rest, "--steps", str(steps)]
    if verb == "train" and "--init" in rest:  # a shipped style has another network than the recipe debug
        rest = [*rest, "--network", "standard"]
    return [verb, *BEFORE.get(verb, []), *rest, *AFTER.get(verb, [])]


def shell(command: str, where: str) -> None:
    """Run a line with a pipe or a redirection by the shell, with the stylenet that is tested."""
    script = f'stylenet() {{ {shlex.quote(sys.executable)} -m stylenet "$@"; }}\n{command}'
    result = subprocess.run(["bash", "-o", "pipefail", "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{where}: {command}\n{result.stderr}"


def check_extras(words: list[str], where: str) -> None:
    """Fail for an extra that the project does not have."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = [name for word in words for name in re.findall(r"\[([\w,]+)\]", word)]
    assert {extra for name in named for extra in name.split(",")} <= extras.keys(), f"{where}: {' '.join(words)}"


def test_there_are_commands() -> None:
    assert sum(len(block.commands) for document in DOCUMENTS for block in blocks_of(document) if block.kind == "bash") > 60


@pytest.mark.parametrize("engine", ["optimize", "train"])
def test_recipes_are_listed(engine: str) -> None:
    page = {"optimize": "best_picture", "train": "training"}[engine]
    text = (ROOT / "docs" / f"{page}.md").read_text()
    assert [name for name in list_recipes(engine) if f"`{name}`" not in text] == []
