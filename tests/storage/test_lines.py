"""Lists with a path a line, as they come from anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from stylenet.errors import InputError
from stylenet.inference.folders import find
from stylenet.storage.reading import read_lines
from stylenet.training.photos import find_photos


def test_lines(tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_bytes(b"\xef\xbb\xbfa.png\r\n\n# a comment\n  b.png \nc.png")
    assert list(read_lines(listed)) == ["a.png", "b.png", "c.png"]


@pytest.mark.parametrize("read", [read_lines, find_photos, lambda path: list(find(str(path), "results"))])
def test_a_line_without_an_end(tmp_path: Path, read: object) -> None:
    """A file of a hundred gigabytes without a line's end is refused by its beginning."""
    listed = tmp_path / "list.txt"
    with listed.open("wb") as file:
        file.truncate(100 * 2**30)
    with pytest.raises(InputError, match="no list with a path a line"):
        list(read(listed))  # type: ignore[operator]
