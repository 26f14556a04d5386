"""One odd file or folder among pictures fails alone, is told at the end, and makes the exit code 1."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import noise
from PIL import Image

from stylenet.errors import InputError
from stylenet.images.picture import Picture
from stylenet.inference import reading
from stylenet.inference.batch import stylize_many
from stylenet.inference.file_rules import Files
from stylenet.inference.folders import plan_jobs
from stylenet.inference.summary import Summary
from stylenet.training.photos import survey_photos


def to_itself(place: Path) -> None:
    place.symlink_to(place.name)


def to_nothing(place: Path) -> None:
    place.symlink_to("none.png")


def to_each_other(place: Path) -> None:
    place.symlink_to("other.png")
    place.with_name("other.png").symlink_to(place.name)


def endless(place: Path) -> None:
    place.symlink_to("/dev/zero")


ODD = [to_itself, to_nothing, to_each_other, os.mkfifo, endless]


def styled(folder: Path, output: Path) -> Summary:
    return stylize_many(plan_jobs([str(folder)], str(output), ["a"]), [lambda picture: picture], Files())  # type: ignore[list-item]


@pytest.mark.parametrize("make", ODD, ids=lambda make: make.__name__)
def test_odd_files(tmp_path: Path, make: Callable[[Path], None]) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "z.png"):
        Image.fromarray(noise(16, 16, 0)).save(folder / name)
    make(folder / "m.png")
    summary = styled(folder, tmp_path / "out")
    assert summary.done == 2
    assert [Path(source).name for source, _ in summary.failures] == [
        name for name in sorted(path.name for path in folder.iterdir()) if name not in ("a.png", "z.png")
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "z.png"]


def test_a_link_to_the_folder_itself(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(noise(16, 16, 0)).save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "again").symlink_to(".")
    summary = styled(tmp_path / "in", tmp_path / "out")
    assert (summary.done, summary.failures) == (1, [])


def test_links_to_folders_are_told(tmp_path: Path) -> None:
    """They are not followed; a folder of nothing else says so, here and to a training."""
    for name in ("in", "others", "empty"):
        (tmp_path / name).mkdir()
    Image.fromarray(noise(16, 16, 0)).save(tmp_path / "others" / "a.png")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "others")
    for look in (lambda folder: plan_jobs([folder], "out", ["a"]), survey_photos):
        with pytest.raises(InputError, match="; links to folders are not followed: name those folders themselves"):
            look(str(tmp_path / "in"))
        with pytest.raises(InputError, match=r"holds no (pictures|photos) \([^;]*\)$"):
            look(str(tmp_path / "empty"))
    Image.fromarray(noise(16, 16, 0)).save(tmp_path / "in" / "b.png")
    left_out: Counter[str] = Counter()
    plan_jobs([str(tmp_path / "in")], "out", ["a"], left_out=left_out)
    assert left_out == {"link to a folder": 1} == survey_photos(str(tmp_path / "in"))[1]


def test_a_closed_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may not be entered. Root may enter any, so that the walk is made to fail here."""
    (tmp_path / "in" / "closed").mkdir(parents=True)
    for place in ("in/a.png", "in/closed/b.png"):
        Image.fromarray(noise(16, 16, 0)).save(tmp_path / place)
    scan, access = os.scandir, os.access
    closed = str(tmp_path / "in" / "closed")

    def guarded(path: str) -> object:
        if str(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", guarded)
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != closed and access(path, mode))
    summary = styled(tmp_path / "in", tmp_path / "out")
    assert summary.done == 1
    assert summary.failures == [(closed, f"{closed} is a folder that may not be entered: change its permissions")]


def test_little_memory_reads_one_picture_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    picture = Picture(torch.zeros(1, 3, 1, 1).expand(1, 3, 4000, 6000))
    monkeypatch.setattr(reading, "free_main_memory", lambda: 64 * 2**30)
    assert not reading.is_large(picture)
    monkeypatch.setattr(reading, "free_main_memory", lambda: 3 * 2**29)
    assert reading.is_large(picture)
    assert not reading.is_large("why it cannot be read")
