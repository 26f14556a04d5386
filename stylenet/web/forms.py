"""Parts of forms that several tabs of the page share, and what was entered, checked."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import gradio as gr

from stylenet import InputError
from stylenet.errors import UNREADABLE, why_unreadable

Function = TypeVar("Function", bound=Callable[..., Any])

# Requests for pictures share the device: one at a time, in the order of coming.
ONE_AT_A_TIME: dict[str, Any] = {"concurrency_id": "device", "concurrency_limit": 1}

# What changes no more than the page itself does not wait for them.
AT_ONCE: dict[str, Any] = {"queue": False, "show_progress": "hidden"}


def photo_box(label: str, sources: list[Any], height: int = 190, min_width: int = 120) -> gr.Image:
    """Return Gradio's picture box, handing the file over as it came: Gradio would open it, and say only "Error" of a text file.

    A subclass would do, but Gradio writes a stub beside its source and asks the browser for a component of its name.
    """
    box = gr.Image(label=label, sources=sources, type="filepath", image_mode=None, height=height, min_width=min_width)
    usual = box.preprocess

    def preprocess(payload: Any) -> Any:
        sent = payload is not None and payload.path and not (payload.url or "").startswith("data:")
        return payload.path if sent else usual(payload)

    box.preprocess = preprocess  # type: ignore[method-assign, unused-ignore]
    return box


def file_box(label: str, endings: frozenset[str], several: bool = False, visible: bool = True) -> gr.File:
    """Return a box for one file, or several, with these endings."""
    return gr.File(
        label=label, file_count="multiple" if several else "single", file_types=sorted(endings), height=140, visible=visible
    )


def tiles(kind: str = "") -> gr.Gallery:
    """Return a gallery of small pictures, which appears with them."""
    return gr.Gallery(
        show_label=False, height="auto", allow_preview=False, buttons=[], visible=False, elem_classes=["tiles", kind]
    )


def download(label: str) -> gr.DownloadButton:
    """Return a button that appears with the file that it hands out."""
    return gr.DownloadButton(label, visible=False, variant="primary")


def handing_out(path: Any) -> gr.DownloadButton:
    """Return a download button's change to a file, or to none."""
    return gr.DownloadButton(value=None if path is None else str(path), visible=path is not None)


def showing(path: Any) -> gr.Image:
    """Return a picture's change to a file, or to none."""
    return gr.Image(value=None if path is None else str(path), visible=path is not None)


def show_while(choice: gr.Dropdown, wanted: Callable[[str], bool], part: Any) -> None:
    """Show a part of a form only while a choice is a wanted one."""
    choice.change(lambda value: gr.update(visible=wanted(value)), choice, part, **AT_ONCE)


def check_choice(value: str, choices: list[str], what: str) -> str:
    """Return a choice.

    Raises:
        InputError: for one that is not in the list: the page offers none, but a request can say anything.
    """
    if value not in choices:
        raise InputError(f"{what} is {value!r}: use one of {', '.join(choices)}")
    return value


def telling(function: Function) -> Function:
    """Return the function with what it finds wrong shown on the page, in one line."""

    def told(error: Exception) -> gr.Error:
        return gr.Error(why_unreadable(error), title="Not possible", print_exception=False)

    @functools.wraps(function)
    def call(*words: Any) -> Any:
        try:
            return function(*words)
        except UNREADABLE as error:
            raise told(error) from error

    @functools.wraps(function)
    def generate(*words: Any) -> Iterator[Any]:
        try:
            yield from function(*words)
        except UNREADABLE as error:
            raise told(error) from error

    return cast(Function, generate if inspect.isgeneratorfunction(function) else call)
