"""Shelf, painter and frames of the webcam, without a server."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from web_kit import make_looks, pixels, small_photo

import stylenet
from stylenet import Finish, InputError
from stylenet.web.limits import Limits
from stylenet.web.painting import Archive, Order, Painter
from stylenet.web.shelf import Shelf

pytest.importorskip("fastapi", reason="the page needs gradio: pip install 'stylenet[web]'")


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_looks(tmp_path_factory.mktemp("looks"))


@pytest.fixture(scope="module")
def painter(looks: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Painter:
    return Painter(Shelf([str(look) for look in looks], tmp_path_factory.mktemp("shelf")), Limits(megapixels=1), "cpu")


def test_partners(painter: Painter) -> None:
    """Looks on one body can be blended with each other, and with nothing else."""
    shelf = painter.shelf
    assert (shelf.partners("one"), shelf.partners("two"), shelf.partners("udnie")) == (["two"], ["one"], [])
    with pytest.raises(InputError, match="only looks on one body"):
        shelf.blend("one", "udnie", 0.5)
    with pytest.raises(InputError, match=r"no style .*one"):
        shelf.blend("one", "../one", 0.5)


def test_a_trained_style_outlives_its_page(tmp_path: Path) -> None:
    trained = make_looks(tmp_path)[0].with_name("body.safetensors")
    folder = tmp_path / "shelf"
    folder.mkdir()
    shelf = Shelf([], folder)
    assert shelf.keep(trained) == "body"
    trained.unlink()
    assert stylenet.load_style(shelf.path("body")).card.name == "body"


def test_paint(painter: Painter, looks: list[Path], tmp_path: Path) -> None:
    """The file has the library's pixels, and the two previews its size."""
    photo = small_photo(tmp_path / "my photo.png")
    finish = Finish(strength=0.7, keep_colors="luminance")
    painted = painter.paint(photo, Order("one", finish, "64", "two", 0.25), tmp_path)
    assert painted.file.name == "my_photo_one_two.png"
    assert Image.open(painted.before).size == Image.open(painted.after).size == painted.size == (64, 43)
    blend = stylenet.blend_styles({str(looks[0]): 0.75, str(looks[1]): 0.25})
    stylenet.stylize(photo, blend, tmp_path / "own.png", size=64, finish=finish, device="cpu")
    assert np.array_equal(pixels(painted.file), pixels(tmp_path / "own.png"))


def test_paint_all(painter: Painter, tmp_path: Path) -> None:
    photos = [small_photo(tmp_path / "a.webp"), tmp_path / "b.png", tmp_path / "c.png"]
    photos[1].write_text("no picture")
    Image.new("L", (1100, 1000)).save(photos[2])
    folder = tmp_path / "folder"
    folder.mkdir()
    *counts, archive = painter.paint_all(photos, Order("one", Finish()), folder)
    assert counts == [1, 2, 3]
    assert isinstance(archive, Archive)
    assert archive.styled == 1
    assert list(folder.iterdir()) == [archive.file]
    with zipfile.ZipFile(archive.file) as found:
        assert found.namelist() == ["001_a.webp", "not_styled.txt"]
        told = found.read("not_styled.txt").decode().splitlines()
    assert told == archive.failures
    assert told[0].startswith("b.png is not a picture in a format that is known here")
    assert told[1].startswith("c.png is 1100 x 1000 pixels: 1 megapixels are the limit")


def test_messages_do_not_tell_where_uploads_lie(painter: Painter, tmp_path: Path) -> None:
    whole = encoded(64, 64)
    for name, content in {"text.jpg": b"no picture", "cut.jpg": whole[: len(whole) // 2], "small.jpg": encoded(4, 64)}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError) as caught:
            painter.read(tmp_path / name)
        assert str(caught.value).startswith(f"{name} is ")
        assert str(tmp_path) not in str(caught.value)
    with pytest.raises(InputError) as caught:
        painter.read(tmp_path / "gone.jpg")
    assert str(tmp_path) not in str(caught.value)


def encoded(width: int, height: int, kind: str = "JPEG") -> bytes:
    """Return a grey picture as the bytes of a file."""
    written = io.BytesIO()
    Image.new("RGB", (width, height), (90, 120, 30)).save(written, kind)
    return written.getvalue()


def many_scans() -> bytes:
    """Return a JPEG whose first scan comes again and again: each is decoded."""
    written = io.BytesIO()
    Image.new("L", (64, 64)).save(written, "JPEG", progressive=True)
    data = written.getvalue()
    scans = data.split(b"\xff\xda")
    return b"\xff\xda".join([scans[0], *scans[1:2] * 200, *scans[2:]])


def test_frame(painter: Painter) -> None:
    from stylenet.web.live import paint_frame

    with Image.open(io.BytesIO(paint_frame(encoded(96, 64), "one", painter))) as painted:
        assert (painted.format, painted.size) == ("JPEG", (96, 64))


@pytest.mark.parametrize(
    ("frame", "style", "told"),
    [
        (b"no picture", "one", "no JPEG"),
        (b"", "one", "no JPEG"),
        (encoded(64, 64)[:200], "one", "no JPEG"),
        (encoded(64, 64, "PNG"), "one", "no JPEG"),
        (many_scans(), "one", "more than 100 scans"),
        (encoded(641, 64), "one", "16 to 640 pixels a side"),
        (encoded(64, 15), "one", "16 to 640 pixels a side"),
        (encoded(64, 64), "../one", "no style '../one'"),
    ],
    ids=["text", "nothing", "half", "png", "scans", "wide", "low", "path"],
)
def test_bad_frames(painter: Painter, frame: bytes, style: str, told: str) -> None:
    from stylenet.web.live import paint_frame

    with pytest.raises(InputError, match=told):
        paint_frame(frame, style, painter)
