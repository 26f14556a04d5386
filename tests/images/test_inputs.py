"""What people pass as a picture, and what comes of it: one table for all kinds, one for everything else."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import noise
from PIL import Image
from torch import Tensor

import stylenet
from stylenet.errors import InputError
from stylenet.images.picture import Picture, as_picture, read_image, write_image

ARRAY = noise(12, 16, 0)
TENSOR = torch.from_numpy(ARRAY).permute(2, 0, 1)
WANTED = TENSOR[None].float() / 255


def encoded(kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(ARRAY).save(buffer, kind)
    return buffer.getvalue()


def file_of(folder: Path) -> Path:
    (folder / "photo.png").write_bytes(encoded())
    return folder / "photo.png"


GOOD: dict[str, Callable[[Path], Any]] = {
    "path": file_of,
    "path as text": lambda folder: str(file_of(folder)),
    "bytes": lambda _: encoded(),
    "bytearray": lambda _: bytearray(encoded()),
    "memoryview": lambda _: memoryview(encoded()),
    "binary file": lambda folder: file_of(folder).open("rb"),
    "file in memory": lambda _: io.BytesIO(encoded()),
    "PIL": lambda _: Image.fromarray(ARRAY),
    "PIL, opened and not read": lambda folder: Image.open(file_of(folder)),
    "numpy uint8": lambda _: ARRAY,
    "numpy uint8, read-only": lambda _: np.asarray(Image.fromarray(ARRAY)),
    "numpy, mirrored twice": lambda _: ARRAY[:, ::-1].copy()[:, ::-1],
    "numpy float32": lambda _: (ARRAY / 255).astype(np.float32),
    "numpy float64": lambda _: ARRAY / 255,
    "numpy, other byte order": lambda _: (ARRAY / 255).astype(">f8"),
    "tensor uint8": lambda _: TENSOR,
    "tensor float": lambda _: TENSOR.float() / 255,
    "tensor float64": lambda _: TENSOR.double() / 255,
    "tensor batch": lambda _: WANTED,
    "tensor batch uint8": lambda _: TENSOR[None],
    "tensor, channels last": lambda _: WANTED.contiguous(memory_format=torch.channels_last),
    "tensor in a graph": lambda _: WANTED.clone().requires_grad_(True),
    "parameter": lambda _: torch.nn.Parameter(WANTED),
    "Picture": lambda _: Picture(WANTED),
    "rounding beyond 0 and 1": lambda _: torch.lerp(WANTED, WANTED, 0.0) + torch.where(WANTED == 1, 1e-4, 0.0),
}


@pytest.mark.parametrize("kind", GOOD)
def test_what_is_a_picture(kind: str, tmp_path: Path) -> None:
    picture = read_image(GOOD[kind](tmp_path))
    assert picture.pixels.dtype == torch.float32
    assert not picture.pixels.requires_grad
    assert torch.allclose(picture.pixels, WANTED, atol=1e-7)
    assert (picture.width, picture.height) == (16, 12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_floats(dtype: torch.dtype) -> None:
    assert torch.equal(as_picture(WANTED.to(dtype)).pixels, WANTED.to(dtype).float())


def test_a_batch_stays_a_batch() -> None:
    assert as_picture(torch.stack([TENSOR, TENSOR])).pixels.shape == (2, 3, 12, 16)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I;16", "F", "RGBa"])
def test_every_mode_of_pil(mode: str) -> None:
    image = Image.fromarray(ARRAY)
    image = Image.fromarray(ARRAY[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert("RGBA").convert(mode)
    if mode == "F":
        image = image.point(lambda value: value * (1 / 255) + 0.0)
    picture = as_picture(image)
    assert picture.pixels.shape == (1, 3, 12, 16)
    assert 0 <= float(picture.pixels.min()) < float(picture.pixels.max()) <= 1
    assert (picture.alpha is not None) == (mode in ("LA", "RGBA", "RGBa"))


def test_an_opened_file_is_the_file(tmp_path: Path) -> None:
    """Orientation included."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(ARRAY).save(tmp_path / "a.jpg", exif=exif, quality=95)
    assert read_image(Image.open(tmp_path / "a.jpg")) == read_image(tmp_path / "a.jpg")
    assert read_image(Image.open(tmp_path / "a.jpg")).width == 12


NAN = WANTED.clone()
NAN[0, 0, 0, 0] = float("nan")


def closed_image() -> Image.Image:
    image = Image.open(io.BytesIO(encoded("BMP")))
    image.load()
    image.close()
    return image


