"""Photos in styles, now: thumbnails in every style, one photo at full size, several as a zip."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from PIL import Image

import stylenet
from stylenet import Finish, InputError, Picture, Style, Stylizer
from stylenet.web.limits import Limits, safe_name, written_suffix

THUMBNAIL = 320
_PREVIEW = 1400
_EDGE = 8


class Shelf:
    """The styles that can be chosen: shipped ones, those given on the command line, and those trained here.

    A style is known by its name; :meth:`style` loads it once. Looks of a body and blends of two come in here, as names.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self._files: dict[str, Path | str] = {card.name: card.name for card in stylenet.list_styles()}
        self._loaded: dict[str, Style] = {}
        for file in files:
            self.add(Path(file))

    @property
    def names(self) -> list[str]:
        """Return them in the order of the page."""
        return list(self._files)

    def add(self, file: Path) -> str:
        """Put a style file on the shelf and return its name there.

        Raises:
            InputError: for a file that is no style.
        """
        loaded = stylenet.load_style(file)
        name = safe_name(file.stem, "style")
        self._files[name], self._loaded[name] = file, loaded
        return name

    def path(self, name: str) -> str:
        """Return what the command line calls a style.

        Raises:
            InputError: for a name that is not on the shelf.
        """
        if name not in self._files:
            raise InputError(f"no style {name!r}: choose one of those shown")
        return str(self._files[name])

    def style(self, name: str) -> Style:
        """Return a style, loaded once."""
        path = self.path(name)
        if name not in self._loaded:
            self._loaded[name] = stylenet.load_style(path)
        return self._loaded[name]


class Painter:
    """Styles pictures, one at a time on a device."""

    def __init__(self, shelf: Shelf, limits: Limits, device: str) -> None:
        self.shelf, self.limits, self.device = shelf, limits, device
        self._turn = threading.Lock()

    def read(self, photo: Path, size: str = "full") -> Picture:
        """Read an uploaded picture.

        Raises:
            InputError: for what is no picture, or one with too many pixels: told before they are decoded.
        """
        try:
            with Image.open(photo) as image:
                width, height = image.size
        except Image.DecompressionBombError as error:
            raise InputError(
                f"{photo.name} has too many pixels: {self.limits.megapixels:g} megapixels are the limit"
            ) from error
        except Exception as error:  # Pillow raises nearly anything on bytes that make no sense
            raise InputError(f"{photo.name} is no picture that can be read: use a JPEG, PNG, WebP or TIFF") from error
        if width * height > self.limits.megapixels * 1e6:
            raise InputError(f"{photo.name} is {width} x {height} pixels: {self.limits.megapixels:g} megapixels are the limit")
        if min(width, height) < _EDGE:
            raise InputError(f"{photo.name} is {width} x {height} pixels: each side needs {_EDGE} or more")
        return stylenet.read_image(photo, size)

    def thumbnails(self, photo: Path, folder: Path) -> Iterator[tuple[str, Path]]:
        """Yield a small picture in each style as soon as it is ready."""
        small = self.read(photo, str(THUMBNAIL))
        for name in self.shelf.names:
            yield name, stylenet.write_image(self._paint(small, name), folder / f"{name}.webp", quality=85)

    def paint(
        self, photo: Path, name: str, finish: Finish, size: str, folder: Path, report: Callable[[float], None] | None = None
    ) -> tuple[Path, tuple[Path, Path]]:
        """Style a photo as ``stylenet stylize`` does; return the file, and two previews for the slider."""
        picture = self.read(photo, size)
        styled = self._paint(picture, name, finish, report)
        written = stylenet.write_image(styled, folder / f"{safe_name(photo.stem, 'photo')}_{name}{written_suffix(photo)}")
        pair = tuple(
            stylenet.write_image(one.resized(str(_PREVIEW)), folder / f"{when}.webp", quality=90)
            for one, when in ((picture, "before"), (styled, "after"))
        )
        return Path(written), (Path(pair[0]), Path(pair[1]))

    def paint_all(self, photos: list[Path], name: str, finish: Finish, size: str, folder: Path) -> Iterator[int | Path]:
        """Style several photos; yield how many are done, and at last the zip of them, with a list of what could not be read."""
        target = folder / f"{name}.zip"
        failures = []
        with zipfile.ZipFile(target, "w") as archive:
            for index, photo in enumerate(photos):
                part = folder / f"{index + 1:03d}_{safe_name(photo.stem, 'photo')}{written_suffix(photo)}"
                try:
                    archive.write(stylenet.write_image(self._paint(self.read(photo, size), name, finish), part), part.name)
                except InputError as error:
                    failures.append(str(error))
                part.unlink(missing_ok=True)
                yield index + 1
            if failures:
                archive.writestr("not_styled.txt", "\n".join(failures) + "\n")
        yield target

    def frame(self, picture: Picture, name: str) -> Picture:
        """Style one frame of a webcam."""
        return self._paint(picture, name)

    def _paint(
        self, picture: Picture, name: str, finish: Finish | None = None, report: Callable[[float], None] | None = None
    ) -> Picture:
        with self._turn:
            return Stylizer(self.shelf.style(name), finish, device=self.device, observe=report)(picture)
