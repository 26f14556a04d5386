"""Messages that the page on troubleshooting quotes are messages that the code gives."""

from __future__ import annotations

import re

import pytest
from documents_kit import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
SOURCE = "\n".join(path.read_text() for path in sorted((ROOT / "stylenet").rglob("*.py")))
# What stands in quotation marks in the left column, but for options, which the tests of commands know.
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| what you see", "|---"))]
QUOTED = [quote for row in ROWS for quote in re.findall(r"`([^`]+)`", row.split(" | ")[0])]
MESSAGES = [quote for quote in QUOTED if " " in quote and not quote.startswith(("-", "stylenet"))]


def test_there_are_messages() -> None:
    assert len(MESSAGES) >= 10


@pytest.mark.parametrize("message", MESSAGES)
def test_the_code_says_so(message: str) -> None:
    """Names and numbers that a message is filled with are capitals or dots on the page, and anything in the code."""
    parts = re.split(r"'[^']+'|\b[A-Z]+\b|\.\.\.", message)
    assert all(re.search(re.escape(part.strip(" :")), SOURCE) for part in parts if part.strip(" :"))
