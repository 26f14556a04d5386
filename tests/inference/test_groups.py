"""Pictures of one size are styled together on a GPU, and nothing else changes. Here the processor takes its place."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import noise
from foreign_nets import randomised
from PIL import Image

from stylenet.errors import Interrupted
from stylenet.images.picture import Picture
from stylenet.inference import Files, Finish, Stylizer, batch, groups, plan_jobs, stylize_many
from stylenet.inference.groups import Groups, can_group, group_size
from stylenet.inference.summary import Summary
from stylenet.network.cards import Card
from stylenet.network.styles import Style
from stylenet.network.transform_net import NetSettings, TransformNet

FINISHES = {
    "plain": Finish(),
    "strength and colours": Finish(strength=0.5, keep_colors="histogram"),
    "larger strokes": Finish(scale=2, keep_colors="luminance"),
    "mask": Finish(mask=np.eye(40, dtype=np.float32), feather=3),
}


def make_stylizer(finish: Finish | None = None) -> Stylizer:
    torch.manual_seed(0)
    net = randomised(TransformNet(NetSettings(width=4, residual_blocks=1)))
    return Stylizer(Style(net, Card("tiny")), finish, device="cpu")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Nine photos: six of one size, of which one has transparent parts, two of another, and one file that is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(9):
        pixels = noise(48 if index in (3, 6) else 40, 56, index)
        if index == 1:
            pixels = np.concatenate([pixels, noise(40, 56, 99)[..., :1]], axis=2)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    (folder / "4.png").write_text("no picture")
    return folder


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let pictures be styled in groups of four at most; how many went through the network at once is noted."""
    monkeypatch.setattr(batch, "can_group", lambda _: True)
    monkeypatch.setattr(batch, "count_lanes", lambda _: 1)
    monkeypatch.setattr(groups, "_MOST", 4)
    calls: list[int] = []
    call = Stylizer.__call__

    def noted(self: Stylizer, picture: Picture) -> Picture:
        calls.append(len(picture.pixels))
        return call(self, picture)

    monkeypatch.setattr(Stylizer, "__call__", noted)
    return calls


def styled(photos: Path, output: Path, *stylizers: Stylizer) -> Summary:
    return stylize_many(plan_jobs([str(photos)], str(output), ["a", "b"][: len(stylizers)]), stylizers, Files())


def assert_same(found: Path, expected: Path) -> None:
    names = sorted(path.name for path in expected.iterdir())
    assert sorted(path.name for path in found.iterdir()) == names
    for name in names:
        ours, theirs = (np.asarray(Image.open(folder / name)).astype(int) for folder in (found, expected))
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() <= 1


@pytest.mark.parametrize("finish", FINISHES.values(), ids=FINISHES)
def test_the_same_results(finish: Finish, photos: Path, tmp_path: Path, together: list[int]) -> None:
    summary = styled(photos, tmp_path / "together", make_stylizer(finish))
    assert together == [4, 2, 2]
    assert (summary.done, [Path(source).name for source, _ in summary.failures]) == (8, ["4.png"])
    assert Image.open(tmp_path / "together" / "1.png").mode == "RGBA"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "can_group", lambda _: False)
        styled(photos, tmp_path / "alone", make_stylizer(finish))
    assert together[3:] == [1] * 8
    assert_same(tmp_path / "together", tmp_path / "alone")


def test_several_styles(photos: Path, tmp_path: Path, together: list[int]) -> None:
    plain, strong = make_stylizer(), make_stylizer(Finish(strength=0.3))
    assert styled(photos, tmp_path / "out", plain, strong).done == 8
    assert together == [4, 4, 2, 2, 2, 2]
    assert len(list((tmp_path / "out").rglob("*.png"))) == 16


def test_what_is_too_much_together_is_styled_alone(
    photos: Path, tmp_path: Path, together: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Stylizer.__call__

    def scarce(self: Stylizer, picture: Picture) -> Picture:
        result = call(self, picture)
        if len(picture.pixels) > 1 or picture.height == 48:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return result

    monkeypatch.setattr(Stylizer, "__call__", scarce)
    summary = styled(photos, tmp_path / "out", make_stylizer())
    assert together == [4, 1, 1, 1, 1, 2, 1, 1, 2, 1, 1]
    assert summary.done == 6
    reasons = {Path(source).name: reason for source, reason in summary.failures}
    assert sorted(reasons) == ["3.png", "4.png", "6.png"]
    assert "not enough memory to style it" in reasons["3.png"]


def test_ctrl_c(photos: Path, tmp_path: Path, together: list[int]) -> None:
    """What was styled is written whole, and what waited is not begun."""

    def stop(summary: Summary, _: int) -> None:
        if summary.tried >= 2 and not summary.interrupted:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        stylize_many(plan_jobs([str(photos)], str(tmp_path / "out"), ["a"]), [make_stylizer()], Files(), stop)
    assert together == [4]
    for path in (tmp_path / "out").iterdir():
        Image.open(path).load()


def test_a_few_wait() -> None:
    """Where every picture has another size, none waits for ever, and memory stays bounded."""
    waiting: Groups[int] = Groups(most=5)
    sizes = [(30, 30), (40, 40), (30, 30), (50, 50), (60, 60), (70, 70)]
    given = [
        group
        for place, (height, width) in enumerate(sizes)
        for group in waiting.add(place, Picture(torch.zeros(1, 3, height, width)))
    ]
    assert given == [[0, 2]]
    assert list(waiting.rest()) == [[1], [3], [4], [5]]
    assert list(waiting.rest()) == []


def test_large_pictures_are_alone() -> None:
    def of(height: int, width: int) -> int:
        return group_size(Picture(torch.zeros(1, 3, 1, 1).expand(1, 3, height, width)))

    assert [of(512, 512), of(1080, 1920), of(2000, 3000)] == [16, 2, 1]


def test_on_a_gpu_alone() -> None:
    on = dataclasses.make_dataclass("On", ["device"])
    assert can_group([on(torch.device("cuda:1"))])
    assert not can_group([on(torch.device("cuda")), on(torch.device("cpu"))])
    assert not can_group([make_stylizer()])
    assert not can_group([lambda picture: picture])
    assert not can_group([])
