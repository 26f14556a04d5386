"""Check that a value is one of the words, or of the other values, that its type names."""

from __future__ import annotations

import numbers
import types
from dataclasses import fields
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from stylenet.errors import InputError


def check_choice(name: str, value: object, kind: Any) -> None:
    """Fail for a value that a type with ``Literal`` in it does not name. Other parts of the type are left to other checks.

    A command line is checked as it is parsed; from Python ``"Adam"`` would otherwise pass for whatever is not ``"adam"``.

    Args:
        name: of the argument.
        value: that was given.
        kind: its type, such as ``Literal["auto"] | int``.

    Raises:
        InputError: naming the choices.
    """
    words, others = _parts(kind)
    if not words or value in words or isinstance(value, others) or (int in others and isinstance(value, numbers.Integral)):
        return
    shown = [str(word) for word in words] + [other.__name__ for other in others if other is not type(None)]
    raise InputError(f"{name} is {value!r}: use {', '.join(shown[:-1])}{' or ' if shown[1:] else ''}{shown[-1]}")


def check_choices(settings: Any) -> None:
    """Check all fields of a dataclass by :func:`check_choice`.

    Raises:
        InputError: naming the first field that is none of its choices.
    """
    of: Any = type(settings)
    for name, kind in _kinds(of).items():
        check_choice(name, getattr(settings, name), kind)


@cache
def _kinds(of: Any) -> dict[str, Any]:
    """Return the types of a dataclass's fields that name words."""
    hints = get_type_hints(of)
    return {field.name: hints[field.name] for field in fields(of) if _parts(hints[field.name])[0]}


@cache
def _parts(kind: Any) -> tuple[tuple[Any, ...], tuple[type, ...]]:
    """Return the values that a type names, and the classes that stand beside them."""
    if get_origin(kind) is Literal:
        return get_args(kind), ()
    if get_origin(kind) in (Union, types.UnionType):
        parts = [_parts(one) for one in get_args(kind)]
        return tuple(word for words, _ in parts for word in words), tuple(one for _, others in parts for one in others)
    plain = get_origin(kind) or kind
    return (), (plain,) if isinstance(plain, type) else ()
