"""The tabs of long work: a search, a training, a film. Each starts a command in the queue and watches it."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import gradio as gr
import pandas as pd

from stylenet import InputError
from stylenet.web import watching
from stylenet.web.jobs import Job
from stylenet.web.limits import FILMS, PICTURES, checked, safe_name, written_suffix
from stylenet.web.site import DEVICE, Site, check_free, job_of, photo_box, telling, told_state
from stylenet.web.tabs import Tab

# Those that need nothing from elsewhere.
SEARCHES = ["default", "gatys2016", "neural_style", "pastiche", "adam_content", "adam_noise", "lbfgs_content"]
TRAININGS = ["fast", "default", "debug"]


class JobTab(ABC):
    """A tab that starts one command, shows its state and result, and stops it."""

    verb: str

    def __init__(self, site: Site, tab: gr.Textbox) -> None:
        self.site, self.tab = site, tab

    def _buttons(self, start: str) -> None:
        with gr.Row():
            self.start = gr.Button(start, variant="primary")
            self.stop = gr.Button("Stop", interactive=False)
        self.state = gr.HTML()

    @property
    @abstractmethod
    def shown(self) -> list[Any]:
        """Return the parts that show what the job makes."""

    @abstractmethod
    def show(self, job: Job) -> list[Any]:
        """Return values for :attr:`shown`."""

    @property
    def parts(self) -> list[Any]:
        """Return the parts that a look at the job fills."""
        return [self.state, self.stop, *self.shown]

    def look(self, tab: Tab, seen: int | None = None) -> list[Any]:
        """Return values for :attr:`parts`; nothing where the page has seen this version."""
        job = job_of(tab, self.verb)
        if job is None or seen == job.version:
            return [gr.skip() for _ in self.parts]
        running = job.state in ("waiting", "running")
        return [told_state(self.site, job), gr.Button(interactive=running), *self.show(job)]

    def _submit(self, tab: Tab, job: Job) -> list[Any]:
        tab.jobs[self.verb] = self.site.queue.submit(job)
        return [gr.Timer(active=True), *self.look(tab)]

    def _halt(self, name: str) -> list[Any]:
        tab = self.site.tabs(name)
        job = job_of(tab, self.verb)
        if job is not None:
            self.site.queue.stop(job)
        return self.look(tab)

    def listen(self, timer: gr.Timer, begin: Any, given: list[Any]) -> None:
        """Connect the buttons; ``begin`` gets the tab's name and what was given."""
        self.start.click(telling(begin), [self.tab, *given], [timer, *self.parts], show_progress="minimal")
        self.stop.click(telling(self._halt), [self.tab], self.parts, queue=False)


class OptimizeTab(JobTab):
    """A search: the highest quality, of any painting."""

    verb = "optimize"

    def __init__(self, site: Site, tab: gr.Textbox, timer: gr.Timer) -> None:
        super().__init__(site, tab)
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=280):
                photo = photo_box("Photo", ["upload", "clipboard"], 200)
                painting = photo_box("Painting", ["upload", "clipboard"], 200)
                recipe = gr.Dropdown(SEARCHES, value="default", label="Recipe")
                size = gr.Slider(64, 1024, 512, step=32, label="Longest side in pixels")
                steps = gr.Slider(5, 500, 100, step=5, label="Steps")
                weight = gr.Slider(1, 100, 10, step=1, label="Weight of the style", info="for the recipe default; 10 is usual")
                panel = gr.Checkbox(label="Photo, painting and result side by side")
            with gr.Column(scale=5, min_width=320):
                self._buttons("Optimize")
                self.picture = gr.Image(label="The picture so far", type="filepath", interactive=False, buttons=["fullscreen"])
                self.download = gr.DownloadButton("Download", interactive=False)
        self.listen(timer, self._begin, [photo, painting, recipe, size, steps, weight, panel])

    @property
    def shown(self) -> list[Any]:
        """Return the picture and its download."""
        return [self.picture, self.download]

    def show(self, job: Job) -> list[Any]:
        """Return the newest picture."""
        newest = watching.latest_picture(job)
        over = not job.live and newest is not None
        panel = job.output.with_name(f"{job.output.stem}_panel{job.output.suffix}")
        file = panel if panel.is_file() else newest
        return [
            None if newest is None else str(newest),
            gr.DownloadButton(value=str(file) if over else None, interactive=over),
        ]

    def _begin(
        self, name: str, photo: str, painting: str, recipe: str, size: float, steps: float, weight: float, panel: bool
    ) -> list[Any]:
        tab = self.site.tabs(name)
        check_free(tab, self.verb)
        files = [checked(photo, PICTURES, "photo"), checked(painting, PICTURES, "painting")]
        for file in files:
            self.site.painter.read(file, "64")
        if recipe not in SEARCHES:
            raise InputError(f"no recipe {recipe!r}")
        folder = tab.fresh_folder()
        output = folder / f"{safe_name(files[0].stem, 'photo')}_optimized{written_suffix(files[0])}"
        words = [*map(str, files), "--output", output.name, "--recipe", recipe, "--size", str(int(size))]
        words += ["--steps", str(int(steps)), "--save_every", "5", "--panel", str(panel is True).lower()]
        words += ["--style_weight", str(float(weight))] if recipe == "default" else []
        return self._submit(tab, Job(self.verb, words, folder, output))


