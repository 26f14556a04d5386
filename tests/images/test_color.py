"""Colours: against numpy in float64, scikit-image, and the numbers that Ottosson and the CSS standard print."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
import reference
import torch
from PIL import Image
from scipy import ndimage
from skimage import color as skimage_color
from skimage import exposure
from torch import Tensor

from stylenet.errors import InputError
from stylenet.images.color import blend, combine, exchange_luminance, keep_colors, match_colors, restore_detail
from stylenet.images.masks import read_mask, soften
from stylenet.images.oklab import from_oklab, mix, to_oklab
from stylenet.images.picture import resize

PHOTO, PAINTING = reference.photo("chelsea", 60, 90), reference.photo("coffee", 70, 50)
STYLED = reference.photo("coffee", 60, 90)


def soft(picture: Tensor) -> Tensor:
    """So near to grey that no match is cut at 0 or 1."""
    return 0.45 + 0.15 * (picture - 0.5)


def rows(picture: Tensor) -> np.ndarray:
    """``[1, 3, H, W]`` as ``[H W, 3]``, float64."""
    return picture[0].flatten(1).T.double().numpy()


# --- Oklab ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rgb", "lab"),  # CSS Color Module Level 4
    [
        ((1, 1, 1), (1.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((1, 0, 0), (0.62796, 0.22486, 0.12585)),
        ((0, 1, 0), (0.86644, -0.23389, 0.17950)),
        ((0, 0, 1), (0.45201, -0.03246, -0.31153)),
    ],
)
def test_oklab_of_css(rgb: tuple[float, ...], lab: tuple[float, ...]) -> None:
    found = to_oklab(torch.tensor(rgb, dtype=torch.float32).view(1, 3, 1, 1)).flatten()
    assert found.tolist() == pytest.approx(lab, abs=2e-5)


def test_oklab_through_xyz() -> None:
    """Ottosson's definition is by XYZ, with matrices of its own."""
    cones = [
        [0.8189330101, 0.3618667424, -0.1288597137],
        [0.0329845436, 0.9293118715, 0.0361456387],
        [0.0482003018, 0.2643662691, 0.6338517070],
    ]
    opponent = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    xyz = skimage_color.rgb2xyz(PHOTO[0].permute(1, 2, 0).double().numpy())
    wanted = np.cbrt(xyz @ np.array(cones).T) @ np.array(opponent).T
    assert to_oklab(PHOTO)[0].permute(1, 2, 0).numpy() == pytest.approx(wanted, abs=1e-3)  # skimage's XYZ has 6 digits


def test_oklab_there_and_back() -> None:
    levels = torch.linspace(0, 1, 18)
    cube = torch.cartesian_prod(levels, levels, levels).T.reshape(1, 3, 18, -1)
    assert float((from_oklab(to_oklab(cube)) - cube).abs().max()) < 2e-5


def test_colours_that_srgb_has_not_are_cut() -> None:
    picture = from_oklab(torch.tensor([0.7, 0.4, -0.4]).view(1, 3, 1, 1))
    assert torch.isfinite(picture).all()
    assert 0 <= picture.min() <= picture.max() <= 1


# --- matching ---------------------------------------------------------------------------------------------------------


def test_covariance() -> None:
    matched = rows(match_colors(soft(PAINTING), soft(PHOTO), "covariance"))
    wanted = rows(soft(PHOTO))
    assert matched.mean(axis=0) == pytest.approx(wanted.mean(axis=0), abs=1e-6)
    assert np.cov(matched.T) == pytest.approx(np.cov(wanted.T), rel=1e-3, abs=1e-7)


