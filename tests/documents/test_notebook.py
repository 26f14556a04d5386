"""The notebook in ``examples`` runs from top to bottom, with a small picture, few steps and a short training."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest
from documents_kit import ROOT
from nbclient import NotebookClient

NOTEBOOK = ROOT / "examples" / "stylenet.ipynb"
SHORT = 'SIZE = 64\nSTEPS = 2\nBUDGET = "3s"'


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """A copy of what the notebook finds beside it, so that nothing is written into the project."""
    (tmp_path / "browser").mkdir()
    shutil.copy(ROOT / "examples" / "browser" / "example.jpg", tmp_path / "browser")
    shutil.copytree(ROOT / "examples" / "styles", tmp_path / "styles")
    return tmp_path


def test_notebook(examples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    parameters.source = SHORT
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(examples)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    assert len(shown) == 5
    assert (examples / "notebook" / "brush_strokes.safetensors").exists()


def test_parameters_are_those_of_the_short_run() -> None:
    (parameters,) = [c for c in nbformat.read(NOTEBOOK, as_version=4).cells if "parameters" in c.metadata.get("tags", [])]
    names = [line.split(" = ")[0] for line in parameters.source.splitlines()]
    assert names == [line.split(" = ")[0] for line in SHORT.splitlines()]


def test_outputs_are_not_committed() -> None:
    assert all(not cell.get("outputs") for cell in nbformat.read(NOTEBOOK, as_version=4).cells)
