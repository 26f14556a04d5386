"""Pooled statistics against pooling by hand; flow and warping against known shifts; cuts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stylenet.video.steady import PooledStatistics, Steadied, alike, is_cut, optical_flow, to_grey, trusted, warp


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """``[H, W]`` bytes with detail at several scales."""
    generator = torch.Generator().manual_seed(seed)
    layers = [
        F.interpolate(torch.randn(1, 1, height // s + 2, width // s + 2, generator=generator), (height, width), mode="bicubic")
        for s in (2, 4, 8, 16)
    ]
    total = sum(layers)
    assert isinstance(total, Tensor)
    return (total[0, 0] * 30 + 128).clamp(0, 255).byte().numpy()


def shifted(right: int, down: int, height: int = 96, width: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Two views of one texture: what is at (x, y) in the first is at (x + right, y + down) in the second."""
    whole = texture(height + 40, width + 40)
    first = whole[20 : 20 + height, 20 : 20 + width]
    second = whole[20 - down : 20 - down + height, 20 - right : 20 - right + width]
    return np.ascontiguousarray(first), np.ascontiguousarray(second)


# --- statistics -------------------------------------------------------------------------------------------------------


def test_pooled_statistics_are_those_of_weighted_values() -> None:
    """Against all values of all frames with one weight for each frame, in float64."""
    frames = [torch.randn(1, 3, 5, 7, generator=torch.Generator().manual_seed(i)) * (i + 1) + i for i in range(4)]
    pooled = PooledStatistics(0.6)
    for count, frame in enumerate(frames, 1):
        mean, variance = pooled(frame)
        weights = [0.6 ** (count - 1)] + [0.4 * 0.6 ** (count - 1 - i) for i in range(1, count)]
        values = np.concatenate([f[0].double().reshape(3, -1).numpy() for f in frames[:count]], axis=1)
        each = np.repeat(np.array(weights) / 35, 35)
        expected = (values * each).sum(1)
        assert np.allclose(mean[0], expected, atol=1e-5)
        assert np.allclose(variance[0], ((values - expected[:, None]) ** 2 * each).sum(1), rtol=1e-5)


def test_pooling_makes_statistics_vary_less() -> None:
    frames = [torch.randn(1, 8, 6, 6, generator=torch.Generator().manual_seed(i)) for i in range(30)]
    steps = {}
    for keep in (0.0, 0.8):
        pooled = PooledStatistics(keep)
        means = torch.stack([pooled(frame)[0] for frame in frames])
        steps[keep] = float((means[1:] - means[:-1]).square().mean())
    assert steps[0.8] < 0.1 * steps[0.0]


# --- flow -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("right", "down"), [(5, 0), (-3, 4), (0, -7)])
def test_flow_of_a_shift(right: int, down: int) -> None:
    first, second = shifted(right, down)
    flow = optical_flow(first, second)[16:-16, 16:-16]
    assert np.median(flow[..., 0]) == pytest.approx(right, abs=0.1)
    assert np.median(flow[..., 1]) == pytest.approx(down, abs=0.1)


def test_warped_by_the_flow_it_fits() -> None:
    before, now = shifted(6, -3)
    backward, forward = optical_flow(now, before), optical_flow(before, now)
    moved = warp(torch.from_numpy(before)[None, None].float() / 255, backward)
    valid = trusted(backward, forward) > 0
    error = np.abs(moved[0, 0].numpy() - now / 255.0)
    assert valid.mean() > 0.7
    assert error[valid].mean() < 0.02
    assert np.abs(before / 255.0 - now / 255.0)[valid].mean() > 0.08


def test_warping_by_whole_pixels_is_exact() -> None:
    picture = torch.rand(1, 3, 12, 17)
    flow = np.zeros((12, 17, 2), np.float32)
    flow[..., 0], flow[..., 1] = 3, -2
    moved = warp(picture, flow)
    assert torch.allclose(moved[..., 2:, :-3], picture[..., :-2, 3:], atol=1e-6)
    assert moved.shape == picture.shape


def test_what_was_hidden_is_not_trusted() -> None:
    """A square moves right by 8 pixels over a still ground: what it uncovers has no place in the frame before."""
    ground, square = texture(160, 192, seed=1), texture(80, 80, seed=2)
    before, now = ground.copy(), ground.copy()
    before[40:120, 50:130] = square
    now[40:120, 58:138] = square
    backward = optical_flow(now, before)
    valid = trusted(backward, optical_flow(before, now)) * alike(before, now, backward)
    assert valid[44:116, 51:57].mean() < 0.2
    assert valid[52:108, 76:124].mean() > 0.8
    assert valid[8:24, 8:184].mean() > 0.9


def test_outside_is_not_trusted() -> None:
    flow = np.full((20, 30, 2), 6.0, np.float32)
    valid = trusted(flow, -flow)
    assert valid[:14, :24].all()
    assert not valid[14:].any()
    assert not valid[:, 24:].any()


@pytest.mark.parametrize("size", [(8, 8), (12, 300), (9, 31), (48, 64)])
def test_flow_of_small_frames(size: tuple[int, int]) -> None:
    assert optical_flow(texture(*size), texture(*size, seed=1)).shape == (*size, 2)


# --- together ---------------------------------------------------------------------------------------------------------


class Noisy:
    """A style that flickers: the frame and fresh noise."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)
        self.new_scenes = 0

    def __call__(self, frame: Tensor) -> Tensor:
        return (frame + 0.1 * torch.randn(frame.shape, generator=self.generator)).clamp(0, 1)

    def new_scene(self) -> None:
        self.new_scenes += 1


def test_steadied_flickers_less() -> None:
    still = torch.from_numpy(texture(64, 80)).float().div(255).expand(1, 3, -1, -1)
    change = {}
    for steady in (0.0, 0.7):
        engine = Steadied(Noisy(), steady)
        outputs = torch.stack([engine(still) for _ in range(12)])[4:]
        change[steady] = float((outputs[1:] - outputs[:-1]).square().mean())
    assert change[0.7] < 0.2 * change[0.0]


def test_a_cut_begins_anew() -> None:
    first, second = (torch.from_numpy(texture(64, 80, seed)).float().div(255).expand(1, 3, -1, -1) for seed in (1, 2))
    noisy = Noisy()
    engine = Steadied(noisy, 1.0)
    engine(first * 0.4)
    kept = engine(first * 0.4)
    after = engine(second * 0.4 + 0.6)
    assert (noisy.new_scenes, engine.scenes) == (2, 2)
    assert (kept - first * 0.4).abs().mean() < 0.1
    assert (after - second * 0.4 - 0.6).abs().mean() < 0.1


def test_cuts() -> None:
    first, second = shifted(2, 1)
    dark, light = (first * 0.3).astype(np.uint8), (255 - first * 0.3).astype(np.uint8)
    assert not is_cut(first, second)
    assert is_cut(dark, light)
    assert is_cut(first, first[:-1])


def test_grey() -> None:
    frame = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]).reshape(4, 3).T.reshape(1, 3, 2, 2)
    assert to_grey(frame).tolist() == [[76, 150], [29, 255]]