def closed_file() -> io.BytesIO:
    file = io.BytesIO(encoded())
    file.close()
    return file


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "None": (lambda: None, "None, which is not a picture"),
    "a number": (lambda: 3, "of type int"),
    "a list": (lambda: [WANTED], "of type list"),
    "an object": (object, "of type object"),
    "a Style": (lambda: stylenet.load_style("udnie"), "of type Style"),
    "a missing path": (lambda: "nowhere.png", "nowhere.png does not exist"),
    "an empty path": (lambda: "", "empty path"),
    "a path with a zero": (lambda: "a\0b", "cannot read"),
    "a folder": (lambda: Path("/"), "is a folder"),
    "another address": (lambda: "ftp://host/a.png", "only http and https"),
    "no bytes": (lambda: b"", "is empty (0 bytes)"),
    "other bytes": (lambda: b"hello", "not a picture in a format"),
    "a text file": (lambda: io.StringIO("hello"), "open as text"),
    "a closed file": (closed_file, "cannot be read"),
    "a closed image": (closed_image, "cannot be read"),
    "an empty image": (lambda: Image.new("RGB", (0, 3)), "is empty (0 x 3 pixels)"),
    "one pixel": (lambda: Image.new("RGB", (1, 1)), "at least 2 pixels a side"),
    "F beyond 1": (lambda: Image.new("F", (4, 4), 200.0), "within 0..1"),
    "I below 0": (lambda: Image.new("I", (4, 4), -1), "outside 0..65535"),
    "a grey array": (lambda: ARRAY[..., 0], "repeat a grey one three times"),
    "one channel": (lambda: ARRAY[..., :1], "repeat the one channel"),
    "four channels": (lambda: np.zeros((4, 4, 4), np.uint8), "for transparency give a PIL image"),
    "channels first": (lambda: np.zeros((3, 8, 9)), "channels come first in a tensor and last in an array"),
    "a batch of arrays": (lambda: np.zeros((2, 8, 9, 3)), "an array holds one picture"),
    "an empty array": (lambda: np.zeros((0, 4, 3)), "this one is empty"),
    "an array of 16 bits": (lambda: ARRAY.astype(np.uint16), "array of uint16: a picture is uint8, or float in 0..1"),
    "an array of int64": (lambda: ARRAY.astype(np.int64), "array of int64"),
    "an array of bool": (lambda: ARRAY > 3, "array of bool"),
    "an array of objects": (lambda: ARRAY.astype(object), "array of object"),
    "a complex array": (lambda: ARRAY.astype(complex), "array of complex128"),
    "an array to 255": (lambda: ARRAY.astype(np.float32), "divide it by 255, or give it as uint8"),
    "an array below 0": (lambda: ARRAY / 127.5 - 1, "bring it there with clip(0, 1)"),
    "an array with infinity": (lambda: np.full((4, 4, 3), np.inf), "NaN or infinite"),
    "a grey tensor": (lambda: TENSOR[0], "repeat a grey one three times"),
    "channels last": (lambda: TENSOR.permute(1, 2, 0), "channels come first in a tensor"),
    "a tensor with alpha": (lambda: torch.zeros(1, 4, 8, 8), "for transparency give a PIL image"),
    "five dimensions": (lambda: torch.zeros(1, 1, 3, 8, 8), "[3, H, W] or [B, 3, H, W]"),
    "no pictures": (lambda: torch.zeros(0, 3, 8, 8), "this one is empty"),
    "a tensor of int64": (TENSOR.long, "tensor of int64"),
    "a tensor of bool": (lambda: TENSOR > 3, "tensor of bool"),
    "a complex tensor": (lambda: WANTED.to(torch.complex64), "tensor of complex64"),
    "a tensor to 255": (TENSOR.float, "divide it by 255, or give it as uint8"),
    "a tensor of ImageNet's range": (lambda: (WANTED - 0.45) / 0.22, "bring it there with clip(0, 1)"),
    "NaN": (lambda: NAN, "NaN or infinite"),
    "a sparse tensor": (WANTED.to_sparse, "sparse"),
    "a meta tensor": (lambda: WANTED.to("meta"), "meta"),
    "a Picture to 255": (lambda: Picture(TENSOR[None].float()), "divide it by 255"),
    "a Picture with NaN": (lambda: Picture(NAN), "NaN or infinite"),
    "a Picture with alpha to 255": (lambda: Picture(WANTED, WANTED[:, :1] * 255), "the alpha of picture has values"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_none(kind: str) -> None:
    make, message = BAD[kind]
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read_image(make())
    assert "\n" not in str(caught.value)


PICTURES: dict[str, tuple[Any, ...]] = {
    "an array": (ARRAY,),
    "uint8": (TENSOR[None],),
    "three dimensions": (WANTED[0],),
    "four channels": (torch.zeros(1, 4, 8, 8),),
    "alpha of another size": (WANTED, torch.zeros(1, 1, 3, 3)),
    "alpha of bytes": (WANTED, torch.zeros(1, 1, 12, 16, dtype=torch.uint8)),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_of_something_else(kind: str) -> None:
    with pytest.raises(InputError):
        Picture(*PICTURES[kind])


# --- what a picture gives -------------------------------------------------------------------------------------------------


def test_pil_and_numpy_round_trip() -> None:
    picture = as_picture(ARRAY)
    assert np.array_equal(picture.numpy(), ARRAY)
    assert np.array_equal(np.asarray(picture.pil()), ARRAY)
    assert picture.pil().mode == "RGB"
    assert as_picture(picture.numpy()) == as_picture(picture.pil()) == picture


def test_pil_with_alpha() -> None:
    alpha = torch.linspace(0, 1, 12 * 16).view(1, 1, 12, 16)
    image = Picture(WANTED, alpha).pil()
    assert image.mode == "RGBA"
    assert np.array_equal(np.asarray(image)[..., 3], (alpha[0, 0] * 255).round().byte().numpy())
    assert Picture(WANTED, alpha).numpy().shape == (12, 16, 3)


def test_a_notebook_shows_it() -> None:
    shown = Image.open(io.BytesIO(as_picture(ARRAY)._repr_png_() or b""))
    assert np.array_equal(np.asarray(shown), ARRAY)
    wide = Picture(torch.zeros(1, 3, 10, 3000))
    assert Image.open(io.BytesIO(wide._repr_png_() or b"")).size == (1024, 3)
    assert Picture(torch.zeros(2, 3, 8, 8))._repr_png_() is None


def test_equality() -> None:
    alpha = torch.ones(1, 1, 12, 16)
    assert Picture(WANTED) == Picture(WANTED.clone(), name="other")
    assert Picture(WANTED) != Picture(WANTED * 0.5)
    assert Picture(WANTED) != Picture(WANTED[..., :8])
    assert Picture(WANTED) != Picture(WANTED, alpha)
    assert Picture(WANTED, alpha) == Picture(WANTED.clone(), alpha.clone())
    assert Picture(WANTED) != WANTED.tolist()
    assert len({Picture(WANTED), Picture(WANTED.clone())}) == 1


def test_repr_is_short() -> None:
    assert repr(as_picture(ARRAY)) == "Picture('the picture', 16 x 12)"
    assert repr(Picture(torch.zeros(2, 3, 8, 9))) == "Picture('picture', 2 of 9 x 8)"


# --- writing ----------------------------------------------------------------------------------------------------------------


WRITTEN = [name for name in GOOD if name != "rounding beyond 0 and 1"]


@pytest.mark.parametrize("kind", WRITTEN)
def test_everything_can_be_written(kind: str, tmp_path: Path) -> None:
    write_image(GOOD[kind](tmp_path), tmp_path / "out.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), ARRAY)


NOT_WRITTEN: dict[str, tuple[Callable[[], Any], str]] = {
    **{name: BAD[name] for name in BAD if name not in ("a tensor of ImageNet's range", "one pixel")},
    "a batch": (lambda: torch.zeros(2, 3, 8, 8), "is a batch of 2"),
    "a batch as a Picture": (lambda: Picture(torch.zeros(2, 3, 8, 8)), "is a batch of 2"),
}


@pytest.mark.parametrize("kind", NOT_WRITTEN)
def test_nothing_else_is_written(kind: str, tmp_path: Path) -> None:
    make, message = NOT_WRITTEN[kind]
    with pytest.raises(InputError, match=re.escape(message)):
        write_image(make(), tmp_path / "out.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("method", ["pil", "numpy"])
def test_a_batch_has_no_one_picture(method: str) -> None:
    with pytest.raises(InputError, match="batch of 2"):
        getattr(Picture(torch.zeros(2, 3, 8, 8)), method)()


def test_a_little_outside_is_cut_off(tmp_path: Path) -> None:
    wide: Tensor = WANTED * 1.4 - 0.2
    write_image(wide, tmp_path / "out.png")
    assert torch.allclose(read_image(tmp_path / "out.png").pixels, wide.clamp(0, 1), atol=0.5 / 255 + 1e-6)
