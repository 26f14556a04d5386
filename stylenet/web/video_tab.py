"""The tab of videos: a clip in a style."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

import stylenet
from stylenet import InputError
from stylenet.web import watching
from stylenet.web.forms import ONE_AT_A_TIME, check_choice, download, file_box, handing_out, telling, tiles
from stylenet.web.fragments import player, readable
from stylenet.web.job_tab import JobTab, Seen
from stylenet.web.jobs import Job
from stylenet.web.limits import VIDEOS, checked, safe_name
from stylenet.web.visits import Visit

SIZES = ["full", "1024", "640", "384"]


class VideoTab(JobTab):
    """A video, with its first frames beforehand."""

    verb = "video"
    start_label = "Style the video"
    purpose = "A clip in a style, held steady from frame to frame. Its first frames appear at once."
    promise = "Choose a clip. Its first frames appear here, and afterwards the whole."

    def build_form(self) -> list[Any]:
        """Lay out the video, style, size and steadiness."""
        self.video = file_box("Video", VIDEOS)
        self.style = gr.Dropdown(self.choices, value=self.site.shelf.names[0], label="Style")
        size = gr.Dropdown(SIZES, value="640", label="Longest side in pixels")
        steady = gr.Slider(0, 1, 0.5, step=0.05, label="Steadiness", info="against flicker")
        return [self.video, self.style, size, steady]

    def build_results(self) -> list[Any]:
        """Lay out the first frames and the download."""
        frames = tiles("wide")
        for change in (self.video.upload, self.style.input):
            change(telling(self._preview), [self.name, self.video, self.style], frames, **ONE_AT_A_TIME)
        return [gr.HTML(padding=False), download("Download the video")]

    @property
    def choices(self) -> list[tuple[str, str]]:
        """Return the styles as the page shows them, and by name."""
        return [(readable(name), name) for name in self.site.shelf.names]

    def show(self, job: Job, seen: Seen) -> list[Any]:
        """Return the video, once it is whole."""
        file = job.output if not job.live and job.output.is_file() else None
        if not seen.changed("video file", file):
            return [gr.skip(), gr.skip()]
        return ["" if file is None else player(file), handing_out(file)]

    def make_job(self, visit: Visit, *answers: Any) -> Job:
        """Return ``stylenet video`` of what the form says."""
        video, style, size, steady = answers
        file = checked(video, VIDEOS, "video")
        check_choice(size, SIZES, "size")
        folder = visit.fresh_folder()
        output = folder / f"{safe_name(file.stem, 'video')}_{safe_name(style, 'style')}{file.suffix.lower()}"
        words = [str(file), "--style", self.site.shelf.path(style), "--output", output.name, "--size", size]
        return Job(self.verb, [*words, "--steady", str(float(steady))], folder, output)

    def _preview(self, name: str, video: str | None, style: str) -> gr.Gallery:
        """Return the first frames in the style."""
        visit = self.site.visits(name)
        if video is None:
            return gr.Gallery(visible=False)
        file = checked(video, VIDEOS, "video")
        try:
            frames = watching.first_frames(file)
        except (OSError, ValueError, IndexError) as error:
            raise InputError(f"{file.name} is no video that can be read") from error
        folder = visit.fresh_folder()
        painted: list[Path] = []
        for index, frame in enumerate(frames):
            styled = self.site.painter.frame(frame, style)
            painted.append(stylenet.write_image(styled, folder / f"{index}.webp", quality=85))
        return gr.Gallery(value=[str(path) for path in painted], visible=True)
