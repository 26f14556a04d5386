"""Pictures to tensors and back, against Pillow, OpenCV, and files put together by hand."""

from __future__ import annotations

import http.server
import io
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, JpegImagePlugin, features

from stylenet.errors import InputError
from stylenet.images import decoding
from stylenet.images.picture import Picture, check_format, read_image, write_image

BASE = np.array([[10, 60, 110], [160, 210, 250]], np.uint8)
RGB = np.stack([BASE, BASE // 2, 255 - BASE], axis=-1)  # 3 wide, 2 high
GREY16 = np.array([[0, 1, 257], [30000, 65534, 65535]], np.uint16)
RGB16 = np.stack([GREY16, GREY16[::-1], GREY16[:, ::-1]], axis=-1)
ALPHA = np.array([[255, 128, 1], [0, 64, 254]], np.uint8)


def encoded(array: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
    """A file in memory, by Pillow."""
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def encoded16(array: np.ndarray, kind: str) -> bytes:
    """A file of 16 bits in memory, by OpenCV, from RGB order."""
    order = [2, 1, 0, 3][: array.shape[2]] if array.ndim == 3 else slice(None)
    return bytes(cv2.imencode(f".{kind.lower()}", array[..., order] if array.ndim == 3 else array)[1])


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(colour: int, samples: np.ndarray, extra: bytes = b"", depth: int = 16) -> bytes:
    """A PNG by hand: ``samples [H, W]`` or ``[H, W, C]``, and chunks that go before the pixels."""
    height, width = samples.shape[:2]
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2" if depth == 16 else np.uint8).tobytes() for row in samples)
    ending = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + ending


def tiff(samples: bytes, width: int, height: int, channels: int = 1, bits: int = 16, **tags: int) -> bytes:
    """A TIFF by hand, little-endian, one strip. Tags by number: ``t262=0`` is white for zero."""
    numbers = {256: width, 257: height, 258: bits, 259: 1, 262: 2 if channels > 1 else 1, 273: 0, 277: channels}
    numbers |= {278: height, 279: len(samples)} | {int(name[1:]): value for name, value in tags.items()}
    end = 8 + 2 + 12 * len(numbers) + 4
    depths = struct.pack(f"<{channels}H", *[bits] * channels) if channels > 2 else b""
    numbers[273] = end + len(depths)
    entries = b""
    for tag in sorted(numbers):
        if tag == 258 and depths:
            entries += struct.pack("<HHII", tag, 3, channels, end)
        else:
            entries += struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, numbers[tag])
    return b"II*\0" + struct.pack("<IH", 8, len(numbers)) + entries + struct.pack("<I", 0) + depths + samples


def pixels(picture: Picture, top: int = 255) -> np.ndarray:
    """``[H, W, 3]`` in 0..top."""
    assert picture.pixels.dtype == torch.float32
    return picture.pixels[0].permute(1, 2, 0).double().numpy() * top


def alpha(picture: Picture, top: int = 255) -> np.ndarray:
    assert picture.alpha is not None
    assert picture.alpha.shape == (1, 1, picture.height, picture.width)
    return picture.alpha[0, 0].double().numpy() * top


def thrice(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=-1)


def close(actual: np.ndarray, expected: np.ndarray, within: float = 0.01) -> None:
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=within)


# --- where pictures come from -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["str", "path", "bytes", "file", "memory"])
def test_sources(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(RGB, "PNG"))
    with path.open("rb") as file:
        sources = {
            "str": str(path),
            "path": path,
            "bytes": path.read_bytes(),
            "file": file,
            "memory": io.BytesIO(path.read_bytes()),
        }
        picture = read_image(sources[kind])  # type: ignore[arg-type]
    close(pixels(picture), RGB)
    assert picture.pixels.shape == (1, 3, 2, 3)
    assert (picture.width, picture.height, picture.alpha, picture.notes) == (3, 2, None, ())
    assert picture.name == (str(path) if kind in ("str", "path", "file") else "the picture")


def test_source_url() -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(encoded(RGB, "PNG"))

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        close(pixels(read_image(f"http://127.0.0.1:{server.server_address[1]}/photo.png")), RGB)


def test_size_is_applied_on_reading() -> None:
    data = encoded(np.zeros((40, 60, 3), np.uint8), "PNG")
    assert read_image(data, "30").pixels.shape == (1, 3, 20, 30)
    assert read_image(data, "120").pixels.shape == (1, 3, 40, 60)
    assert read_image(data, "120", upscale=True).pixels.shape == (1, 3, 80, 120)


# --- orientation ------------------------------------------------------------------------------------------------------

# Letters as stored, 2 high and 3 wide, and as a person is to see them: the EXIF standard's rows and columns by hand.
STORED = ["abc", "def"]
UPRIGHT = {
    1: ["abc", "def"],
    2: ["cba", "fed"],
    3: ["fed", "cba"],
    4: ["def", "abc"],
    5: ["ad", "be", "cf"],
    6: ["da", "eb", "fc"],
    7: ["fc", "eb", "da"],
    8: ["cf", "be", "ad"],
}


def letters(rows: list[str]) -> np.ndarray:
    return np.array([[25 + 40 * (ord(letter) - ord("a")) for letter in row] for row in rows], np.uint8)


def exif(orientation: int) -> bytes:
    return b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x0112, 3, 1, orientation, 0)


