"""Pieces of HTML that Gradio has no part for: the slider between two pictures, a bar with a line below it."""

from __future__ import annotations

import html
from pathlib import Path

from stylenet.web.jobs import Job
from stylenet.web.painting import Painted


def address(path: Path) -> str:
    """Return where a browser finds a file of a visit."""
    return f"/gradio_api/file={path}"


def readable(name: str) -> str:
    """Return the name of a style as the page shows it."""
    return name.replace("_", " ")


def hint(words: str) -> str:
    """Return what is told where nothing is yet."""
    return f'<p class="hint">{html.escape(words)}</p>'


def comparison(painted: Painted | None, otherwise: str) -> str:
    """Return the slider between a photo and itself in a style, or a hint where there is none yet.

    Gradio's own ImageSlider has a handle for the mouse that no key reaches.
    """
    if painted is None:
        return hint(otherwise)
    before, after = (html.escape(address(path)) for path in (painted.before, painted.after))
    width, height = painted.size
    return (
        f'<figure class="compare" style="--width:{width};--height:{height}">'
        f'<div><img src="{after}" class="after" alt="The photo in the style {html.escape(readable(painted.title))}">'
        f'<img src="{before}" class="before" alt="The photo">'
        '<input type="range" min="0" max="100" step="0.5" value="50" aria-label="How much of the photo is uncovered"'
        " oninput=\"this.parentElement.style.setProperty('--cut', this.value + '%')\"></div>"
        f"<figcaption>{html.escape(readable(painted.title))}</figcaption></figure>"
    )


def player(video: Path) -> str:
    """Return a video that can be played; a GIF plays by itself."""
    source = html.escape(address(video))
    if video.suffix == ".gif":
        return f'<img class="player" src="{source}" alt="The video in the style">'
    return f'<video class="player" src="{source}" controls loop muted playsinline aria-label="The video in the style"></video>'


def progress(share: float | None, words: str, kind: str = "running") -> str:
    """Return a line with a bar above it; without a share there is no bar."""
    bar = "" if share is None else f'<progress value="{share:.3f}" aria-label="Progress"></progress>'
    return f'<div class="job {kind}" role="status">{bar}<p>{html.escape(words)}</p></div>'


def job_state(job: Job, ahead: int) -> str:
    """Return the state of a job.

    Args:
        job: the job.
        ahead: how many jobs are before it, if it waits.
    """
    words = {
        "waiting": f"Waiting: {ahead} before this one",
        "running": job.line or "Starting",
        "stopping": "Stopping; what is there is kept",
        "done": f"Done. {job.line}",
        "stopped": "Stopped. What was there is kept.",
        "failed": f"Failed: {job.line or 'no reason was given'}",
    }[job.state]
    share = 1.0 if job.state == "done" else job.share if job.live else None
    return progress(share, words, job.state)
