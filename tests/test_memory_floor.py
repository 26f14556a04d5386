"""Work that no memory is there for is refused before it begins, in one line, and not killed in its midst."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import noise
from PIL import Image

from stylenet import devices
from stylenet.commands.cli import main
from stylenet.devices import check_memory
from stylenet.errors import RunError
from stylenet.images import decoding
from stylenet.images.picture import read_image
from stylenet.losses.vgg import VGG
from stylenet.network.tiling import style_picture
from stylenet.network.transform_net import NetSettings, TransformNet
from stylenet.optimization import scratch
from stylenet.optimization.planning import check_search
from stylenet.optimization.settings import OptimizeSettings


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list whose only number is what is free; nothing can be swapped."""
    bytes_free = [0]
    monkeypatch.setattr(devices, "free_main_memory", lambda swap=False: bytes_free[0])
    return bytes_free


def test_both_numbers_are_told(free: list[int]) -> None:
    free[0] = 1_000_000_000
    check_memory("work", 1_000_000_000)
    with pytest.raises(RunError, match=r"^work need 1\.50 GB of memory or more, and 1\.00 GB are free: take a smaller size$"):
        check_memory("work", 1_500_000_000)


def test_what_can_be_swapped_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "free_main_memory", lambda swap=False: 2_000_000_000 if swap else 0)
    check_memory("work", 1_500_000_000)


def test_what_earlier_work_has_left_is_given_back(free: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The second large photo of a folder must not be refused for the freed memory of the first."""
    monkeypatch.setattr(devices, "give_back_memory", lambda: free.__setitem__(0, 2_000_000_000))
    check_memory("work", 1_500_000_000)


def test_a_photo_whose_result_memory_would_not_hold(free: list[int]) -> None:
    net, picture = TransformNet(NetSettings(width=4, residual_blocks=1)), torch.rand(1, 3, 64, 96)
    free[0] = 10_000_000
    assert style_picture(net, picture, 16).shape == picture.shape
    free[0] = 96 * 64 * 16
    with pytest.raises(RunError, match=r"96 x 64 pixels need .* GB of memory or more"):
        style_picture(net, picture, 16)


@pytest.mark.parametrize("kind", ["file", "opened"])
def test_a_picture_that_memory_would_not_hold(
    kind: str, free: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "photo.png"
    Image.new("RGB", (100, 50)).save(path)
    source = path if kind == "file" else Image.open(path)
    free[0] = 100 * 50 * 20
    assert read_image(source).pixels.shape == (1, 3, 50, 100)  # too small to ask
    monkeypatch.setattr(decoding, "_SMALL", 1000)
    with pytest.raises(RunError, match=r"^the 100 x 50 pixels of .* need .*: make it smaller with another program first"):
        read_image(source)


@pytest.mark.parametrize("verb", ["optimize", "reconstruct"])
def test_a_search(verb: str, free: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(noise(64, 96, 1)).save(photo)
    style = [str(photo)] if verb == "optimize" else []
    assert main([verb, str(photo), *style, "-o", str(tmp_path / "out.png"), "--steps", "1", "--device", "cpu"]) == 1
    assert "96 x 64 pixels need" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_a_search_in_files(free: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A search at 2048 pixels was refused where 1.21 GB were free, before more of it lay in files."""
    monkeypatch.setattr(scratch, "free_main_memory", lambda: free[0])
    network = VGG(["relu1_1", "relu2_1"], weights="random")
    free[0] = 500_000_000
    with pytest.raises(RunError, match=r"2048 x 2048 pixels need 0\.63 GB of memory or more, and 0\.50 GB are free"):
        check_search(network, 2048, 2048, torch.device("cpu"), OptimizeSettings())
    free[0] = 1_210_000_000
    check_search(network, 2048, 2048, torch.device("cpu"), OptimizeSettings())
    with pytest.raises(RunError, match=r"2048 x 2048 pixels need 2\.2\d GB"):  # its curvature pairs lie in memory
        check_search(network, 2048, 2048, torch.device("cpu"), OptimizeSettings(line_search=True))
    free[0] = 650_000_000
    with pytest.raises(RunError, match=r"2048 x 2048 pixels need 0\.73 GB"):
        check_search(network, 2048, 2048, torch.device("cpu"), OptimizeSettings(optimizer="adam"))


def test_a_search_in_memory(free: list[int]) -> None:
    """Pictures that do not go to files need more for each pixel."""
    network = VGG(["relu1_1", "relu2_1"], weights="random")
    free[0] = 250_000_000
    with pytest.raises(RunError, match=r"1024 x 1024 pixels need 0\.31 GB of memory or more, and 0\.25 GB are free"):
        check_search(network, 1024, 1024, torch.device("cpu"), OptimizeSettings())