@pytest.mark.parametrize("orientation", list(UPRIGHT))
def test_orientation(orientation: int) -> None:
    stored, upright = letters(STORED), thrice(letters(UPRIGHT[orientation]))
    deep = thrice(stored.astype(np.uint16) * 257)
    tag = chunk(b"eXIf", exif(orientation))
    files = {
        "PNG": png(2, thrice(stored), tag, depth=8),
        "16-bit PNG": png(2, deep, tag),
        "16-bit grey PNG": png(0, deep[..., 0], tag),
        "TIFF": encoded(thrice(stored), "TIFF", tiffinfo={274: orientation}),
        "16-bit TIFF": tiff(deep.astype("<u2").tobytes(), 3, 2, channels=3, t274=orientation),
        "16-bit grey TIFF": tiff(deep[..., 0].astype("<u2").tobytes(), 3, 2, t274=orientation),
        "lossless WebP": encoded(thrice(stored), "WEBP", lossless=True, exif=b"Exif\0\0" + exif(orientation)),
    }
    for name, data in files.items():
        got = pixels(read_image(data))
        assert got.shape == upright.shape, name
        np.testing.assert_allclose(got, upright, atol=0.01, err_msg=name)


@pytest.mark.parametrize("orientation", list(UPRIGHT))
def test_orientation_of_jpeg(orientation: int) -> None:
    """Blocks of 8 x 8 pixels, which JPEG keeps apart."""
    blocks = np.kron(letters(STORED), np.ones((8, 8), np.uint8))
    picture = read_image(encoded(blocks, "JPEG", quality=100, exif=b"Exif\0\0" + exif(orientation)))
    close(pixels(picture)[4::8, 4::8], thrice(letters(UPRIGHT[orientation])), within=2)


def test_alpha_turns_with_the_colours() -> None:
    picture = read_image(png(6, np.dstack([thrice(letters(STORED)), letters(STORED)]), chunk(b"eXIf", exif(6)), depth=8))
    close(alpha(picture), letters(UPRIGHT[6]))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("data", [b"garbage", exif(99), exif(0), b"", exif(6)[:16]])
def test_damaged_exif_does_not_matter(data: bytes) -> None:
    close(pixels(read_image(png(2, RGB, chunk(b"eXIf", data), depth=8))), RGB)


# --- colour profiles --------------------------------------------------------------------------------------------------


def icc(description: bytes, tags: dict[bytes, bytes], space: bytes = b"RGB ") -> bytes:
    """An ICC profile of version 2 by hand."""
    desc = b"desc\0\0\0\0" + struct.pack(">I", len(description) + 1) + description + bytes(80)
    tags = {b"desc": desc, b"cprt": b"text\0\0\0\0none\0", b"wtpt": xyz(0.9642, 1, 0.8249), **tags}
    table, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"none", 0x02100000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + xyz(0.9642, 1, 0.8249)[8:]
    return head.ljust(128, b"\0") + table + body


def xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256))


# sRGB's primaries, adapted to the profile connection space (IEC 61966-2-1, D50).
RED, GREEN, BLUE = xyz(0.4361, 0.2225, 0.0139), xyz(0.3851, 0.7169, 0.0971), xyz(0.1431, 0.0606, 0.7141)


