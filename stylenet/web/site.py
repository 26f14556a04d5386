"""The parts of one server that every tab of the page works with, and errors in words that a page can show."""

from __future__ import annotations

import functools
import html
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import gradio as gr

from stylenet import InputError, RunError
from stylenet.web.jobs import Job, JobQueue
from stylenet.web.limits import Limits
from stylenet.web.painting import Painter, Shelf
from stylenet.web.tabs import Tab, Tabs

Function = TypeVar("Function", bound=Callable[..., Any])

# Requests for pictures share the device: one at a time, in the order of coming.
DEVICE = "device"


@dataclass(frozen=True)
class Site:
    """The parts of one server.

    Attributes:
        photos: folders of photos on the server that trainings may read, by the name that the page shows.
    """

    shelf: Shelf
    painter: Painter
    queue: JobQueue
    tabs: Tabs
    limits: Limits
    photos: dict[str, Path]


def photo_box(label: str, sources: list[Any], height: int) -> gr.Image:
    """Return Gradio's picture box, handing the file over as it came: Gradio would open it, and say only "Error" of a text file.

    A subclass would do, but Gradio writes a stub beside its source and asks the browser for a component of its name.
    """
    box = gr.Image(label=label, sources=sources, type="filepath", image_mode=None, height=height)
    usual = box.preprocess

    def preprocess(payload: Any) -> Any:
        sent = payload is not None and payload.path and not (payload.url or "").startswith("data:")
        return payload.path if sent else usual(payload)

    box.preprocess = preprocess  # type: ignore[method-assign, unused-ignore]
    return box


def telling(function: Function) -> Function:
    """Return the function with what it finds wrong shown on the page, in one line."""

    def told(error: Exception) -> gr.Error:
        return gr.Error(" ".join(str(error).split()), title="Not possible", print_exception=False)

    @functools.wraps(function)
    def call(*words: Any) -> Any:
        try:
            return function(*words)
        except (InputError, RunError) as error:
            raise told(error) from error

    @functools.wraps(function)
    def generate(*words: Any) -> Iterator[Any]:
        try:
            yield from function(*words)
        except (InputError, RunError) as error:
            raise told(error) from error

    return cast(Function, generate if inspect.isgeneratorfunction(function) else call)


def address(path: Path) -> str:
    """Return where a browser finds a file of a tab."""
    return f"/gradio_api/file={path}"


def comparison(pair: tuple[Path, Path] | None) -> str:
    """Return the slider between two pictures. Gradio's own ImageSlider is a handle for the mouse that no key reaches."""
    if pair is None:
        return ""
    before, after = (html.escape(address(path)) for path in pair)
    return (
        f'<div class="compare"><img src="{before}" alt="The photo">'
        f'<img class="after" src="{after}" alt="The photo in the style">'
        '<input type="range" min="0" max="100" step="0.5" value="0" aria-label="How much of the photo is uncovered"'
        " oninput=\"this.parentElement.style.setProperty('--cut', this.value + '%')\"></div>"
    )


def told_state(site: Site, job: Job | None) -> str:
    """Return a job's state as a line with a bar."""
    if job is None:
        return ""
    words = {
        "waiting": f"Waiting: {site.queue.ahead(job)} before this one",
        "running": job.line or "Starting",
        "stopping": "Stopping; what is there is kept",
        "done": f"Done. {job.line}",
        "stopped": "Stopped. What was there is kept.",
        "failed": f"Failed: {job.line or 'no reason was given'}",
    }[job.state]
    share = 1.0 if job.state == "done" else job.share
    bar = f'<progress value="{share:.3f}" aria-label="Progress"></progress>' if job.live or job.state == "done" else ""
    return f'<div class="job {job.state}" role="status">{bar}<p>{html.escape(words)}</p></div>'


def job_of(tab: Tab, verb: str) -> Job | None:
    """Return a tab's last job of a kind."""
    return tab.jobs.get(verb)


def check_free(tab: Tab, verb: str) -> None:
    """Fail while a tab's last job of a kind is not over.

    Raises:
        InputError: then.
    """
    job = tab.jobs.get(verb)
    if job is not None and job.live:
        raise InputError("the last one is still at work: stop it, or wait")
