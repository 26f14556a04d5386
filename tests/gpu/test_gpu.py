"""What only a GPU can show: the same numbers as the processor's, in every precision, and what is quicker there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from training_kit import LOSS, PAINTING, TINY, fit, make_photos, module, photos

from stylenet.images.picture import Picture, read_image, write_image
from stylenet.inference.graphs import REPEATS, FixedSizeNetwork
from stylenet.inference.groups import join_pictures, split_pictures
from stylenet.inference.stylize_files import stylize_files
from stylenet.inference.stylizer import Stylizer
from stylenet.losses.perceptual import PerceptualLoss
from stylenet.network.looks import LookTable
from stylenet.network.styles import load_style
from stylenet.network.tiling import style_picture
from stylenet.network.transform_net import TransformNet
from stylenet.optimization.engine import optimize_pixels
from stylenet.optimization.settings import OptimizeSettings

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]

STYLES = ("starry_night", "starry_night_swift")


def picture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shapes = torch.nn.functional.interpolate(torch.rand(1, 3, 6, 6, generator=generator), (height, width), mode="bicubic")
    return shapes.clamp(0, 1)


@pytest.fixture(autouse=True)
def exact() -> None:
    """Float32 means float32: TF32 keeps ten bits."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("size", [(256, 256), (127, 333)])
def test_networks_as_on_the_processor(style: str, size: tuple[int, int]) -> None:
    photo = picture(*size)
    net = load_style(style).net
    expected = style_picture(net, photo)
    found = style_picture(load_style(style, "cuda").net, photo)
    assert found.device.type == "cpu"
    assert float((found - expected).abs().max()) <= 2e-3


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_within_a_level(style: str, dtype: torch.dtype) -> None:
    photo = picture(512, 512)
    net = load_style(style, "cuda").net
    difference = (style_picture(net, photo, 0, dtype) - style_picture(net, photo, 0, torch.float32)).abs().mean()
    assert 255 * float(difference) <= 1.2


@pytest.mark.parametrize("style", STYLES)
def test_photos_in_a_group_are_what_they_are_alone(style: str) -> None:
    stylizer = Stylizer(style, device="cuda", precision="32")
    photos = [Picture(picture(128, 192, seed)) for seed in range(5)]
    together = split_pictures(stylizer(join_pictures(photos)), photos)
    for photo, found in zip(photos, together, strict=True):
        assert float((stylizer(photo).pixels - found.pixels).abs().max()) <= 2e-3


