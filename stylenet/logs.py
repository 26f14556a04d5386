"""Decide which messages of the libraries below a person gets to see."""

from __future__ import annotations

import logging
import warnings


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
