"""A tab of long work: it starts a command in the queue, watches it, and stops it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Any, ClassVar

import gradio as gr

from stylenet.web.forms import telling
from stylenet.web.fragments import hint, job_state
from stylenet.web.jobs import Job
from stylenet.web.site import Site
from stylenet.web.visits import Visit


class Seen:
    """A list of everything that one page shows already, so that nothing is sent to it twice.

    Args:
        keys: of each part that it shows, by name.
    """

    def __init__(self, keys: dict[str, Hashable]) -> None:
        self.keys = dict(keys)

    def changed(self, part: str, key: Hashable) -> bool:
        """Return whether a part shows something else than this, and note that it shows this now."""
        is_new = part not in self.keys or self.keys[part] != key
        self.keys[part] = key
        return is_new


class JobTab(ABC):
    """A form on the left, and on the right what the command makes.

    A kind of job names its verb, the words on its button, its purpose in a sentence, and what will appear on the right.

    Args:
        site: the parts of the server.
        name: part that holds the page's name.
        timer: clock at whose ticks jobs are looked at, while one is live.
    """

    verb: ClassVar[str]
    start_label: ClassVar[str]
    purpose: ClassVar[str]
    promise: ClassVar[str]

    def __init__(self, site: Site, name: gr.Textbox, timer: gr.Timer) -> None:
        self.site, self.name, self.timer = site, name, timer
        gr.HTML(f"<p>{self.purpose}</p>", elem_classes="purpose", padding=False)
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=280):
                answers = self.build_form()
            with gr.Column(scale=5, min_width=320):
                with gr.Row():
                    self.start = gr.Button(self.start_label, variant="primary")
                    self.stop = gr.Button("Stop", visible=False)
                self.state = gr.HTML(hint(self.promise), padding=False)
                self.results = self.build_results()
        self.start.click(telling(self._begin), [name, *answers], [timer, *self.parts], show_progress="minimal")
        self.stop.click(telling(self._halt), [name], self.parts, queue=False)

    @abstractmethod
    def build_form(self) -> list[Any]:
        """Lay out what is asked, and return the parts whose values :meth:`make_job` gets."""

    @abstractmethod
    def build_results(self) -> list[Any]:
        """Lay out what is shown of a job, and return the parts that :meth:`show` fills."""

    @abstractmethod
    def make_job(self, visit: Visit, *answers: Any) -> Job:
        """Return the command that the form asks for.

        Raises:
            InputError: for answers that make no sense.
        """

    @abstractmethod
    def show(self, job: Job, seen: Seen) -> list[Any]:
        """Return values for the parts of :meth:`build_results`, ``gr.skip()`` for one that has not changed."""

    @property
    def parts(self) -> list[Any]:
        """Return the parts that a look at the job fills."""
        return [self.start, self.stop, self.state, *self.results]

    def look(self, visit: Visit, seen: Seen) -> list[Any]:
        """Return values for :attr:`parts`."""
        job = visit.jobs.get(self.verb)
        ahead = 0 if job is None else self.site.queue.ahead(job)
        if job is None or not seen.changed(self.verb, (str(job.folder), job.version, ahead)):
            return [gr.skip() for _ in self.parts]
        stoppable = job.state in ("waiting", "running")
        buttons = [gr.Button(interactive=not job.live), gr.Button(visible=job.live, interactive=stoppable)]
        return [*buttons, job_state(job, ahead), *self.show(job, seen)]

    def submit(self, visit: Visit, job: Job) -> list[Any]:
        """Put a job into the queue and return values for the timer and :attr:`parts`."""
        visit.jobs[self.verb] = self.site.queue.submit(job)
        return [gr.Timer(active=True), *self.look(visit, Seen({}))]

    def _begin(self, name: str, *answers: Any) -> list[Any]:
        visit = self.site.visits(name)
        visit.check_free(self.verb)
        return self.submit(visit, self.make_job(visit, *answers))

    def _halt(self, name: str) -> list[Any]:
        visit = self.site.visits(name)
        job = visit.jobs.get(self.verb)
        if job is not None:
            self.site.queue.stop(job)
        return self.look(visit, Seen({}))
