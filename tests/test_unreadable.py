"""One picture of many that cannot be read, for whichever reason, does not stop the others."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import noise
from PIL import Image

import stylenet
from stylenet.errors import InputError, RunError
from stylenet.evaluation import measures
from stylenet.images import decoding
from stylenet.inference.file_rules import Files
from stylenet.inference.folders import Job
from stylenet.inference.reading import try_to_read
from stylenet.optimization.series import optimize_series
from stylenet.training.photos import Photo, Unreadable, open_photo
from stylenet.video.folder import PictureFolder

SIDE = 37  # of the picture that cannot be read
LOSS = stylenet.LossSettings(vgg_weights="random", content_layers={"relu2_1": 1.0}, style_layers={"relu1_1": 1.0})
SEARCH = stylenet.OptimizeSettings(steps=1, scales=1, device="cpu", precision="32")

# What was read, and why the others were not.
Outcome = tuple[int, list[str]]


def frames(paths: list[Path]) -> Outcome:
    video = PictureFolder(paths[0].parent, Fraction(25))
    return len(list(video)), video.losses


def stylized(paths: list[Path]) -> Outcome:
    found = [try_to_read(Job(str(path), ("out.png",)), Files(overwrite=True)) for path in paths]
    return sum(isinstance(one, stylenet.Picture) for one in found), [one for one in found if isinstance(one, str)]


def measured(paths: list[Path]) -> Outcome:
    lines: list[str] = []
    chosen = measures._readable([Photo(str(path)) for path in paths], len(paths), lines.append)
    return len(chosen), lines


def trained(paths: list[Path]) -> Outcome:
    count, lines = 0, []
    for path in paths:
        try:
            count += bool(open_photo(Photo(str(path)), 8))
        except Unreadable as error:
            lines.append(str(error))
    return count, lines


def optimized(paths: list[Path]) -> Outcome:
    jobs = [(str(path), path.parent / "out" / path.name) for path in paths]
    series = optimize_series(jobs, [str(paths[0])], LOSS, SEARCH, lambda *_: None)
    return series.done, [reason for _, reason in series.failures]


def painted(paths: list[Path]) -> Outcome:
    """The several photos of the page."""
    from stylenet.web.limits import Limits
    from stylenet.web.painting import Archive, Order, Painter
    from stylenet.web.shelf import Shelf

    folder = paths[0].parent / "page"
    (folder / "shelf").mkdir(parents=True)
    painter = Painter(Shelf([], folder / "shelf"), Limits(), "cpu")
    *_, archive = painter.paint_all(paths, Order("udnie", stylenet.Finish()), folder)
    assert isinstance(archive, Archive)
    return archive.styled, archive.failures


LOOPS: dict[str, Callable[[list[Path]], Outcome]] = {
    "frames": frames,
    "stylize": stylized,
    "evaluate": measured,
    "train": trained,
    "optimize": optimized,
    "the page": painted,
}
REASONS = {
    "no picture": (InputError("odd.png is none"), "odd.png is none"),
    "no room": (RunError("odd.png would need 9 GB"), "would need 9 GB"),
    "no memory": (MemoryError(), "not enough memory to read it"),
}


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("loop", LOOPS)
def test_the_others_go_on(loop: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error, told = REASONS[reason]
    paths = [tmp_path / name for name in ("first.png", "odd.png", "third.png")]
    for path in paths:
        side = SIDE if path.name == "odd.png" else 32
        Image.fromarray(np.ascontiguousarray(noise(side, side, 3))).save(path)
    usual = decoding._check_huge

    def check(name: str, image: Any, *others: Any, **options: Any) -> None:
        if image.size == (SIDE, SIDE):
            raise error
        usual(name, image, *others, **options)

    monkeypatch.setattr(decoding, "_check_huge", check)
    count, lines = LOOPS[loop](paths)
    assert count == 2
    (line,) = lines
    assert told in line
    assert loop in ("stylize", "optimize") or "odd.png" in line  # those keep the name beside the reason


def test_a_photo_to_learn_from_that_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The room is asked for before it is decoded, of the size that the decoder makes of it."""
    path = tmp_path / "a.jpg"
    Image.new("RGB", (2304, 2048)).save(path)
    Image.new("RGB", (2304, 2048)).save(tmp_path / "a.png")
    monkeypatch.setattr("stylenet.devices.free_main_memory", lambda swap=False: 10_000_000)
    assert open_photo(Photo(str(path)), 256).size == (288, 256)
    with pytest.raises(Unreadable, match=r"a\.png: .*2304 x 2048 pixels .* GB of memory"):
        open_photo(Photo(str(tmp_path / "a.png")), 256)