def test_covariance_by_square_roots() -> None:
    source, target = rows(soft(PAINTING)), rows(soft(PHOTO))

    def root(matrix: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh(matrix)
        return vectors @ np.diag(np.sqrt(values)) @ vectors.T

    linear = root(np.cov(target.T, bias=True)) @ np.linalg.inv(root(np.cov(source.T, bias=True)))
    wanted = (source - source.mean(axis=0)) @ linear.T + target.mean(axis=0)
    assert rows(match_colors(soft(PAINTING), soft(PHOTO), "covariance")) == pytest.approx(wanted, abs=1e-5)


def test_histogram() -> None:
    """Along the principal axes of the photo's colours, as scikit-image matches channels."""
    _, axes = np.linalg.eigh(np.cov(rows(soft(PHOTO)).T, bias=True))
    start = match_colors(soft(PAINTING), soft(PHOTO), "covariance")
    wanted = exposure.match_histograms(rows(start) @ axes, rows(soft(PHOTO)) @ axes, channel_axis=-1) @ axes.T
    # scikit-image takes the upper end of a rank, we its middle.
    difference = np.abs(rows(match_colors(soft(PAINTING), soft(PHOTO), "histogram")) - wanted)
    assert difference.mean() < 2e-4
    assert np.quantile(difference, 0.999) < 5e-3


def test_histogram_is_closer_than_covariance() -> None:
    def distance(how: str) -> float:
        _, axes = np.linalg.eigh(np.cov(rows(PHOTO).T))
        found, wanted = (rows(p) @ axes for p in (match_colors(PAINTING, PHOTO, how), PHOTO))  # type: ignore[arg-type]
        shares = np.linspace(0, 1, 101)
        return float(np.abs(np.quantile(found, shares, axis=0) - np.quantile(wanted, shares, axis=0)).mean())

    assert distance("histogram") < 0.5 * distance("covariance")


def test_luminance_match() -> None:
    matched = match_colors(soft(PAINTING), soft(PHOTO), "luminance")
    grey = rows(soft(PHOTO)) @ [0.299, 0.587, 0.114]
    assert torch.equal(matched[:, 0], matched[:, 1])
    assert torch.equal(matched[:, 0], matched[:, 2])
    assert float(matched.mean()) == pytest.approx(grey.mean(), abs=1e-6)
    assert float(matched[:, 0].std(correction=0)) == pytest.approx(grey.std(), rel=1e-4)


@pytest.mark.parametrize("how", ["histogram", "covariance"])
def test_own_colours_change_nothing(how: str) -> None:
    assert torch.allclose(match_colors(PHOTO, PHOTO, how), PHOTO, atol=1e-4)  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["luminance", "histogram", "covariance"])
@pytest.mark.parametrize("case", ["flat picture", "flat photo", "grey picture", "grey photo", "black", "1 pixel"])
def test_no_colours(how: str, case: str) -> None:
    """Nothing to stretch is no reason for noise."""
    grey, flat = PHOTO.mean(dim=1, keepdim=True).expand_as(PHOTO), torch.full_like(PHOTO, 0.3)
    pairs = {
        "flat picture": (flat, PHOTO),
        "flat photo": (PAINTING, flat),
        "grey picture": (grey, PAINTING),
        "grey photo": (PAINTING, grey),
        "black": (torch.zeros_like(PHOTO), torch.zeros_like(PHOTO)),
        "1 pixel": (PHOTO[..., :1, :1], PAINTING[..., :1, :1]),
    }
    picture, photo = pairs[case]
    matched = match_colors(picture, photo, how)  # type: ignore[arg-type]
    assert torch.isfinite(matched).all()
    assert matched.shape == picture.shape
    if case in ("flat picture", "flat photo", "black", "1 pixel"):
        assert float((matched - matched[..., :1, :1]).abs().max()) < 2e-3
    if case == "grey photo":
        assert float((matched - matched[:, :1]).abs().max()) < 2e-3


def test_pictures_of_a_batch_are_matched_one_by_one() -> None:
    batch = torch.cat([PHOTO, STYLED])
    for how in ("luminance", "histogram", "covariance"):
        both = match_colors(batch, PAINTING, how)  # type: ignore[arg-type]
        assert torch.equal(both[1:], match_colors(STYLED, PAINTING, how))  # type: ignore[arg-type]


