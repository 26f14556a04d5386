"""A guest that behaves: a call has the modes of torch that it needs, whatever its host has set, and leaves none behind."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")


def guest(function: Callable[P, T]) -> Callable[P, T]:
    """Run every call of a function under :func:`own_modes`. All public verbs do."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with own_modes():
            return function(*args, **kwargs)

    return call


def made_by_guest(function: Callable[P, T]) -> Callable[P, T]:
    """Run a function that makes a module of torch under :func:`own_modes`, but for the host's default device.

    There modules lie, unless it is ``meta``: that one holds no numbers, and a module whose weights are read needs them.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with own_modes(keep_device=torch.get_default_device().type != "meta"):
            return function(*args, **kwargs)

    return call


@contextlib.contextmanager
def own_modes(keep_device: bool = False) -> Iterator[None]:
    """Set torch's modes as a fresh process has them, and put the host's back at the end.

    Tensors that are made inside are ordinary ones, also where the host is in inference mode. Gradients are on, autocast is off,
    new tensors are float32, and on the processor unless the host's default device is kept.
    """
    with contextlib.ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        if not torch.is_grad_enabled():
            stack.enter_context(torch.enable_grad())
        for kind in _autocast_devices():
            stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu" and not keep_device:
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(_FLOAT32)
        yield


def _autocast_devices() -> list[str]:
    """Return the kinds of devices for which the host has autocast on."""
    accelerator = torch.accelerator.current_accelerator()
    kinds = ["cpu"] if accelerator is None else ["cpu", accelerator.type]
    return [kind for kind in kinds if torch.is_autocast_enabled(kind)]


class _DefaultType:
    """float32 as the default type while anybody needs it. It belongs to the whole process: the last call that ends restores
    what the first one found."""

    def __init__(self) -> None:
        self.lock, self.calls, self.before = threading.Lock(), 0, torch.float32

    def __enter__(self) -> None:
        with self.lock:
            if not self.calls:
                self.before = torch.get_default_dtype()
            self.calls += 1
            if torch.get_default_dtype() != torch.float32:
                torch.set_default_dtype(torch.float32)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.calls -= 1
            if not self.calls and self.before != torch.float32:
                torch.set_default_dtype(self.before)


_FLOAT32 = _DefaultType()
