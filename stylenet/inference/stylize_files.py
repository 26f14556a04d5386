"""Files in, files out: all that ``stylenet stylize`` does, for one picture or millions, on one device or a cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from stylenet.devices import Precision
from stylenet.errors import InputError, Interrupted
from stylenet.formats import tell_left_out
from stylenet.inference.at_scale import Observe, Scale, jobs_at_scale, style_blocks
from stylenet.inference.batch import stylize_many
from stylenet.inference.file_rules import Files
from stylenet.inference.finish import Finish
from stylenet.inference.folders import STREAM, Job, names_several, plan_jobs
from stylenet.inference.manifest import Manifest
from stylenet.inference.recipe import recipe_of
from stylenet.inference.sheets import contact_sheet_of
from stylenet.inference.stylizer import Stylizer
from stylenet.inference.summary import Summary
from stylenet.modes import guest
from stylenet.network.look_blends import choose_styles, parse_blend
from stylenet.network.styles import Style
from stylenet.network.tiling import Tile
from stylenet.storage import check_apart_from, is_address
from stylenet.storage.places import Place


@guest
def stylize_files(
    inputs: Sequence[str],
    styles: Sequence[str],
    output: str,
    finish: Finish | None = None,
    files: Files | None = None,
    scale: Scale | None = None,
    sheet: bool = False,
    outside: str | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    tile: Tile = "auto",
    observe_share: Callable[[float], None] | None = None,
    observe_picture: Observe | None = None,
) -> Summary:
    """Style pictures and write the results.

    Args:
        inputs: files, folders and zip archives (with all in them), ``.txt`` lists of files, patterns like ``*.jpg``, addresses
            (http(s), or of a store such as ``s3://``), ``-`` for stdin.
        styles: names, files or addresses of styles, or shares of looks on one body, as in ``the_kiss:0.6
            irises:0.4``: one blend.
        output: a file for one picture in one style, else a folder, both also in a store; ``-`` for stdout.
        finish: how a style is laid on a picture.
        files: how pictures are read and written.
        scale: how the work is shared, and whether it goes on from an earlier run.
        sheet: write one labelled contact sheet of all results instead.
        outside: style for where the mask is black, instead of the photo itself.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ...
        precision: ``auto`` (bf16 or fp16 where the device gains from it), ``32``, ``bf16`` or ``fp16``.
        tile: rows of the picture worked on at a time, ``0`` for all, ``auto`` for what memory allows. The result is the same.
        observe_share: is told the share of a single picture that is done, 0..1, where it is taken in strips.
        observe_picture: is told the state and the number of pictures after each of several; 0 where that is not known.

    Returns:
        What came of the pictures.

    Raises:
        InputError: for what cannot be read, styled or written.
        RunError: for a store that does not answer, or workers that cannot be started.
        Interrupted: after Ctrl-C, with the summary so far.
    """
    scale, files = scale or Scale(), files or Files()
    chosen = choose_styles(styles)
    if scale.by_ray and ":" in device:
        kind = device.partition(":")[0]
        raise InputError(f"device {device!r} is a single one, and devices is {scale.devices}: take {kind!r}, or 1 device")
    if scale.wanted and sheet:
        raise InputError(f"a sheet is one picture of few photos, made by one device: leave out {scale.asked}")
    check = check_apart_from(_read_beside(styles, finish, outside))
    if scale.wanted and (len(inputs) > 1 or names_several(inputs[0]) or STREAM in (*inputs, output)):
        options = (outside, device, precision, tile)
        return _style_at_scale(inputs, chosen, output, finish, files, scale, options, observe_picture, check)
    if scale.wanted and (is_address(inputs[0]) or Path(inputs[0]).exists()):  # what is not there is told of below
        raise InputError(f"{inputs[0]} is one photo, which one device styles: leave out {scale.asked}")
    names = [name for name, _ in chosen]
    left_out: Counter[str] = Counter()
    jobs = plan_jobs(inputs, output, names, sheet=sheet, left_out=left_out)
    for result in [output] if sheet else [result for job in jobs for result in job.outputs]:
        check(result)
    alone = len(jobs) == 1
    stylizers = [
        Stylizer(style, finish, outside, device, precision, tile, observe=observe_share if alone else None)
        for _, style in chosen
    ]
    try:
        if sheet:
            summary = contact_sheet_of(jobs, stylizers, names, output, files)
        else:
            summary = stylize_many(jobs, stylizers, files, None if alone else observe_picture)
    except Interrupted as error:
        raise Interrupted(str(error), replace(error.result, jobs=len(jobs))) from error
    notes = [tell_left_out(left_out, len(jobs))] if left_out else []
    return replace(summary, jobs=len(jobs), notes=[*summary.notes, *notes])


def _read_beside(styles: Sequence[str], finish: Finish | None, outside: str | None) -> list[object]:
    """Return what is read beside the photos: no result takes its place."""
    return [*(parse_blend(styles) or styles), outside, None if finish is None else finish.mask]


def _kept_apart(jobs: Iterator[Job], check: Callable[[Place], None]) -> Iterator[Job]:
    """Yield jobs as they come; one whose result would take the place of what is read beside the photos fails by itself."""
    for job in jobs:
        try:
            for result in job.outputs:
                check(result)
        except InputError as error:
            job = replace(job, trouble=str(error))  # noqa: PLW2901
        yield job


def _style_at_scale(
    inputs: Sequence[str],
    chosen: Sequence[tuple[str, str | Style]],
    output: str,
    finish: Finish | None,
    files: Files,
    scale: Scale,
    options: tuple[str | None, str, Precision, Tile],
    observe: Observe | None,
    check: Callable[[Place], None],
) -> Summary:
    """Style a set that may be of any size."""
    names = [name for name, _ in chosen]
    left_out: Counter[str] = Counter()
    jobs = _kept_apart(jobs_at_scale(inputs, output, names, scale, files, left_out), check)
    recipe = recipe_of([style for _, style in chosen], finish, *options, files)
    stylizers = [] if scale.by_ray else recipe.stylizers()
    manifest = Manifest(output, scale.share, scale.resume, recipe.work)
    if scale.by_ray:
        from stylenet.inference.ray_engine import style_by_ray

        summary = style_by_ray(jobs, recipe, scale, manifest, observe)
    else:
        summary = style_blocks(jobs, stylizers, files, manifest, observe)
    notes = [tell_left_out(left_out, summary.tried)] if left_out else []
    return replace(summary, jobs=summary.tried, notes=[*summary.notes, *notes])
