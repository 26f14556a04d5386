"""Strip by strip gives what the whole gives."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch
from foreign_nets import randomised

from stylenet.errors import InputError, RunError
from stylenet.images.picture import Picture
from stylenet.network import tiling
from stylenet.network.cards import Card
from stylenet.network.styles import Style
from stylenet.network.tiling import map_bytes, style_in_strips, style_picture
from stylenet.network.transform_net import PRESETS, NetSettings, TransformNet
from stylenet.video.steady import PooledStatistics

VARIANTS = [
    {},
    {"upsample": "nearest"},
    {"upsample": "transposed"},
    {"norm": "batch", "output": "tanh"},
    {"residual_relu": True, "output": "relu", "space": "imagenet"},
    {"space": "bytes", "residual_blocks": 0},
    {"stem": 2},
    {"stem": 2, "upsample": "transposed", "space": "imagenet"},
]


def network(**options: object) -> TransformNet:
    torch.manual_seed(0)
    return randomised(TransformNet(NetSettings(**{"width": 4, "residual_blocks": 2, **options}))).eval()


def picture(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height * 1000 + width))


@pytest.mark.parametrize("options", VARIANTS, ids=str)
@pytest.mark.parametrize("size", [(8, 8), (9, 31), (37, 50), (101, 64), (130, 13)], ids=str)
@pytest.mark.parametrize("strip", [4, 8, 20, None])
def test_strips_equal_the_whole(options: dict[str, object], size: tuple[int, int], strip: int | None) -> None:
    net, photo = network(**options), picture(*size)
    assert torch.allclose(style_in_strips(net, photo, strip), net(photo), atol=1e-5)


def test_the_standard_network_at_an_odd_size() -> None:
    torch.manual_seed(0)
    net, photo = TransformNet().eval(), picture(213, 149)
    difference = (style_in_strips(net, photo, 40) - net(photo)).abs().max().detach()
    assert 0 < float(difference) < 1e-5


def test_maps_in_a_file(tmp_path: Path) -> None:
    net, photo = network(), picture(61, 43)
    assert torch.equal(style_in_strips(net, photo, 16, tmp_path), style_in_strips(net, photo, 16))
    assert list(tmp_path.iterdir()) == []


def test_bf16_strips_stay_near() -> None:
    net, photo = TransformNet(PRESETS["quarter"]).eval(), picture(64, 64)
    strips = style_in_strips(net, photo, 16, dtype=torch.bfloat16)
    assert float((strips - net(photo)).detach().abs().mean()) < 1 / 255


def test_strips_by_their_own_statistics_would_be_wrong() -> None:
    """The test above can fail: this is what it guards against."""
    net, photo = network(), picture(64, 64)
    halves = torch.cat([net(photo[..., :32, :]), net(photo[..., 32:, :])], dim=2)
    assert float((halves - net(photo)).detach().abs().max()) > 1e-2


def test_merged_statistics_are_those_of_the_whole() -> None:
    """Far from zero, where sums of squares would cancel."""
    values = torch.randn(1, 5, 60, 7, generator=torch.Generator().manual_seed(0)) * 0.01 + 1000
    merged = tiling._Merged()
    for part in values.split([1, 30, 10, 19], dim=2):
        merged.add(part)
    mean, variance = merged.statistics()
    exact = values.double()
    assert torch.allclose(mean.double(), exact.mean(dim=(2, 3)), rtol=1e-6)
    assert torch.allclose(variance.double(), exact.var(dim=(2, 3), correction=0), rtol=1e-2)


def test_map_bytes_are_the_peak_of_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    kept: dict[int, int] = {}

    class Counted(tiling._MemoryStore):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)  # type: ignore[arg-type]
            kept[id(self)] = self.values.numel() * 4
            sizes.append(sum(kept.values()))

        def __del__(self) -> None:
            kept.pop(id(self), None)

    monkeypatch.setattr(tiling, "_MemoryStore", Counted)
    gc.collect()
    net = network()
    style_in_strips(net, picture(64, 96), 16)
    assert max(sizes) == map_bytes(net, 64, 96, torch.float32)


def test_which_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []

    def strips(net: object, photo: object, strip: object, folder: object, *others: object) -> torch.Tensor:
        taken.append(f"{strip} {folder}")
        return picture(8, 8)

    monkeypatch.setattr(tiling, "_whole", lambda *arguments: taken.append("whole") or picture(8, 8))
    monkeypatch.setattr(tiling, "style_in_strips", strips)
    monkeypatch.setenv("TMPDIR", "disk")
    monkeypatch.setattr(tiling.tempfile, "tempdir", None)
    monkeypatch.setattr(tiling.tempfile, "_candidate_tempdir_list", lambda: ["/tmp"])
    net, photo = network(), picture(100, 100)
    for tile, free, memory in (
        ("auto", 1e9, 1e9),
        ("auto", 1e5, 1e9),
        ("auto", 1e5, 1e4),
        (0, 0, 0),
        (16, 1e9, 1e9),
        (16, 0, 0),
    ):
        monkeypatch.setattr(tiling, "free_memory", lambda device, free=free: int(free))
        monkeypatch.setattr(tiling, "_IN_MEMORY", memory)
        style_picture(net, photo, tile)
    assert taken == ["whole", "16 /tmp", "16 /tmp", "whole", "16 None", "16 /tmp"]


def test_a_style_takes_strips_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    net, photo = network(), picture(40, 40)
    whole = Style(net, Card("a"))(Picture(photo))
    monkeypatch.setattr(tiling, "free_memory", lambda device: 1000)
    strips = Style(net, Card("a"))(Picture(photo))
    assert not isinstance(whole, torch.Tensor)
    assert not isinstance(strips, torch.Tensor)
    assert torch.allclose(whole.pixels, strips.pixels, atol=1e-5)


def test_a_batch_counts_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiling, "free_memory", lambda device: int(2 * 1.5 * 40 * 40 * 4 * 4 * tiling._WHOLE_VALUES))
    monkeypatch.setattr(tiling, "_whole", lambda *arguments: pytest.fail("there is no room for both"))
    photos = torch.cat([picture(40, 40), picture(40, 40).flip(2)])
    net = network()
    assert torch.allclose(style_picture(net, photos), net(photos).clamp(0, 1), atol=1e-5)


def test_pooled_statistics_in_strips() -> None:
    """Those of the frames before count in the same layers as without strips."""
    net, frames = network(), [picture(40, 24), picture(40, 24).flip(2) * 0.3]
    results = []
    for tile in (0, 8):
        pools = [PooledStatistics(0.7) for _ in range(net.norm_count)]
        results.append([style_picture(net, frame, tile, pools=pools) for frame in frames])
    assert torch.allclose(results[0][1], results[1][1], atol=1e-5)
    assert float((results[0][1] - style_picture(net, frames[1], 0)).abs().max()) > 1e-3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_strips_on_a_gpu_in_bf16() -> None:
    net, photo = network().cuda(), picture(64, 48)
    strips = style_picture(net, photo, 16, torch.bfloat16)
    assert strips.device == photo.device
    assert float((strips - style_picture(net, photo, 0)).abs().mean()) < 2 / 255


@pytest.mark.parametrize("tile", [0, 16, "auto"])
def test_a_picture_that_is_too_small(tile: int | str) -> None:
    with pytest.raises(InputError, match="7 x 20 pixels is too small"):
        style_picture(network(), picture(20, 7), tile)  # type: ignore[arg-type]


def test_a_negative_tile() -> None:
    with pytest.raises(InputError, match="tile is -1"):
        style_picture(network(), picture(20, 20), -1)


def test_a_disk_that_is_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Full:
        def seek(self, position: int) -> None: ...

        def write(self, data: memoryview) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tiling.tempfile, "TemporaryFile", lambda **options: Full())
    with pytest.raises(RunError, match=r"no room for .* GB of temporary data \(No space left on device\): set TMPDIR"):
        style_in_strips(network(), picture(20, 20), folder=tmp_path)


def test_progress_ends_at_the_end() -> None:
    shares: list[float] = []
    style_in_strips(network(), picture(40, 24), 8, observe=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)


@pytest.mark.parametrize(("room", "rows"), [(2**34, None), (2**27, 84), (2**20, 16)])
def test_strips_fit_into_what_memory_there_is(monkeypatch: pytest.MonkeyPatch, room: int, rows: int | None) -> None:
    """Where a container has less than strips of the usual size want, strips are lower and maps go to a file."""
    taken = {}

    def strips(net: TransformNet, picture: torch.Tensor, strip: int | None, folder: object, *_: object) -> torch.Tensor:
        taken.update(strip=strip, folder=folder)
        return torch.zeros(1, 3, 8, 8)

    monkeypatch.setattr(tiling, "free_memory", lambda device: 2 * room)
    monkeypatch.setattr(tiling, "style_in_strips", strips)
    net = TransformNet(NetSettings(width=8, residual_blocks=1))
    # Seen as large without being so: a row of 3,100 pixels and many of them.
    picture = torch.zeros(1, 3, 1, 1).expand(1, 3, 200_000, 3100)
    style_picture(net, picture, "auto")
    assert taken["strip"] == rows
    assert taken["folder"] is not None


def test_a_small_room_sends_maps_to_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = []
    monkeypatch.setattr(tiling, "style_in_strips", lambda net, picture, strip, folder, *_: folders.append(folder) or picture)
    net, picture = TransformNet(NetSettings(width=8, residual_blocks=1)), torch.rand(1, 3, 64, 64)
    for free in (2**32, 2**10):
        monkeypatch.setattr(tiling, "free_memory", lambda device, free=free: free)
        style_picture(net, picture, 16)
    assert folders[0] is None
    assert folders[1] is not None