class TrainTab(JobTab):
    """A training: a style is born, and joins the shelf."""

    verb = "train"

    def __init__(self, site: Site, tab: gr.Textbox, timer: gr.Timer) -> None:
        super().__init__(site, tab)
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=280):
                painting = photo_box("Painting", ["upload", "clipboard"], 200)
                style = gr.Textbox(label="Name of the style", max_length=40, placeholder="that of the painting's file")
                folder = gr.Dropdown(
                    [*site.photos, "those dropped here"],
                    value=[*site.photos, "those dropped here"][0],
                    label="Photos to learn from",
                )
                photos = gr.File(label="Photos (a few hundred)", file_count="multiple", file_types=sorted(PICTURES), height=140)
                recipe = gr.Dropdown(TRAININGS, value="fast", label="Recipe", info="debug is 20 steps of a tiny network")
                network = gr.Dropdown(["as the recipe has it", "swift"], value="as the recipe has it", label="Network")
                minutes = gr.Slider(1, 240, 30, step=1, label="Minutes at most")
            with gr.Column(scale=5, min_width=320):
                self._buttons("Train")
                self.resume = gr.Button("Go on from where it stopped", interactive=False)
                self.plot = gr.LinePlot(x="step", y="value", color="part of the loss", label="Losses", height=260)
                self.preview = gr.Image(
                    label="Photos it has not seen", type="filepath", interactive=False, buttons=["fullscreen"]
                )
                self.download = gr.DownloadButton("Download the style", interactive=False)
        self.listen(timer, self._begin, [painting, style, folder, photos, recipe, network, minutes])
        self.resume.click(telling(self._resume), [tab], [timer, *self.parts])

    @property
    def shown(self) -> list[Any]:
        """Return losses, previews, what follows a stop, the style."""
        return [self.plot, self.preview, self.resume, self.download]

    def show(self, job: Job) -> list[Any]:
        """Return what its log has, and put a finished style on the shelf."""
        rows = [(step, value, part) for part, curve in watching.losses(job).items() for step, value in curve]
        table = pd.DataFrame(rows, columns=["step", "value", "part of the loss"])
        preview = watching.latest_preview(job)
        done = job.state == "done" and job.output.is_file()
        if done and job.output.stem not in self.site.shelf.names:
            self.site.shelf.add(job.output)
        resumable = job.state in ("stopped", "failed") and any(job.folder.glob("runs/*/checkpoints/last.ckpt"))
        return [
            table if rows else gr.skip(),
            None if preview is None else str(preview),
            gr.Button(interactive=resumable),
            gr.DownloadButton(value=str(job.output) if done else None, interactive=done),
        ]

    def _begin(
        self,
        name: str,
        painting: str,
        style: str,
        folder: str,
        photos: list[str] | None,
        recipe: str,
        network: str,
        minutes: float,
    ) -> list[Any]:
        tab = self.site.tabs(name)
        check_free(tab, self.verb)
        file = checked(painting, PICTURES, "painting")
        self.site.painter.read(file, "64")
        if recipe not in TRAININGS:
            raise InputError(f"no recipe {recipe!r}")
        here = tab.fresh_folder()
        source = self.site.photos[folder] if folder in self.site.photos else self._dropped(photos, here)
        called = self._free_name(safe_name(style or "", "") or safe_name(file.stem, "style"))
        output = here / f"{called}.safetensors"
        words = ["--recipe", recipe, "--style", str(file), "--photos", str(source), "--output", output.name, "--name", called]
        words += ["--run", f"runs/{called}", "--budget", f"{int(minutes)}m", "--trainer.devices", "1"]
        words += ["--network", "swift"] if network == "swift" else []
        return self._submit(tab, Job(self.verb, words, here, output))

    def _free_name(self, name: str) -> str:
        """Return a name that is not on the shelf yet."""
        names = [name, *(f"{name}_{count}" for count in range(2, 1000))]
        return next(free for free in names if free not in self.site.shelf.names)

    def _dropped(self, photos: list[str] | None, here: Path) -> Path:
        """Return a folder of the photos that were dropped."""
        files = [checked(photo, PICTURES, "photo") for photo in photos or []]
        if not 0 < len(files) <= self.site.limits.most_photos:
            raise InputError(f"{len(files)} photos to learn from: drop 1 to {self.site.limits.most_photos}")
        folder = here / "photos"
        folder.mkdir()
        for index, file in enumerate(files):
            self.site.painter.read(file, "64")
            target = folder / f"{index:04d}{file.suffix.lower()}"
            try:
                os.link(file, target)
            except OSError:
                shutil.copyfile(file, target)
        return folder

    def _resume(self, name: str) -> list[Any]:
        tab = self.site.tabs(name)
        check_free(tab, self.verb)
        last = job_of(tab, self.verb)
        if last is None or last.state not in ("stopped", "failed"):
            raise InputError("nothing to go on with")
        words = [word for word in last.words if word not in ("--ckpt_path", "last")]
        return self._submit(tab, Job(self.verb, [*words, "--ckpt_path", "last"], last.folder, last.output))


