"""The parts of one server that every tab of the page works with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stylenet.web.jobs import JobQueue
from stylenet.web.limits import Limits
from stylenet.web.painting import Painter
from stylenet.web.shelf import Shelf
from stylenet.web.visits import Visits


@dataclass(frozen=True)
class Site:
    """The parts of one server.

    Attributes:
        shelf: styles that can be chosen.
        painter: paints photos in them, at once.
        queue: takes what is long.
        visits: open pages.
        limits: bounds of what is accepted.
        photos: folders of photos on the server that trainings may read, by the name that the page shows.
    """

    shelf: Shelf
    painter: Painter
    queue: JobQueue
    visits: Visits
    limits: Limits
    photos: dict[str, Path]
