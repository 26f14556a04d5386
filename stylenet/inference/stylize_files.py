"""Files in, files out: all that ``stylenet stylize`` does, for one picture or many, on one device or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from stylenet.devices import Precision
from stylenet.errors import InputError
from stylenet.inference.batch import Files, Summary, stylize_many
from stylenet.inference.distributed import stylize_on_devices
from stylenet.inference.jobs import plan_jobs
from stylenet.inference.sheets import contact_sheet_of
from stylenet.inference.stylizer import Look, Stylizer
from stylenet.network.blending import choose_styles
from stylenet.network.tiling import Tile


def stylize_files(
    inputs: Sequence[str],
    styles: Sequence[str],
    output: str,
    look: Look | None = None,
    files: Files | None = None,
    sheet: bool = False,
    outside: str | None = None,
    device: str = "auto",
    devices: int = 1,
    precision: Precision = "auto",
    tile: Tile = "auto",
    report_share: Callable[[float], None] | None = None,
    report_picture: Callable[[Summary, int], None] | None = None,
) -> Summary | None:
    """Style pictures and write the results.

    Args:
        inputs: files, folders (with all below them), patterns like ``*.jpg``, http(s) addresses, ``-`` for stdin.
        styles: names or files of styles, or shares of looks on one body, as in ``starry_night:0.6 great_wave:0.4``: one blend.
        output: a file for one picture in one style, else a folder; ``-`` for stdout.
        look: how a style is laid on a picture.
        files: how pictures are read and written.
        sheet: write one labelled contact sheet of all results instead.
        outside: style for where the mask is black, instead of the photo itself.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ...
        devices: processes, each with its own device, that share the pictures.
        precision: ``auto`` (bf16 where the device gains from it), ``32`` or ``bf16``.
        tile: rows of the picture worked on at a time, ``0`` for all, ``auto`` for what memory allows. The result is the same.
        report_share: is told the share of a single picture that is done, 0..1, where it is taken in strips.
        report_picture: is told the state and the number of pictures after each of several.

    Returns:
        What came of the pictures; None in all but the first of several processes, which have nothing to tell.

    Raises:
        InputError: for what cannot be read, styled or written.
    """
    if devices < 1:
        raise InputError(f"devices is {devices}: it must be 1 or more")
    if devices > 1 and ":" in device:
        kind = device.partition(":")[0]
        raise InputError(f"device {device!r} is a single one, and devices is {devices}: take {kind!r}, or 1 device")
    chosen = choose_styles(styles)
    files, names = files or Files(), [name for name, _ in chosen]
    jobs = plan_jobs(inputs, output, names, sheet=sheet)
    alone = len(jobs) == 1
    stylizers = [
        Stylizer(style, look, outside, device, precision, tile, report=report_share if alone else None) for _, style in chosen
    ]
    summary: Summary | None
    if sheet:
        summary = contact_sheet_of(jobs, stylizers, names, output, files)
    elif min(devices, len(jobs)) > 1:
        summary = stylize_on_devices(jobs, stylizers, files, min(devices, len(jobs)), device)
    else:
        summary = stylize_many(jobs, stylizers, files, None if alone else report_picture)
    return None if summary is None else replace(summary, jobs=len(jobs))
