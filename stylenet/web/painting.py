"""Photos in styles, at once: thumbnails in every style, one photo at full size, several as a zip, frames of a webcam."""

from __future__ import annotations

import functools
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

import stylenet
from stylenet import Finish, InputError, Picture, RunError, Style, Stylizer
from stylenet.cores import start_lanes
from stylenet.devices import pick_device
from stylenet.errors import UNREADABLE, why_unreadable
from stylenet.web.limits import Limits, safe_name, written_suffix
from stylenet.web.shelf import Shelf

THUMBNAIL = 320
_PREVIEW = 1400
_EDGE = 8
# Thumbnails of one photo that are under way; as many are painted at once as there are cores.
_AT_ONCE = 4


@dataclass(frozen=True)
class Order:
    """The wishes of a page for one photo.

    Attributes:
        style: name of the style.
        finish: how it is laid on the photo.
        size: size rule of the photo before it is styled.
        partner: name of the style that it is blended with; empty for none.
        share: share of that one, 0..1.
    """

    style: str
    finish: Finish
    size: str = "full"
    partner: str = ""
    share: float = 0.0

    @property
    def title(self) -> str:
        """Return what the style is called in names of files."""
        return f"{self.style}_{self.partner}" if self.partner else self.style


@dataclass(frozen=True)
class Painted:
    """A photo in a style.

    Attributes:
        file: the result.
        before: preview of the photo.
        after: preview of the result.
        size: width and height of the previews in pixels.
        title: name of the style.
    """

    file: Path
    before: Path
    after: Path
    size: tuple[int, int]
    title: str


@dataclass(frozen=True)
class Archive:
    """Several photos in a style.

    Attributes:
        file: the zip.
        styled: number of photos in it.
        failures: why others are not, one line each.
    """

    file: Path
    styled: int
    failures: list[str]


class Painter:
    """Styles pictures, one at a time on a device.

    Args:
        shelf: the styles.
        limits: bounds of what is read.
        device: ``auto``, ``cpu``, ``cuda``, ...
    """

    def __init__(self, shelf: Shelf, limits: Limits, device: str) -> None:
        self.shelf, self.limits, self.device = shelf, limits, device
        self._turn = threading.Lock()
        # On a processor small pictures are painted beside each other, one on each core.
        self._lanes = start_lanes(torch.get_num_threads()) if pick_device(device).type == "cpu" else None
        self._plain = functools.lru_cache(maxsize=32)(self._make_plain)

    def read(self, photo: Path, size: str = "full") -> Picture:
        """Read an uploaded picture.

        Raises:
            InputError: for what is no picture, or one with too many pixels: told before they are decoded. It names the file as
                its owner does, and not where it lies on the server.
        """
        try:
            width, height = stylenet.read_size(photo)
            if width * height > self.limits.megapixels * 1e6:
                limit = f"{self.limits.megapixels:g} megapixels are the limit"
                raise InputError(f"{photo.name} is {width} x {height} pixels: {limit}")
            if min(width, height) < _EDGE:
                raise InputError(f"{photo.name} is {width} x {height} pixels: each side needs {_EDGE} or more")
            return stylenet.read_image(photo, size)
        except (InputError, RunError) as error:
            raise type(error)(str(error).replace(str(photo), photo.name)) from error

    def check(self, photo: Path) -> None:
        """Fail for a picture that cannot be read.

        Raises:
            InputError: with the reason.
        """
        self.read(photo, "64")

    def thumbnails(self, photo: Path, folder: Path) -> Iterator[tuple[str, Path]]:
        """Yield a small picture in each style as soon as it is ready."""
        small = self.read(photo, str(THUMBNAIL))

        def paint(name: str) -> tuple[str, Path]:
            return name, stylenet.write_image(self.frame(small, name), folder / f"{name}.webp", quality=85)

        with ThreadPoolExecutor(_AT_ONCE) as painters:
            yield from painters.map(paint, self.shelf.names)

    def paint(self, photo: Path, order: Order, folder: Path, observe: Callable[[float], None] | None = None) -> Painted:
        """Style a photo as ``stylenet stylize`` does, and write it into a folder with two previews for the slider.

        Args:
            photo: an uploaded picture.
            order: style, finish and size.
            folder: where the files go.
            observe: is told the share that is done, 0..1, of a picture that is taken in strips.
        """
        picture = self.read(photo, order.size)
        with self._turn:
            styled = self._stylizer(order, observe)(picture)
        name = f"{safe_name(photo.stem, 'photo')}_{order.title}{written_suffix(photo)}"
        file = stylenet.write_image(styled, folder / name)
        before, after = (one.resized(str(_PREVIEW)) for one in (picture, styled))
        return Painted(
            file=file,
            before=stylenet.write_image(before, folder / "before.webp", quality=90),
            after=stylenet.write_image(after, folder / "after.webp", quality=90),
            size=(after.width, after.height),
            title=order.title,
        )

    def paint_all(self, photos: list[Path], order: Order, folder: Path) -> Iterator[int | Archive]:
        """Style several photos; yield how many are done, and at last the zip of them.

        What could not be read is told in ``not_styled.txt`` in the zip.
        """
        target = folder / f"{order.title}.zip"
        failures = []
        stylizer = self._stylizer(order)
        with zipfile.ZipFile(target, "w") as archive:
            for index, photo in enumerate(photos):
                part = folder / f"{index + 1:03d}_{safe_name(photo.stem, 'photo')}{written_suffix(photo)}"
                try:
                    picture = self.read(photo, order.size)
                    with self._turn:
                        styled = stylizer(picture)
                    archive.write(stylenet.write_image(styled, part), part.name)
                except UNREADABLE as error:
                    failures.append(why_unreadable(error, photo.name))
                part.unlink(missing_ok=True)
                yield index + 1
            if failures:
                archive.writestr("not_styled.txt", "\n".join(failures) + "\n")
        yield Archive(target, len(photos) - len(failures), failures)

    def frame(self, picture: Picture, name: str) -> Picture:
        """Style a small picture, such as a frame of a webcam, by a network that stays on the device."""
        style = self.shelf.style(name)
        if self._lanes is not None:
            return self._lanes.submit(self._plain(style), picture).result()
        with self._turn:
            return self._plain(style)(picture)

    def _make_plain(self, style: Style) -> Stylizer:
        return Stylizer(style, device=self.device)

    def _stylizer(self, order: Order, observe: Callable[[float], None] | None = None) -> Stylizer:
        style = self.shelf.blend(order.style, order.partner, order.share) if order.partner else self.shelf.style(order.style)
        return Stylizer(style, order.finish, device=self.device, observe=observe)