def rgb_profile(description: bytes, primaries: tuple[bytes, bytes, bytes], power: float) -> bytes:
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma(power))
    return icc(description, dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)) | curves)


LINEAR = rgb_profile(b"linear", (RED, GREEN, BLUE), 1.0)
SWAPPED = rgb_profile(b"swapped", (BLUE, GREEN, RED), 2.2)
LINEAR_GREY = icc(b"linear grey", {b"kTRC": gamma(1.0)}, b"GRAY")


def srgb_from_linear(linear: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, bytes to bytes."""
    light = linear / 255
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055) * 255


@pytest.mark.parametrize(
    ("array", "kind", "profile", "colours"),
    [
        (RGB, "PNG", LINEAR, RGB),
        (RGB, "TIFF", LINEAR, RGB),
        (np.dstack([RGB, ALPHA]), "PNG", LINEAR, RGB),
        (BASE, "PNG", LINEAR_GREY, thrice(BASE)),
        (Image.merge("LA", [Image.fromarray(BASE), Image.fromarray(ALPHA)]), "PNG", LINEAR_GREY, thrice(BASE)),
        (Image.fromarray(RGB).quantize(6), "PNG", LINEAR, RGB),
    ],
    ids=["RGB", "TIFF", "RGBA", "L", "LA", "P"],
)
def test_profile_is_applied(array: Any, kind: str, profile: bytes, colours: np.ndarray) -> None:
    picture = read_image(encoded(array, kind, icc_profile=profile))
    close(pixels(picture), srgb_from_linear(colours), within=1.5)
    assert picture.notes == ()
    assert (picture.alpha is not None) == (getattr(array, "mode", "") == "LA" or getattr(array, "shape", ())[-1:] == (4,))


def test_profile_with_swapped_primaries() -> None:
    picture = read_image(encoded(RGB, "PNG", icc_profile=SWAPPED))
    close(pixels(picture), RGB[..., ::-1], within=12)  # a power of 2.2 is not quite sRGB's curve
    assert np.abs(pixels(picture) - RGB).max() > 100


@pytest.mark.parametrize(("colour", "samples", "profile"), [(2, RGB16, LINEAR), (0, GREY16, LINEAR_GREY)])
def test_profile_of_16_bits(colour: int, samples: np.ndarray, profile: bytes) -> None:
    picture = read_image(png(colour, samples, chunk(b"iCCP", b"icc\0\0" + zlib.compress(profile))))
    expected = srgb_from_linear((samples if colour else thrice(samples)) / 257)
    close(pixels(picture), expected, within=7)  # dark values are steep at 8 bits
    assert picture.notes == ("the picture: its colour profile is applied at 8 bits",)


def test_srgb_profile_changes_nothing() -> None:
    """Not even the precision: no way through 8 bits."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    close(pixels(read_image(encoded(RGB, "PNG", icc_profile=profile))), RGB)
    picture = read_image(png(2, RGB16, chunk(b"iCCP", b"icc\0\0" + zlib.compress(profile))))
    np.testing.assert_array_equal(pixels(picture, 65535).round(), RGB16)
    assert picture.notes == ()


@pytest.mark.parametrize("profile", [b"nonsense", LINEAR[:200], LINEAR_GREY], ids=["nonsense", "cut short", "grey"])
def test_a_profile_that_does_not_fit_is_ignored(profile: bytes) -> None:
    picture = read_image(encoded(RGB, "PNG", icc_profile=profile))
    close(pixels(picture), RGB)
    assert picture.notes == ("the picture: its colour profile does not fit the picture and is ignored",)


@pytest.mark.parametrize(("number", "kind"), [(16, "PQ"), (18, "HLG"), (13, ""), (1, "")])
@pytest.mark.parametrize("form", ["PNG", "AVIF"])
def test_hdr_is_said(form: str, number: int, kind: str) -> None:
    """Numbers that stand for more light than screens have are read as they are, and look flat."""
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    data = encoded(RGB, form)
    if form == "PNG":
        chunk = b"cICP" + bytes([9, number, 0, 1])
        data = data[:33] + struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
    else:
        place = data.index(b"colrnclx") + 11
        data = data[:place] + bytes([number]) + data[place + 1 :]
    notes = read_image(data).notes
    said = f"the picture is HDR ({kind}): it is read as if it were not, and may look flat"
    assert notes == ((said,) if kind else ())


# --- kinds of pixels --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("array", [BASE, RGB], ids=["grey", "colour"])
def test_8_bits(kind: str, array: np.ndarray) -> None:
    picture = read_image(encoded(array, kind))
    close(pixels(picture), array if array.ndim == 3 else thrice(array))
    assert picture.alpha is None


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("array", [GREY16, RGB16], ids=["grey", "colour"])
def test_16_bits(kind: str, array: np.ndarray) -> None:
    """Exact: rounding to whole steps of 1/65535 gives the stored numbers back."""
    picture = read_image(encoded16(array, kind))
    np.testing.assert_array_equal(pixels(picture, 65535).round(), array if array.ndim == 3 else thrice(array))
    assert picture.alpha is None


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_with_alpha(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    picture = read_image(encoded16(np.dstack([RGB16, GREY16]), kind))
    np.testing.assert_array_equal(pixels(picture, 65535).round(), RGB16)
    np.testing.assert_array_equal(alpha(picture, 65535).round(), GREY16)
    assert capfd.readouterr() == ("", "")  # OpenCV reports at length what it thinks of a TIFF


def test_16_bit_grey_with_alpha() -> None:
    picture = read_image(png(4, np.dstack([GREY16, GREY16[::-1]])))
    np.testing.assert_array_equal(pixels(picture, 65535).round(), thrice(GREY16))
    np.testing.assert_array_equal(alpha(picture, 65535).round(), GREY16[::-1])


@pytest.mark.parametrize(("colour", "samples", "clear"), [(0, GREY16, [257]), (2, RGB16, [0, 30000, 257])])
def test_16_bits_with_a_transparent_colour(colour: int, samples: np.ndarray, clear: list[int]) -> None:
    picture = read_image(png(colour, samples, chunk(b"tRNS", struct.pack(f">{len(clear)}H", *clear))))
    np.testing.assert_array_equal(pixels(picture, 65535).round(), samples if colour else thrice(samples))
    expected = np.array([[1, 1, 0], [1, 1, 1]] if colour == 0 else [[0, 1, 1], [1, 1, 1]])
    np.testing.assert_array_equal(alpha(picture, 1), expected)


def test_16_bit_tiff_whose_white_is_zero() -> None:
    picture = read_image(tiff((65535 - GREY16).astype("<u2").tobytes(), 3, 2, t262=0))
    np.testing.assert_array_equal(pixels(picture, 65535).round(), thrice(GREY16))


def test_16_bit_tiff_multiplied_by_alpha() -> None:
    """Stored colours are 20000 x 0.5, 30000 x 0.5, 40000 x 0.5."""
    samples = np.tile(np.array([10000, 15000, 20000, 32768], "<u2"), 6)
    picture = read_image(tiff(samples.tobytes(), 3, 2, channels=4, t338=1))
    close(pixels(picture, 65535), np.tile([20000.0, 30000.0, 40000.0], (2, 3, 1)), within=1)
    close(alpha(picture, 65535), np.full((2, 3), 32768.0))


def test_12_bit_tiff() -> None:
    """Two samples in three bytes: 0, 4095 / 2048, 1000."""
    picture = read_image(tiff(bytes.fromhex("000fff8003e8"), 2, 2, bits=12))
    close(pixels(picture, 4095), thrice(np.array([[0, 4095], [2048, 1000]])))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (tiff(BASE.astype("<i4").tobytes(), 3, 2, bits=32, t339=2), "signed or 32-bit whole numbers"),
        (tiff(BASE.astype("<i2").tobytes(), 3, 2, bits=16, t339=2), "signed or 32-bit whole numbers"),
        (tiff(RGB.astype("<f4").tobytes(), 3, 2, channels=3, bits=32, t339=3), "a kind of TIFF that is not read"),
    ],
    ids=["int32", "int16", "float colour"],
)
def test_kinds_of_tiff_that_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_image(data)


