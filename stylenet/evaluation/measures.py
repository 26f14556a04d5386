"""Measure a trained style on photos that it has not seen: its loss, what the loss does not see, and how many iterations of
the optimizer it is worth (Johnson et al., ECCV 2016, figure 5)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from stylenet.deprecation import renamed
from stylenet.devices import Precision, pick_device
from stylenet.errors import UNREADABLE, InputError, Interrupted, argument, why_unreadable
from stylenet.files import sha256
from stylenet.formats import tell_left_out
from stylenet.images.picture import PictureLike, read_image
from stylenet.losses.gram import gram_matrix
from stylenet.losses.metrics import STYLE_LAYERS, border_index, checkerboard_index, content_lost, saturation, style_errors
from stylenet.losses.perceptual import PerceptualLoss
from stylenet.losses.settings import LossSettings, present_names
from stylenet.losses.terms import Grams, GramTarget, moved
from stylenet.losses.vgg import VGG
from stylenet.modes import guest
from stylenet.network.cards import typed
from stylenet.network.styles import Style, as_style, load_grams
from stylenet.optimization.engine import Iterate, optimize_pixels
from stylenet.optimization.settings import OptimizeSettings
from stylenet.training.photos import Photo, photo_source, survey_photos

CONTENT_LAYER = "relu4_2"

# The search that Johnson et al. compare with (section 4.1, "Baseline"): that of Gatys et al., on pixels at one scale, projected
# to 0..1 after each step, as a network's pictures are. The noise is that of the first author, a standard normal in units of
# 1/255 (recipe gatys2016).
PLAIN_LBFGS = OptimizeSettings(
    variables="input_space", history=100, clamp=True, scales=1, plateau=0.0, init_std=1 / 255, style_size="full"
)


@dataclass(frozen=True)
class SizeResult:
    """The measurements at one size.

    Attributes:
        size: longest side of the photos.
        photos: number of photos.
        objective: objective of the loss that the style was trained on, median.
        style_error: mean over relu1_1 .. relu5_1 of ``|G_out - G_style|² / |G_photo - G_style|²``, median over the photos.
        content_lost: squared difference at relu4_2 over the photo's variance, median.
        checkerboard, border, saturation: see ``metrics.py``.
        equivalent: for each photo the iteration of projected L-BFGS, from the photo and without preconditioning, whose
            objective is first as low as the network's; the last one where none is; empty where none was searched for.
        not_reached: photos for which none was.
    """

    size: int
    photos: int
    objective: float
    style_error: float
    content_lost: float
    checkerboard: float
    border: float
    saturation: float
    equivalent: list[int]
    not_reached: int = 0

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """Return lower quartile, median and upper quartile of :attr:`equivalent`."""
        return quartiles(self.equivalent)


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return lower quartile, median and upper quartile."""
    if len(values) < 2:
        value = float(values[0])
        return value, value, value
    lower, middle, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, middle, upper


@renamed(report="observe")
@guest
def evaluate(
    style: Style | str | Path,
    photos: str | list[str],
    picture: PictureLike | None = None,
    sizes: Sequence[int] = (256, 512),
    count: int = 8,
    most_iterations: int = 300,
    device: str = "auto",
    observe: Callable[[str], None] | None = None,
) -> list[SizeResult]:
    """Measure a style on photos that it has not seen.

    Args:
        style: name or file.
        photos: folder, zip archive or list of photos, or single ones, that it was not trained on.
        picture: the style picture that it was trained on, for a style file without Gram matrices. Its hash is compared with
            the card's.
        sizes: longest sides to measure at; smaller photos are enlarged.
        count: photos to measure on, spread over the set.
        most_iterations: where the search for the equivalent iteration ends; 0 leaves it out.
        device: ``auto``, ``cpu``, ``cuda``, ...
        observe: called with a line for each photo.

    Raises:
        InputError: for a style without a card, or another picture than it was trained on; if no photo can be read.
        Interrupted: after Ctrl-C, with the results of the sizes that are finished.
    """
    if count < 1 or most_iterations < 0 or not sizes or min(sizes) < 64:
        raise InputError("count must be 1 or more, most_iterations 0 or more, and every size 64 or more")
    where = pick_device(device)
    loaded = as_style(style, where)
    settings, painting = trained_on(loaded, picture)
    tell = observe or (lambda _: None)
    known, left_out = survey_photos(photos)
    if left_out:
        tell(tell_left_out(left_out, len(known), "photos"))
    chosen = _readable(known, count, tell)
    judge, loss = VGG([*STYLE_LAYERS, CONTENT_LAYER]).to(where), PerceptualLoss(settings).to(where)
    targets = _targets(painting, judge, loss, where)
    results: list[SizeResult] = []
    try:
        for size in sizes:
            rows: list[dict[str, float]] = []
            found: list[tuple[int, bool]] = []
            for name in chosen:
                photo = read_image(photo_source(name), size, upscale=True).filled().to(where)
                rows.append(_of_photo(loaded, photo, targets, judge, loss))
                tell(f"{size}  {name}  " + "  ".join(f"{what} {value:.4g}" for what, value in rows[-1].items()))
                if most_iterations:
                    objective = rows[-1]["objective"]
                    found.append(equivalent_iterations(photo, [targets.trained], settings, objective, most_iterations))
                    tell(f"{size}  {name}  equivalent {found[-1][0]}{'' if found[-1][1] else ' and more'}")
            results.append(_of_size(size, rows, found))
    except KeyboardInterrupt as error:
        raise Interrupted(f"interrupted: {len(results)} of {len(sizes)} sizes are measured", results) from error
    return results