def test_unknown_match() -> None:
    with pytest.raises(InputError, match="colours cannot be matched by 'magic': use luminance, histogram, covariance"):
        match_colors(PHOTO, PHOTO, "magic")  # type: ignore[arg-type]


# --- the photo's colours in a result ------------------------------------------------------------------------------------


def test_exchange_is_that_of_yiq() -> None:
    """Where the sum stays within 0..1, against scikit-image's YIQ."""
    photo, styled = (p[0].permute(1, 2, 0).double().numpy() for p in (PHOTO, STYLED))
    yiq = skimage_color.rgb2yiq(photo)
    yiq[..., 0] = skimage_color.rgb2yiq(styled)[..., 0]
    wanted = skimage_color.yiq2rgb(yiq)
    inside = ((wanted >= 0) & (wanted <= 1)).all(axis=-1)
    found = exchange_luminance(PHOTO, STYLED)[0].permute(1, 2, 0).numpy()
    assert 0.3 < inside.mean() < 1
    assert found[inside] == pytest.approx(wanted[inside], abs=2e-3)  # its inverse matrix is rounded


def test_luminance_is_kept_where_colours_would_leave_the_range() -> None:
    luma = np.array([0.299, 0.587, 0.114])
    result = exchange_luminance(PHOTO, STYLED)
    assert rows(result) @ luma == pytest.approx(rows(STYLED) @ luma, abs=1e-5)
    assert 0 <= result.min() <= result.max() <= 1


def test_kept_luminance_has_the_photos_mean_and_contrast() -> None:
    luma = np.array([0.299, 0.587, 0.114])
    found, wanted = (rows(p) @ luma for p in (keep_colors(soft(STYLED), soft(PHOTO), "luminance"), soft(PHOTO)))
    assert (found.mean(), found.std()) == pytest.approx((wanted.mean(), wanted.std()), rel=1e-4)
    order = np.corrcoef(found, rows(STYLED) @ luma)[0, 1]
    assert order == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("how", ["histogram", "covariance"])
def test_kept_palette_is_a_match(how: str) -> None:
    assert torch.equal(keep_colors(STYLED, PHOTO, how), match_colors(STYLED, PHOTO, how))  # type: ignore[arg-type]


def test_luminance_needs_one_size() -> None:
    with pytest.raises(InputError, match="the photo is 90 x 60 pixels and the styled picture 50 x 70 pixels"):
        keep_colors(PAINTING, PHOTO, "luminance")


# --- blending ---------------------------------------------------------------------------------------------------------


def test_ends_to_the_bit() -> None:
    assert torch.equal(blend(PHOTO, STYLED, 0), PHOTO)
    assert torch.equal(blend(PHOTO, STYLED, 1.0), STYLED)


def test_half_way_is_half_way_in_oklab() -> None:
    half = to_oklab(blend(PHOTO, STYLED, 0.5))
    assert torch.allclose(half, (to_oklab(PHOTO) + to_oklab(STYLED)) / 2, atol=2e-3)
    black, white = torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1)
    # Lightness 0.5 is linear light 0.125, encoded as 0.3885.
    assert blend(black, white, 0.5).flatten().tolist() == pytest.approx([0.38857] * 3, abs=1e-4)


def test_strength_pixel_by_pixel() -> None:
    strength = torch.zeros(1, 1, 60, 90)
    strength[..., 30:, :], strength[..., 20:30, :] = 1, 0.25
    result = blend(PHOTO, STYLED, strength)
    assert torch.equal(result[..., :20, :], PHOTO[..., :20, :])
    assert torch.equal(result[..., 30:, :], STYLED[..., 30:, :])
    assert torch.equal(result[..., 20:30, :], blend(PHOTO, STYLED, 0.25)[..., 20:30, :])


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan")])
def test_impossible_strength(strength: float) -> None:
    with pytest.raises(InputError, match="it must be from 0 to 1"):
        blend(PHOTO, STYLED, strength)
    with pytest.raises(InputError, match="it must be from 0 to 1"):
        blend(PHOTO, STYLED, torch.full((1, 1, 60, 90), strength))


