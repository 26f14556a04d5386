"""Open pages of browsers: what each has, its photo, its results and its jobs, in a folder of its own that goes with it."""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stylenet import InputError
from stylenet.web.jobs import Job
from stylenet.web.painting import Painted

_NAME = re.compile(r"[0-9a-f]{32}")


@dataclass
class Visit:
    """One open page, by the random name that it gave itself and keeps over a reload.

    Attributes:
        folder: folder of what it uploaded and made.
        photo: the photo that is being styled.
        thumbnails: thumbnails of the photo, by style.
        style: name of the chosen style.
        painted: the photo in the chosen style.
        answers: what the form said when it was painted.
        jobs: the last job of each verb.
        seen: when it last asked for something, on the monotonic clock.
    """

    folder: Path
    photo: Path | None = None
    thumbnails: dict[str, Path] = field(default_factory=dict)
    style: str = ""
    painted: Painted | None = None
    answers: tuple[Any, ...] = ()
    jobs: dict[str, Job] = field(default_factory=dict)
    seen: float = field(default_factory=time.monotonic)

    def fresh_folder(self) -> Path:
        """Return a new folder with a random name."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    def check_free(self, verb: str) -> None:
        """Fail while the last job of a verb is not over.

        Raises:
            InputError: then.
        """
        job = self.jobs.get(verb)
        if job is not None and job.live:
            raise InputError("the last one is still at work: stop it, or wait")


class Visits:
    """All open pages; those that nobody looked at for a while are forgotten, files included.

    Args:
        root: folder for their folders.
        idle: seconds after which a page without a running job is forgotten.
        most: number of pages that are kept at all.
    """

    def __init__(self, root: Path, idle: float, most: int = 200) -> None:
        self._root, self._idle, self._most = root, idle, most
        self._visits: dict[str, Visit] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._visits)

    def __call__(self, name: str | None) -> Visit:
        """Return the visit of this name.

        Raises:
            InputError: for a name that no page gives itself, or if there are too many.
        """
        if name is None or not _NAME.fullmatch(name):
            raise InputError("this page has no name: load it anew")
        with self._lock:
            self._forget()
            if name not in self._visits:
                if len(self._visits) >= self._most:
                    raise InputError("too many pages are open: close some, or try again later")
                self._visits[name] = Visit(Path(tempfile.mkdtemp(dir=self._root)))
            visit = self._visits[name]
            visit.seen = time.monotonic()
            return visit

    def _forget(self) -> None:
        now = time.monotonic()
        for name, visit in list(self._visits.items()):
            if now - visit.seen > self._idle and not any(job.live for job in visit.jobs.values()):
                shutil.rmtree(visit.folder, ignore_errors=True)
                del self._visits[name]
