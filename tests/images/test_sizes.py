"""Size rules, against sizes worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stylenet.errors import InputError
from stylenet.images.picture import Picture, resize
from stylenet.images.sizes import SizeRule


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [
        ("512", (1024, 768), (512, 384)),
        ("512", (768, 1024), (384, 512)),
        (512, (2048, 512), (512, 128)),
        ("long:512", (1024, 768), (512, 384)),
        (" LONG:512 ", (1024, 768), (512, 384)),
        ("512", (400, 300), (400, 300)),
        ("512", (512, 512), (512, 512)),
        ("short:400", (1000, 800), (500, 400)),
        ("short:400", (800, 1000), (400, 500)),
        ("short:400", (399, 5000), (399, 5000)),
        ("640x480", (1000, 1000), (640, 480)),
        ("640x480", (10, 10), (640, 480)),
        ("0.25mp", (1000, 1000), (500, 500)),
        ("1mp", (2000, 2000), (1000, 1000)),
        (".5mp", (2000, 1000), (1000, 500)),
        ("1mp", (1000, 999), (1000, 999)),
        ("full", (12345, 7), (12345, 7)),
        # Odd shapes round to whole pixels, and never to none.
        ("100", (1000, 333), (100, 33)),
        ("100", (333, 1000), (33, 100)),
        ("100", (7, 30), (7, 30)),
        ("10", (1000, 3), (10, 1)),
        ("1", (1920, 1080), (1, 1)),
        ("0.000001mp", (640, 480), (1, 1)),
    ],
)
def test_size(rule: str | int, before: tuple[int, int], after: tuple[int, int]) -> None:
    assert SizeRule.parse(rule).apply(*before) == after


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [
        ("512", (256, 128), (512, 256)),
        ("short:400", (200, 300), (400, 600)),
        ("0.04mp", (100, 100), (200, 200)),
        ("full", (100, 100), (100, 100)),
        ("50", (100, 100), (50, 50)),
    ],
)
def test_upscaling_is_asked_for(rule: str, before: tuple[int, int], after: tuple[int, int]) -> None:
    assert SizeRule.parse(rule).apply(*before, upscale=True) == after


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        *((word, "not understood") for word in ("", "huge", "-5", "512.5", "short:", "short:1.5", "640 x 480", "640x", "x480")),
        *((word, "not understood") for word in ("mp", "1e3mp", "long 5", "9" * 400, "9" * 5000, "9" * 400 + "mp")),
        *((word, "is empty") for word in ("0", "short:0", "0x5", "5x0", "0mp", "0.0mp")),
    ],
)
def test_bad_words(rule: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SizeRule.parse(rule)


def test_a_rule_is_its_own_rule() -> None:
    rule = SizeRule("exact", 3, 4)
    assert SizeRule.parse(rule) is rule


def test_resizing_is_antialiased() -> None:
    """A checkerboard of single pixels shrinks to mid grey; picking pixels would keep black or white."""
    board = torch.from_numpy(np.indices((64, 64)).sum(0) % 2).float().expand(1, 3, 64, 64)
    for side in (8, 15, 16):
        assert (resize(board, side, side) - 0.5).abs().max() < 0.02


def test_resizing_keeps_a_flat_picture_and_its_range() -> None:
    assert torch.allclose(resize(torch.full((1, 3, 9, 7), 0.3), 5, 11), torch.tensor(0.3), atol=1e-6)
    edge = torch.zeros(1, 3, 16, 16)
    edge[..., 8:] = 1  # bicubic overshoots at an edge
    big = resize(edge, 40, 40)
    assert big.min() == 0
    assert big.max() == 1


def test_invisible_colours_do_not_bleed() -> None:
    """Red where opaque, green where invisible: however small, what can be seen stays red."""
    pixels = torch.zeros(1, 3, 32, 32)
    pixels[:, 0, :, :15] = 1
    pixels[:, 1, :, 15:] = 1
    alpha = torch.zeros(1, 1, 32, 32)
    alpha[..., :15] = 1
    small = Picture(pixels, alpha).resized("8")
    assert small.alpha is not None
    seen = small.alpha[0, 0] > 0.05
    assert seen[:, 3].all()  # the column that holds the edge is partly transparent
    assert 0 < small.alpha[0, 0, 0, 3] < 1
    assert torch.allclose(small.pixels[0, 0][seen], torch.tensor(1.0), atol=1e-3)
    assert small.pixels[0, 1][seen].max() < 1e-3
    assert torch.allclose(small.pixels[0, 1][:, 7], torch.tensor(1.0), atol=1e-3)  # invisible places keep their colour


def test_an_unchanged_size_changes_nothing() -> None:
    picture = Picture(torch.rand(1, 3, 5, 6))
    assert picture.resized("full") is picture
    assert picture.resized(600) is picture
    small = picture.resized("3x2")
    assert (small.width, small.height) == (3, 2)
