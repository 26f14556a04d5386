"""Hold Ctrl-C back while something must not be cut in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C, and signals that do as it does, back to the end of the block.

    A packet of a video lost between encoder and file would spoil those after it. An interrupt in the midst of a fork is
    swallowed by Python, and may leave the lock of ``logging`` held for ever, for which other threads then wait.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending: list[int] = []
    before = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and callable(signal.getsignal(number)):  # what is ignored stays so, as in a background job
            before[number] = signal.signal(number, lambda number, _: pending.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if pending:
        signal.raise_signal(pending[0])
