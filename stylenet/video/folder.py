"""A folder of pictures as a video: a frame a picture, in natural order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from stylenet.errors import UNREADABLE, InputError, why_unreadable
from stylenet.formats import is_picture, kind_left_out, picture_endings, tell_left_out
from stylenet.images.picture import read_image
from stylenet.video.frames import Frame, Video


class PictureFolder(Video):
    """The pictures of a folder (not of folders in it) as frames: ``2.png`` before ``10.png``.

    Raises:
        InputError: if it holds none, or two of the same name that differ only in their ending.
    """

    def __init__(self, folder: Path, rate: Fraction) -> None:
        names = sorted((path.name for path in folder.iterdir() if _is_frame(path)), key=natural)
        if not names:
            raise InputError(f"{str(folder)!r} holds no pictures ({picture_endings()})")
        (stem, count), *_ = Counter(Path(name).stem for name in names).most_common(1)
        if count > 1:
            raise InputError(f"{str(folder)!r} holds two frames named {stem}: keep one of them")
        super().__init__(folder, rate, 1 / rate, len(names))
        self.names = names
        others = [
            path for path in folder.iterdir() if path.is_file() and not is_picture(path) and not path.name.startswith(".")
        ]
        if others:
            self.notes.append(tell_left_out(Counter(map(kind_left_out, others)), len(names), "frames"))

    def __iter__(self) -> Iterator[Frame]:
        for index, name in enumerate(self.names):
            try:
                picture = read_image(str(self.path / name))
            except UNREADABLE as error:
                self.losses.append(why_unreadable(error, name))
                continue
            yield Frame(picture, index, 1)

    def close(self) -> None:
        """Do nothing, as pictures are opened one by one."""


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts file names by what comes before their ending, numbers in them by value."""
    return [(int(word), "") if word.isdecimal() else (-1, word.lower()) for word in re.split(r"(\d+)", Path(name).stem)]


def _is_frame(path: Path) -> bool:
    """Return whether a file is meant as a frame; what cannot be read, such as a pipe or a link to itself, is told as lost."""
    return is_picture(path) and not path.is_dir()
