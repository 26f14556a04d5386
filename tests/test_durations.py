"""Lengths of time as people write and read them."""

from __future__ import annotations

import pytest

from stylenet.durations import clock


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (9.6, "0:10"), (59.6, "1:00"), (65, "1:05"), (3599.7, "1:00:00"), (7200, "2:00:00"), (36061, "10:01:01")],
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
