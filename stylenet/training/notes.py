"""Tell a person what matters beside the progress of a training."""

from __future__ import annotations

import sys

from lightning.pytorch.utilities import rank_zero_only


@rank_zero_only
def say(text: str) -> None:
    """Print a line to stderr, once for all processes of a training."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
