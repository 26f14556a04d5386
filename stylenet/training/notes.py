"""Tell a person what matters beside the progress of a training."""

from __future__ import annotations

import sys

from lightning.pytorch.utilities import rank_zero_only

from stylenet.errors import one_line


@rank_zero_only
def say(text: str) -> None:
    """Print a line to stderr, once for all processes of a training. It may quote names of files."""
    sys.stderr.write(f"{one_line(text, 1000)}\n")
    sys.stderr.flush()
