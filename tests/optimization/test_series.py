"""Several photos in one call, from the command line, and what a person is told of small paintings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import reference
from PIL import Image

from stylenet import storage
from stylenet.commands.cli import main
from stylenet.errors import RunError
from stylenet.losses.settings import LossSettings
from stylenet.optimization import observers, rendering, saving, series
from stylenet.optimization.engine import Iterate
from stylenet.optimization.rendering import optimize
from stylenet.optimization.settings import OptimizeSettings

QUICK = ["--steps", "1", "--scales", "1", "--device", "cpu", "--vgg_weights", "random"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stylenet.losses.vgg.load_weights", weights_of)
    for name in ("chelsea", "astronaut", "coffee"):
        Image.fromarray(reference.to_bytes(reference.photo(name, 40, 48))).save(f"{name}.png")
    return tmp_path


def weights_of(*_: object) -> dict[str, object]:
    raise AssertionError("the real weights are not needed here")


def test_every_photo_has_its_picture(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["optimize", "chelsea.png", "none.png", "astronaut.png", "--style", "coffee.png", "-o", "out", *QUICK]
    assert main(words) == 1
    told = capsys.readouterr()
    assert {path.name for path in Path("out").iterdir()} == {"chelsea.png", "astronaut.png"}
    assert "2 of 3 pictures" in told.err
    assert "none.png does not exist" in told.err
    assert "1/3 chelsea.png  48x40 (scale 1/1)  step 1/1" in told.err
    assert "3/3 astronaut.png  48x40" in told.err


def test_every_photo_has_its_notes(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["optimize", "chelsea.png", "astronaut.png", "--style", "coffee.png", "-o", "out", *QUICK]
    assert main([*words, "--size", "96x80", "--upscale", "true"]) == 0
    told = capsys.readouterr()
    for prefix in ("1/2 chelsea.png", "2/2 astronaut.png"):
        assert f"{prefix}  coffee.png has 48 x 40 pixels" in told.err
    assert "coffee.png has" not in told.out


def test_finished_pictures_are_passed_over(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["optimize", "chelsea.png", "astronaut.png", "--style", "coffee.png", "-o", "out", *QUICK]
    Path("out").mkdir()
    Path("out/chelsea.png").write_bytes(b"finished")
    assert main([*words, "--resume"]) == 0
    assert Path("out/chelsea.png").read_bytes() == b"finished"
    assert "1 of 2 pictures" in capsys.readouterr().err
    # A state beside a picture says that a later search for it was killed.
    saving.state_path(Path("out/astronaut.png")).write_bytes(b"damaged")
    assert main([*words, "--resume"]) == 1
    assert "is damaged: delete it, or leave --resume out" in capsys.readouterr().err
    assert main(words) == 0
    assert Path("out/chelsea.png").read_bytes() != b"finished"


@pytest.mark.parametrize("output", ["out", "memory://series"])
def test_interrupt_ends_the_series(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    def interrupt(self: object, iterate: Iterate) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(observers.SearchLine, "__call__", interrupt)
    words = ["optimize", "chelsea.png", "astronaut.png", "--style", "coffee.png", "-o", output, *QUICK]
    assert main(words) == 130
    assert sorted(storage.list_names(output)) == [".chelsea.png.search", "chelsea.png"]
    assert "the same words with --resume go on" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert main([*words, "--resume"]) == 0
    assert sorted(storage.list_names(output)) == ["astronaut.png", "chelsea.png"]
    assert "2 of 2 pictures" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["out", "memory://killed"])
def test_an_older_picture_is_not_taken_for_that_of_a_killed_search(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    words = ["optimize", "chelsea.png", "astronaut.png", "--style", "coffee.png", "-o", output, *QUICK]
    assert main(words) == 0
    older = storage.read(f"{output}/chelsea.png")

    def die(*_: object, **__: object) -> None:
        raise SystemExit(9)

    monkeypatch.setattr(series, "optimize", die)
    assert main([*words, "--seed", "1", "--init", "uniform"]) == 9
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    capsys.readouterr()
    assert main([*words, "--seed", "1", "--init", "uniform", "--resume"]) == 0
    assert "1 of 2 pictures" in capsys.readouterr().err
    assert storage.read(f"{output}/chelsea.png") != older
    assert sorted(storage.list_names(output)) == ["astronaut.png", "chelsea.png"]


def test_ctrl_c_ends_the_series_also_where_the_picture_cannot_be_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: object, iterate: Iterate) -> None:
        raise KeyboardInterrupt

    def refuse(*_: object) -> None:
        raise RunError("the disk is full")

    monkeypatch.setattr(observers.SearchLine, "__call__", interrupt)
    monkeypatch.setattr(rendering, "write_result", refuse)
    words = ["optimize", "chelsea.png", "astronaut.png", "--style", "coffee.png", "-o", "out", *QUICK]
    assert main(words) == 130
    told = capsys.readouterr().err
    assert told.count("the disk is full") == 1
    assert "astronaut" not in told


@pytest.mark.parametrize(
    ("size", "upscale", "style_size", "told"),
    [
        ("48x40", False, "area", ""),
        ("64x60", False, "area", ""),
        ("96x80", False, "area", "its strokes come out 2.0 times smaller than at size=48"),
        ("96x80", True, "area", "enlarged 2.0 times its strokes are soft; size=48"),
        ("96x80", True, "same", ""),
    ],
)
def test_small_paintings(folder: Path, size: str, upscale: bool, style_size: str, told: str) -> None:
    settings = OptimizeSettings(steps=0, scales=1, size=size, upscale=upscale, style_size=style_size, device="cpu")
    notes = " ".join(optimize("chelsea.png", "coffee.png", LossSettings(vgg_weights="random"), settings).notes)
    assert ("coffee.png has 48 x 40 pixels" in notes) == bool(told)
    assert told in notes
