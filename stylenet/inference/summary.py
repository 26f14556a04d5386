"""Hold what came of many pictures."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Summary:
    """The outcome of all jobs.

    Attributes:
        jobs: pictures that there were to style, where that is known.
        done: pictures whose results are all written.
        skipped: pictures whose results were there already.
        failures: source and reason.
        unlisted: pictures that failed beside these, in a set so large that not all are listed.
        notes: what a person should know about single pictures.
        seconds: seconds that everything took.
        message: why the rest was not tried, in one line; empty if all was.
        interrupted: whether that was Ctrl-C.
        broke: whether a failure came in carrying a job out, such as a disk that is full, and not from what was asked for.
    """

    jobs: int = 0
    done: int = 0
    skipped: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    unlisted: int = 0
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    message: str = ""
    interrupted: bool = False
    broke: bool = False

    def take(self, part: Summary) -> None:
        """Add what came of one picture before its results are written."""
        self.skipped += part.skipped
        self.failures += part.failures
        self.notes += part.notes
        self.broke |= part.broke

    @property
    def tried(self) -> int:
        """Return how many pictures are dealt with, one way or the other."""
        return self.done + self.skipped + self.failed

    @property
    def failed(self) -> int:
        """Return how many pictures failed."""
        return len(self.failures) + self.unlisted
