"""Old names that still work, and say what took their place."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")


def renamed(**names: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let a function take old keywords, with a DeprecationWarning.

    Args:
        names: ``old="new"`` for each keyword.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            given = cast(dict[str, Any], kwargs)
            for old in names.keys() & given.keys():
                if names[old] in given:
                    raise TypeError(f"{function.__qualname__}() got both {old!r} and {names[old]!r}, which are the same")
                warn_renamed(f"the keyword {old!r} of {function.__qualname__}()", repr(names[old]))
                given[names[old]] = given.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


def warn_renamed(old: str, new: str, level: int = 3) -> None:
    """Warn that something has another name now; ``level`` counts the calls up to the user's line."""
    warnings.warn(f"{old} is now {new}", DeprecationWarning, stacklevel=level)
