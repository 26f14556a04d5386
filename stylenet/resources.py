"""Find what comes with the package beside its code: recipes and trained styles."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Literal

from stylenet.errors import RunError


def shipped_folder(name: Literal["configs", "checkpoints"]) -> Path:
    """Return a folder that comes with stylenet.

    ``configs`` and ``checkpoints`` stand at the top of the repository. Inside the package are symbolic links to them, in a
    wheel the folders themselves.

    Raises:
        RunError: if git has written the links as text files, as it does on Windows without the right to make links.
    """
    folder = Path(str(resources.files("stylenet") / name)).resolve()
    if not folder.is_dir():
        advice = f"git config core.symlinks true, then git checkout -- {folder}; or install without -e"
        raise RunError(f"{folder} should be a folder or a link to one: {advice}")
    return folder