def test_16_bit_tiff_plane_by_plane_is_refused() -> None:
    """Both libraries get it wrong without saying so."""
    planes = RGB16.transpose(2, 0, 1).astype("<u2")
    whole = bytearray(tiff(planes.tobytes(), 3, 2, channels=3, t284=2))
    offset = struct.unpack_from("<I", whole, 8 + 2 + 12 * 5 + 8)[0]  # one strip for each plane: lists at the end
    for entry in range(8 + 2, len(whole), 12):
        tag = struct.unpack_from("<H", whole, entry)[0]
        if tag in (273, 279):
            values = [offset + 12 * plane for plane in range(3)] if tag == 273 else [12] * 3
            struct.pack_into("<HHII", whole, entry, tag, 4, 3, len(whole))
            whole += struct.pack("<3I", *values)
        if tag == 284:
            break
    with pytest.raises(InputError, match="16-bit colours plane by plane"):
        read_image(bytes(whole))


def test_float_tiff() -> None:
    values = np.array([[0.0, 0.25, 1.0], [1e-4, 0.5, 0.9999]], np.float32)
    close(pixels(read_image(encoded(values, "TIFF")), 1), thrice(values), within=1e-7)


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "NaN or infinite"), (np.inf, "NaN or infinite"), (1.5, "from 0 to 1.5"), (-1, "from -1 to 0")],
)
def test_float_tiff_out_of_range(value: float, message: str) -> None:
    values = np.zeros((2, 3), np.float32)
    values[1, 1] = value
    with pytest.raises(InputError, match=message):
        read_image(encoded(values, "TIFF"))


