"""Where photos are found, and what becomes of every kind of file."""

from __future__ import annotations

import io
import os
import random
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import noise
from PIL import Image, ImageCms
from skimage import data

from stylenet.errors import InputError
from stylenet.images import decoding
from stylenet.storage import reading
from stylenet.training import photos as photos_module
from stylenet.training.photos import Photo, Unreadable, find_photos, fingerprint, open_photo, sizes_of, survey_photos


def encoded(array: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


PNG = encoded(noise(6, 8, 0))


def put(path: Path, content: bytes = PNG) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def zipped(path: Path, members: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def names(photos: list[Photo], root: Path) -> list[str]:
    """As text, without the folder of the test."""
    return [str(photo).removeprefix(f"{root}/") for photo in photos]


def one_line(message: pytest.ExceptionInfo[InputError]) -> str:
    text = str(message.value)
    assert "\n" not in text
    return text


# --- finding ----------------------------------------------------------------------------------------------------------


def test_a_flat_folder(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.png", "c.JPEG", "d.WebP", "e.bmp", "f.tif", "g.TIFF", "h.gif"):
        put(tmp_path / name)
    for name in ("notes.txt", "movie.mp4", "jpg", ".jpg", "a.png.part", "._a.png", ".a.png", "i.jpg.zip"):
        put(tmp_path / name)
    (tmp_path / "folder.jpg").mkdir()
    expected = ["a.png", "b.jpg", "c.JPEG", "d.WebP", "e.bmp", "f.tif", "g.TIFF", "h.gif"]
    assert names(find_photos(tmp_path), tmp_path) == expected
    assert find_photos(str(tmp_path)) == find_photos([tmp_path]) == find_photos(tmp_path)


def test_nested_folders_in_an_order_that_does_not_depend_on_the_disk(tmp_path: Path) -> None:
    tree = [f"{a}/{b}.jpg" for a in ("z", "m/n/o", "a", "m") for b in ("10", "9", "x")] + ["top.jpg"]
    for trial in range(2):
        random.Random(trial).shuffle(tree)
        for name in tree:
            put(tmp_path / str(trial) / name)
    first, second = (names(find_photos(tmp_path / str(trial)), tmp_path / str(trial)) for trial in range(2))
    assert first == second == sorted(tree)


def test_several_sources_keep_their_order_and_drop_duplicates(tmp_path: Path) -> None:
    for name in ("b/1.jpg", "b/2.jpg", "a/1.jpg"):
        put(tmp_path / name)
    archive = zipped(tmp_path / "c.zip", {"1.jpg": PNG})
    sources = [tmp_path / "b", archive, tmp_path / "b" / "2.jpg", tmp_path / "a", tmp_path / "a" / "1.jpg", str(archive)]
    assert names(find_photos(sources), tmp_path) == ["b/1.jpg", "b/2.jpg", "c.zip/1.jpg", "a/1.jpg"]


def test_a_single_file(tmp_path: Path) -> None:
    path = put(tmp_path / "x.jpg")
    assert find_photos(path) == [Photo(str(path))]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])  # the latter as Windows writes it
def test_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    elsewhere = put(tmp_path / "elsewhere" / "ä b.jpg")
    listed = tmp_path / "lists" / "list.TXT"
    put(tmp_path / "lists" / "in" / "2.jpg")
    lines = ["1.jpg", "", "# a comment", "   ", "  in/2.jpg  ", f"\t{elsewhere}", "#3.jpg", "../4.jpg", "1.jpg"]
    put(listed, "\r\n".join(lines).encode(encoding))
    monkeypatch.chdir(tmp_path / "elsewhere")  # paths are relative to the list
    folder = tmp_path / "lists"
    expected = [folder / "1.jpg", folder / "in" / "2.jpg", elsewhere, folder / ".." / "4.jpg"]
    assert find_photos(listed) == [Photo(str(path)) for path in expected]


def test_a_zip_is_read_in_place(tmp_path: Path) -> None:
    pictures = {name: noise(6, 8, seed) for seed, name in enumerate(("b.png", "a/deep/er/c.png", "a.PNG"))}
    others = ("__MACOSX/._b.png", "__MACOSX/a/._a.PNG", "readme.txt", "folder.png/", "a/.png")
    members = {name: encoded(array) for name, array in pictures.items()} | dict.fromkeys(others, PNG)
    archive = zipped(tmp_path / "photos.ZIP", members)
    before = sorted(tmp_path.iterdir())
    found = find_photos(archive)
    assert [photo.member for photo in found] == sorted(pictures)
    assert {photo.path for photo in found} == {str(archive)}
    for photo in found:
        np.testing.assert_array_equal(np.asarray(open_photo(photo, 1)), pictures[photo.member])
    assert sorted(tmp_path.iterdir()) == before
    assert str(found[0]) == f"{archive}/a.PNG"


def spoilt(archive: Path, old: bytes, new: bytes) -> bytes:
    content = archive.read_bytes()
    assert old in content
    return content.replace(old, new)


def bad_sources(folder: Path) -> dict[str, tuple[Path | list[Path], str]]:
    archive = zipped(folder / "good.zip", {"ä.jpg": noise(40, 40, 0).tobytes()})
    whole = archive.read_bytes()
    (folder / "empty").mkdir()
    put(folder / "no_photos" / "readme.md")
    return {
        "nothing": ([], "no photos were given"),
        "missing": (folder / "none", "no photos at .*none"),
        "one of several": ([archive, folder / "none"], "no photos at .*none"),
        "empty folder": (folder / "empty", "holds no photos"),
        "folder": (folder / "no_photos", r"holds no photos .*\.jpg"),
        "other file": (put(folder / "movie.mp4"), "neither a folder"),
        "cut zip": (put(folder / "cut.zip", whole[:-30]), "no zip archive, or was not downloaded to its end"),
        "half a zip": (put(folder / "half.zip", whole[: len(whole) // 2]), "not downloaded to its end"),
        "web page": (put(folder / "page.zip", b"<html>404"), "no zip archive"),
        "zip of 0 bytes": (put(folder / "zero.zip", b""), "no zip archive"),
        "names that are no text": (put(folder / "names.zip", spoilt(archive, "ä".encode(), b"\xff\xff")), "no zip archive"),
        "zip of the future": (put(folder / "new.zip", spoilt(archive, b"\x14\0\0\x08", b"\xff\0\0\x08")), "no zip archive"),
        "zip without photos": (zipped(folder / "texts.zip", {"a.txt": b"x", "__MACOSX/._a.jpg": PNG}), "holds no photos"),
        "list that is a picture": (put(folder / "picture.txt", PNG), "not a text file"),
        "list in UTF-16": (put(folder / "wide.txt", "ä.jpg".encode("utf-16")), "not a text file"),
        "empty list": (put(folder / "list.txt", b"\n# none\n"), "holds no photos"),
        "long name": (folder / ("n" * 300), "File name too long"),
    }


def test_bad_sources(tmp_path: Path) -> None:
    for name, (source, message) in bad_sources(tmp_path).items():
        with pytest.raises(InputError, match=message) as caught:
            find_photos(source)
        assert one_line(caught), name


def test_a_source_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(photos_module.zipfile, "ZipFile", denied)
    monkeypatch.setattr(reading, "open_regular", denied)
    for name in ("a.zip", "a.txt"):
        with pytest.raises(InputError, match=rf"cannot read .*{name}.*: Permission denied") as caught:
            find_photos(put(tmp_path / name))
        one_line(caught)


# --- fingerprint ------------------------------------------------------------------------------------------------------


def test_fingerprint() -> None:
    photos = [Photo("/data/a.jpg"), Photo("/data/x.zip", "in/b.jpg")]
    value = fingerprint(photos)
    assert len(value) == 16
    assert int(value, 16) >= 0
    assert fingerprint([Photo("elsewhere/a.jpg"), Photo("b.jpg")]) == value  # the same photos, unpacked somewhere else
    others = [
        [],
        photos[:1],
        photos[::-1],
        [*photos, photos[0]],
        [Photo("/data/A.jpg"), photos[1]],
        [photos[0], Photo("/data/x.zip", "in/c.jpg")],
        [Photo("a.jp"), Photo("gb.jpg")],
    ]
    assert len({fingerprint(other) for other in others} | {value}) == len(others) + 1


def test_fingerprint_of_names_that_are_no_text(tmp_path: Path) -> None:
    """Linux allows any bytes: the run must not end in an error when its style is written."""
    put(tmp_path / "caf\udce9.jpg")
    put(tmp_path / "caf\udce8" / "a.jpg")
    found = find_photos(tmp_path)
    assert len(found) == 2
    assert fingerprint(found) != fingerprint(found[:1])
    assert open_photo(found[1], 1).size == (8, 6)


# --- opening ----------------------------------------------------------------------------------------------------------


def ramp(height: int = 32, width: int = 48) -> np.ndarray:
    """``[H, W, 3]``: red grows to the right, green downwards, blue is even."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // (width - 1), y * 255 // (height - 1), np.full_like(x, 100)], axis=-1).astype(np.uint8)


def opened(path: Path, content: bytes, least: int = 1000) -> np.ndarray:
    image = open_photo(Photo(str(put(path, content))), least)
    assert image.mode == "RGB"
    return np.asarray(image).astype(np.int64)


# What has to be done to the stored rows and columns so that the picture is upright (Exif 2.3, tag 274).
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(("kind", "least"), [("PNG", 16), ("JPEG", 1000), ("JPEG", 16)])
def test_photos_are_upright(tmp_path: Path, kind: str, least: int, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    array = ramp()
    found = opened(tmp_path / "x.jpg", encoded(array, kind, exif=exif, **({"quality": 100} if kind == "JPEG" else {})), least)
    expected = UPRIGHT[orientation](array).astype(np.int64)
    if kind == "JPEG" and least == 16:  # the decoder halves it
        expected = (expected[::2, ::2] + expected[1::2, ::2] + expected[::2, 1::2] + expected[1::2, 1::2]) // 4
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= (0 if kind == "PNG" else 8)


def grey_of(array: np.ndarray) -> np.ndarray:
    return array[..., :1].repeat(3, axis=2)


def test_every_kind_becomes_rgb(tmp_path: Path) -> None:
    array, red = ramp(), ramp()[..., 0]
    clear = np.concatenate([array, np.full((32, 48, 1), 90, np.uint8)], axis=2)
    image = Image.fromarray(array)
    palette, inks, cmyk = io.BytesIO(), io.BytesIO(), io.BytesIO()
    few = image.quantize(16)
    few.save(palette, "PNG")
    image.convert("CMYK").save(inks, "TIFF")
    image.convert("CMYK").save(cmyk, "JPEG", quality=100)
    kinds = {
        "grey": (encoded(red), grey_of(array), 0),
        "grey JPEG": (encoded(red, "JPEG", quality=100), grey_of(array), 2),
        "grey with alpha": (encoded(clear[..., [0, 3]]), on_white(grey_of(array)), 1),
        "alpha": (encoded(clear), on_white(array), 1),
        "alpha WebP": (encoded(clear, "WEBP", lossless=True, exact=True), on_white(array), 1),
        "black and white": (encoded(red > 100), grey_of(array > 100) * 255, 0),
        "palette": (palette.getvalue(), np.asarray(few.convert("RGB")), 0),
        "CMYK": (inks.getvalue(), array, 1),
        "CMYK JPEG": (cmyk.getvalue(), array, 12),
        "16 bits": (encoded(red.astype(np.uint16) * 257), grey_of(array), 0),
        "16 bits TIFF": (encoded(red.astype(np.uint16) * 257, "TIFF"), grey_of(array), 0),
        "16 bits big-endian": (encoded((red.astype(">u2") * 257).astype(">u2"), "TIFF"), grey_of(array), 0),
        "16 bits colour": (sixteen_bits(array), array, 0),
    }
    for name, (content, expected, tolerance) in kinds.items():
        found = opened(tmp_path / "x.png", content)
        assert found.shape == expected.shape, name
        assert np.abs(found - expected.astype(np.int64)).max() <= tolerance, name


def on_white(array: np.ndarray) -> np.ndarray:
    """Colours of which 90 of 255 is opaque, laid on white."""
    return np.round(255 - (255 - array.astype(float)) * 90 / 255)


def sixteen_bits(array: np.ndarray) -> bytes:
    import cv2

    return bytes(cv2.imencode(".png", array[..., ::-1].astype(np.uint16) * 257)[1])


def test_an_upright_photo_of_16_bits(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    content = encoded(ramp()[..., 0].astype(np.uint16) * 257, "PNG", exif=exif)
    np.testing.assert_array_equal(opened(tmp_path / "x.png", content), grey_of(ramp()).transpose(1, 0, 2)[:, ::-1])


@pytest.mark.parametrize("name", ["astronaut", "coffee", "rocket"])
def test_jpeg_draft_keeps_the_shorter_side(tmp_path: Path, name: str) -> None:
    array = getattr(data, name)()
    photo = Photo(str(put(tmp_path / "x.jpg", encoded(array, "JPEG", quality=95))))
    shorter = min(array.shape[:2])
    for least in (1, 16, 50, 51, 100, 107, 128, 213, 214, 256, shorter, shorter + 1, 5000):
        size = open_photo(photo, least).size
        # The strongest of 8, 4, 2 and 1 that leaves enough.
        factor = next(n for n in (8, 4, 2, 1) if shorter // n >= least or n == 1)
        assert min(size) >= min(least, shorter)
        assert size == (-(-array.shape[1] // factor), -(-array.shape[0] // factor)), least


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
def test_a_drafted_jpeg_looks_like_the_whole(tmp_path: Path, name: str) -> None:
    photo = Photo(str(put(tmp_path / "x.jpg", encoded(getattr(data, name)(), "JPEG", quality=95))))
    whole, half = open_photo(photo, 10_000), open_photo(photo, 100)
    assert half.width < whole.width
    for box in ((0.0, 0.0, 1.0, 1.0), (0.31, 0.12, 0.79, 0.83)):
        crops = [
            np.asarray(image.resize((64, 64), Image.Resampling.BICUBIC, tuple(np.array(box) * (image.size * 2)))).astype(int)
            for image in (whole, half)
        ]
        assert np.abs(crops[0] - crops[1]).mean() < 4
        assert np.abs(crops[0] - crops[1]).max() < 40
        assert np.abs(crops[0] - crops[1][:, ::-1]).mean() > 20  # which another place does not reach


JPEG = encoded(noise(64, 64, 3), "JPEG")
BAD: dict[str, tuple[bytes, str]] = {
    "text.jpg": (b"this is no picture", "not a picture"),
    "page.png": (b"<html><body>404</body></html>", "not a picture"),
    "empty.jpg": (b"", "not a picture"),
    "cut.jpg": (JPEG[: len(JPEG) // 2], "truncated"),
    "head.jpg": (JPEG[:20], "not a picture|truncated|EOF"),
    "cut.png": (PNG[:-30], "truncated|broken"),
    "spoilt.png": (PNG[:50] + b"\0\0\0\0\0" + PNG[55:], "."),
    "narrow.png": (encoded(noise(5, 1, 0)), "1 x 5 pixels"),
    "low.png": (encoded(noise(1, 5, 0)), "5 x 1 pixels"),
    "dot.png": (encoded(noise(1, 1, 0)), "1 x 1 pixels"),
    "float.tif": (encoded(noise(9, 9, 0)[..., 0].astype(np.float32) / 255, "TIFF"), "32 bits"),
    "whole.tif": (encoded(noise(9, 9, 0)[..., 0].astype(np.int32) * 1000, "TIFF"), "32 bits"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("where", ["file", "zip"])
def test_bad_photos(tmp_path: Path, where: str, name: str) -> None:
    content, reason = BAD[name]
    photo = Photo(str(put(tmp_path / name, content)))
    if where == "zip":
        photo = Photo(str(zipped(tmp_path / "x.zip", {name: content})), name)
    with pytest.raises(Unreadable, match=rf"{name}: .*({reason})"):
        open_photo(photo, 16)


def test_missing_photos(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "x.zip", {"a.png": PNG})
    (tmp_path / "folder.jpg").mkdir()
    gone = [Photo(str(tmp_path / "none.jpg")), Photo(str(archive), "b.png"), Photo(str(tmp_path / "none.zip"), "a.png")]
    for photo in [*gone, Photo(str(tmp_path / "folder.jpg")), Photo("a\0.jpg"), Photo("n" * 300)]:
        with pytest.raises(Unreadable):
            open_photo(photo, 16)


def test_every_way_to_damage_a_picture(tmp_path: Path) -> None:
    """Bytes changed at random either decode to something or are unreadable; nothing else may come out."""
    generator = np.random.default_rng(0)
    exif = Image.Exif()
    exif[274] = 6
    unreadable = 0
    for kind, options in (("PNG", {}), ("JPEG", {"progressive": True}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {})):
        whole = encoded(ramp(), kind, exif=exif, **options)
        for _ in range(40):
            content = bytearray(whole)
            for place in generator.integers(0, min(len(content), 400), 3):
                content[place] = generator.integers(0, 256)
            try:
                assert opened(tmp_path / "x.jpg", bytes(content)).shape[2] == 3
            except Unreadable:
                unreadable += 1
    assert 40 < unreadable < 160


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_member(tmp_path: Path, how: int) -> None:
    """One that is stored fails its checksum, one that is compressed may not even unpack; its neighbours are fine."""
    pixels = noise(64, 64, 1)
    names = ("a.bmp", "b.bmp", "c.bmp")
    archive = zipped(tmp_path / "x.zip", dict.fromkeys(names, encoded(pixels, "BMP")), how)
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as whole:
        start, size = whole.getinfo("b.bmp").header_offset + 35, whole.getinfo("b.bmp").compress_size
    reasons = set()
    for place in (start + size // 2, start):
        content[place] ^= 0xFF
        damaged = put(tmp_path / f"{place}.zip", bytes(content))
        assert len(find_photos(damaged)) == 3
        for name in ("a.bmp", "c.bmp"):
            np.testing.assert_array_equal(np.asarray(open_photo(Photo(str(damaged), name), 1)), pixels)
        with pytest.raises(Unreadable, match=r"b\.bmp: ") as caught:
            open_photo(Photo(str(damaged), "b.bmp"), 1)
        reasons.add(type(caught.value.__cause__).__name__)
    # Where the damage hides that it is a picture, it is read no further.
    assert reasons == ({"BadZipFile", "InputError"} if how == zipfile.ZIP_STORED else {"BadZipFile", "error"})


def test_a_locked_member(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "x.zip", {"a.png": PNG})
    content = bytearray(archive.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1  # both say that it is encrypted
    with pytest.raises(Unreadable, match="password"):
        open_photo(Photo(str(put(tmp_path / "locked.zip", bytes(content))), "a.png"), 1)


@pytest.mark.parametrize("strict", [False, True])
def test_a_huge_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strict: bool) -> None:
    photo = Photo(str(put(tmp_path / "x.png", encoded(noise(30, 32, 0)))))
    monkeypatch.setattr(decoding, "HUGE", 959)
    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "ignore")
        with pytest.raises(Unreadable, match=r"x\.png: it has 32 x 30 pixels, more than the 0 million that are read$"):
            open_photo(photo, 16)
        monkeypatch.setattr(decoding, "HUGE", 960)
        assert open_photo(photo, 16).size == (32, 30)


def test_odd_metadata_are_no_reason(tmp_path: Path) -> None:
    """Neither for an error nor for a warning: nobody who trains on 100,000 photos can mend them."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01\x03\0\xff\xff"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for odd in ({"exif": exif}, {"icc_profile": profile}, {"icc_profile": b"none"}):
            assert opened(tmp_path / "x.jpg", encoded(ramp(), "JPEG", **odd)).shape == (32, 48, 3)
        few = Image.fromarray(ramp()).quantize(16)
        buffer = io.BytesIO()
        few.save(buffer, "PNG", transparency=bytes(range(16)))
        assert opened(tmp_path / "x.png", buffer.getvalue()).shape == (32, 48, 3)


def test_heic_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder and in an archive."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    data = b"\0\0\0\x18ftypheic" + bytes(600)
    (tmp_path / "a.heic").write_bytes(data)
    for photo in (Photo(str(tmp_path / "a.heic")), Photo(str(zipped(tmp_path / "a.zip", {"a.heic": data})), "a.heic")):
        with pytest.raises(
            Unreadable, match=r"a\.heic: it is not a picture in .*: it is HEIC, which needs pip install pillow-heif"
        ):
            open_photo(photo, 1)


def test_heic_is_read(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    Image.fromarray(noise(40, 48, 0)).save(tmp_path / "a.heic")
    (photo,) = find_photos(tmp_path)
    assert open_photo(photo, 1).size == (48, 40)


# --- several places ---------------------------------------------------------------------------------------------------


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.heic", "deep/c.jfif", ".hidden.jpg", ".thumbnails/d.jpg", "notes.txt", "video.mp4", "README"):
        put(tmp_path / "in" / name, b"")
    photos, left_out = survey_photos(tmp_path / "in")
    assert [Path(photo.path).name for photo in photos] == ["a.jpg", "b.heic", "c.jfif"]
    assert left_out == {"hidden": 2, ".txt": 1, ".mp4": 1, "no ending": 1}
    archive = zipped(tmp_path / "x.zip", {"a.png": b"", "__MACOSX/._a.png": b"", ".cache/b.png": b"", "c.doc": b""})
    photos, left_out = survey_photos(archive)
    assert [photo.member for photo in photos] == ["a.png"]
    assert left_out == {"hidden": 2, ".doc": 1}


def test_a_pattern_in_quotes(tmp_path: Path) -> None:
    for name in ("one/a.jpg", "one/b.png", "two/c.jpg", "two/d.txt"):
        put(tmp_path / name, b"")

    def names(pattern: str) -> list[str]:
        return [Path(photo.path).name for photo in find_photos(str(tmp_path / pattern))]

    assert names("one/*.jpg") == ["a.jpg"]
    assert names("*/*.jpg") == ["a.jpg", "c.jpg"]
    assert names("**/*.png") == ["b.png"]
    assert names("t*") == ["c.jpg"]
    with pytest.raises(InputError, match="nothing fits that pattern"):
        find_photos(str(tmp_path / "*.gif"))
    put(tmp_path / "[1].jpg", b"")  # no pattern, as there is such a file
    assert names("[1].jpg") == ["[1].jpg"]


def test_what_cannot_be_read_in_a_folder_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed folder is imitated, as root enters all."""
    folder = tmp_path / "photos"
    put(folder / "a.png")
    put(tmp_path / "others" / "b.png")
    (folder / "closed").mkdir()
    (folder / "link").symlink_to(tmp_path / "others")
    (folder / "broken.png").symlink_to("nowhere.png")
    (folder / "itself.png").symlink_to("itself.png")
    listed = os.scandir

    def scandir(path: str | Path) -> Any:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found, left_out = survey_photos(folder)
    assert names(found, tmp_path) == ["photos/a.png"]
    assert left_out == {"folder that may not be entered": 1, "link to a folder": 1, "link that leads nowhere": 2}


def test_sizes_are_those_of_files_and_of_members(tmp_path: Path) -> None:
    """Photos of the same names and other content differ; the same ones in an archive do not. A store is not asked."""
    other = encoded(noise(7, 9, 1))
    for folder, content in (("a", PNG), ("b", other)):
        put(tmp_path / folder / "1.png", content)
    archive = zipped(tmp_path / "c.zip", {"1.png": PNG})
    ours, theirs, packed = (find_photos(tmp_path / name) for name in ("a", "b", "c.zip"))
    assert fingerprint(ours) == fingerprint(theirs) == fingerprint(packed)
    assert sizes_of(ours) == sizes_of(packed) != sizes_of(theirs)
    assert sizes_of([*ours, Photo("s3://bucket/1.png")]) is None
    assert sizes_of([Photo(str(tmp_path / "gone.png"))]) is None
    assert sizes_of([Photo(str(archive), "gone.png")]) is None
