"""Make a picture from pictures, by a search for its pixels: reading, starting, watching and writing."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from torch import Tensor

from stylenet.choices import check_choice
from stylenet.deprecation import renamed
from stylenet.errors import InputError, Interrupted, argument
from stylenet.files import check_writable
from stylenet.images.color import KeepColors, exchange_luminance, luminance, match_colors
from stylenet.images.picture import (
    Picture,
    PictureLike,
    as_picture,
    check_output,
    check_single,
    read_image,
    resample,
)
from stylenet.inference.finish import Finish
from stylenet.inference.stylizer import Stylizer
from stylenet.losses.settings import LossSettings
from stylenet.losses.vgg import VGG
from stylenet.modes import guest
from stylenet.network.shipped import shipped_styles
from stylenet.network.styles import Style
from stylenet.optimization.engine import Iterate, Observer, Result, Stopped, optimize_pixels
from stylenet.optimization.observers import LOG_FILES, Extra, RunLog, Snapshots, snapshots_of, together
from stylenet.optimization.saving import state_path
from stylenet.optimization.scratch import set_aside
from stylenet.optimization.settings import SEARCH_LOSS, OptimizeSettings
from stylenet.optimization.writing import panel_path, write_panel, write_result
from stylenet.storage import check_apart, is_address

# Starts that need no file: these words win over files and styles of the same name.
_KEYWORDS = ("content", "uniform", "normal", "style")

# Endings of trained styles, and of the checkpoints that are read as such.
_STYLE_FILES = (".safetensors", ".pth", ".pt", ".model", ".ckpt", ".t7")

_Settings = TypeVar("_Settings", OptimizeSettings, LossSettings)


@dataclass(eq=False)
class OptimizeResult:
    """The picture and how it came about. In a notebook it shows the picture.

    Attributes:
        picture: the best picture of the last scale that ran, at the size asked for, with the photo's transparency.
        objective: of that picture at that scale, NaN if none was evaluated.
        parts: weighted terms of the objective.
        steps: taken at all scales.
        seconds: wall-clock time.
        stopped: why it ended: ``steps``, ``plateau``, ``budget``, ``observer``, ``interrupted`` or ``broken``.
        message: for a person, where there is something to say.
        notes: what was decided on the way: conversion of weights, memory, the reading of pictures.
    """

    picture: Picture
    objective: float
    parts: dict[str, float]
    steps: int
    seconds: float
    stopped: Stopped
    message: str
    notes: list[str]

    def _repr_png_(self) -> bytes | None:
        return self.picture._repr_png_()


@renamed(style_weights="style_shares")
@guest
def optimize(
    photo: PictureLike,
    painting: PictureLike | Sequence[PictureLike],
    loss: LossSettings | None = None,
    settings: OptimizeSettings | None = None,
    *,
    output: str | Path | None = None,
    size: str | int | None = None,
    steps: int | list[int] | None = None,
    budget: str | float | None = None,
    style_weight: float | None = None,
    style_shares: Sequence[float] | None = None,
    init: PictureLike | Style | None = None,
    keep_colors: KeepColors = "none",
    device: str | None = None,
    observe: Observer | None = None,
    save_every: int = 0,
    log: str | Path | None = None,
    panel: bool = False,
    quality: int = 95,
    bits: int = 8,
    allow_huge: bool = False,
    vgg: VGG | None = None,
    resume: bool = False,
    started: float | None = None,
) -> OptimizeResult:
    """Search for the picture with the content of a photo and the style of a painting (Gatys et al., CVPR 2016).

    Args:
        photo: path, address, bytes, file, PIL image, array or tensor: whatever :func:`~stylenet.read_image` takes.
        painting: the same; or a list of several.
        loss: what is minimised; :data:`~stylenet.optimization.settings.SEARCH_LOSS` by default.
        settings: how it is searched for.
        output: file to write, on this machine or in a store; its ending picks the format. None writes nothing.
        size: of the result, such as 512 (longest side) or ``full``; instead of the settings' own, which is 512.
        steps: at each scale, or a list from coarse to fine; instead of the settings' own.
        budget: ``60s``, ``5m``: ends in time; instead of the settings' own.
        style_weight: factor of the style; instead of the loss's own, which is 3. 1 for a hint, 10 for little of the photo.
        style_shares: share of each painting; equal by default.
        init: what to start from, instead of the settings' own: a picture, a trained style (loaded, its name or file), or one
            of the words ``content``, ``uniform``, ``normal``, ``style``.
        keep_colors: have the photo's colours in the result (Gatys et al., arXiv:1606.05897): ``covariance`` or ``histogram``
            bring the style pictures to them before the search; ``luminance`` searches in grey, with the style's luminance at
            the photo's mean and contrast, and gives the result the photo's colour, pixel by pixel.
        device: ``auto``, ``cpu``, ``cuda``, ...; instead of the settings' own.
        observe: called with an :class:`~stylenet.optimization.Iterate` after every step; what returns False ends the search.
        save_every: also write the picture every so many steps, 0 for never.
        log: folder for TensorBoard, trace.json and loss.png.
        panel: also write content, style and result side by side.
        quality: of JPEG, WebP and AVIF, 1 to 100.
        bits: 8, or 16 for PNG and TIFF.
        allow_huge: accept pictures of more than 89 million pixels.
        vgg: a loss network to use instead of the one that ``loss`` names, so that many calls load it once.
        resume: go on with the search for this output that was killed, to the step. Its state is kept in a hidden file beside
            the output, from its first minute until it ends; in a store there is none.
        started: ``time.monotonic()`` from which a budget counts; that of the call by default.

    Returns:
        The picture and what is known about it. A loss that is not finite ends the search with the best picture and ``stopped``
        set, not with an exception.

    Raises:
        InputError: for anything that cannot be read, met or written, before work begins.
        Interrupted: after Ctrl-C, with the result so far, which is written.
        RunError: if writing fails.
    """
    started = time.monotonic() if started is None else started
    check_choice("keep_colors", keep_colors, KeepColors)
    init = os.fspath(init) if isinstance(init, os.PathLike) else init
    word = init if isinstance(init, str) else None
    settings = _changed(settings or OptimizeSettings(), size=size, steps=steps, budget=budget, device=device, init=word)
    loss = _changed(loss or SEARCH_LOSS, style_weight=style_weight)
    target = output if output is None or is_address(output) else Path(output)
    if resume and target is not None and is_address(target):
        raise InputError(f"{target} lies in a store, where no state of a search is kept: leave {argument('resume')} out")
    several = cast(Sequence[PictureLike], painting if isinstance(painting, list | tuple) else [painting])
    read = [photo, *several, init, settings.init, loss.vgg_weights]
    _check(target, read, quality, bits, save_every, panel)
    if log is not None:
        for name in LOG_FILES:
            check_apart(Path(log, name), read)
    photo = _read(photo, "the photo", settings.size, settings.upscale, allow_huge)
    photo = replace(photo, pixels=set_aside(photo.filled()))
    paintings = [_read(one, "the painting", "full", False, allow_huge).visible() for one in several]
    first = _first_picture(photo, init, settings, keep_colors, allow_huge)
    trained = _trained_name(init, settings)
    if settings.scales == "auto" and trained is not None:
        # A coarser scale would only blur strokes that are in place already.
        settings = replace(settings, scales=1)
    notes = [note for picture in (photo, *paintings) for note in picture.notes]
    notes += [note for one in paintings for note in _sharpness(one, photo, settings)]
    run_log, log_extra = _make_log(log, loss, settings), Extra("the log")
    observers: list[Observer] = [] if observe is None else [_noting(observe, notes)]
    if run_log is not None:
        observers.append(log_extra.observing(run_log))
    if target is not None and save_every:
        pictures = Snapshots(target, save_every, quality=quality, bits=bits)
        observers.append(Extra("writing the picture so far").observing(pictures))
    if keep_colors == "luminance":
        observers = [_coloured(observer, photo.pixels) for observer in observers]
    finish = _Finish(photo, paintings, notes, keep_colors, target, quality, bits, panel, run_log, log_extra)
    state = state_path(target) if isinstance(target, Path) else None
    try:
        found = optimize_pixels(
            set_aside(_grey(photo.pixels)) if keep_colors == "luminance" else photo.pixels,
            [_recoloured(one.pixels, photo.pixels, keep_colors) for one in paintings],
            loss,
            settings,
            style_shares=style_shares,
            init=first,
            observe=together(observers),
            started=started,
            vgg=vgg,
            state=state,
            keep_state=True,
            resume=resume,
            start_name=trained,
        )
    except Interrupted as error:
        raise Interrupted(str(error), finish(error.result)) from error
    result = finish(found)
    if state is not None:  # not before the picture is written
        state.unlink(missing_ok=True)
    return result


@dataclass(frozen=True, eq=False)
class _Finish:
    """The end of a search: its picture gets its colours, and is written with all that was asked for beside it."""

    photo: Picture
    paintings: list[Picture]
    notes: list[str]
    keep_colors: KeepColors
    target: str | Path | None
    quality: int
    bits: int
    panel: bool
    run_log: RunLog | None
    log_extra: Extra

    def __call__(self, found: Result) -> OptimizeResult:
        if self.keep_colors == "luminance":
            found.picture = exchange_luminance(self.photo.pixels, found.picture.cpu())
        found.notes[:0] = self.notes
        picture = replace(self.photo, pixels=found.picture.cpu(), notes=())
        if self.target is not None:
            write_result(picture, self.target, self.quality, self.bits)
            if self.panel:
                with Extra("the panel").tried():
                    write_panel(self.photo, self.paintings, picture, self.target, self.quality)
        if self.run_log is not None and not self.log_extra.lost:
            with self.log_extra.tried():
                self.run_log.close(found)
        return OptimizeResult(**{**vars(found), "picture": picture})


def _changed(settings: _Settings, **changes: Any) -> _Settings:
    """Return settings with the changes that are not None."""
    return replace(settings, **{name: value for name, value in changes.items() if value is not None})


def _check(target: str | Path | None, sources: Sequence[object], quality: int, bits: int, save_every: int, panel: bool) -> None:
    """Fail for options that cannot be met, before work begins."""
    if target is not None:
        check_output(target, bits, sources)
        panels: list[str | Path] = [panel_path(target)] if panel else []
        for beside in [*panels, *(snapshots_of(target) if save_every else [])]:
            check_apart(beside, sources)
    elif save_every or panel:
        raise InputError("save_every and panel write files beside the output: give one")
    if not 1 <= quality <= 100:
        raise InputError(f"quality is {quality}: it must be from 1 to 100")
    if save_every < 0:
        raise InputError(f"save_every is {save_every}: it must be 0 or more")


def _read(source: PictureLike, name: str, size: str | int, upscale: bool, allow_huge: bool) -> Picture:
    """Read one picture, however it is given."""
    picture = as_picture(source, name, allow_huge=allow_huge)
    check_single(picture)
    return read_image(picture, size, upscale=upscale, allow_huge=allow_huge)


# Paintings smaller than this share of the result, by their sides, are told of.
_SMALL = 1 / 1.5


def _sharpness(painting: Picture, photo: Picture, settings: OptimizeSettings) -> list[str]:
    """Return what a person should know of a painting that is smaller than the result: its strokes are sharp at its own size."""
    height, width = photo.pixels.shape[-2:]
    tall, wide = painting.pixels.shape[-2:]
    share = math.sqrt(tall * wide / (height * width))
    if settings.style_size != "area" or share > _SMALL:
        return []
    what = f"{Path(painting.name).name or 'the painting'} has {wide} x {tall} pixels, and the result {width} x {height}"
    sharp, factor = argument("size", math.floor(max(height, width) * share)), 1 / share
    if settings.upscale:
        return [f"{what}: enlarged {factor:.1f} times its strokes are soft; {sharp} is the largest with sharp ones"]
    return [
        f"{what}: its strokes come out {factor:.1f} times smaller than at {sharp}, the largest with both large and sharp ones;"
        f" {argument('upscale', True)} enlarges them, and they are soft"
    ]


def _recoloured(painting: Tensor, photo: Tensor, keep_colors: KeepColors) -> Tensor:
    return painting if keep_colors == "none" else match_colors(painting, photo, keep_colors)


def _grey(picture: Tensor) -> Tensor:
    return luminance(picture).expand_as(picture).contiguous()


def _noting(observer: Observer, notes: Sequence[str]) -> Observer:
    """Return an observer that also sees what was known before the search began."""
    return lambda iterate: observer(replace(iterate, notes=(*notes, *iterate.notes)))


def _coloured(observer: Observer, photo: Tensor) -> Observer:
    """Return an observer that sees what would be written, not the grey picture that is searched."""

    def observe(iterate: Iterate) -> object:
        def picture() -> Tensor:
            styled = iterate.picture().cpu()
            return exchange_luminance(resample(photo, styled.shape[-2], styled.shape[-1]), styled)

        return observer(replace(iterate, picture=picture))

    return observe


def _first_picture(
    photo: Picture,
    init: PictureLike | Style | None,
    settings: OptimizeSettings,
    keep_colors: KeepColors,
    allow_huge: bool,
) -> Tensor | None:
    """Return what the search starts from; None for the starts that it makes itself."""
    if isinstance(init, Style):
        first = _styled(photo, init, settings, keep_colors)
    elif init is not None and not isinstance(init, str):
        first = _read(init, "the picture to start from", "full", False, allow_huge).filled()
    elif settings.init in _KEYWORDS:
        return None
    elif _is_trained(settings.init):
        first = _styled(photo, settings.init, settings, keep_colors)
    else:
        first = _read_init(settings.init, allow_huge)
    return set_aside(_grey(first) if keep_colors == "luminance" else first)


def _trained_name(init: object, settings: OptimizeSettings) -> str | None:
    """Return the name of the trained style that a search starts from; None for other starts."""
    if isinstance(init, Style):
        return init.card.name
    return settings.init if isinstance(init, str | None) and _is_trained(settings.init) else None


def _is_trained(init: str) -> bool:
    """Return whether a start is a trained style: a file with the ending of one, or a shipped style, unless a file has its
    name."""
    if init in _KEYWORDS:
        return False
    return Path(init).suffix.lower() in _STYLE_FILES or (init in shipped_styles() and not Path(init).is_file())


def _styled(photo: Picture, style: Style | str, settings: OptimizeSettings, keep_colors: KeepColors) -> Tensor:
    """Return the photo through a trained network, in the colours that the search is after."""
    finish = Finish(keep_colors=keep_colors)
    return Stylizer(style, finish, device=settings.device, precision=settings.precision)(photo).pixels


def _read_init(source: str, allow_huge: bool) -> Tensor:
    try:
        return read_image(source, allow_huge=allow_huge).filled()
    except InputError as error:
        styles = ", ".join(shipped_styles())
        choices = f"{', '.join(_KEYWORDS)}, a picture, a style's .safetensors file, or a shipped style: {styles or 'none'}"
        raise InputError(f"{error} (init is one of {choices})") from error


def _make_log(log: str | Path | None, loss: LossSettings, settings: OptimizeSettings) -> RunLog | None:
    if log is None:
        return None
    check_writable(Path(log) / "trace.json")
    return RunLog(Path(log), {"loss": asdict(loss), "settings": asdict(settings)})
