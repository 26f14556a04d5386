"""Lay pictures out as labelled grids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from stylenet.images.picture import resize

_BAND = 22  # pixels of the label above each picture
_GAP = 6


def contact_sheet(pictures: Sequence[Tensor], labels: Sequence[str], columns: int, height: int = 240) -> Tensor:
    """Arrange pictures ``[1, 3, h, w]`` side by side, row by row, each with its label above, on white.

    Args:
        pictures: any sizes; each is brought to ``height``.
        labels: one for each.
        columns: pictures a row.

    Returns:
        ``[1, 3, H, W]`` in 0..1.

    Raises:
        InputError: for pixels that are not finite, or in 0..255.
    """
    cells = [_cell(picture, label, height) for picture, label in zip(pictures, labels, strict=True)]
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    widths = [max(row[i].shape[1] for row in rows if i < len(row)) for i in range(min(columns, len(cells)))]
    sheet = np.full((len(rows) * (height + _BAND + _GAP) + _GAP, sum(widths) + _GAP * (len(widths) + 1), 3), 255, np.uint8)
    for number, row in enumerate(rows):
        top, left = _GAP + number * (height + _BAND + _GAP), _GAP
        for cell, width in zip(row, widths, strict=False):
            sheet[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
            left += width + _GAP
    return torch.from_numpy(sheet).permute(2, 0, 1)[None].float() / 255


def _cell(picture: Tensor, label: str, height: int) -> np.ndarray:
    width = max(round(picture.shape[3] * height / picture.shape[2]), 1)
    pixels = (resize(picture.detach().float().cpu(), height, width)[0] * 255).round().byte()
    cell = Image.new("RGB", (width, height + _BAND), "white")
    cell.paste(Image.fromarray(pixels.permute(1, 2, 0).numpy()), (0, _BAND))
    ImageDraw.Draw(cell).text((2, 3), label, fill="black", font=ImageFont.load_default(size=14))
    return np.asarray(cell)