def test_a_folder_is_styled_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine photos of one size and one of another go through the network in two calls."""
    for index in range(10):
        write_image(picture(96, 128 if index < 9 else 96, index), tmp_path / "photos" / f"{index}.png")
    calls: list[int] = []
    call = Stylizer.__call__

    def noted(self: Stylizer, photo: Picture) -> Picture:
        calls.append(len(photo.pixels))
        return call(self, photo)

    monkeypatch.setattr(Stylizer, "__call__", noted)
    summary = stylize_files([str(tmp_path / "photos")], ["starry_night_swift"], str(tmp_path / "out"), device="cuda")
    assert (summary.done, summary.failures) == (10, [])
    assert sorted(calls) == [1, 9]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_graph_paints_the_same(dtype: torch.dtype) -> None:
    """Of pictures from either side, of one size and then of another."""
    net = load_style("starry_night_swift", "cuda").net.to(memory_format=torch.channels_last)
    fixed = FixedSizeNetwork(net, dtype)
    for size in ((128, 96), (64, 64)):
        for seed in range(REPEATS + 2):
            photo = picture(*size, seed)
            expected = style_picture(net, photo, 0, dtype)
            for place in ("cpu", "cuda"):
                found = fixed(photo.to(place))
                assert found.device.type == place
                assert torch.allclose(found.cpu(), expected, atol=1e-5 if dtype == torch.float32 else 2e-2)
    assert fixed._replay is not None


def test_a_graph_is_recorded_while_other_threads_take_memory() -> None:
    """As those that read the next photos do: pinned memory is taken by a call that a recording may forbid to all threads."""
    net = load_style("starry_night_swift", "cuda").net.to(memory_format=torch.channels_last)
    fixed, photo, ended = FixedSizeNetwork(net), picture(64, 64), threading.Event()
    held: list[torch.Tensor] = []  # memory that is given back would be taken again without asking the driver

    def take_memory() -> None:
        while not ended.is_set() and len(held) < 400:
            held.append(torch.empty(2**20, dtype=torch.uint8, pin_memory=True))

    thread = threading.Thread(target=take_memory)
    thread.start()
    for _ in range(REPEATS + 1):
        fixed(photo)
    ended.set()
    thread.join()
    assert held
    assert fixed._replay is not None


def test_stylizer() -> None:
    photo = Picture(picture(200, 300))
    expected = Stylizer("udnie", device="cpu", precision="32")(photo).pixels
    found = Stylizer("udnie", device="cuda", precision="32")(photo).pixels
    assert float((found.cpu() - expected).abs().max()) <= 2e-3


def test_the_loss_and_its_gradient() -> None:
    painting = read_image(PAINTING, 128).pixels
    results = []
    for device in ("cpu", "cuda"):
        loss = PerceptualLoss(LOSS).to(device)
        targets = loss.targets(picture(96, 96).to(device), [painting.to(device)])
        pixels = picture(96, 96, 1).to(device).requires_grad_()
        total = loss(pixels, targets).total
        total.backward()
        results.append((float(total.detach()), pixels.grad.cpu()))
    (one, slope), (other, other_slope) = results
    assert other == pytest.approx(one, rel=1e-4)
    assert float((slope - other_slope).norm()) <= 1e-3 * float(slope.norm())


def test_looks() -> None:
    net = TransformNet(TINY)
    table = LookTable(net, ["a", "b"])
    with torch.no_grad():
        table.table += 0.3 * torch.randn_like(table.table)
    batch = torch.cat([picture(48, 48), picture(48, 48, 1)])
    expected = table(net, batch, [1, 0])
    found = table.cuda()(net.cuda(), batch.cuda(), [1, 0])
    assert torch.allclose(found.cpu(), expected, atol=1e-4)


def test_pictures_of_one_size() -> None:
    """A stylizer gives ordinary tensors, the same ones when it replays."""
    stylizer = Stylizer("starry_night_swift", device="cuda", precision="32")
    seeds = (*range(REPEATS + 2), 0)
    photos = [torch.rand(1, 3, 64, 48, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    styled = [stylizer(photo) for photo in photos]
    assert torch.allclose(styled[0], styled[-1], atol=1e-4)
    assert not torch.allclose(styled[1], styled[2], atol=1e-2)
    assert not any(one.is_inference() for one in styled)


def test_optimize() -> None:
    settings = OptimizeSettings(size=128, steps=10, device="cuda")
    result = optimize_pixels(picture(128, 128), [read_image(PAINTING, 128).pixels], LOSS, settings)
    assert result.steps == 10
    assert result.picture.device.type == "cpu"


@pytest.mark.parametrize("several", ["mixed", "looks"])
def test_training(tmp_path: Path, several: str) -> None:
    """In the precision that the GPU gains from, the objective falls."""
    folder = make_photos(tmp_path / "photos")
    model = module(learning_rate=5e-3, several=several)
    seen: list[float] = []
    model.on_after_backward = lambda: seen.append(float(model.trainer.callback_metrics["train/objective"]))
    fit(model, photos(folder, workers=1), 60, accelerator="gpu", devices=1, precision="bf16-mixed")
    assert sum(seen[-5:]) < 0.5 * sum(seen[:5])


@pytest.fixture
def tidy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A trainer leaves the mode behind; cuBLAS reads its variable when it is used first."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize("several", ["mixed", "looks"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_deterministic_training(several: str, precision: str, tmp_path: Path) -> None:
    """Nothing is refused, disturbed photos included, and two trainings are the same to the bit."""
    folder = make_photos(tmp_path / "photos")
    results = []
    for _ in range(2):
        torch.manual_seed(0)
        model = module(several=several, stability_weight=2.0)
        fit(model, photos(folder), 4, accelerator="gpu", devices=1, precision=precision, deterministic=True)
        results.append({name: weight.cpu().clone() for name, weight in model.state_dict().items()})
    one, other = results
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