def _of_size(size: int, rows: Sequence[dict[str, float]], found: Sequence[tuple[int, bool]]) -> SizeResult:
    medians = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    equivalent, reached = [iteration for iteration, _ in found], [reached for _, reached in found]
    return SizeResult(size, len(rows), equivalent=equivalent, not_reached=reached.count(False), **medians)


def _readable(photos: Sequence[Photo], count: int, tell: Callable[[str], None]) -> list[Photo]:
    """Return so many photos of a set, spread over it. The next one stands in for one that cannot be read, which is told before
    hours of work instead of after them.

    Raises:
        InputError: if none can be read.
    """
    chosen: list[Photo] = []
    failed: dict[Photo, str] = {}
    for photo in spread(photos, count):
        first = photos.index(photo)
        for candidate in (*photos[first:], *photos[:first]):
            if candidate in chosen or candidate in failed:
                continue
            try:
                read_image(photo_source(candidate))
            except UNREADABLE as error:
                failed[candidate] = why_unreadable(error, str(candidate))
                tell(f"left out: {failed[candidate]}")
                continue
            chosen.append(candidate)
            break
    if not chosen:
        raise InputError(f"none of {len(photos)} photos can be read, for example {next(iter(failed.values()))}")
    return chosen


def spread(photos: Sequence[Photo], count: int) -> list[Photo]:
    """Return so many of a set, or all it has, at equal distances."""
    count = min(count, len(photos))
    return [photos[index * len(photos) // count] for index in range(count)]


@dataclass(frozen=True)
class _Painting:
    """Gram matrices of the style picture: for the loss that the style was trained on, and for the layers of every style."""

    trained: Grams
    judged: Grams


def trained_on(style: Style, picture: PictureLike | None = None) -> tuple[LossSettings, Tensor | Grams]:
    """Return the loss that a style was trained on, and its picture or what its file holds of it.

    Raises:
        InputError: if that is not known, or ``picture`` is another one.
    """
    card = style.card
    if card.source != "stylenet" or not card.loss:
        raise InputError(f"the style {card.name} has no card of stylenet: its loss is not known, so it cannot be measured")
    if len(card.style) != 1:
        raise InputError(f"the style {card.name} mixes {len(card.style)} pictures: evaluate takes styles of one")
    try:
        settings = typed(present_names(card.loss), LossSettings)
    except ValueError as error:
        raise InputError(f"the card of {card.name} names a loss that is not known here ({error})") from error
    grams = {} if style.path is None else load_grams(style.path)
    judges = (settings.vgg, settings.vgg_weights, settings.pooling) == ("vgg19", "caffe", "max")
    if picture is None and judges and all(name in grams for name in [*settings.style_layers, *STYLE_LAYERS]):
        return settings, grams
    if picture is None:
        named = card.style[0].get("file", "its card does not name it")
        raise InputError(f"give the picture that {card.name} was trained on ({named}) as {argument('picture')}")
    painting = read_image(picture).visible().resized(card.training.get("style_size", "full")).pixels
    known = card.style[0].get("sha256")
    if known and isinstance(picture, str | Path) and Path(picture).is_file() and sha256(picture) != known:
        raise InputError(f"{picture} is not the picture that {card.name} was trained on: its hash is not the card's")
    return settings, painting


@torch.no_grad()
def _targets(painting: Tensor | Grams, judge: VGG, loss: PerceptualLoss, device: torch.device) -> _Painting:
    painting = moved(painting, device)
    if not isinstance(painting, Tensor):
        return _Painting(painting, painting)
    features = judge(painting)
    judged = {name: GramTarget(gram_matrix(features[name]), features[name][0, 0].numel()) for name in STYLE_LAYERS}
    return _Painting(loss.grams(painting), judged)


def _of_photo(style: Style, photo: Tensor, painting: _Painting, judge: VGG, loss: PerceptualLoss) -> dict[str, float]:
    styled = style(photo)
    row = _measure(judge, photo, styled, painting.judged)
    row["objective"] = objective_of(styled, photo, painting.trained, loss)
    return row


@torch.no_grad()
def objective_of(styled: Tensor, photo: Tensor, painting: Tensor | Grams, loss: PerceptualLoss) -> float:
    """Return what the optimizer would minimise for a photo ``[1, 3, H, W]``, for a picture that is there already."""
    return float(loss(styled, loss.targets(photo, [painting])).total)


@torch.no_grad()
def _measure(judge: VGG, photo: Tensor, styled: Tensor, wanted: Grams) -> dict[str, float]:
    ours, theirs = judge(styled), judge(photo)
    errors = style_errors(ours, theirs, {name: wanted[name].matrix for name in STYLE_LAYERS})
    return {
        "style_error": float(torch.stack(list(errors.values())).mean()),
        "content_lost": float(content_lost(ours[CONTENT_LAYER], theirs[CONTENT_LAYER])),
        "checkerboard": float(checkerboard_index(styled, photo)),
        "border": float(border_index(styled, photo)),
        "saturation": float(saturation(styled)),
    }


def equivalent_iterations(
    photo: Tensor,
    paintings: Sequence[Tensor | Grams],
    loss: LossSettings,
    objective: float,
    most: int,
    precision: Precision = "auto",
) -> tuple[int, bool]:
    """Return the iteration of projected L-BFGS, from the photo at one scale, whose objective is first at most ``objective``,
    and True; if there is none, the last one of ``most``, or the last before a value that is not finite, and False.

    Johnson et al. start from noise, which takes more iterations to the same objective: ``benchmarks/fig5.py``.
    """
    curve = objective_curve(photo, paintings, loss, most, precision=precision, until=objective)
    return iterations_to(objective, curve, max(len(curve) - 1, 0)), min(curve, default=math.inf) <= objective


def iterations_to(objective: float, curve: Sequence[float], most: int) -> int:
    """Return the first iteration of a curve that is at most ``objective``; ``most`` if none is."""
    return next((iteration for iteration, value in enumerate(curve) if value <= objective), most)


def objective_curve(
    photo: Tensor,
    paintings: Sequence[Tensor | Grams],
    loss: LossSettings,
    iterations: int,
    init: str = "content",
    precision: Precision = "auto",
    until: float = -math.inf,
    budget: float | None = None,
) -> list[float]:
    """Return the objective after 0, 1, ..., ``iterations`` iterations of :data:`PLAIN_LBFGS`.

    Args:
        photo: ``[1, 3, H, W]`` in 0..1, on the device to work on.
        paintings: style pictures or their Gram matrices.
        loss: what is minimised.
        iterations: number of iterations of L-BFGS.
        init: where it starts: ``content``, ``uniform`` or ``normal`` noise.
        precision: precision of the convolutions.
        until: the curve ends with the first value that is at most this.
        budget: seconds; the curve ends early where they do not suffice, as it does where a value is not finite.
    """
    curve: list[float] = []

    def observe(iterate: Iterate) -> bool:
        curve.append(iterate.objective)  # of the picture before this step's update
        return iterate.objective > until

    settings = replace(
        PLAIN_LBFGS, steps=iterations + 1, init=init, device=str(photo.device), precision=precision, budget=budget
    )
    optimize_pixels(photo, paintings, loss, settings, observe=observe)
    return curve
