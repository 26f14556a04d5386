"""The list of slow tests names tests that exist."""

from __future__ import annotations

import re

from documents_kit import ROOT


def test_every_slow_test_exists() -> None:
    names = [line.split()[0] for line in (ROOT / "tests" / "slow.txt").read_text().splitlines()]
    assert len(names) == len(set(names))
    for name in names:
        path, _, function = name.partition("::")
        source = (ROOT / path).read_text() if (ROOT / path).is_file() else ""
        defined = rf"^\s*def {function.rpartition('::')[2]}\("
        assert re.search(defined, source, re.MULTILINE), f"{name} is gone: take it out of tests/slow.txt"
