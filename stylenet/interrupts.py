"""Hold Ctrl-C back while something must not be cut in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# What asks for a stop: Ctrl-C, a scheduler or a service manager, and a terminal that was closed. Windows lacks the last.
STOPS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextmanager
def uninterrupted(insisting: bool = False) -> Iterator[None]:
    """Hold Ctrl-C, and signals that do as it does, back to the end of the block.

    A packet of a video lost between encoder and file would spoil those after it. An interrupt in the midst of a fork is
    swallowed by Python, and may leave the lock of ``logging`` held for ever, for which other threads then wait.

    Args:
        insisting: let Ctrl-C through where a stop was asked for before: what is not cut in two may wait for a store.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending: list[int] = []
    holding = True
    # What is ignored stays so, as in a background job.
    handlers = {number: handler for number in STOPS if callable(handler := signal.getsignal(number))}

    def hold(number: int, frame: FrameType | None) -> None:
        if holding and not (insisting and pending and number == signal.SIGINT):
            pending.append(number)
        else:  # a signal that came while handlers are given back must not keep this one from it
            handlers[number](number, frame)

    try:
        for number in handlers:
            signal.signal(number, hold)
        yield
    finally:
        holding = False
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if pending:
            signal.raise_signal(pending[0])
