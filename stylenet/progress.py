"""The progress line of all long work: drawn by tqdm on a terminal and in a notebook, plain lines in a log file."""

from __future__ import annotations

import os
import sys
import time
import warnings
from typing import IO, Any

# The bar has a width, also of nothing, so that tqdm cuts the line to the terminal's.
_WITH_BAR, _WITHOUT_BAR = "|{bar:12}| {desc}", "{desc}{bar:0}"


class ProgressLine:
    """One line that tells how far long work is: in place on a terminal, a bar in a notebook, else a line every few seconds.

    Args:
        stream: stderr by default.
        seconds: between two lines where there is neither a terminal nor a notebook.
    """

    def __init__(self, stream: IO[str] | None = None, seconds: float = 5.0) -> None:
        self.stream = stream or sys.stderr
        terminals, place = _tqdms()
        self._tqdm: Any = terminals if self.stream.isatty() else place if stream is None and place is not terminals else None
        self.live = self._tqdm is not None
        self.seconds = 0.2 if self.live else seconds
        self.shown = 0.0
        self._drawn: Any = None

    def due(self, always: bool = False) -> bool:
        """Return whether it is time to show a state; the next one is due after an interval."""
        now = time.monotonic()
        if not always and now - self.shown < self.seconds:
            return False
        self.shown = now
        return True

    def show(self, text: str, share: float | None = None) -> None:
        """Show a state in place of the one before.

        Args:
            text: what a person should know, in one line.
            share: share of the work that is done, 0..1, where that is known: a bar on terminals and in notebooks.
        """
        if not self.live:
            self.say(text)
            return
        if self._drawn is None:
            self._drawn = self._bar(text, share)
            return
        self._drawn.n = share or 0
        self._drawn.set_description_str(text)

    def say(self, text: str) -> None:
        """Print a line that stays, above the one that is in place."""
        if self.live:
            self._tqdm.write(text, file=self.stream)
        else:
            self.stream.write(f"{text}\n")
            self.stream.flush()

    def _bar(self, text: str, share: float | None) -> Any:
        self._tqdm.monitor_interval = 0  # no thread: what is shown is decided here
        return self._tqdm(
            desc=text,
            total=None if share is None else 1.0,
            initial=share or 0,
            bar_format=_WITHOUT_BAR if share is None else _WITH_BAR,
            file=self.stream,
            ncols=80,
            nrows=24,
            dynamic_ncols=not self.stream.isatty() or _has_width(self.stream),
            mininterval=0,
            position=0,
        )

    def close(self) -> None:
        """End the line, so that what is printed next begins a new one."""
        if self._drawn is not None:
            self._drawn.close()
            self._drawn = None


def _has_width(stream: IO[str]) -> bool:
    """Return whether a terminal tells its width: in a container it can be 0, for which tqdm would draw nothing."""
    try:
        return os.get_terminal_size(stream.fileno()).columns > 0
    except (OSError, ValueError):
        return False


def _tqdms() -> tuple[Any, Any]:
    """Return tqdm for terminals, and for this place, which may be a notebook; None twice where it is not installed, as
    ``scripts/download_coco`` runs before anything is."""
    try:
        with warnings.catch_warnings():  # of what is chosen, and of a notebook without ipywidgets, which gets plain lines
            warnings.simplefilter("ignore")
            from tqdm.autonotebook import tqdm as of_place
        from tqdm.std import tqdm as of_terminals
    except ImportError:
        return None, None
    return of_terminals, of_place
