"""The documents of the project in parts: their commands and their Python. It needs nothing but the standard library."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    path for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", ".github/**/*.md") for path in ROOT.glob(pattern)
)

# A fenced block, and the comment before it that says why the test only parses it: <!-- not run: needs a GPU -->
_BLOCK = re.compile(r"(?:<!-- not run: (?P<reason>.+?) -->\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a document.

    Attributes:
        kind: the language that follows the fence, such as ``bash``.
        text: what stands between the fences.
        line: where it begins in the document, counted from 1.
        reason: why it is not run, or nothing.
    """

    kind: str
    text: str
    line: int
    reason: str | None

    @property
    def commands(self) -> list[str]:
        """Return the lines of a shell block, with continued lines joined and comments left out."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def blocks_of(document: Path) -> list[Block]:
    """Return the fenced blocks of a document in their order."""
    text = document.read_text()
    return [
        Block(match["kind"], match["text"], text.count("\n", 0, match.start("kind")) + 1, match["reason"])
        for match in _BLOCK.finditer(text)
    ]
