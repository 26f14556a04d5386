"""The page, put together of its tabs by Gradio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from stylenet.web.job_tabs import FilmTab, JobTab, OptimizeTab, TrainTab
from stylenet.web.site import Site, job_of, telling
from stylenet.web.stylize_tab import StylizeTab

_STATIC = Path(__file__).with_name("static")
CSS, SCRIPT = (_STATIC / "page.css").read_text(), (_STATIC / "page.js").read_text()

# A name that survives a reload and that no other tab has.
_NAME = """() => {
  const fresh = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
  return (sessionStorage.stylenet ??= fresh());
}"""


def build_page(site: Site) -> gr.Blocks:
    """Return the page of a site."""
    caches = (600, int(site.limits.idle_hours * 3600))
    page: gr.Blocks = gr.Blocks(title="stylenet", analytics_enabled=False, delete_cache=caches)
    with page:
        gr.HTML("<h1>stylenet</h1><p>Everything happens on this machine; nothing leaves it.</p>", elem_id="head")
        tab, timer = gr.Textbox(visible="hidden", label="tab"), gr.Timer(1.0, active=False)
        with gr.Tabs():
            with gr.Tab("Stylize"):
                stylize = StylizeTab(site, tab)
            with gr.Tab("Optimize"):
                optimize = OptimizeTab(site, tab, timer)
            with gr.Tab("Train"):
                train = TrainTab(site, tab, timer)
            with gr.Tab("Film"):
                film = FilmTab(site, tab, timer)
            with gr.Tab("Live"):
                gr.HTML('<iframe id="live" src="/live/" title="The webcam in a style" allow="camera"></iframe>', padding=False)
        _keep_up(site, page, tab, timer, stylize, [optimize, train, film], film.style)
    return page


def _keep_up(
    site: Site, page: gr.Blocks, tab: gr.Textbox, timer: gr.Timer, stylize: StylizeTab, jobs: list[JobTab], styles: gr.Dropdown
) -> None:
    """Restore a tab after a reload, and look at its jobs every second while one is live."""
    seen = gr.State({})
    watched = [part for job in jobs for part in job.parts]

    def look(name: str, versions: dict[str, int]) -> list[Any]:
        mine = site.tabs(name)
        values = [value for job in jobs for value in job.look(mine, versions.get(job.verb))]
        now = {job.verb: found.version for job in jobs if (found := job_of(mine, job.verb)) is not None}
        live = any(found.live for job in jobs if (found := job_of(mine, job.verb)) is not None)
        return [gr.Timer(active=live), now, *values]

    def restore(name: str) -> list[Any]:
        mine = site.tabs(name)
        return [*look(name, {}), *stylize.restored(mine), gr.Dropdown(choices=site.shelf.names)]

    quiet: dict[str, Any] = {"show_progress": "hidden", "queue": False}
    timer.tick(telling(look), [tab, seen], [timer, seen, *watched], **quiet)
    named = page.load(None, None, tab, js=_NAME)
    named.then(telling(restore), [tab], [timer, seen, *watched, *stylize.parts, styles], **quiet)
