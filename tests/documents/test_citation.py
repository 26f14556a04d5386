"""``CITATION.cff`` says what the package says of itself."""

from __future__ import annotations

import tomllib

import yaml
from documents_kit import ROOT

import stylenet


def test_citation() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation.keys() >= {"cff-version", "message", "title", "authors"}
    assert (citation["version"], citation["license"]) == (stylenet.__version__, project["license"])
    assert all(reference.keys() >= {"type", "title", "authors", "year"} for reference in citation["references"])


def test_issue_templates() -> None:
    """Each is a form that a code host accepts: a name, a description, and fields with identifiers of their own."""
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text())
        if path.stem == "config":
            continue
        assert form.keys() >= {"name", "description", "body"}, path.name
        names = [field["id"] for field in form["body"] if field["type"] != "markdown"]
        assert len(names) == len(set(names)) > 0, path.name
        assert all(field["attributes"]["label"] for field in form["body"] if field["type"] != "markdown"), path.name
