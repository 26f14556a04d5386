"""Messages of stylenet and of the libraries below while they work, and which of them a person gets to see."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import warnings
from collections.abc import Iterator

from stylenet.errors import one_line

# What Lightning writes where it was asked to, by options of its trainer: reports of a profiler, a table of the layers.
_ASKED_FOR = ("lightning.pytorch.profilers", "lightning.pytorch.callbacks.model_summary")


class _OneLine(logging.Formatter):
    """Messages quote file names and cards, which may hold anything."""

    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


@contextlib.contextmanager
def shown_messages(where: bool = False) -> Iterator[None]:
    """Write what stylenet logs, and what it and others warn of, to stderr, a plain line each, until the block ends: for
    commands.

    Args:
        where: show the line of the program that a warning comes from, as Python does.
    """
    with _log(), contextlib.nullcontext() if where else _lines():
        yield


@contextlib.contextmanager
def _lines() -> Iterator[None]:
    """Let warnings, and threads that end by an error, such as the one that writes TensorBoard's log, be one line each."""
    before, before_threads = warnings.showwarning, threading.excepthook

    def show(message: Warning | str, *_: object, **__: object) -> None:
        sys.stderr.write(f"{one_line(message)}\n")

    def show_thread(failure: threading.ExceptHookArgs) -> None:
        if not isinstance(failure.exc_value, OSError):  # those come again where the thread is asked for its work
            sys.stderr.write(f"{failure.exc_type.__name__}: {one_line(failure.exc_value)} (--verbose shows where)\n")

    warnings.showwarning, threading.excepthook = show, show_thread
    try:
        yield
    finally:
        warnings.showwarning, threading.excepthook = before, before_threads


@contextlib.contextmanager
def _log() -> Iterator[None]:
    logger, handler = logging.getLogger("stylenet"), logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine())
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


def quiet_lightning() -> None:
    """Hide Lightning's advice to developers, which a person with pictures cannot follow."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _ASKED_FOR:
        logging.getLogger(name).setLevel(logging.INFO)
    for message in (
        r".*LightningCLI's args parameter.*",
        r".*does not have many workers.*",
        r".*`Trainer\.fit` stopped.*",
        r".*smaller than the logging interval.*",
        r".*exists and is not empty.*",
        r".*lr_scheduler\.step.*",
        r".*infer the batch indices.*",
        r".*isinstance\(treespec, LeafSpec\).*",
    ):
        warnings.filterwarnings("ignore", message=message)
