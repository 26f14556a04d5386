"""Write what a search has found: the picture, whatever it takes, and the panel beside it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from stylenet import storage
from stylenet.errors import InputError, RunError
from stylenet.files import scratch_folder
from stylenet.images.picture import Picture, write_image
from stylenet.images.sheets import contact_sheet


def write_result(picture: Picture, target: str | Path, quality: int, bits: int) -> None:
    """Write the result; where that fails, as a store may refuse what it took before, hours of work are kept in the folder for
    temporary files.

    Raises:
        RunError: if it cannot be written where it should be.
        InputError: if it cannot be written anywhere in that format.
    """
    try:
        write_image(picture, target, quality=quality, bits=bits)
    except (InputError, RunError) as error:
        name = Path(storage.name_of(target))
        handle, kept = tempfile.mkstemp(prefix=f"{name.stem[:40]}_", suffix=name.suffix, dir=scratch_folder())
        os.close(handle)
        try:
            write_image(picture, kept, quality=quality, bits=bits)
        except (InputError, RunError):
            Path(kept).unlink(missing_ok=True)
            raise error from error.__cause__
        raise RunError(f"{error}; the picture is kept as {kept}") from error


def panel_path(target: str | Path) -> str:
    """Return where the panel beside a result is written."""
    return storage.marked(target, "_panel")


def write_panel(photo: Picture, paintings: list[Picture], result: Picture, target: str | Path, quality: int) -> None:
    """Write content, styles and result side by side, on white where they are transparent."""
    pictures = [picture.on_white() for picture in (photo, *paintings, result)]
    labels = ["content", *(f"style: {Path(painting.name).name}" for painting in paintings), "result"]
    sheet = contact_sheet(pictures, labels, columns=len(pictures), height=min(result.height, 512))
    write_image(sheet, panel_path(target), quality=quality)
