"""Who reads what and writes where."""

from __future__ import annotations

from pathlib import Path

import pytest

from stylenet.errors import InputError
from stylenet.inference.folders import Job, plan_jobs


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "b.jpg",
        "a.PNG",
        "deep/er/c.webp",
        "deep/d.gif",
        "notes.txt",
        ".hidden.jpg",
        ".cache/e.jpg",
        "deep/.f.jpg.x.part",
    ):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def outputs(jobs: list[Job]) -> dict[str, tuple[str, ...]]:
    return {job.source: job.outputs for job in jobs}


def test_one_file() -> None:
    assert plan_jobs(["a.jpg"], "out.png", ["s"]) == [Job("a.jpg", ("out.png",))]


@pytest.mark.parametrize("output", ["folder", "folder/", "v1.5/"])
def test_one_file_into_a_folder(output: str, tree: Path) -> None:
    assert plan_jobs(["photos/b.jpg"], output, ["s"]) == [Job("photos/b.jpg", (str(Path(output) / "b.jpg"),))]


def test_a_folder_is_mirrored(tree: Path) -> None:
    assert outputs(plan_jobs(["photos"], "out", ["s"])) == {
        "photos/a.PNG": ("out/a.PNG",),
        "photos/b.jpg": ("out/b.jpg",),
        "photos/deep/d.gif": ("out/deep/d.gif.png",),
        "photos/deep/er/c.webp": ("out/deep/er/c.webp",),
    }


def test_several_styles_have_a_folder_each(tree: Path) -> None:
    jobs = plan_jobs(["photos/b.jpg"], "out", ["waves", "stars"])
    assert jobs == [Job("photos/b.jpg", ("out/waves/b.jpg", "out/stars/b.jpg"))]


def test_results_inside_the_folder_are_not_read_again(tree: Path) -> None:
    (tree / "photos/styled").mkdir()
    (tree / "photos/styled/b.jpg").write_bytes(b"")
    assert "photos/styled/b.jpg" not in outputs(plan_jobs(["photos"], "photos/styled", ["s"]))


def test_patterns(tree: Path) -> None:
    assert outputs(plan_jobs(["photos/*.jpg"], "out", ["s"])) == {"photos/b.jpg": ("out/b.jpg",)}
    assert list(outputs(plan_jobs(["photos/**/*.webp"], "out", ["s"]))) == ["photos/deep/er/c.webp"]
    assert next(iter(outputs(plan_jobs(["phot*"], "out", ["s"])))) == "photos/a.PNG"
    with pytest.raises(InputError, match=r"nothing matches 'photos/\*\.bmp'"):
        plan_jobs(["photos/*.bmp"], "out", ["s"])


def test_a_file_whose_name_looks_like_a_pattern(tree: Path) -> None:
    (tree / "me [1].jpg").write_bytes(b"")
    assert outputs(plan_jobs(["me [1].jpg"], "out", ["s"])) == {"me [1].jpg": ("out/me [1].jpg",)}


def test_missing_files_are_jobs_that_will_fail() -> None:
    assert [job.source for job in plan_jobs(["a.jpg", "b.jpg"], "out", ["s"])] == ["a.jpg", "b.jpg"]


def test_addresses_and_streams() -> None:
    jobs = plan_jobs(["https://example.org/a%20b/cat.JPG?w=3", "http://example.org/", "-"], "out", ["s"])
    assert [job.outputs[0] for job in jobs] == ["out/cat.JPG", "out/picture.png", "out/stdin.png"]
    assert plan_jobs(["-"], "-", ["s"]) == [Job("-", ("-",))]


def test_no_photo_of_another_job_is_overwritten(tree: Path) -> None:
    (tree / "photos/deep/deep").mkdir()
    (tree / "photos/deep/deep/c.webp").write_bytes(b"")
    (tree / "photos/deep/c.webp").write_bytes(b"")
    with pytest.raises(InputError, match=r"photos/deep/c\.webp is one of the photos"):
        plan_jobs(["photos/deep"], "photos", ["s"])


def test_an_address_cannot_leave_the_folder() -> None:
    for address in ("http://h/%2Ftmp%2Fevil.png", "http://h/a%2F..%2F..%2Fevil.png"):
        assert plan_jobs([address], "out/", ["s"])[0].outputs == ("out/evil.png",)


def test_a_sheet_is_none_of_its_photos(tree: Path) -> None:
    with pytest.raises(InputError, match=r"photos/b\.jpg is one of the photos"):
        plan_jobs(["photos"], "photos/b.jpg", ["s"], sheet=True)


def test_a_sheet_needs_no_outputs(tree: Path) -> None:
    assert plan_jobs(["photos/b.jpg"], "sheet.png", ["s", "t"], sheet=True) == [Job("photos/b.jpg", ())]


@pytest.mark.parametrize(
    ("inputs", "output", "styles", "message"),
    [
        (["photos"], "-", ["s"], "stdout takes one picture in one style"),
        (["photos/b.jpg"], "-", ["s", "t"], "stdout takes one picture in one style"),
        (["photos"], "photos/b.jpg", ["s"], "is a file: several pictures or styles need a folder"),
        (["photos/b.jpg"], "photos/b.jpg", ["s"], "is one of the photos"),
        (["photos"], "photos", ["s"], "is one of the photos"),
        (["photos/b.jpg", "other/b.jpg"], "out", ["s"], "would both become out/b.jpg"),
        (["photos/b.jpg"], "out", ["s", "s"], "a style is named twice: s, s"),
        (["empty"], "out", ["s"], "empty holds no pictures"),
    ],
)
def test_what_cannot_be(inputs: list[str], output: str, styles: list[str], message: str, tree: Path) -> None:
    (tree / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        plan_jobs(inputs, output, styles)


def test_a_hidden_folder_that_is_named_is_read(tree: Path) -> None:
    assert [job.source for job in plan_jobs(["photos/.cache"], "out", ["s"])] == ["photos/.cache/e.jpg"]


@pytest.mark.parametrize("name", ["album.zip", "album.txt"])
def test_folders_named_as_something_else(name: str, tree: Path) -> None:
    (tree / "photos").rename(tree / name)
    assert f"{name}/b.jpg" in outputs(plan_jobs([name], "out", ["s"]))
