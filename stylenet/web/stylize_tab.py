"""The first tab: a photo in every style."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from stylenet import Finish, InputError
from stylenet.web.limits import PICTURES, checked
from stylenet.web.site import DEVICE, Site, comparison, photo_box, telling
from stylenet.web.tabs import Tab

SIZES = ["full", "2048", "1024", "512"]
_COLOURS = ["none", "luminance", "histogram", "covariance"]


class StylizeTab:
    """Its parts, and what they do."""

    def __init__(self, site: Site, tab: gr.Textbox) -> None:
        self.site = site
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=280):
                self.photo = photo_box("Photo", ["upload", "clipboard", "webcam"], 260)
                self.strength = gr.Slider(0, 1, 1, step=0.05, label="Strength", info="0 is the photo, 1 the style")
                self.colours = gr.Dropdown(_COLOURS, value="none", label="Keep the photo's colours")
                self.scale = gr.Slider(0.5, 3, 1, step=0.1, label="Stroke size")
                self.size = gr.Dropdown(SIZES, value="full", label="Longest side in pixels")
            with gr.Column(scale=5, min_width=320):
                self.gallery = gr.Gallery(
                    label="Your photo in every style", columns=4, height="auto", allow_preview=False, buttons=[], format="webp"
                )
                self.compare = gr.HTML(padding=False)
                self.download = gr.DownloadButton("Download at full resolution", variant="primary", interactive=False)
        self._several()
        self._listen(tab)

    def _several(self) -> None:
        with gr.Accordion("Several photos at once", open=False):
            self.photos = gr.File(label="Photos", file_count="multiple", file_types=sorted(PICTURES), height=160)
            self.all = gr.Button("Style them all in the chosen style")
            self.told = gr.HTML()
            self.archive = gr.DownloadButton("Download the zip", interactive=False)

    def _listen(self, tab: gr.Textbox) -> None:
        finish = [self.strength, self.colours, self.scale, self.size]
        result = [self.compare, self.download]
        shared: dict[str, Any] = {"concurrency_id": DEVICE, "concurrency_limit": 1}
        self.photo.input(
            telling(self._take), [tab, self.photo, *finish], [self.gallery, *result], trigger_mode="always_last", **shared
        )
        self.gallery.select(telling(self._choose), [tab, *finish], result, **shared)
        for control in (self.strength, self.scale):
            control.release(telling(self._again), [tab, *finish], result, trigger_mode="always_last", **shared)
        for choice in (self.colours, self.size):
            choice.input(telling(self._again), [tab, *finish], result, trigger_mode="always_last", **shared)
        self.all.click(telling(self._style_all), [tab, self.photos, *finish], [self.told, self.archive], **shared)

    def restored(self, tab: Tab) -> list[Any]:
        """Return what :attr:`parts` showed before the page was loaded anew."""
        return [tab.photo, self._shown(tab), *self._result(tab)]

    @property
    def parts(self) -> list[Any]:
        """Return the parts that a reload fills."""
        return [self.photo, self.gallery, self.compare, self.download]

    @staticmethod
    def _shown(tab: Tab) -> list[tuple[str, str]]:
        return [(str(path), name.replace("_", " ")) for name, path in tab.thumbnails.items()]

    @staticmethod
    def _result(tab: Tab) -> list[Any]:
        styled = tab.styled
        button = gr.DownloadButton(value=None if styled is None else str(styled), interactive=styled is not None)
        return [comparison(tab.pair), button]

    def _take(self, name: str, photo: str | None, *finish: Any) -> Iterator[list[Any]]:
        """Forget the last photo, show this one in every style, then in the chosen or the first style large."""
        tab = self.site.tabs(name)
        tab.photo, tab.thumbnails, tab.styled, tab.pair = None, {}, None, None
        yield [[], *self._result(tab)]
        if photo is None:
            return
        file = checked(photo, PICTURES, "photo")
        folder = tab.fresh_folder()
        thumbnails: dict[str, Path] = {}
        for style, thumbnail in self.site.painter.thumbnails(file, folder):
            thumbnails[style] = thumbnail
            tab.photo, tab.thumbnails = file, thumbnails
            yield [self._shown(tab), gr.skip(), gr.skip()]
        tab.style = tab.style if tab.style in thumbnails else next(iter(thumbnails))
        self._paint(tab, *finish)
        yield [gr.skip(), *self._result(tab)]

    def _choose(self, event: gr.SelectData, name: str, *finish: Any) -> list[Any]:
        tab = self.site.tabs(name)
        tab.style = list(tab.thumbnails)[int(event.index)]
        self._paint(tab, *finish)
        return self._result(tab)

    def _again(self, name: str, *finish: Any) -> list[Any]:
        tab = self.site.tabs(name)
        if tab.photo is None or not tab.style:
            return [gr.skip(), gr.skip()]
        self._paint(tab, *finish)
        return self._result(tab)

    def _paint(self, tab: Tab, strength: float, colours: str, scale: float, size: str) -> None:
        if tab.photo is None:
            raise InputError("no photo yet: choose one first")
        # Strips of a large picture; gr.Progress takes a share from 0 to 1.
        tab.styled, tab.pair = self.site.painter.paint(
            tab.photo, tab.style, _finish(strength, colours, scale), _size(size), tab.fresh_folder(), gr.Progress()
        )

    def _style_all(self, name: str, photos: list[str] | None, *finish: Any) -> Iterator[list[Any]]:
        tab = self.site.tabs(name)
        files = [checked(photo, PICTURES, "photo") for photo in photos or []]
        if not 0 < len(files) <= self.site.limits.most_photos:
            raise InputError(f"{len(files)} photos: choose 1 to {self.site.limits.most_photos}")
        style = tab.style or self.site.shelf.names[0]
        strength, colours, scale, size = finish
        made = self.site.painter.paint_all(files, style, _finish(strength, colours, scale), _size(size), tab.fresh_folder())
        for step in made:
            if isinstance(step, Path):
                told = f"<p role='status'>All {len(files)} in {style.replace('_', ' ')}.</p>"
                yield [told, gr.DownloadButton(value=str(step), interactive=True)]
            else:
                bar = f'<progress value="{step / len(files)}" aria-label="Progress"></progress>'
                yield [f"<div role='status' class='job'>{bar}<p>{step} of {len(files)}</p></div>", gr.skip()]


def _finish(strength: float, colours: str, scale: float) -> Finish:
    if colours not in _COLOURS:
        raise InputError(f"keep colours is {colours!r}: use one of {', '.join(_COLOURS)}")
    return Finish(strength=float(strength), keep_colors=colours, scale=float(scale))  # type: ignore[arg-type]


def _size(size: str) -> str:
    if size not in SIZES:
        raise InputError(f"size is {size!r}: use one of {', '.join(SIZES)}")
    return size
