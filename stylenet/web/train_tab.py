"""The tab of trainings: a style is born, and joins the shelf."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import gradio as gr
import pandas as pd

from stylenet import InputError
from stylenet.web import watching
from stylenet.web.forms import check_choice, download, file_box, handing_out, photo_box, show_while, showing, telling
from stylenet.web.job_tab import JobTab, Seen
from stylenet.web.jobs import Job
from stylenet.web.limits import PICTURES, checked, safe_name
from stylenet.web.visits import Visit

# Those that need nothing from elsewhere.
RECIPES = ["quick", "fast", "default", "debug"]
_DROPPED = "photos that I drop here"
_USUAL = "as the recipe has it"
_COLUMNS = ["step", "loss", "part"]


class TrainTab(JobTab):
    """A training on a painting and photos."""

    verb = "train"
    start_label = "Train"
    purpose = "Teach a network a painting. Afterwards it paints any photo at once, in every tab of this page."
    promise = "Choose a painting. The losses appear here, and photos in the style as far as it is learnt."

    def build_form(self) -> list[Any]:
        """Lay out painting, name, photos, recipe, network and minutes."""
        painting = photo_box("Painting", ["upload", "clipboard"])
        title = gr.Textbox(label="Name of the style", max_length=40, placeholder="that of the painting's file")
        sources = [*self.site.photos, _DROPPED]
        source = gr.Dropdown(sources, value=sources[0], label="Photos to learn from")
        photos = file_box("Photos, best a few hundred", PICTURES, several=True, visible=sources == [_DROPPED])
        show_while(source, lambda chosen: chosen == _DROPPED, photos)
        recipe = gr.Dropdown(
            RECIPES, value="quick", label="Recipe", info="quick takes minutes, default hours; debug only tries whether it runs"
        )
        network = gr.Dropdown([_USUAL, "swift"], value=_USUAL, label="Network", info="swift is made for the webcam")
        minutes = gr.Slider(1, 240, 10, step=1, label="Minutes at most")
        return [painting, title, source, photos, recipe, network, minutes]

    def build_results(self) -> list[Any]:
        """Lay out what follows a stop, the download, the previews and the losses."""
        resume = gr.Button("Go on from where it stopped", visible=False)
        style = download("Download the style")
        preview = gr.Image(
            label="Photos it has not seen", type="filepath", interactive=False, buttons=["fullscreen"], visible=False
        )
        plot = gr.LinePlot(x="step", y="loss", color="part", title="Losses", height=260, visible=False)
        results = [resume, style, preview, plot]
        self.results = results
        resume.click(telling(self._resume), [self.name], [self.timer, *self.parts])
        return results

    def show(self, job: Job, seen: Seen) -> list[Any]:
        """Return what the log has, and the style once it is whole."""
        resumable = job.state in ("stopped", "failed") and any(job.folder.glob("runs/*/checkpoints/last.ckpt"))
        file = job.output if job.state == "done" else None
        return [
            gr.Button(visible=resumable),
            handing_out(file) if seen.changed("train file", file) else gr.skip(),
            *self._log(job, seen),
        ]

    def _log(self, job: Job, seen: Seen) -> list[Any]:
        """Return the newest preview and the losses, read again only where the log has grown."""
        if not seen.changed("train log", watching.log_size(job)):
            return [gr.skip(), gr.skip()]
        log = watching.read_log(job)
        preview = watching.latest_preview(log, job.folder)
        rows = [(step, value, part) for part, curve in watching.losses(log).items() for step, value in curve]
        plot = gr.LinePlot(value=pd.DataFrame(rows, columns=_COLUMNS), visible=bool(rows))
        return [showing(preview) if seen.changed("train preview", preview) else gr.skip(), plot]

    def make_job(self, visit: Visit, *answers: Any) -> Job:
        """Return ``stylenet train`` of what the form says."""
        painting, title, source, photos, recipe, network, minutes = answers
        file = checked(painting, PICTURES, "painting")
        self.site.painter.check(file)
        check_choice(recipe, RECIPES, "recipe")
        folder = visit.fresh_folder()
        learnt_from = self.site.photos[source] if source in self.site.photos else self._dropped(photos, folder)
        name = self._free_name(safe_name(title or "", "") or safe_name(file.stem, "style"))
        output = folder / f"{name}.safetensors"
        words = ["--recipe", recipe, "--style", str(file), "--photos", str(learnt_from), "--output", output.name]
        words += ["--name", name, "--run", f"runs/{name}", "--budget", f"{int(minutes)}m", "--trainer.devices", "1"]
        words += ["--network", "swift"] if network == "swift" else []
        return Job(self.verb, words, folder, output, keep=self.site.shelf.keep)

    def _free_name(self, name: str) -> str:
        """Return a name that is not on the shelf yet."""
        names = [name, *(f"{name}_{count}" for count in range(2, 1000))]
        return next(free for free in names if free not in self.site.shelf.names)

    def _dropped(self, photos: list[str] | None, folder: Path) -> Path:
        """Return a folder of the photos that were dropped."""
        files = [checked(photo, PICTURES, "photo") for photo in photos or []]
        if not 0 < len(files) <= self.site.limits.most_photos:
            raise InputError(f"{len(files)} photos to learn from: drop 1 to {self.site.limits.most_photos}")
        gathered = folder / "photos"
        gathered.mkdir()
        for index, file in enumerate(files):
            self.site.painter.check(file)
            target = gathered / f"{index:04d}{file.suffix.lower()}"
            try:
                os.link(file, target)
            except OSError:
                shutil.copyfile(file, target)
        return gathered

    def _resume(self, name: str) -> list[Any]:
        """Go on with the last training from its last checkpoint."""
        visit = self.site.visits(name)
        visit.check_free(self.verb)
        last = visit.jobs.get(self.verb)
        if last is None or last.state not in ("stopped", "failed"):
            raise InputError("there is no training to go on with")
        words = [word for word in last.words if word not in ("--ckpt_path", "last")]
        return self.submit(visit, Job(self.verb, [*words, "--ckpt_path", "last"], last.folder, last.output, last.keep))
