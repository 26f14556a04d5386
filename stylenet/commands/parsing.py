"""A parser's complaints in one line."""

from __future__ import annotations

from argparse import ArgumentError
from collections.abc import Iterator
from contextlib import contextmanager

from jsonargparse import ArgumentError as JsonArgumentError

from stylenet.errors import InputError


@contextmanager
def parsing() -> Iterator[None]:
    """Whatever a parser dislikes becomes one line.

    Raises:
        InputError: with that line.
    """
    try:
        yield
    except (ArgumentError, JsonArgumentError) as error:
        raise InputError(" ".join(str(error).split())) from error
    except UnicodeDecodeError as error:
        raise InputError("the recipe or configuration file is not text") from error