# --- masks ------------------------------------------------------------------------------------------------------------


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def half_white(channels: int = 1) -> np.ndarray:
    """Black on the left, white on the right, 20 x 10 pixels."""
    array = np.zeros((10, 20, channels), np.uint8)
    array[:, 10:] = 255
    return array[..., 0] if channels == 1 else array


@pytest.mark.parametrize("channels", [1, 3])
def test_white_is_style(channels: int) -> None:
    mask = read_mask(png(half_white(channels)), 20, 10)
    assert mask.shape == (1, 1, 10, 20)
    assert torch.equal(mask, (torch.arange(20) >= 10).float().expand(1, 1, 10, 20))


def test_grey_is_in_between() -> None:
    assert torch.allclose(read_mask(png(np.full((8, 8), 51, np.uint8)), 8, 8), torch.full((1, 1, 8, 8), 0.2))


def test_transparency_is_a_mask() -> None:
    """Whatever the colours of a cut-out are; and an opaque file with an alpha channel is no cut-out."""
    cut_out = np.concatenate([np.full((10, 20, 3), 90, np.uint8), half_white()[..., None]], axis=-1)
    assert torch.equal(read_mask(png(cut_out), 20, 10), read_mask(png(half_white()), 20, 10))
    opaque = np.concatenate([half_white(3), np.full((10, 20, 1), 255, np.uint8)], axis=-1)
    assert torch.equal(read_mask(png(opaque), 20, 10), read_mask(png(half_white()), 20, 10))


def test_mask_is_brought_to_the_photo() -> None:
    mask = read_mask(png(half_white()), 300, 200)
    assert mask.shape == (1, 1, 200, 300)
    assert torch.equal(mask[..., :130], torch.zeros(1, 1, 200, 130))
    assert torch.equal(mask[..., 170:], torch.ones(1, 1, 200, 130))


@pytest.mark.parametrize("feather", [0.4, 2.0, 5.5, 40.0])
def test_feather_is_a_gaussian(feather: float) -> None:
    mask = read_mask(png(half_white()), 60, 30)
    wanted = ndimage.gaussian_filter(mask[0, 0].double().numpy(), feather, mode="nearest", radius=int(np.ceil(3 * feather)))
    assert soften(mask, feather)[0, 0].numpy() == pytest.approx(wanted, abs=2e-5)


def test_feather_leaves_no_haze() -> None:
    mask = read_mask(png(half_white()), 200, 20, feather=3)
    assert torch.equal(mask[..., :80], torch.zeros(1, 1, 20, 80))
    assert torch.equal(mask[..., -80:], torch.ones(1, 1, 20, 80))
    assert torch.equal(combine(torch.zeros(1, 3, 20, 200), [torch.ones(1, 3, 20, 200)], [mask])[0, 0, 0, -80:], torch.ones(80))


@pytest.mark.parametrize("feather", [-1.0, float("inf"), float("nan")])
def test_impossible_feather(feather: float) -> None:
    with pytest.raises(InputError, match="it must be 0 or more pixels"):
        read_mask(png(half_white()), 20, 10, feather)


