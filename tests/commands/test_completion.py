"""The script that a shell completes verbs and options by."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from stylenet.commands.cli import VERBS, main


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from stylenet.commands.completion import completion_script

    path = tmp_path_factory.mktemp("completion") / "stylenet.bash"
    path.write_text(completion_script("bash", VERBS))
    return path


def completed(script: Path, *words: str) -> set[str]:
    """What bash offers for the last of the words."""
    line = " ".join(words)
    array = " ".join(f"'{word}'" for word in words)
    program = f"""
        source {script}
        COMP_WORDS=({array}); COMP_CWORD={len(words) - 1}; COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}
        function=$(complete -p stylenet | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        "$function" stylenet '{words[-1]}' '{words[-2]}'
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    run = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    return {word.strip() for word in run.stdout.splitlines()}


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["stylenet", ""], set(VERBS)),
        (["stylenet", "st"], {"stylize", "styles"}),
        (["stylenet", "stylize", "--str"], {"--strength"}),
        (["stylenet", "optimize", "--style_w"], {"--style_weight", "--style_weights"}),
        (["stylenet", "optimize", "--style_sh"], {"--style_shares"}),
        (["stylenet", "train", "--phot"], {"--photos"}),
        (["stylenet", "train", "--trainer.max_st"], {"--trainer.max_steps"}),
    ],
)
def test_bash(script: Path, words: list[str], offered: set[str]) -> None:
    assert offered <= completed(script, *words)
    if words[-1]:
        assert all(word.startswith(words[-1]) for word in completed(script, *words))


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print_completion", "zsh"]) == 0
    assert capsys.readouterr().out.startswith("#compdef stylenet")
    assert main(["--print_completion", "cobol"]) == 2
    assert "bash, zsh, tcsh" in capsys.readouterr().err
