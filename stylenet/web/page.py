"""The page, put together of its tabs by Gradio."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import gradio as gr

from stylenet.web.forms import AT_ONCE, telling
from stylenet.web.job_tab import JobTab, Seen
from stylenet.web.optimize_tab import OptimizeTab
from stylenet.web.several_photos import SeveralPhotos
from stylenet.web.site import Site
from stylenet.web.stylize_tab import StylizeTab
from stylenet.web.train_tab import TrainTab
from stylenet.web.video_tab import VideoTab

_STATIC = Path(__file__).with_name("static")
CSS, SCRIPT, _NAME = ((_STATIC / name).read_text() for name in ("page.css", "page.js", "name.js"))
_HEAD = "<h1>stylenet</h1><p>Everything happens on the machine that serves this page.</p>"
_LIVE = '<iframe id="live" src="/live/" title="The webcam in a style" allow="camera"></iframe>'


def build_page(site: Site) -> gr.Blocks:
    """Return the page of a site."""
    caches = (600, int(site.limits.idle_hours * 3600))
    page: gr.Blocks = gr.Blocks(title="stylenet", analytics_enabled=False, delete_cache=caches)
    with page:
        gr.HTML(_HEAD, elem_id="head", padding=False)
        name, timer = gr.Textbox(visible="hidden", label="name"), gr.Timer(1.0, active=False)
        with gr.Tabs():
            with gr.Tab("Stylize"):
                stylize = StylizeTab(site, name)
                SeveralPhotos(site, stylize)
            with gr.Tab("Optimize"):
                optimize = OptimizeTab(site, name, timer)
            with gr.Tab("Train"):
                train = TrainTab(site, name, timer)
            with gr.Tab("Video"):
                video = VideoTab(site, name, timer)
            with gr.Tab("Live"):
                gr.HTML(_LIVE, padding=False)
        _keep_up(site, page, stylize, [optimize, train, video], video)
    return page


def _keep_up(site: Site, page: gr.Blocks, stylize: StylizeTab, jobs: list[JobTab], video: VideoTab) -> None:
    """Restore a page after a reload, and look at its jobs every second while one is live."""
    name, timer = video.name, video.timer
    keys = gr.State({})
    watched = [part for job in jobs for part in job.parts]

    def look(named: str, before: dict[str, Hashable]) -> list[Any]:
        visit = site.visits(named)
        seen = Seen(before)
        values = [value for job in jobs for value in job.look(visit, seen)]
        live = any(job.live for job in visit.jobs.values())
        return [gr.Timer(active=live), seen.keys, *values]

    def restore(named: str) -> list[Any]:
        return [*look(named, {}), *stylize.restored(site.visits(named)), gr.Dropdown(choices=video.choices)]

    timer.tick(telling(look), [name, keys], [timer, keys, *watched], **AT_ONCE)
    named = page.load(None, None, name, js=_NAME)
    restored = named.then(telling(restore), [name], [timer, keys, *watched, *stylize.parts, video.style], **AT_ONCE)
    restored.then(None, js="() => { document.body.dataset.ready = '' }")  # for tests: from now on a click is heard
