"""Show progress lines of the commands that style pictures and videos."""

from __future__ import annotations

import time
from typing import IO, TYPE_CHECKING

from stylenet.durations import clock
from stylenet.progress import ProgressLine

if TYPE_CHECKING:
    from stylenet.inference.summary import Summary


class BatchLine(ProgressLine):
    """A line with the pictures done, their rate and, where their number is known, the time left."""

    def __call__(self, summary: Summary, jobs: int) -> None:
        if not self.due(always=summary.tried == jobs):
            return
        rate = summary.done / summary.seconds if summary.seconds else 0.0
        if not jobs:
            self.show(f"{summary.tried} pictures  {rate:.2f} a second")
            return
        left = clock((jobs - summary.tried) / rate) if rate else "?"
        self.show(f"{summary.tried}/{jobs} pictures  {rate:.2f} a second  {left} left", summary.tried / jobs)
        if summary.tried == jobs:
            self.close()


class PictureLine(ProgressLine):
    """A line with the share of one large picture that is done, and the time left."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = self.began = time.monotonic()

    def __call__(self, share: float) -> None:
        if self.due():
            spent = time.monotonic() - self.began
            self.show(f"{share:.0%} of the picture  {clock(spent / share - spent)} left", share)
        if share >= 1:
            self.began = time.monotonic()  # of the next style


class FrameLine(ProgressLine):
    """A line with the frames done, frames a second and time left of a video."""

    def __init__(self, stream: IO[str] | None = None, seconds: float = 5.0) -> None:
        super().__init__(stream, seconds)
        self.begun: float | None = None

    def __call__(self, done: int, frames: int | None) -> None:
        """Show the state.

        Args:
            done: frames that are finished.
            frames: that the video has, or None where it does not say.
        """
        now = time.monotonic()
        if self.begun is None:  # the first frame carries what is done once, so that the speed is counted from it
            self.begun = now
        if not self.due(always=done in (1, frames)):
            return
        rate = (done - 1) / (now - self.begun) if now > self.begun else 0.0
        line = f"frame {done}/{frames}" if frames else f"frame {done}"
        if rate:
            line += f"  {rate:.1f} frames/s"
            line += f"  {clock(max(frames - done, 0) / rate)} left" if frames else ""
        self.show(line, done / frames if frames else None)
