"""``scripts/setup.sh`` installs the project when something has changed, and only then."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Stands for python in the environment: it notes installs, and says which folder was installed last.
FAKE = f"""#!/bin/sh
case "$*" in
  *"pip install"*) echo "$*" >> "$VIRTUAL_ENV/installs"; pwd -P > "$VIRTUAL_ENV/folder";;
  *direct_url*) [ -f "$VIRTUAL_ENV/folder" ] && echo "{{\\"url\\": \\"file://$(cat "$VIRTUAL_ENV/folder")\\"}}";;
  *) exec {sys.executable} "$@";;
esac
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what an install depends on, and an environment whose python installs nothing."""
    folder = tmp_path / "project"
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "setup.sh", folder / "scripts")
    shutil.copy(ROOT / "pyproject.toml", folder)
    python = tmp_path / "environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(FAKE)
    python.chmod(0o755)
    return folder


def installs(folder: Path, extra: str = "dev") -> int:
    """Run the set-up in a folder, and return how many installs there have been."""
    environment = folder.parent / "environment"
    variables = {"VIRTUAL_ENV": str(environment), "PATH": f"{environment}/bin:{os.environ['PATH']}"}
    command = ["bash", "-euo", "pipefail", "-c", f"source scripts/setup.sh {extra}"]
    subprocess.run(command, cwd=folder, env={**os.environ, **variables}, check=True, capture_output=True)
    return len((environment / "installs").read_text().splitlines())


def test_nothing_has_changed(project: Path) -> None:
    assert [installs(project), installs(project)] == [1, 1]


def test_the_project_has_changed(project: Path) -> None:
    installs(project)
    with (project / "pyproject.toml").open("a") as file:
        file.write("\n")
    assert [installs(project), installs(project)] == [2, 2]


def test_another_extra(project: Path) -> None:
    installs(project, "dev")
    assert [installs(project, "demo"), installs(project, "demo"), installs(project, "dev")] == [2, 2, 2]


def test_another_copy_was_installed(project: Path) -> None:
    other = shutil.copytree(project, project.parent / "other")
    assert [installs(project), installs(other), installs(project), installs(project)] == [1, 2, 3, 3]


def test_a_failed_install_is_tried_again(project: Path) -> None:
    python = project.parent / "environment" / "bin" / "python"
    python.write_text(FAKE.replace('"$VIRTUAL_ENV/folder";;', '"$VIRTUAL_ENV/folder"; exit 1;;'))
    with pytest.raises(subprocess.CalledProcessError):
        installs(project)
    python.write_text(FAKE)
    assert installs(project) == 2
