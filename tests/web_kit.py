"""``stylenet web`` for tests: served in a process of its own, used in Chromium, with two tiny styles that can be blended."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from foreign_nets import randomised
from page_kit import opened
from PIL import Image

from stylenet.network.cards import Card
from stylenet.network.look_files import save_look
from stylenet.network.looks import look_names
from stylenet.network.styles import load_style, save_style
from stylenet.network.transform_net import NetSettings, TransformNet

ROOT = Path(__file__).resolve().parent.parent
PHOTO, PAINTING = ROOT / "examples" / "browser" / "example.jpg", ROOT / "examples" / "styles" / "marbling.jpg"
SEARCH = "Choose a photo and a painting"


@contextmanager
def serving(*words: str, temporary: Path | None = None) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Yield the address that ``stylenet web`` prints, and its process, with a folder for its temporary files."""
    command = [sys.executable, "-m", "stylenet", "web", "--port", "0", "--device", "cpu", *words]
    environment = {**os.environ, "TMPDIR": str(temporary)} if temporary else None
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        try:
            yield address, process
        finally:
            process.terminate()
            process.wait(timeout=60)


def make_looks(folder: Path) -> list[Path]:
    """Return the files of two tiny looks, ``one`` and ``two``, on a body beside them."""
    torch.manual_seed(0)
    body = folder / "body.safetensors"
    save_style(randomised(TransformNet(NetSettings(width=4, residual_blocks=1))), Card("body"), body)
    files = []
    for name in ("one", "two"):
        net = load_style(body).net
        with torch.no_grad():
            for parameter in look_names(net, "norms"):
                net.get_parameter(parameter).add_(0.3 * torch.randn_like(net.get_parameter(parameter)))
        save_look(net, "norms", body, Card(name), folder / f"{name}.safetensors")
        files.append(folder / f"{name}.safetensors")
    return files


def small_photo(path: Path, side: int = 96) -> Path:
    """Write a small photo; the path's ending picks the format."""
    with Image.open(PHOTO) as photo:
        photo.thumbnail((side, side))
        photo.save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    """Return the pixels of a file ``[H, W, 3]``."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@contextmanager
def page_of(browser: Any, address: str, tab: str = "Stylize", **options: Any) -> Iterator[Any]:
    """Yield the page with a tab open, once it can be used."""
    with opened(browser, address, **options) as page:
        ready(page, tab)
        yield page


def ready(page: Any, tab: str = "Stylize") -> None:
    """Wait until the page can be used, and open a tab."""
    page.wait_for_selector("body[data-ready]")
    page.get_by_role("tab", name=tab).click()


def panel(page: Any) -> Any:
    """Return the tab that is open."""
    return page.locator("[role=tabpanel]:visible")


def give(page: Any, place: int, *files: Path) -> None:
    """Choose files in one of the boxes of the open tab, and wait until they are uploaded."""
    with page.expect_response(re.compile("gradio_api/upload")):
        panel(page).locator("input[type=file]").nth(place).set_input_files(files)


def choose(page: Any, label: str, option: str) -> None:
    """Choose from a list of the open tab."""
    panel(page).get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def enter(page: Any, label: str, number: float) -> None:
    """Enter a number beside a slider of the open tab."""
    panel(page).get_by_label(f"number input for {label}").fill(str(number))
    page.keyboard.press("Tab")


def press(page: Any, name: str) -> None:
    """Press a button of the open tab."""
    panel(page).get_by_role("button", name=name, exact=True).click()


def download(page: Any, name: str, target: Path) -> str:
    """Press a button that hands out a file, save the file, and return the name that the page gives it."""
    with page.expect_download() as waiting:
        press(page, name)
    waiting.value.save_as(target)
    suggested: str = waiting.value.suggested_filename
    return suggested


def shown(page: Any) -> str:
    """Return the address of the large picture in a style; wait for one."""
    address: str = page.locator(".compare img.after").get_attribute("src")
    return address


def until_changed(page: Any, before: str) -> None:
    """Wait until the large picture is another."""
    ends = time.monotonic() + 120
    while shown(page) == before:
        assert time.monotonic() < ends
        page.wait_for_timeout(50)


def begin_search(page: Any, size: int = 160) -> None:
    """Start a search of 500 steps in the tab Optimize, and wait for its first step."""
    give(page, 0, PHOTO)
    give(page, 1, PAINTING)
    enter(page, "Longest side in pixels", size)
    enter(page, "Steps", 500)
    press(page, "Optimize")
    page.wait_for_selector(".job:has-text('step')")
