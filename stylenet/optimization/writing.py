"""Write what a search has found: the picture, whatever it takes, and the panel beside it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from stylenet.errors import RunError
from stylenet.files import scratch_folder
from stylenet.images.picture import Picture, write_image
from stylenet.images.sheets import contact_sheet


def write_result(picture: Picture, target: Path, quality: int, bits: int) -> None:
    """Write the result; where that fails, hours of work are kept in the folder for temporary files.

    Raises:
        RunError: if it cannot be written where it should be.
    """
    try:
        write_image(picture, target, quality=quality, bits=bits)
    except RunError as error:
        handle, kept = tempfile.mkstemp(prefix=f"{target.stem[:40]}_", suffix=target.suffix, dir=scratch_folder())
        os.close(handle)
        try:
            write_image(picture, kept, quality=quality, bits=bits)
        except RunError:
            Path(kept).unlink(missing_ok=True)
            raise error from error.__cause__
        raise RunError(f"{error}; the picture is kept as {kept}") from error


def panel_path(target: Path) -> Path:
    """Return where the panel beside a result is written."""
    return target.with_name(f"{target.stem}_panel{target.suffix}")


def write_panel(photo: Picture, paintings: list[Picture], result: Picture, target: Path, quality: int) -> None:
    """Write content, styles and result side by side, on white where they are transparent."""
    pictures = [picture.on_white() for picture in (photo, *paintings, result)]
    labels = ["content", *(f"style: {Path(painting.name).name}" for painting in paintings), "result"]
    sheet = contact_sheet(pictures, labels, columns=len(pictures), height=min(result.height, 512))
    write_image(sheet, panel_path(target), quality=quality)
