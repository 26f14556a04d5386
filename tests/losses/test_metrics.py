"""The metrics against float64 loops, and against defects of known size."""

from __future__ import annotations

import math

import numpy as np
import pytest
import reference
import torch
from torch import Tensor
from torch.nn import functional as F

from stylenet.losses.metrics import border_index, checkerboard_index, content_lost, saturation, style_errors

PHOTOS = ["astronaut", "chelsea", "coffee", "rocket"]


@pytest.fixture(scope="module")
def photos() -> Tensor:
    return torch.cat([reference.photo(name, 128, 128) for name in PHOTOS])


def wave(down: float, across: float, height: int = 128, width: int = 128) -> Tensor:
    """A cosine of that many cycles per pixel, between -1 and 1."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.cos(2 * math.pi * (down * y + across * x))


def blurred(pictures: Tensor, sigma: float) -> Tensor:
    weights = torch.exp(-(torch.arange(-8.0, 9.0) ** 2) / (2 * sigma**2))
    kernel = torch.outer(weights, weights)[None, None].expand(3, 1, 17, 17) / weights.sum() ** 2
    return F.conv2d(F.pad(pictures, (8, 8, 8, 8), mode="reflect"), kernel, groups=3)


# --- checkerboard -----------------------------------------------------------------------------------------------------


def largest_peak(pictures: np.ndarray) -> float:
    """Of ``[B, 3, H, W]``, the largest ratio of power at any period of 2 and 4 pixels to that around, by Fourier's sums."""
    height, width = (side - side % 4 for side in pictures.shape[2:])
    luma = 0.2126 * pictures[:, 0] + 0.7152 * pictures[:, 1] + 0.0722 * pictures[:, 2]
    luma = luma[:, :height, :width].astype(np.float64)
    y, x = np.arange(height), np.arange(width)
    window = np.outer(np.sin(math.pi * y / height) ** 2, np.sin(math.pi * x / width) ** 2)
    flat = [(picture - picture.mean()) * window for picture in luma]
    ratios = []
    for down in range(0, height, height // 4):
        for across in range(0, width, width // 4):
            if down == across == 0:
                continue  # the mean, which is no pattern
            inner, outer = [], []
            for i in range(-6, 7):
                for j in range(-6, 7):
                    if max(abs(i), abs(j)) != 2:
                        turns = np.add.outer((down + i) * y / height, (across + j) * x / width)
                        turn = np.exp(-2j * math.pi * turns)
                        power = np.mean([abs((picture * turn).sum()) ** 2 for picture in flat])
                        (inner if max(abs(i), abs(j)) < 2 else outer).append(power)
            ratios.append(np.mean(inner) / np.mean(outer))
    return max(ratios)


@pytest.mark.parametrize(("height", "width", "down", "across"), [(64, 64, 0.25, -0.25), (67, 74, 0.5, 0.0)])
def test_checkerboard_against_sums(height: int, width: int, down: float, across: float) -> None:
    photos = torch.cat([reference.photo(name, height, width) for name in ("chelsea", "rocket")])
    styled = photos.flip(0).sqrt() + 0.02 * wave(down, across, height, width)
    expected = largest_peak(styled.numpy()) / largest_peak(photos.numpy())
    assert expected > 1.5  # not the trivial case
    assert float(checkerboard_index(styled, photos)) == pytest.approx(expected, rel=1e-3)


def test_photos_are_as_photos(photos: Tensor) -> None:
    index = checkerboard_index(photos, photos)
    assert index.shape == ()
    assert float(index) == 1
    # Neither contrast nor brightness matters.
    assert float(checkerboard_index(photos * 0.3 + 0.5, photos)) == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("down", [0.0, 0.25, 0.5, -0.25])
@pytest.mark.parametrize("across", [0.0, 0.25, 0.5])
def test_patterns_of_upsampling_stand_out(photos: Tensor, down: float, across: float) -> None:
    if down == across == 0:
        return
    assert float(checkerboard_index(photos + 0.05 * wave(down, across), photos)) > 50
    # A twentieth of what a byte can tell apart counts for little.
    assert 0.5 < float(checkerboard_index(photos + 0.0002 * wave(down, across), photos)) < 2


def test_a_pattern_in_one_picture_of_a_batch_counts(photos: Tensor) -> None:
    styled = photos.clone()
    styled[2] += 0.05 * wave(0.5, 0.5)
    assert float(checkerboard_index(styled, photos)) > 50


@pytest.mark.parametrize("sigma", [0.7, 1.5])
def test_smooth_changes_are_no_checkerboard(photos: Tensor, sigma: float) -> None:
    assert 0.4 < float(checkerboard_index(blurred(photos, sigma), photos)) < 2.5


def test_other_periods_are_no_checkerboard(photos: Tensor) -> None:
    assert float(checkerboard_index(photos + 0.05 * wave(1 / 3, 1 / 3), photos)) < 2.5


def test_upsampling_by_transposed_convolution(photos: Tensor) -> None:
    """Odena et al.: a stride that does not divide the kernel's size overlaps unevenly; one that does need not."""
    small = F.avg_pool2d(photos, 2)

    def upsampled(size: int) -> Tensor:
        kernel = torch.ones(3, 1, size, size) / size**2 * 4
        return F.conv_transpose2d(small, kernel, stride=2, padding=(size - 1) // 2, groups=3)[..., :128, :128]

    assert float(checkerboard_index(F.pad(upsampled(3), (0, 1, 0, 1), mode="replicate"), photos)) > 50
    assert float(checkerboard_index(upsampled(4), photos[..., :128, :128])) < 10


# --- border -----------------------------------------------------------------------------------------------------------


def border_loop(styled: np.ndarray, photos: np.ndarray, ring: int) -> float:
    """By lists of pixels."""

    def numbers(pictures: np.ndarray) -> np.ndarray:
        rows = []
        for picture in pictures.astype(np.float64):
            height, width = picture.shape[1:]
            outer, inner = [], []
            for y in range(height):
                for x in range(width):
                    near = min(y, x, height - 1 - y, width - 1 - x)
                    (outer if near < ring else inner).append(picture[:, y, x])
            means = np.mean(outer, axis=0) - np.mean(inner, axis=0)
            spreads = np.std(outer, axis=0, ddof=1) - np.std(inner, axis=0, ddof=1)
            rows.append(np.concatenate([means, spreads]))
        return np.mean(rows, axis=0)

    return float(np.abs(numbers(styled) - numbers(photos)).mean())


def framed(pictures: Tensor, ring: int, amount: float) -> Tensor:
    """Brighter by an amount in the outermost pixels."""
    result = pictures + amount
    result[..., ring:-ring, ring:-ring] -= amount
    return result


@pytest.mark.parametrize("ring", [3, 16])
def test_border_against_loops(ring: int) -> None:
    photos = torch.cat([reference.photo(name, 40, 56) for name in ("chelsea", "coffee")])
    styled = framed(photos.flip(3) ** 2, 5, -0.2)
    expected = border_loop(styled.numpy(), photos.numpy(), ring)
    assert float(border_index(styled, photos, ring)) == pytest.approx(expected, rel=1e-4)


def test_a_known_frame(photos: Tensor) -> None:
    assert float(border_index(photos, photos)) == 0
    # Colour differs by 0.1 in each channel and contrast not at all: 0.05 on average.
    assert float(border_index(framed(photos, 16, 0.1), photos)) == pytest.approx(0.05, abs=1e-5)
    assert float(border_index(framed(photos, 16, -0.1), photos)) == pytest.approx(0.05, abs=1e-5)
    # A narrower one is a share of the ring's pixels.
    share = (128**2 - 112**2) / (128**2 - 96**2)
    narrow = float(border_index(framed(photos * 0, 8, 0.1), photos * 0))
    spread = 0.1 * math.sqrt(share * (1 - share) * 7168 / 7167)
    assert narrow == pytest.approx((0.1 * share + spread) / 2, rel=1e-4)


def test_contrast_at_the_border() -> None:
    """Half of the contrast in the ring, at the same mean colour."""
    ring = torch.ones(128, 128, dtype=torch.bool)
    ring[16:-16, 16:-16] = False
    noise = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 0.1 + 0.5
    mean = noise[..., ring].mean(dim=2)[..., None, None]
    quiet = torch.where(ring, (noise - mean) / 2 + mean, noise)
    assert float(border_index(quiet, noise)) == pytest.approx(0.05 / 2, rel=0.03)


def test_what_is_everywhere_is_no_border(photos: Tensor) -> None:
    assert float(border_index(photos + 0.3, photos)) == pytest.approx(0, abs=1e-5)
    # Frames of the opposite sign cancel: padding leaves the same one in every picture.
    both = torch.cat([framed(photos[:1], 16, 0.1), framed(photos[:1], 16, -0.1)])
    assert float(border_index(both, photos[:1].repeat(2, 1, 1, 1))) == pytest.approx(0, abs=1e-5)


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_saturation() -> None:
    values = torch.tensor([-0.5, -1e-6, 0.0, 0.2, 0.5, 1.0, 1.0 + 1e-6, 3.0, 0.1, 0.9, 0.4, 0.3]).view(1, 3, 2, 2)
    assert float(saturation(values)) == pytest.approx(4 / 12)
    assert float(saturation(values.clamp(0, 1))) == 0
    assert saturation(values).shape == ()


def activations(seed: int, channels: int = 4) -> Tensor:
    return torch.randn(2, channels, 5, 6, generator=torch.Generator().manual_seed(seed)) + 0.5


def test_style_errors_against_loops() -> None:
    styled, photos, style = ({"a": activations(seed), "b": activations(seed + 10, 3)} for seed in (0, 1, 2))
    targets = {name: gram(features[:1]) for name, features in style.items()}
    errors = style_errors(styled, photos, {name: torch.from_numpy(target).float() for name, target in targets.items()})
    assert list(errors) == ["a", "b"]
    for name, target in targets.items():
        ratios = []
        for i in range(2):
            ours, theirs = (gram(features[name][i : i + 1])[0] - target[0] for features in (styled, photos))
            ratios.append((ours**2).sum() / (theirs**2).sum())
        assert float(errors[name]) == pytest.approx(np.mean(ratios), rel=1e-4)


def gram(features: Tensor) -> np.ndarray:
    """``[1, C, C]``, divided by the positions."""
    picture = features[0].double().numpy()
    return reference.gram_loop(picture)[None] / picture[0].size


def test_ends_of_style_errors() -> None:
    """1 for the untouched photo, 0 for the style itself; only layers of the style are measured."""
    photos, style = {"a": activations(1), "b": activations(3)}, activations(2)[:1]
    target = {"a": torch.from_numpy(gram(style)).float()}
    assert {name: float(value) for name, value in style_errors(photos, photos, target).items()} == {"a": 1}
    assert float(style_errors({"a": style.repeat(2, 1, 1, 1)}, photos, target)["a"]) == pytest.approx(0, abs=1e-10)
    moved = {"a": photos["a"].flatten(2).flip(2).view_as(photos["a"])}
    assert float(style_errors(moved, photos, target)["a"]) == pytest.approx(1, rel=1e-5)  # places do not matter


def test_content_lost_against_loops() -> None:
    styled, photos = activations(0), activations(1) * torch.tensor([1.0, 5.0]).view(2, 1, 1, 1)
    ratios = []
    for ours, theirs in zip(styled.tolist(), photos.tolist(), strict=True):
        square, spread = [], []
        for c, y, x in np.ndindex(4, 5, 6):
            mean = sum(sum(row) for row in theirs[c]) / 30
            square.append((ours[c][y][x] - theirs[c][y][x]) ** 2)
            spread.append((theirs[c][y][x] - mean) ** 2)
        ratios.append(sum(square) / sum(spread))
    assert float(content_lost(styled, photos)) == pytest.approx(sum(ratios) / 2, rel=1e-5)


def test_ends_of_content_lost() -> None:
    generator = torch.Generator().manual_seed(0)
    styled, photos = (torch.randn(4, 8, 32, 32, generator=generator) + torch.arange(8.0).view(8, 1, 1) for _ in range(2))
    assert float(content_lost(photos, photos)) == 0
    assert float(content_lost(styled, photos)) == pytest.approx(2, rel=0.03)
    assert float(content_lost(styled * 7, photos * 7)) == pytest.approx(float(content_lost(styled, photos)), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_measured_in_single(dtype: torch.dtype) -> None:
    """Squares of a thousand overflow in half precision, and sums of many values lose everything."""
    generator = torch.Generator().manual_seed(0)
    styled, photos = ((1000 + 1000 * torch.rand(2, 3, 128, 128, generator=generator)).to(dtype) for _ in range(2))
    for metric in (checkerboard_index, border_index, content_lost):
        assert float(metric(styled, photos)) == pytest.approx(float(metric(styled.float(), photos.float())), rel=2e-3)
