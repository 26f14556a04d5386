"""The two ways in which work can end badly, each with one line that a person can act on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

_speaks_options = False


class InputError(ValueError):
    """Raised when a request cannot be carried out as it is: a bad file, option or combination (exit code 2)."""


class RunError(RuntimeError):
    """Raised when the request was fine, and something broke while it was carried out (exit code 1)."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C came, and what was done by then is kept. As a ``KeyboardInterrupt`` it also ends a loop over pictures.

    Attributes:
        result: what the function would have returned, as far as it came.
    """

    def __init__(self, message: str, result: Any = None) -> None:
        super().__init__(message)
        self.result = result


def argument(name: str, value: object = None, group: str = "") -> str:
    """Return an argument for a message, in the words of the interface that is used.

    ``argument("tile", 64)`` is ``tile=64`` in Python and ``--tile 64`` on the command line. A flag has the value ``True``.
    Without a value it is the name alone, as in "a smaller size" and "a smaller --size".

    Args:
        name: name of the argument, the same in both.
        value: value that is proposed.
        group: group that an option of ``stylenet train`` belongs to: ``model`` for ``--model.NAME``.
    """
    if not _speaks_options:
        return name if value is None else f"{name}={value!r}"
    option = f"--{group}.{name}" if group else f"--{name}"
    return option if value is None or value is True else f"{option} {value}"


@contextlib.contextmanager
def speaking_options() -> Iterator[None]:
    """Make all messages name options of the command line, in all threads, until the block ends."""
    global _speaks_options  # noqa: PLW0603
    before, _speaks_options = _speaks_options, True
    try:
        yield
    finally:
        _speaks_options = before