def test_rgba_is_straight() -> None:
    """Colours are as stored, even where nothing can be seen."""
    for kind in ("PNG", "TIFF"):
        picture = read_image(encoded(np.dstack([RGB, ALPHA]), kind))
        close(pixels(picture), RGB)
        close(alpha(picture), ALPHA)


def test_grey_with_alpha() -> None:
    picture = read_image(encoded(Image.merge("LA", [Image.fromarray(BASE), Image.fromarray(ALPHA)]), "PNG"))
    close(pixels(picture), thrice(BASE))
    close(alpha(picture), ALPHA)


def palette_image() -> Image.Image:
    image = Image.new("P", (3, 2))
    image.putpalette([value for colour in RGB.reshape(-1, 3) for value in colour])
    image.putdata(range(6))
    return image


def test_palette() -> None:
    picture = read_image(encoded(palette_image(), "PNG"))
    close(pixels(picture), RGB)
    assert picture.alpha is None


@pytest.mark.parametrize(
    ("transparency", "opacity"), [(2, [255, 255, 0, 255, 255, 255]), (bytes([0, 9, 255]), [0, 9, 255, 255, 255, 255])]
)
def test_palette_with_transparency(transparency: int | bytes, opacity: list[int]) -> None:
    picture = read_image(encoded(palette_image(), "PNG", transparency=transparency))
    close(pixels(picture), RGB)
    close(alpha(picture), np.array(opacity).reshape(2, 3))


def test_one_bit() -> None:
    bits = np.array([[True, False, True], [False, False, True]])
    for kind in ("PNG", "TIFF", "BMP"):
        close(pixels(read_image(encoded(Image.fromarray(bits), kind))), thrice(bits * 255))


def test_cmyk_jpeg() -> None:
    """Inks cyan 0, magenta 128, yellow 255, black 64 by the plain rule (1 - ink) (1 - black)."""
    inks = np.tile(np.array([0, 128, 255, 64], np.uint8), (16, 16, 1))
    picture = read_image(encoded(Image.fromarray(inks, "CMYK"), "JPEG", quality=100))
    expected = [255 * (1 - ink / 255) * (1 - 64 / 255) for ink in (0, 128, 255)]
    close(pixels(picture), np.tile(expected, (16, 16, 1)), within=2)


