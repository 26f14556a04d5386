"""Pictures that lie or never end: refused in one line, at once, in little memory, by styling and by training alike."""

from __future__ import annotations

import io
import os
import socket
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import noise
from PIL import Image, ImageFile

from stylenet.errors import InputError
from stylenet.images import decoding, fetching
from stylenet.images.decoding import FORMATS, MOST_SCANS, count_scans
from stylenet.images.picture import read_image
from stylenet.training.photos import Photo, Unreadable, open_photo
from stylenet.web.limits import Limits
from stylenet.web.painting import Painter
from stylenet.web.shelf import Shelf

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\n{} loop\n"


def style(path: Path) -> None:
    read_image(str(path))


def style_bytes(path: Path) -> None:
    read_image(path.read_bytes())


def train(path: Path) -> None:
    open_photo(Photo(str(path)), 16)


def train_packed(path: Path) -> None:
    archive = path.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as opened:
        opened.write(path, path.name)
    open_photo(Photo(str(archive), path.name), 16)


def page(path: Path) -> None:
    Painter(Shelf([], path.parent), Limits(), "cpu").read(path)


WAYS = [style, style_bytes, train, train_packed, page]


def saved(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(40, 48, 0)).save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int) -> bytes:
    """The beginning of a PNG that claims a size; its pixels would be decoded from nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(90))) + chunk(b"IEND", b"")


def many_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    whole = saved("JPEG", progressive=True)
    begin = whole.rindex(b"\xff\xda")
    return whole[:begin] + whole[begin:-2] * count + whole[-2:]


CASES: dict[str, tuple[bytes, str]] = {
    "PostScript": (POSTSCRIPT, "PostScript"),
    "PPM": (b"P6 4 4 255\n" + bytes(48), "format that is known|not a picture"),
    "PCX": (saved("PCX"), "not a picture"),
    "TGA": (saved("TGA"), "not a picture"),
    "ICO": (saved("ICO", sizes=[(16, 16)]), "not a picture"),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(90), "not a picture"),
    "HTML": (b"<!doctype html><title>404</title>", "an HTML page"),
    "a style": (struct.pack("<Q", 60) + b'{"a":' + bytes(90), "a safetensors file"),
    "one row": (png(89_000_000, 1), "89000000 x 1 pixels: a picture needs at least 2"),
    "huge": (png(20_000, 20_000), "20000 x 20000 pixels(, more than the 89 million|: 40 megapixels are the limit)"),
    "many scans": (many_scans(MOST_SCANS + 1), f"a JPEG of more than {MOST_SCANS} scans"),
    "empty": (b"", "empty|not a picture"),
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("case", CASES)
def test_refused_before_decoding(
    tmp_path: Path, case: str, way: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    content, message = CASES[case]
    (tmp_path / "photo.jpg").write_bytes(content)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail(f"{image.format} was decoded"))
    with pytest.raises((InputError, Unreadable), match=message):
        way(tmp_path / "photo.jpg")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_ghostscript_is_not_run(tmp_path: Path, way: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "photo.jpg").write_bytes(POSTSCRIPT)
    with pytest.raises((InputError, Unreadable)):
        way(tmp_path / "photo.jpg")
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind not in ("MPO", "HEIF")])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_documented_formats_are_read(tmp_path: Path, kind: str, way: Callable[[Path], None]) -> None:
    (tmp_path / "photo.jpg").write_bytes(saved(kind))
    way(tmp_path / "photo.jpg")


@pytest.mark.parametrize("way", [style, train], ids=lambda way: way.__name__)
@pytest.mark.parametrize("kind", ["pipe", "device", "socket", "link to a pipe", "link to itself", "folder"])
def test_regular_files_only(tmp_path: Path, kind: str, way: Callable[[Path], None]) -> None:
    path = tmp_path / "photo.png"
    with socket.socket(socket.AF_UNIX) as opened:
        if "pipe" in kind:
            os.mkfifo(path if kind == "pipe" else tmp_path / "pipe")
        if kind == "socket":
            opened.bind(str(path))
        if kind == "folder":
            path.mkdir()
        if kind == "device" or kind.startswith("link"):
            path.symlink_to({"device": "/dev/zero", "link to a pipe": "pipe"}.get(kind, path.name))
        with pytest.raises((InputError, Unreadable), match=r"photo\.png"):
            way(path)


def test_no_more_is_read_than_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture with much behind it is read until memory would not hold it twice more."""
    path = tmp_path / "photo.png"
    path.write_bytes(saved("PNG"))
    os.truncate(path, 10 << 20)
    assert read_image(path).pixels.shape[1] == 3
    monkeypatch.setattr(fetching, "_STRETCH", 1 << 21)
    monkeypatch.setattr(fetching, "free_main_memory", lambda: 5 << 20)
    with pytest.raises(InputError, match=r"photo\.png is larger than free memory allows: 4 MB are read"):
        read_image(path)


