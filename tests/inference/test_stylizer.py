"""One picture in a style: strength, colours, masks, scale, transparency."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from foreign_nets import randomised
from PIL import Image

import stylenet
from stylenet.errors import InputError
from stylenet.images.picture import Picture, read_image, write_image
from stylenet.inference.finish import Finish
from stylenet.inference.graphs import FixedSizeNetwork
from stylenet.inference.stylizer import Stylizer, stylize
from stylenet.network.cards import Card
from stylenet.network.shipped import shipped_styles
from stylenet.network.styles import Style, save_style
from stylenet.network.transform_net import NetSettings, TransformNet


def network(seed: int = 0) -> TransformNet:
    torch.manual_seed(seed)
    return randomised(TransformNet(NetSettings(width=4, residual_blocks=1))).eval().requires_grad_(False)


STYLE, OTHER = Style(network(0), Card("one")), Style(network(1), Card("two"))
PHOTO = Picture(torch.rand(1, 3, 37, 50, generator=torch.Generator().manual_seed(1)))


def styled(finish: Finish | None = None, **options: object) -> torch.Tensor:
    return Stylizer(STYLE, finish, precision="32", **options)(PHOTO).pixels  # type: ignore[arg-type]


def half_mask(folder: Path) -> str:
    """White on the left half."""
    mask = Image.new("L", (100, 74))
    mask.paste(255, (0, 0, 50, 74))
    mask.save(folder / "mask.png")
    return str(folder / "mask.png")


def test_plain_is_the_network() -> None:
    assert torch.allclose(styled(), STYLE.net(PHOTO.pixels).clamp(0, 1), atol=1e-5)


def test_strips_are_the_same() -> None:
    assert torch.allclose(styled(tile=8), styled(tile=0), atol=1e-5)


def test_bf16_stays_near() -> None:
    fast = Stylizer(STYLE, precision="bf16")(PHOTO).pixels
    assert fast.dtype == torch.float32
    assert 0 < float((fast - styled()).abs().mean()) < 2 / 255  # of random weights, which are less even than trained ones


@pytest.mark.parametrize("name", list(shipped_styles()))
def test_bf16_of_a_shipped_style_is_within_1_of_255(name: str) -> None:
    """Of noise; and near it of a made-up even sky over a town, with grain of 1 of 255: the steps of bfloat16 there are as wide
    as that, and pictures differed by up to 2.9 while the first layer saw the photo in them."""
    generator = torch.Generator().manual_seed(1)
    sky = torch.linspace(0.90, 0.97, 96)[:, None].expand(96, 128) * torch.tensor([0.7, 0.85, 1.0]).view(3, 1, 1)
    town = 0.5 * torch.rand(3, 96, 128, generator=generator)
    view = torch.where(torch.arange(96)[:, None] > 60, town, sky) + 0.004 * torch.randn(3, 96, 128, generator=generator)
    rounded = name.endswith("_swift")  # whose first layer takes squares of pixels
    for photo, bound in ((PHOTO, 1.0), (Picture(view[None].clamp(0, 1)), 2.0 if rounded else 1.5)):
        fast, exact = (Stylizer(name, precision=precision)(photo).pixels for precision in ("bf16", "32"))
        assert 0 < float((fast - exact).abs().mean()) < bound / 255


def test_transparency_and_name_are_kept() -> None:
    alpha = torch.rand(1, 1, 37, 50)
    result = Stylizer(STYLE)(dataclasses.replace(PHOTO, alpha=alpha, name="cat.png"))
    assert result.alpha is alpha
    assert result.name == "cat.png"


def test_strength() -> None:
    assert torch.equal(styled(Finish(strength=0)), PHOTO.pixels)
    assert torch.equal(styled(Finish(strength=1)), styled())
    distances = [float((styled(Finish(strength=s)) - styled()).abs().mean()) for s in (0.25, 0.5, 0.75)]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] > 0


@pytest.mark.parametrize("how", ["luminance", "histogram", "covariance"])
def test_colours_of_the_photo(how: str) -> None:
    photo = PHOTO.pixels * torch.tensor([1.0, 0.4, 0.1]).view(1, 3, 1, 1)
    kept = Stylizer(STYLE, Finish(keep_colors=how))(Picture(photo)).pixels  # type: ignore[arg-type]
    plain = Stylizer(STYLE)(Picture(photo)).pixels

    def apart(picture: torch.Tensor) -> float:
        return float((picture.mean(dim=(2, 3)) - photo.mean(dim=(2, 3))).abs().max())

    assert apart(kept) < 0.35 * apart(plain)


def test_a_mask_keeps_the_photo(tmp_path: Path) -> None:
    masked = styled(Finish(mask=half_mask(tmp_path)))
    assert torch.allclose(masked[..., :24], styled()[..., :24], atol=1e-5)
    assert torch.equal(masked[..., 26:], PHOTO.pixels[..., 26:])


def test_two_styles_by_a_mask(tmp_path: Path) -> None:
    both = styled(Finish(mask=half_mask(tmp_path)), outside=OTHER)
    assert torch.allclose(both[..., :24], styled()[..., :24], atol=1e-5)
    assert torch.allclose(both[..., 26:], OTHER.net(PHOTO.pixels).clamp(0, 1)[..., 26:], atol=1e-5)


def test_feather_softens_the_edge(tmp_path: Path) -> None:
    hard, soft = (styled(Finish(mask=half_mask(tmp_path), feather=f)) for f in (0.0, 4.0))
    changed = (hard - soft).abs().sum(dim=(0, 1, 2)) > 1e-4
    assert 8 < int(changed.sum()) < 40
    assert changed[20:30].any()
    assert not changed[:3].any()


@pytest.mark.parametrize("scale", [0.5, 2.0, 3.0])
def test_scale_keeps_the_size_and_changes_the_picture(scale: float) -> None:
    scaled = styled(Finish(scale=scale))
    assert scaled.shape == PHOTO.pixels.shape
    assert float((scaled - styled()).abs().mean()) > 1e-3
    assert float(scaled.min()) >= 0
    assert float(scaled.max()) <= 1


@pytest.mark.parametrize(
    ("values", "message"),
    [({"strength": 1.5}, "strength is 1.5"), ({"scale": 0}, "scale is 0"), ({"feather": -1}, "feather is -1")],
)
def test_a_look_that_makes_no_sense(values: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Finish(**values)  # type: ignore[arg-type]


def test_outside_needs_a_mask() -> None:
    with pytest.raises(InputError, match="needs a mask"):
        Stylizer(STYLE, outside=OTHER)


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(InputError, match="device 'cuda:7' is not to be had"):
        Stylizer(STYLE, device="cuda:7")


def test_from_python(tmp_path: Path) -> None:
    """The three lines of the README."""
    save_style(STYLE.net, Card("one"), tmp_path / "one.safetensors", bits=32)
    write_image(PHOTO, tmp_path / "photo.png")
    picture = stylenet.read_image(tmp_path / "photo.png")
    called = stylenet.load_style(tmp_path / "one.safetensors")(picture)
    result = stylenet.stylize(tmp_path / "photo.png", tmp_path / "one.safetensors", tmp_path / "out.png", precision="32")
    assert torch.allclose(called.pixels, result.pixels, atol=1e-5)
    assert float((read_image(tmp_path / "out.png").pixels - result.pixels).abs().max()) <= 0.5 / 255 + 1e-6


def test_an_output_that_cannot_be_is_refused_first(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*out\.xyz"):
        stylize(tmp_path / "missing.png", "no such style", tmp_path / "out.xyz")


def test_pictures_of_one_size_are_recorded_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small ones are, large ones are not; the processor that stands in for the GPU cannot record, and styles as usual."""
    style = Style(TransformNet(NetSettings(width=4, residual_blocks=1)), Card("a"))
    photos = [torch.rand(1, 3, 16, 20), torch.rand(1, 3, 32, 20)]
    expected = [Stylizer(style, device="cpu", precision="32")(photo) for photo in photos]
    monkeypatch.setattr("stylenet.inference.stylizer._RECORDED_PIXELS", 16 * 20)
    asked: list[torch.Size] = []
    plain = FixedSizeNetwork.__call__
    monkeypatch.setattr(FixedSizeNetwork, "__call__", lambda self, photo: asked.append(photo.shape) or plain(self, photo))
    stylizer = Stylizer(style, device="cpu", precision="32")
    stylizer.device = SimpleNamespace(type="cuda")  # type: ignore[assignment]
    for photo, wanted in zip(photos, expected, strict=True):
        assert torch.equal(stylizer(photo), wanted)
    assert asked == [photos[0].shape]
