"""Several photos at once: all in the chosen style, as a zip."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from stylenet import InputError
from stylenet.web.forms import ONE_AT_A_TIME, download, file_box, handing_out, telling
from stylenet.web.fragments import progress, readable
from stylenet.web.limits import PICTURES, checked
from stylenet.web.painting import Archive
from stylenet.web.site import Site
from stylenet.web.stylize_tab import StylizeTab, order


class SeveralPhotos:
    """A fold below the first tab, which takes its style and finish from there.

    Args:
        site: the parts of the server.
        tab: the first tab.
    """

    def __init__(self, site: Site, tab: StylizeTab) -> None:
        self.site = site
        with gr.Accordion("Several photos at once", open=False):
            photos = file_box("Photos", PICTURES, several=True)
            start = gr.Button("Style them all in the chosen style")
            state = gr.HTML(padding=False)
            archive = download("Download the zip")
        start.click(telling(self._style), [tab.name, photos, *tab.finish], [state, archive], **ONE_AT_A_TIME)

    def _style(self, name: str, photos: list[str] | None, *finish: Any) -> Iterator[list[Any]]:
        visit = self.site.visits(name)
        files = [checked(photo, PICTURES, "photo") for photo in photos or []]
        if not 0 < len(files) <= self.site.limits.most_photos:
            raise InputError(f"{len(files)} photos: choose 1 to {self.site.limits.most_photos}")
        asked = order(visit.style or self.site.shelf.names[0], *finish)
        for step in self.site.painter.paint_all(files, asked, visit.fresh_folder()):
            if isinstance(step, Archive):
                words = f"{step.styled} of {len(files)} in {readable(asked.title)}"
                words += "; not_styled.txt in the zip says why others are not" if step.failures else ""
                yield [progress(1.0, words, "done"), handing_out(step.file)]
            else:
                yield [progress(step / len(files), f"{step} of {len(files)}"), gr.skip()]
