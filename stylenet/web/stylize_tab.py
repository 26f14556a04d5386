"""The first tab: a photo in every style."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from stylenet import Finish, InputError
from stylenet.web.forms import ONE_AT_A_TIME, check_choice, download, handing_out, photo_box, show_while, telling, tiles
from stylenet.web.fragments import comparison, readable
from stylenet.web.limits import PICTURES, checked
from stylenet.web.painting import Order
from stylenet.web.site import Site
from stylenet.web.visits import Visit

SIZES = ["full", "2048", "1024", "512"]
COLOURS = ["none", "luminance", "histogram", "covariance"]
_ALONE = "no other"
_HINT = "Drop a photo, paste one, or take one with the camera. It appears here in every style."


class StylizeTab:
    """A photo on the left, on the right its thumbnails in every style and the chosen one large, with a slider over it.

    Args:
        site: the parts of the server.
        name: part that holds the page's name.
    """

    def __init__(self, site: Site, name: gr.Textbox) -> None:
        self.site, self.name = site, name
        with gr.Row(equal_height=False, elem_id="stylize"):
            with gr.Column(scale=2, min_width=280, elem_id="stylize-photo"):
                self.photo = photo_box("Photo", ["upload", "clipboard", "webcam"], 260)
            with gr.Column(scale=5, min_width=320, elem_id="stylize-result"):
                self._build_result()
            with gr.Column(scale=2, min_width=280, elem_id="stylize-finish"):
                self.finish = self._build_finish()
        self._listen()

    def _build_result(self) -> None:
        self.gallery = tiles()
        self.compare = gr.HTML(comparison(None, _HINT), padding=False)
        self.download = download("Download at full resolution")

    def _build_finish(self) -> list[Any]:
        strength = gr.Slider(0, 1, 1, step=0.05, label="Strength", info="0 is the photo, 1 the style")
        scale = gr.Slider(0.5, 3, 1, step=0.1, label="Stroke size")
        colours = gr.Dropdown(COLOURS, value="none", label="Keep the photo's colours")
        size = gr.Dropdown(SIZES, value="full", label="Longest side in pixels")
        self.partner = gr.Dropdown([_ALONE], value=_ALONE, label="Blend with", visible=False)
        self.share = gr.Slider(0, 1, 0.5, step=0.05, label="Share of the other style", visible=False)
        self._sliders, self._lists = [strength, scale, self.share], [colours, size, self.partner]
        return [strength, colours, scale, size, self.partner, self.share]

    def _listen(self) -> None:
        result = [self.compare, self.download]
        blend = [self.partner, self.share]
        latest: dict[str, Any] = {"trigger_mode": "always_last", **ONE_AT_A_TIME}
        taken = [self.gallery, *result, *blend]
        # Gradio tells of a photo that was taken with the camera by no other event than this.
        self.photo.change(telling(self._take), [self.name, self.photo, *self.finish], taken, **latest)
        self.gallery.select(telling(self._choose), [self.name, *self.finish], [*result, *blend], **ONE_AT_A_TIME)
        for slider in self._sliders:
            slider.release(telling(self._again), [self.name, *self.finish], result, **latest)
        for choice in self._lists:
            choice.input(telling(self._again), [self.name, *self.finish], result, **latest)
        show_while(self.partner, lambda partner: partner != _ALONE, self.share)

    @property
    def parts(self) -> list[Any]:
        """Return the parts that a reload fills."""
        return [self.photo, self.gallery, self.compare, self.download, *self.finish]

    def restored(self, visit: Visit) -> list[Any]:
        """Return what :attr:`parts` showed before the page was loaded anew."""
        photo = None if visit.photo is None else str(visit.photo)
        return [photo, self._tiles(visit), *self._result(visit), *self._restored_finish(visit)]

    def _restored_finish(self, visit: Visit) -> list[Any]:
        if not visit.answers:
            return [gr.skip() for _ in self.finish]
        *values, partner, share = visit.answers
        return [*values, self._partners(visit.style, partner), gr.Slider(value=share, visible=partner != _ALONE)]

    @staticmethod
    def _tiles(visit: Visit) -> gr.Gallery:
        tiles = [(str(path), readable(name)) for name, path in visit.thumbnails.items()]
        return gr.Gallery(value=tiles, visible=bool(tiles))

    @staticmethod
    def _result(visit: Visit) -> list[Any]:
        painted = visit.painted
        return [comparison(painted, _HINT), handing_out(None if painted is None else painted.file)]

    def _partners(self, style: str, chosen: str = _ALONE) -> gr.Dropdown:
        """Return the list of styles to blend with; it is hidden where there are none."""
        others = self.site.shelf.partners(style) if style else []
        return gr.Dropdown(choices=[_ALONE, *others], value=chosen, visible=bool(others))

    def _take(self, name: str, photo: str | None, *finish: Any) -> Iterator[list[Any]]:
        """Forget the last photo, show this one in every style, then in the chosen or the first style large."""
        visit = self.site.visits(name)
        if photo is not None and visit.photo == Path(photo):  # the page was loaded anew
            yield [gr.skip()] * 5
            return
        visit.photo, visit.thumbnails, visit.painted = None, {}, None
        unchanged = [gr.skip()] * 4
        yield [self._tiles(visit), *self._result(visit), gr.skip(), gr.skip()]
        if photo is None:
            return
        file = checked(photo, PICTURES, "photo")
        thumbnails = {}
        for style, thumbnail in self.site.painter.thumbnails(file, visit.fresh_folder()):
            thumbnails[style] = thumbnail
            visit.photo, visit.thumbnails = file, thumbnails
            yield [self._tiles(visit), *unchanged]
        visit.style = visit.style if visit.style in thumbnails else next(iter(thumbnails))
        self._paint(visit, *_unblended(finish))
        yield [gr.skip(), *self._result(visit), self._partners(visit.style), gr.skip()]

    def _choose(self, event: gr.SelectData, name: str, *finish: Any) -> list[Any]:
        """Paint the photo in the style whose thumbnail was clicked."""
        visit = self.site.visits(name)
        visit.style = list(visit.thumbnails)[int(event.index)]
        self._paint(visit, *_unblended(finish))
        return [*self._result(visit), self._partners(visit.style), gr.skip()]

    def _again(self, name: str, *finish: Any) -> list[Any]:
        """Paint the photo with another finish. Gradio tells of a number that was left alone, too."""
        visit = self.site.visits(name)
        if visit.photo is None or not visit.style or finish == visit.answers:
            return [gr.skip(), gr.skip()]
        self._paint(visit, *finish)
        return self._result(visit)

    def _paint(self, visit: Visit, *finish: Any) -> None:
        if visit.photo is None:
            raise InputError("no photo yet: choose one first")
        visit.answers = finish
        # A large picture is taken in strips; gr.Progress is told the share of them.
        visit.painted = self.site.painter.paint(visit.photo, order(visit.style, *finish), visit.fresh_folder(), gr.Progress())


def _unblended(finish: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what the form says, but for the style to blend with: that goes with the style before."""
    *others, _, share = finish
    return (*others, _ALONE, share)


def order(style: str, strength: float, colours: str, scale: float, size: str, partner: str, share: float) -> Order:
    """Return what the form asks for, checked.

    Raises:
        InputError: for a choice that the page does not offer.
    """
    check_choice(colours, COLOURS, "keep colours")
    check_choice(size, SIZES, "size")
    finish = Finish(strength=float(strength), keep_colors=colours, scale=float(scale))  # type: ignore[arg-type]
    return Order(style, finish, size, "" if partner == _ALONE else partner, float(share))