class FilmTab(JobTab):
    """A clip in a style."""

    verb = "video"

    def __init__(self, site: Site, tab: gr.Textbox, timer: gr.Timer) -> None:
        super().__init__(site, tab)
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=280):
                film = gr.File(label="Film", file_types=sorted(FILMS), height=140)
                self.style = gr.Dropdown(site.shelf.names, value=site.shelf.names[0], label="Style")
                size = gr.Dropdown(["full", "1024", "640", "384"], value="640", label="Longest side in pixels")
                steady = gr.Slider(0, 1, 0.5, step=0.05, label="Steadiness", info="against flicker")
            with gr.Column(scale=5, min_width=320):
                self.frames = gr.Gallery(label="Its first frames", columns=3, height="auto", allow_preview=False, buttons=[])
                self._buttons("Style the film")
                self.download = gr.DownloadButton("Download the film", interactive=False)
        film.upload(telling(self._preview), [tab, film, self.style], self.frames, concurrency_id=DEVICE, concurrency_limit=1)
        self.listen(timer, self._begin, [film, self.style, size, steady])

    @property
    def shown(self) -> list[Any]:
        """Return the download."""
        return [self.download]

    def show(self, job: Job) -> list[Any]:
        """Return the film, once it is whole."""
        over = not job.live and job.output.is_file()
        return [gr.DownloadButton(value=str(job.output) if over else None, interactive=over)]

    def _preview(self, name: str, film: str | None, style: str) -> list[Any]:
        tab = self.site.tabs(name)
        file = checked(film, FILMS, "film")
        folder = tab.fresh_folder()
        try:
            frames = watching.first_frames(file)
        except (OSError, ValueError, IndexError) as error:
            raise InputError(f"{file.name} is no film that can be read") from error
        shown = []
        for index, frame in enumerate(frames):
            path = folder / f"{index}.webp"
            watching.to_pil(self.site.painter.frame(frame, style)).save(path, quality=85)
            shown.append(str(path))
        return shown

    def _begin(self, name: str, film: str | None, style: str, size: str, steady: float) -> list[Any]:
        tab = self.site.tabs(name)
        check_free(tab, self.verb)
        file = checked(film, FILMS, "film")
        if size not in ("full", "1024", "640", "384"):
            raise InputError(f"no size {size!r}")
        folder = tab.fresh_folder()
        output = folder / f"{safe_name(file.stem, 'film')}_{style}{file.suffix.lower()}"
        words = [str(file), "--style", self.site.shelf.path(style), "--output", output.name, "--size", size]
        words += ["--steady", str(float(steady))]
        return self._submit(tab, Job(self.verb, words, folder, output))