def test_large_files(tmp_path: Path) -> None:
    """Of a file without end as much is read as tells that it is none."""
    path = tmp_path / "photo.png"
    path.write_bytes(saved("PNG"))
    os.truncate(path, fetching.LIMIT_BYTES + 1)
    with pytest.raises(InputError, match="larger than 2,000 MB"):
        read_image(path)
    with pytest.raises(InputError, match="larger than 0 MB"):
        fetching.read_picture_bytes(io.BytesIO(saved("PNG") * 3), "it", 10_000)

    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1) -> bytes:
            self.given += size
            return bytes(size)

    endless = Endless()
    with pytest.raises(InputError, match="not a picture"):
        read_image(endless)
    assert endless.given < 10_000


def test_members_that_unfold(tmp_path: Path) -> None:
    """A member of an archive that claims gigabytes, and one of a method that takes them to unpack."""
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for name, method in (("lzma.png", zipfile.ZIP_LZMA), ("huge.png", zipfile.ZIP_DEFLATED)):
            opened.writestr(name, saved("PNG"), method)
    data = archive.read_bytes()
    size = struct.pack("<I", len(saved("PNG")))
    place = data.rindex(size)  # of the last member, in the directory at the end
    archive.write_bytes(data[:place] + struct.pack("<I", 3_400_000_000) + data[place + 4 :])
    with pytest.raises(Unreadable, match=r"huge\.png: it has 3,400 MB"):
        open_photo(Photo(str(archive), "huge.png"), 16)
    with pytest.raises(Unreadable, match=r"lzma\.png: it is packed by another method"):
        open_photo(Photo(str(archive), "lzma.png"), 16)


def test_scans_are_counted() -> None:
    assert count_scans(saved("JPEG")) == 1
    assert 2 <= count_scans(saved("JPEG", progressive=True)) <= 12
    assert count_scans(many_scans(30)) == count_scans(saved("JPEG", progressive=True)) + 29
    assert count_scans(many_scans(5000)) == MOST_SCANS + 1
    thumbnail = saved("JPEG", progressive=True) * 20
    inside = saved("JPEG", exif=b"Exif\0\0" + thumbnail[:60_000])
    assert count_scans(inside) == 1  # what a segment holds does not count


def test_frames_are_not_counted_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [Image.fromarray(noise(8, 8, seed)) for seed in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "TIFF", save_all=True, append_images=frames[1:])
    assert read_image(buffer.getvalue()).notes == ("the picture: the first of 3 frames is used",)
    monkeypatch.setattr(decoding, "_COUNTED", 10)
    assert read_image(buffer.getvalue()).notes == ("the picture: the first of several frames is used",)


def test_libraries_are_silent(capfd: pytest.CaptureFixture[str]) -> None:
    """libtiff writes to stderr by itself what Pillow reports as an error."""
    whole = saved("TIFF", compression="tiff_lzw")
    generator = np.random.default_rng(0)
    failures = 0
    for _ in range(100):
        damaged = bytearray(whole)
        for place in generator.integers(0, len(damaged), 6):
            damaged[place] = generator.integers(0, 256)
        try:
            read_image(bytes(damaged))
        except InputError:
            failures += 1
    os.write(2, b"still there\n")
    assert failures > 5
    assert capfd.readouterr().err == "still there\n"


# --- a short fuzzer; scripts/fuzz is the long one ---------------------------------------------------------------------


def test_random_damage(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Random bytes changed in every format: a picture, or one line; never anything else, and never for long."""
    generator = np.random.default_rng(17)
    for kind in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"):
        whole = saved(kind)
        for _ in range(40):
            damaged = bytearray(whole)
            for place in generator.integers(0, min(len(damaged), 400), generator.integers(1, 5)):
                damaged[place] = generator.integers(0, 256)
            content = bytes(damaged[: generator.integers(0, len(damaged))] if generator.random() < 0.2 else damaged)
            (tmp_path / "photo.jpg").write_bytes(content)
            for way in (style, train):
                begun = time.monotonic()
                try:
                    way(tmp_path / "photo.jpg")
                except (InputError, Unreadable) as error:
                    assert str(error).isprintable(), kind  # noqa: PT017
                assert time.monotonic() - begun < 10, kind
    assert capfd.readouterr().err == ""
