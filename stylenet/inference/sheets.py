"""Make one labelled picture of many photos in many styles."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from stylenet.errors import InputError, argument
from stylenet.images.picture import Picture, check_output, resize
from stylenet.images.sheets import contact_sheet
from stylenet.inference.batch import try_to_style
from stylenet.inference.file_rules import Files
from stylenet.inference.folders import STREAM, Job
from stylenet.inference.reading import try_to_read
from stylenet.inference.stylizer import Stylizer
from stylenet.inference.summary import Summary
from stylenet.storage import exists

# Rows of pixels that every format takes.
_TALLEST = 16_000


def contact_sheet_of(
    jobs: Sequence[Job], stylizers: Sequence[Stylizer], names: Sequence[str], output: str, files: Files, height: int = 360
) -> Summary:
    """Write one picture of all results: a row for each photo, a column for each style, each labelled.

    Args:
        jobs: their outputs are not looked at.
        stylizers: one a column.
        names: names of the styles.
        output: file to write.
        files: how pictures are read and written.
        height: height of a row in pixels.

    Raises:
        InputError: if the sheet cannot be written there; if it exists and is not to be overwritten.
    """
    check_output(output, files.bits)
    if exists(output) and not files.overwrite:
        raise InputError(f"{output} exists: {argument('overwrite', True)} replaces it")
    if len(jobs) * height > _TALLEST:
        raise InputError(f"{len(jobs)} rows are too many for one sheet: {_TALLEST // height} fit")
    summary, started = Summary(), time.monotonic()
    cells: list[Tensor] = []
    labels: list[str] = []
    for job in jobs:
        picture = try_to_read(Job(job.source, (STREAM,)), files)
        asked = Job(job.source, (STREAM,) * len(stylizers))
        row = [styled for styled, _ in try_to_style(asked, [picture], stylizers, summary)]
        if not isinstance(picture, Picture) or len(row) < len(stylizers):
            continue
        for cell, label in zip([picture, *row], [Path(picture.name).name, *names], strict=True):
            cells.append(resize(cell.on_white(), height, max(1, round(cell.width * height / cell.height))))
            labels.append(label)
        summary.done += 1
    if cells:
        files.write(Picture(contact_sheet(cells, labels, len(stylizers) + 1, height)), output)
    summary.seconds = time.monotonic() - started
    return summary