@pytest.mark.parametrize(
    ("kind", "options", "within"),
    [
        ("JPEG", {"quality": 100, "subsampling": "4:4:4"}, 2),
        ("WEBP", {"lossless": True}, 0.01),
        ("GIF", {}, 0.01),
        pytest.param(
            "AVIF", {"quality": 100}, 4, marks=pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")
        ),
    ],
)
def test_formats(kind: str, options: dict[str, Any], within: float) -> None:
    flat = np.tile(np.array([200, 100, 50], np.uint8), (16, 24, 1))
    picture = read_image(encoded(flat, kind, **options))
    close(pixels(picture), flat, within)
    assert picture.notes == ()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_is_used(kind: str) -> None:
    frames = [Image.new("RGB", (4, 4), (value, 0, 0)) for value in (255, 100, 0)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    picture = read_image(data)
    close(pixels(picture), np.tile([255, 0, 0], (4, 4, 1)))
    assert picture.notes == ("the picture: the first of 3 frames is used",)


# --- what is not a picture --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"hello", "it looks like text"),
        (bytes(range(256)), "not a picture in a format that is known"),
        (b"\0\0\0\x18ftypheic" + bytes(100), "pip install pillow-heif"),
        (encoded(RGB[:, :1], "PNG"), "1 x 2 pixels: a picture needs at least 2"),
        (encoded(RGB[:1], "PNG"), "3 x 1 pixels: a picture needs at least 2"),
    ],
)
def test_not_a_picture(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_image(data)


DAMAGED = {
    **{
        kind: encoded(np.kron(RGB, np.ones((9, 9, 1), np.uint8)), kind)
        for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "DDS")
    },
    **({"AVIF": encoded(np.kron(RGB, np.ones((9, 9, 1), np.uint8)), "AVIF")} if features.check("avif") else {}),
    "16-bit PNG": encoded16(RGB16, "PNG"),
    "16-bit TIFF": encoded16(RGB16, "TIFF"),
    "animation": encoded(Image.new("RGB", (9, 9)), "GIF", save_all=True, append_images=[Image.new("RGB", (9, 9), "red")]),
}


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", list(DAMAGED))
def test_damage_ends_in_one_sentence(kind: str) -> None:
    """Cut anywhere, or with bytes changed anywhere: a picture, or InputError, and never anything else."""
    whole, generator = DAMAGED[kind], np.random.default_rng(0)
    messages = []
    for trial in range(60):
        damaged = bytearray(whole[: generator.integers(len(whole))] if trial % 2 else whole)
        for place in generator.integers(0, max(len(damaged), 1), 0 if trial % 2 else 4):
            damaged[place] = generator.integers(256)
        try:
            assert torch.isfinite(read_image(bytes(damaged)).pixels).all()
        except InputError as error:
            messages.append(str(error))
    assert len(messages) > 10
    assert all(message.startswith("the picture ") for message in messages)


def test_cut_short_is_said() -> None:
    data = DAMAGED["JPEG"]
    with pytest.raises(InputError, match="is cut short"):
        read_image(data[: len(data) * 3 // 4])


def test_huge_pictures_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(decoding, "HUGE", 6)
    close(pixels(read_image(encoded(RGB, "PNG"))), RGB)
    monkeypatch.setattr(decoding, "HUGE", 5)
    with pytest.raises(InputError, match=r"3 x 2 pixels, more than .* allow_huge=True"):
        read_image(encoded(RGB, "PNG"))
    close(pixels(read_image(encoded(RGB, "PNG"), allow_huge=True)), RGB)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    """100,000 x 100,000 pixels in a file of a few bytes."""
    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    with pytest.raises(InputError, match="more than the 89 million"):
        read_image(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))


# --- writing ----------------------------------------------------------------------------------------------------------


def tensor(array: np.ndarray, top: float = 1) -> torch.Tensor:
    """``[H, W, C]`` to ``[1, C, H, W]``."""
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1), dtype=np.float32))[None] / top


def stored(path: Path) -> np.ndarray:
    """What is in the file, by Pillow."""
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize(
    ("value", "byte"),
    [
        (0.49 / 255, 0),
        (0.51 / 255, 1),
        (1.49 / 255, 1),
        (254.49 / 255, 254),
        (254.51 / 255, 255),
        (-0.5, 0),
        (1.5, 255),
        (1.0, 255),
    ],
)
def test_rounded_and_clipped(tmp_path: Path, value: float, byte: int) -> None:
    write_image(torch.full((1, 3, 2, 2), value), tmp_path / "a.png")
    np.testing.assert_array_equal(stored(tmp_path / "a.png"), np.full((2, 2, 3), byte))


