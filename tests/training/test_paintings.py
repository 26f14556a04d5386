"""Style pictures: which are found, and which are left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from stylenet.errors import InputError
from stylenet.training.paintings import find_paintings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.jpg", "c.png"):
        Image.new("RGB", (32, 32)).save(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("way", ["folder", "pattern", "files"])
def test_what_is_left_out(way: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Paintings that a body is judged by are not trained on, however the others are named."""
    styles = {"folder": str(folder), "pattern": str(folder / "*"), "files": [str(path) for path in sorted(folder.iterdir())]}
    found = find_paintings(styles[way], ["b", "not_there"])
    assert [Path(path).name for path in found] == ["a.png", "c.png"]
    assert capsys.readouterr().err == "left out of the style pictures, as leave_out asks: b\n"
    with pytest.raises(InputError, match="leave_out leaves no style picture: it names a, b, c"):
        find_paintings(styles[way], ["a", "b", "c"])


def test_nothing_is_left_out_unasked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(find_paintings(str(folder), ["other"])) == 3
    assert capsys.readouterr().err == ""
