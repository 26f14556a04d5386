"""Docstrings read as sentences: those of functions begin with a verb, and none is a fragment or a riddle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents_kit import ROOT

FOLDERS = ("stylenet", "benchmarks", "scripts", "examples")
FILES = sorted(
    path
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*")
    if path.suffix == ".py" or (path.is_file() and not path.suffix and path.read_bytes().startswith(b"#!/usr/bin/env python"))
)

# What functions do, a verb a line. A verb that is missing may be added; a word of another kind may not.
VERBS = frozenset((Path(__file__).parent / "verbs.txt").read_text().split())
# How a docstring of a module or class does not begin: the reader would have to guess what it is about.
FRAGMENTS = {"As", "By", "For", "From", "How", "In", "Of", "That", "Those", "What", "Where", "Whether", "With", "Without"}
FRAGMENT_PHRASES = ("The same", "The opposite", "The inverse")

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def documented(node: ast.AST, name: str = "module") -> Iterator[tuple[str, Documented, str]]:
    """Yield everything in a syntax tree that has a docstring: its name, its node and the docstring."""
    if isinstance(node, Documented) and (docstring := ast.get_docstring(node)):
        yield name, node, docstring
    for child in ast.iter_child_nodes(node):
        yield from documented(child, getattr(child, "name", name))


def faults(source: str) -> list[str]:
    """Return the names and first lines of docstrings in Python source that do not begin as they should."""
    found = []
    for name, node, docstring in documented(ast.parse(source)):
        word = docstring.split()[0].rstrip(",:;.")
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            wrong = word not in VERBS
        else:
            wrong = word in FRAGMENTS or docstring.startswith(FRAGMENT_PHRASES)
        if wrong:
            found.append(f"{name}: {docstring.splitlines()[0]}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings(path: Path) -> None:
    assert faults(path.read_text()) == []


def test_faults_are_found() -> None:
    source = '''"""What it is."""
class A:
    """A good one."""
    def f(self):
        """Of a file, in hexadecimal."""
    async def g(self):
        """Returns."""
class B:
    """The same for two."""
def h():
    """Return it."""
'''
    assert [fault.split(":")[0] for fault in faults(source)] == ["module", "f", "g", "B"]
