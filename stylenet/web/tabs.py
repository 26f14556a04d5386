"""Open tabs of browsers: what each has, its photo, its results and its jobs, in a folder of its own that goes with it."""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from stylenet import InputError
from stylenet.web.jobs import Job

_NAME = re.compile(r"[0-9a-f]{32}")


@dataclass
class Tab:
    """One tab of a browser, by the random name that it gave itself and keeps over a reload.

    Attributes:
        folder: folder of what it uploaded and made.
        photo: being styled.
        thumbnails: thumbnails of the photo, by style.
        styled: the large result: style, file, and the pair of previews that the slider compares.
        jobs: the last of each verb.
    """

    folder: Path
    photo: Path | None = None
    thumbnails: dict[str, Path] = field(default_factory=dict)
    style: str = ""
    styled: Path | None = None
    pair: tuple[Path, Path] | None = None
    jobs: dict[str, Job] = field(default_factory=dict)
    seen: float = field(default_factory=time.monotonic)

    def fresh_folder(self) -> Path:
        """Return a new folder with a random name."""
        return Path(tempfile.mkdtemp(dir=self.folder))


class Tabs:
    """All of them; those that nobody looked at for a while are forgotten, files included.

    Args:
        root: folder for their folders.
        idle: seconds after which a tab without a running job is forgotten.
        most: tabs that are kept at all.
    """

    def __init__(self, root: Path, idle: float, most: int = 200) -> None:
        self._root, self._idle, self._most = root, idle, most
        self._tabs: dict[str, Tab] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._tabs)

    def __call__(self, name: str | None) -> Tab:
        """Return the tab of this name.

        Raises:
            InputError: for a name that no page gives itself, or if there are too many.
        """
        if name is None or not _NAME.fullmatch(name):
            raise InputError("this tab has no name: load the page anew")
        with self._lock:
            self._forget()
            if name not in self._tabs:
                if len(self._tabs) >= self._most:
                    raise InputError("too many pages are open: close some, or try again later")
                self._tabs[name] = Tab(Path(tempfile.mkdtemp(dir=self._root)))
            tab = self._tabs[name]
            tab.seen = time.monotonic()
            return tab

    def _forget(self) -> None:
        now = time.monotonic()
        for name, tab in list(self._tabs.items()):
            if now - tab.seen > self._idle and not any(job.live for job in tab.jobs.values()):
                shutil.rmtree(tab.folder, ignore_errors=True)
                del self._tabs[name]
