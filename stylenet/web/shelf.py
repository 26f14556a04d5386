"""The styles that can be chosen on the page."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import stylenet
from stylenet import InputError, Style
from stylenet.web.limits import safe_name


class Shelf:
    """Styles by name: shipped ones, those given on the command line, and those trained here.

    Args:
        files: style files to show besides those that come with stylenet.
        folder: folder for copies of those that are trained here.

    Raises:
        InputError: for a file that is no style.
    """

    def __init__(self, files: Sequence[str], folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Path | str] = {card.name: card.name for card in stylenet.list_styles()}
        self._loaded: dict[str, Style] = {}
        for file in files:
            self.add(Path(file))

    @property
    def names(self) -> list[str]:
        """Return the names in the order of the page."""
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

    def keep(self, file: Path) -> str:
        """Put a copy of a style that was trained here on the shelf: it outlives the page that asked for it.

        Raises:
            InputError: for a file that is no style.
        """
        return self.add(Path(shutil.copy(file, self._folder)))

    def path(self, name: str) -> str:
        """Return what the command line calls a style.

        Raises:
            InputError: for a name that is not on the shelf.
        """
        if name not in self._files:
            raise InputError(f"no style {name!r}: choose one of those shown")
        return str(self._files[name])

    def style(self, name: str) -> Style:
        """Return a style, loaded once.

        Raises:
            InputError: for a name that is not on the shelf.
        """
        path = self.path(name)
        if name not in self._loaded:
            self._loaded[name] = stylenet.load_style(path)
        return self._loaded[name]

    def partners(self, name: str) -> list[str]:
        """Return the styles that a style can be blended with: looks on the same body."""
        body = self.style(name).card.body.get("sha256")
        return [other for other in self.names if body and other != name and self.style(other).card.body.get("sha256") == body]

    def blend(self, name: str, other: str, share: float) -> Style:
        """Return a style between two.

        Args:
            name: name of the first style.
            other: name of the second.
            share: share of the second, 0..1.

        Raises:
            InputError: for styles that are not on the shelf, or not on one body.
        """
        return stylenet.blend_styles({self.path(name): 1 - share, self.path(other): share})
