"""Files in, files out: all that ``stylenet stylize`` does, for one picture or many, on one device or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from stylenet.devices import Precision
from stylenet.errors import InputError, Interrupted
from stylenet.inference.batch import Files, Summary, stylize_many
from stylenet.inference.distributed import stylize_on_devices
from stylenet.inference.finish import Finish
from stylenet.inference.folders import Job, plan_jobs
from stylenet.inference.sheets import contact_sheet_of
from stylenet.inference.stylizer import Stylizer
from stylenet.modes import guest
from stylenet.network.look_blends import choose_styles
from stylenet.network.tiling import Tile


@guest
def stylize_files(
    inputs: Sequence[str],
    styles: Sequence[str],
    output: str,
    finish: Finish | None = None,
    files: Files | None = None,
    sheet: bool = False,
    outside: str | None = None,
    device: str = "auto",
    devices: int = 1,
    precision: Precision = "auto",
    tile: Tile = "auto",
    observe_share: Callable[[float], None] | None = None,
    observe_picture: Callable[[Summary, int], None] | None = None,
) -> Summary | None:
    """Style pictures and write the results.

    Args:
        inputs: files, folders (with all below them), patterns like ``*.jpg``, http(s) addresses, ``-`` for stdin.
        styles: names or files of styles, or shares of looks on one body, as in ``starry_night:0.6 great_wave:0.4``: one blend.
        output: a file for one picture in one style, else a folder; ``-`` for stdout.
        finish: how a style is laid on a picture.
        files: how pictures are read and written.
        sheet: write one labelled contact sheet of all results instead.
        outside: style for where the mask is black, instead of the photo itself.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ...
        devices: processes, each with its own device, that share the pictures.
        precision: ``auto`` (bf16 where the device gains from it), ``32`` or ``bf16``.
        tile: rows of the picture worked on at a time, ``0`` for all, ``auto`` for what memory allows. The result is the same.
        observe_share: is told the share of a single picture that is done, 0..1, where it is taken in strips.
        observe_picture: is told the state and the number of pictures after each of several.

    Returns:
        What came of the pictures; None in all but the first of several processes, which have nothing to tell.

    Raises:
        InputError: for what cannot be read, styled or written.
        Interrupted: after Ctrl-C, with the summary so far.
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
        Stylizer(style, finish, outside, device, precision, tile, observe=observe_share if alone else None)
        for _, style in chosen
    ]
    try:
        summary = _style(jobs, stylizers, names, output, files, sheet, devices, device, None if alone else observe_picture)
    except Interrupted as error:
        raise Interrupted(str(error), replace(error.result, jobs=len(jobs))) from error
    return None if summary is None else replace(summary, jobs=len(jobs))


def _style(
    jobs: Sequence[Job],
    stylizers: Sequence[Stylizer],
    names: Sequence[str],
    output: str,
    files: Files,
    sheet: bool,
    devices: int,
    device: str,
    observe: Callable[[Summary, int], None] | None,
) -> Summary | None:
    """Run the jobs in the way that was asked for."""
    if sheet:
        return contact_sheet_of(jobs, stylizers, names, output, files)
    if min(devices, len(jobs)) > 1:
        return stylize_on_devices(jobs, stylizers, files, min(devices, len(jobs)), device)
    return stylize_many(jobs, stylizers, files, observe)
