"""Messages of stylenet and of the libraries below while they work, and which of them a person gets to see."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator

from stylenet.errors import one_line


class _OneLine(logging.Formatter):
    """Messages quote file names and cards, which may hold anything."""

    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


@contextlib.contextmanager
def shown_messages() -> Iterator[None]:
    """Write what stylenet logs to stderr, a plain line each, until the block ends: for commands."""
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