@pytest.mark.parametrize(("value", "number"), [(0.49 / 65535, 0), (0.51 / 65535, 1), (32767.6 / 65535, 32768), (2.0, 65535)])
def test_16_bits_are_rounded(tmp_path: Path, value: float, number: int) -> None:
    write_image(torch.full((1, 3, 2, 2), value), tmp_path / "a.png", bits=16)
    array = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    assert array.dtype == np.uint16
    np.testing.assert_array_equal(array, np.full((2, 2, 3), number))


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".PNG"])
def test_lossless_formats(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    assert write_image(tensor(RGB, 255), path) == path
    np.testing.assert_array_equal(stored(path), RGB)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bits_there_and_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_image(tensor(RGB16, 65535), path, bits=16, alpha=tensor(GREY16[..., None], 65535))
    array = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(array[..., [2, 1, 0, 3]], np.dstack([RGB16, GREY16]))
    picture = read_image(path)
    np.testing.assert_array_equal(pixels(picture, 65535).round(), RGB16)
    np.testing.assert_array_equal(alpha(picture, 65535).round(), GREY16)


@pytest.mark.parametrize(("options", "quality"), [({}, 95), ({"quality": 60}, 60)])
def test_jpeg_quality(tmp_path: Path, options: dict[str, int], quality: int) -> None:
    write_image(torch.rand(1, 3, 16, 16), tmp_path / "a.jpg", **options)
    reference = Image.open(io.BytesIO(encoded(np.zeros((16, 16, 3), np.uint8), "JPEG", quality=quality)))
    with Image.open(tmp_path / "a.jpg") as image:
        assert JpegImagePlugin.get_sampling(image) == 0  # 4:4:4
        assert image.quantization == reference.quantization


@pytest.mark.parametrize(
    "suffix", [".webp", pytest.param(".avif", marks=pytest.mark.skipif(not features.check("avif"), reason="no AVIF"))]
)
def test_quality_matters(tmp_path: Path, suffix: str) -> None:
    noise = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    sizes = [write_image(noise, tmp_path / f"{quality}{suffix}", quality=quality).stat().st_size for quality in (20, 60, 95)]
    assert sizes[0] < sizes[1] < sizes[2]
    assert write_image(noise, tmp_path / f"default{suffix}").stat().st_size == sizes[2]


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tiff"])
def test_alpha_is_kept(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_image(Picture(tensor(RGB, 255), tensor(ALPHA[..., None], 255)), path)
    assert stored(path).shape == (2, 3, 4)
    np.testing.assert_array_equal(stored(path)[..., 3], ALPHA)
    if suffix != ".webp":  # which is lossy
        np.testing.assert_array_equal(stored(path)[..., :3], RGB)


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_alpha_is_flattened_on_white(tmp_path: Path, suffix: str) -> None:
    """Blue at half opacity on white: (127.5, 127.5, 255)."""
    blue = torch.zeros(1, 3, 16, 16)
    blue[:, 2] = 1
    write_image(blue, tmp_path / f"a{suffix}", alpha=torch.full((1, 1, 16, 16), 0.5), quality=100)
    close(stored(tmp_path / f"a{suffix}").astype(float), np.tile([127.5, 127.5, 255], (16, 16, 1)), within=2)


@pytest.mark.parametrize(
    ("name", "bits", "message"),
    [
        ("a.xyz", 8, "its ending must be one of"),
        ("a", 8, "its ending must be one of"),
        ("a.gif", 8, "its ending must be one of"),
        (".png", 8, "its ending must be one of"),
        ("a.jpg", 16, "cannot write 16 bits"),
        ("a.webp", 16, "cannot write 16 bits"),
        ("a.png", 12, "12 bits are not possible"),
    ],
)
def test_formats_that_cannot_be_written(tmp_path: Path, name: str, bits: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_format(tmp_path / name, bits)
    with pytest.raises(InputError, match=message):
        write_image(torch.zeros(1, 3, 2, 2), tmp_path / name, bits=bits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_broken_pixels_are_not_written(tmp_path: Path, value: float) -> None:
    broken = torch.zeros(1, 3, 4, 4)
    broken[0, 1, 2, 3] = value
    with pytest.raises(InputError, match="NaN or infinite"):
        write_image(broken, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_a_size_that_a_format_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*a\.webp: 16384 x 2 pixels"):
        write_image(torch.zeros(1, 3, 2, 16384), tmp_path / "a.webp")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [lambda t: t.bfloat16(), lambda t: t.requires_grad_(), lambda t: t.double()])
def test_any_float_tensor_is_written(tmp_path: Path, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    write_image(change(torch.full((1, 3, 2, 2), 0.5)), tmp_path / "a.png")
    assert stored(tmp_path / "a.png").tolist() == [[[128] * 3] * 2] * 2  # 127.5 to even
