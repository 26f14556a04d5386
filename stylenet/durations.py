"""Lengths of time as people write and read them: ``5m``, ``1:05``."""

from __future__ import annotations

import math
import re

from stylenet.errors import InputError


def parse_seconds(budget: str | float | None) -> float | None:
    """Return ``90``, ``90s``, ``5m`` or ``1.5h`` in seconds; also ``5e-07``, as Python writes small numbers.

    Raises:
        InputError: for anything else.
    """
    if budget is None:
        return None
    match = re.fullmatch(r"\s*(\d*\.?\d+(?:e[+-]?\d+)?)\s*([smh]?)\s*", str(budget))
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if not 0 < seconds < math.inf:
        shown = budget if len(str(budget)) <= 40 else str(budget)[:40]
        raise InputError(f"budget {shown!r} is not understood: use seconds, or 90s, 5m, 1h")
    return seconds


def clock(seconds: float) -> str:
    """Return seconds as ``1:05`` or ``2:00:00``."""
    whole = round(seconds)
    minutes, hours = whole // 60 % 60, whole // 3600
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
