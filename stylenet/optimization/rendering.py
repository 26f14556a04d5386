"""Make a picture file from picture files: the work of ``stylenet optimize``."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from torch import Tensor

from stylenet.errors import InputError
from stylenet.files import check_writable
from stylenet.images.color import KeepColors, exchange_luminance, luminance, match_colors
from stylenet.images.fetching import Source
from stylenet.images.picture import Picture, check_output, read_image, resize, write_image
from stylenet.images.sheets import contact_sheet
from stylenet.inference.stylizer import Look, Stylizer
from stylenet.losses.perceptual import LossSettings
from stylenet.network.cards import shipped_styles
from stylenet.optimization.engine import Iterate, Result, optimize
from stylenet.optimization.observers import Observer, RunLog, SearchLine, Snapshots, together
from stylenet.optimization.settings import OptimizeSettings

_logger = logging.getLogger(__name__)

# Starts that need no file: these words win over files and styles of the same name.
_KEYWORDS = ("content", "uniform", "normal", "style")

# Endings of trained styles, and of the checkpoints that are read as such.
_STYLE_FILES = (".safetensors", ".pth", ".pt", ".model")


def render(
    content: Source,
    styles: Sequence[Source],
    output: str | Path,
    loss: LossSettings | None = None,
    settings: OptimizeSettings | None = None,
    style_weights: Sequence[float] | None = None,
    save_every: int = 0,
    log: str | Path | None = None,
    panel: bool = False,
    keep_colors: KeepColors = "none",
    quality: int = 95,
    bits: int = 8,
    allow_huge: bool = False,
    started: float | None = None,
) -> Result:
    """Read pictures, search the stylised one, and write it.

    Args:
        content: path, address, bytes or file object of the photo.
        styles: paths of the style pictures.
        output: file to write; its ending picks the format.
        loss: what is minimised.
        settings: how it is searched for.
        style_weights: share of each style picture.
        save_every: also write the picture every so many steps, 0 for never.
        log: folder for TensorBoard, trace.json and loss.png.
        panel: also write content, style and result side by side.
        keep_colors: have the photo's colours in the result (Gatys et al., arXiv:1606.05897): ``covariance`` or ``histogram``
            bring the style pictures to them before the search; ``luminance`` searches in grey, with the style's luminance at
            the photo's mean and contrast, and gives the result the photo's colour, pixel by pixel.
        quality: quality of JPEG, WebP and AVIF, 1 to 100.
        bits: 8, or 16 for PNG and TIFF.
        allow_huge: accept pictures of more than 89 million pixels.
        started: ``time.monotonic()`` from which a budget counts.

    Returns:
        The result; a photo's transparency is carried to the file.

    Raises:
        InputError: for anything that cannot be read, met or written, before work begins.
        RunError: if writing fails.
    """
    loss, settings, target = loss or LossSettings(), settings or OptimizeSettings(), Path(output)
    check_output(target, bits)
    if not 1 <= quality <= 100:
        raise InputError(f"quality is {quality}: it must be from 1 to 100")
    if save_every < 0:
        raise InputError(f"save_every is {save_every}: it must be 0 or more")
    photo = read_image(content, settings.size, upscale=settings.upscale, allow_huge=allow_huge)
    paintings = [read_image(style, allow_huge=allow_huge) for style in styles]
    init = _first_picture(photo, settings, keep_colors, allow_huge)
    if settings.scales == "auto" and _is_trained(settings.init):
        # A coarser scale would only blur strokes that are in place already.
        settings = replace(settings, scales=1)
    for note in [note for picture in (photo, *paintings) for note in picture.notes]:
        _logger.info(note)
    observers, progress, run_log = _observers(target, loss, settings, save_every, log, quality, bits)
    if keep_colors == "luminance":
        observers = [_coloured(observer, photo.pixels) for observer in observers]
    result = optimize(
        _grey(photo.pixels) if keep_colors == "luminance" else photo.pixels,
        [_recoloured(painting.pixels, photo.pixels, keep_colors) for painting in paintings],
        loss,
        settings,
        style_weights=style_weights,
        init=init,
        observe=together(observers),
        started=started,
    )
    progress.close()
    if keep_colors == "luminance":
        result.picture = exchange_luminance(photo.pixels, result.picture.cpu())
    write_image(replace(photo, pixels=result.picture.cpu()), target, quality=quality, bits=bits)
    if panel:
        _write_panel(photo, paintings, result, target, quality)
    if run_log:
        run_log.close(result)
    return result


def _recoloured(painting: Tensor, photo: Tensor, keep_colors: KeepColors) -> Tensor:
    return painting if keep_colors == "none" else match_colors(painting, photo, keep_colors)


def _grey(picture: Tensor) -> Tensor:
    return luminance(picture).expand_as(picture).contiguous()


def _coloured(observer: Observer, photo: Tensor) -> Observer:
    """Return an observer that sees what would be written, not the grey picture that is searched."""

    def observe(iterate: Iterate) -> None:
        def picture() -> Tensor:
            styled = iterate.picture().cpu()
            return exchange_luminance(resize(photo, styled.shape[-2], styled.shape[-1]), styled)

        observer(replace(iterate, picture=picture))

    return observe


def _first_picture(photo: Picture, settings: OptimizeSettings, keep_colors: KeepColors, allow_huge: bool) -> Tensor | None:
    """Return what the search starts from; None for the starts that it makes itself."""
    if settings.init in _KEYWORDS:
        return None
    trained = _is_trained(settings.init)
    first = _styled(photo, settings, keep_colors) if trained else _read_init(settings.init, allow_huge)
    return _grey(first) if keep_colors == "luminance" else first


def _is_trained(init: str) -> bool:
    """Return whether a start is a trained style: a file with the ending of one, or a shipped style, unless a file has its
    name."""
    if init in _KEYWORDS:
        return False
    return Path(init).suffix.lower() in _STYLE_FILES or (init in shipped_styles() and not Path(init).is_file())


def _styled(photo: Picture, settings: OptimizeSettings, keep_colors: KeepColors) -> Tensor:
    """Return the photo through a trained network, in the colours that the search is after."""
    look = Look(keep_colors=keep_colors)
    return Stylizer(settings.init, look, device=settings.device, precision=settings.precision)(photo).pixels


def _read_init(source: str, allow_huge: bool) -> Tensor:
    try:
        return read_image(source, allow_huge=allow_huge).pixels
    except InputError as error:
        styles = ", ".join(shipped_styles())
        choices = f"{', '.join(_KEYWORDS)}, a picture, a style's .safetensors file, or a shipped style: {styles or 'none'}"
        raise InputError(f"{error} (init is one of {choices})") from error


def _observers(
    target: Path,
    loss: LossSettings,
    settings: OptimizeSettings,
    save_every: int,
    log: str | Path | None,
    quality: int,
    bits: int,
) -> tuple[list[Observer], SearchLine, RunLog | None]:
    progress = SearchLine()
    observers: list[Observer] = [progress]
    run_log = None
    if save_every:
        observers.append(Snapshots(target, save_every, quality=quality, bits=bits))
    if log is not None:
        check_writable(Path(log) / "trace.json")
        run_log = RunLog(Path(log), {"loss": asdict(loss), "settings": asdict(settings)})
        observers.append(run_log)
    return observers, progress, run_log


def _write_panel(photo: Picture, paintings: list[Picture], result: Result, target: Path, quality: int) -> None:
    pictures = [photo.pixels, *(painting.pixels for painting in paintings), result.picture]
    labels = ["content", *(f"style: {Path(painting.name).name}" for painting in paintings), "result"]
    sheet = contact_sheet(pictures, labels, columns=len(pictures), height=min(result.picture.shape[2], 512))
    write_image(sheet, target.with_name(f"{target.stem}_panel{target.suffix}"), quality=quality)