def right(width: int = 90) -> Tensor:
    return (torch.arange(width) >= width // 2).float().expand(1, 1, 60, width)


def test_style_where_the_mask_is() -> None:
    result = combine(PHOTO, [STYLED], [right()])
    assert torch.equal(result[..., :45], PHOTO[..., :45])
    assert torch.equal(result[..., 45:], STYLED[..., 45:])


def test_two_styles_by_one_mask() -> None:
    other = 1 - STYLED
    result = combine(PHOTO, [STYLED, other], [right()])
    assert torch.equal(result[..., :45], other[..., :45])
    assert torch.equal(result[..., 45:], STYLED[..., 45:])


def test_soft_edge_between_two_styles_has_nothing_of_the_photo() -> None:
    mask, other = torch.full((1, 1, 60, 90), 0.3), 1 - STYLED
    wanted = blend(other, STYLED, 0.3)
    for photo in (PHOTO, torch.zeros_like(PHOTO)):
        assert torch.allclose(combine(photo, [STYLED, other], [mask]), wanted, atol=1e-5)
        assert torch.allclose(combine(photo, [STYLED, other], [mask, 1 - mask]), wanted, atol=1e-5)


def test_order_of_styles_does_not_matter() -> None:
    generator = torch.Generator().manual_seed(0)
    masks = [torch.rand(1, 1, 60, 90, generator=generator) for _ in range(3)]
    pairs = list(zip([STYLED, 1 - STYLED, PHOTO.flip(3)], masks, strict=True))
    results = [combine(PHOTO, [p for p, _ in order], [m for _, m in order]) for order in itertools.permutations(pairs)]
    assert all(torch.allclose(result, results[0], atol=1e-5) for result in results)


@pytest.mark.parametrize(
    ("styled", "masks", "message"),
    [
        ([], [], "0 masks for 0 styles"),
        ([STYLED], [right(), right()], "2 masks for 1 styles"),
        ([STYLED], [right(60)], "the photo has 90 x 60 pixels, and a styled picture or a mask 60 x 60"),
        ([PAINTING], [right()], "a styled picture or a mask 50 x 70"),
    ],
)
def test_masks_that_do_not_fit(styled: list[Tensor], masks: list[Tensor], message: str) -> None:
    with pytest.raises(InputError, match=message):
        combine(PHOTO, styled, masks)


def test_mix_is_to_the_bit_where_one_is_whole() -> None:
    assert mix([PHOTO, STYLED], [torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)]) is STYLED


# --- another scale ----------------------------------------------------------------------------------------------------

LARGE = reference.photo("chelsea", 240, 360)


def tinted(picture: Tensor) -> Tensor:
    """A "style" that is a line of luminance: 0.2 + 0.6 Y, 0.8 - 0.5 Y, 0.5."""
    light = torch.einsum("bchw,c->bhw", picture, torch.tensor([0.299, 0.587, 0.114]))
    return torch.stack([0.2 + 0.6 * light, 0.8 - 0.5 * light, torch.full_like(light, 0.5)], dim=1)


@pytest.mark.parametrize("factor", [2, 3])
def test_detail_comes_back(factor: int) -> None:
    """Where the style is a line of luminance, what was lost is known."""
    small = tinted(resize(LARGE, 240 // factor, 360 // factor))
    wanted, enlarged = tinted(LARGE), resize(small, 240, 360)
    restored = restore_detail(LARGE, small)
    assert float((restored - wanted).square().mean()) < 0.35 * float((enlarged - wanted).square().mean())


def test_strokes_that_the_photo_knows_nothing_of_stay() -> None:
    strokes = torch.rand(1, 3, 120, 180, generator=torch.Generator().manual_seed(0))
    restored, enlarged = restore_detail(LARGE, strokes), resize(strokes, 240, 360)
    assert float((restored - enlarged).square().mean()) < 0.01 * float(enlarged.var())


def test_flat_photo_gives_a_plain_enlargement() -> None:
    small, flat = resize(LARGE, 120, 180), torch.full_like(LARGE, 0.4)
    assert torch.allclose(restore_detail(flat, small), resize(small, 240, 360), atol=1e-5)
    assert torch.equal(restore_detail(LARGE, small, strength=0), resize(small, 240, 360))


def test_larger_results_are_made_smaller() -> None:
    large = resize(LARGE, 300, 450)
    assert torch.equal(restore_detail(LARGE, large), resize(large, 240, 360))
