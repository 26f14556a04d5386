"""The long fuzzer in short form: it runs over every kind of file, and what it finds it keeps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from documents_kit import ROOT

pytest.importorskip("av")


def test_fuzzer(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "fuzz.py"), "--seconds", "8", "--seed", "1000"]
    run = subprocess.run([*command, "--keep", str(tmp_path / "kept")], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith(" files, 0 findings\n")


def test_findings_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import fuzz

    def reader(path: Path) -> None:
        raise KeyError("what")

    assert fuzz.try_one(tmp_path / "a.png", b"damaged", reader, tmp_path / "kept", 7)
    assert (tmp_path / "kept" / "7_a.png").read_bytes() == b"damaged"
    assert "seed 7, a.png: KeyError" in capsys.readouterr().err
