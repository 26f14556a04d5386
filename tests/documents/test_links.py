"""Every link and picture of the documents leads somewhere, and their lines can be read on any screen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from documents_kit import DOCUMENTS, ROOT

_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")


def anchors(document: Path) -> set[str]:
    """Return the anchors that a code host gives to the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", _CODE.sub(lambda code: code[0].strip("`"), document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken_links(document: Path) -> list[str]:
    """Return the links of a document to files and headings that do not exist."""
    broken = []
    for link in _LINK.findall(_CODE.sub("", document.read_text())):
        path, _, anchor = link.partition("#")
        if re.match(r"(https?|mailto):", link):
            continue
        target = document if not path else (document.parent / path).resolve()
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links(document: Path) -> None:
    assert broken_links(document) == []


def test_broken_links_are_found(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text(
        "# A title: here\n[x](#a-title-here) [y](#none) [z](b.md) ![p](p.jpg) [w](https://example.org) `[c](c.md)`\n"
    )
    assert broken_links(document) == ["#none", "b.md", "p.jpg"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_lines(document: Path) -> None:
    lines = enumerate(document.read_text().splitlines(), 1)
    assert [number for number, line in lines if len(line) > 128 and not line.startswith("|") and "](" not in line] == []


def test_every_page_is_reached() -> None:
    """From the README, over any number of links."""
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        document = waiting.pop()
        seen.add(document)
        links = [link.partition("#")[0] for link in _LINK.findall(document.read_text())]
        pages = [(document.parent / link).resolve() for link in links if link.endswith(".md") and "://" not in link]
        waiting += [page for page in pages if page not in seen and page.exists()]
    assert [str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md") if path not in seen] == []
