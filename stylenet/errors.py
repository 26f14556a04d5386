"""The two ways in which work can end badly, each with one line that a person can act on."""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Iterator
from typing import Any

_speaks_options = False

# Longer messages are cut in their middle: they quote somebody else's text, and what to do stands at either end.
_LONGEST = 600

# What moves a terminal's cursor, colours it, or turns the direction of writing; joiners of letters and emoji are not meant.
_CONTROLS = {"Cc", "Cs", "Zl", "Zp"}
_TURNING = {"\u061c", "\u200e", "\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}


def one_line(text: object, longest: int = _LONGEST) -> str:
    """Return a text for a terminal: in one line, without control characters, and not too long.

    File names, cards of styles and answers of servers may hold anything; what would act on the terminal is written as
    ``\\x1b`` is.
    """
    line = "".join(_visible(character) for character in " ".join(str(text).split()))
    if len(line) <= longest:
        return line
    head, mark = longest * 2 // 3, " ... "
    return line[:head] + mark + line[head + len(mark) - longest :]


def _visible(character: str) -> str:
    if unicodedata.category(character) in _CONTROLS or character in _TURNING:
        return character.encode("unicode_escape", "surrogatepass").decode("ascii")
    return character


class InputError(ValueError):
    """Raised when a request cannot be carried out as it is: a bad file, option or combination (exit code 2)."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class RunError(RuntimeError):
    """Raised when the request was fine, and something broke while it was carried out (exit code 1)."""

    def __str__(self) -> str:
        return one_line(super().__str__())


# What one picture of many can raise without stopping the others: it is none, or damaged; its store does not answer, or memory
# would not hold it; memory did not.
UNREADABLE = (InputError, RunError, MemoryError)


def why_unreadable(error: BaseException, name: str = "") -> str:
    """Return the reason why one picture of many is left out, with its name before it where the reason has it not; a
    ``MemoryError`` has no words of its own."""
    reason = one_line(error) or ("not enough memory to read it" if isinstance(error, MemoryError) else type(error).__name__)
    return reason if name in reason else f"{name}: {reason}"


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
