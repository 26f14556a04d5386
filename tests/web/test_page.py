"""The page as a person uses it, in Chromium: tabs, reloads, two tabs, bad files, the keyboard, and no request elsewhere."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_kit import chromium, opened, serious_faults
from PIL import Image
from training_kit import make_photos

import stylenet

pytest.importorskip("gradio", reason="the page needs gradio: pip install 'stylenet[web]'")
pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
PHOTO, PAINTING = ROOT / "examples" / "browser" / "example.jpg", ROOT / "examples" / "styles" / "marbling.jpg"


@contextmanager
def serving(*words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Yield the address that ``stylenet web`` prints, and its process."""
    command = [sys.executable, "-m", "stylenet", "web", "--port", "0", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        try:
            yield address, process
        finally:
            process.terminate()
            process.wait(timeout=60)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    photos = make_photos(tmp_path_factory.mktemp("web") / "some_photos", 12)
    with serving("--photos", str(photos), "--device", "cpu") as (found, _):
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@contextmanager
def page_of(browser: Any, address: str, **options: Any) -> Iterator[Any]:
    """Yield the page, once it can be used."""
    with opened(browser, address, **options) as page:
        page.wait_for_selector("text=Your photo in every style")
        yield page


def give(page: Any, place: int, file: Path) -> None:
    """Choose a file in one of the boxes of the tab that is open, and wait until it is uploaded."""
    panel = page.locator("[role=tabpanel]:visible")
    with page.expect_response(re.compile("gradio_api/upload")):
        panel.locator("input[type=file]").nth(place).set_input_files(file)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def until_changed(page: Any, selector: str, attribute: str, before: str | None) -> None:
    """Wait for an attribute of an element to become another."""
    ends = time.monotonic() + 60
    while page.get_attribute(selector, attribute) == before:
        assert time.monotonic() < ends
        page.wait_for_timeout(100)


def begin_search(page: Any, size: int = 96) -> None:
    """Start a search in the tab Optimize, and wait for its first step."""
    page.get_by_role("tab", name="Optimize").click()
    give(page, 0, PHOTO)
    give(page, -1, PAINTING)
    page.get_by_label("number input for Longest side in pixels").fill(str(size))
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Optimize").click()
    page.wait_for_selector(".job:has-text('step')")


def test_pick_compare_download(browser: Any, address: str, tmp_path: Path) -> None:
    """A photo that says where it was taken: every style, one large, the slider by keys, the pixels of the command line."""
    photo = tmp_path / "placed.png"
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    exif[0x8825] = {1: "N", 2: (48.0, 51.0, 30.0)}
    Image.open(PHOTO).resize((160, 106)).save(photo, exif=exif)
    assert Image.open(photo).getexif()
    with page_of(browser, address) as page:
        give(page, 0, photo)
        page.wait_for_selector(".compare img")
        assert page.locator("button.thumbnail-item").count() == len(stylenet.list_styles())
        before = page.get_attribute(".compare img.after", "src")
        page.get_by_role("button", name="udnie").click()
        until_changed(page, ".compare img.after", "src", before)
        page.focus(".compare input")
        page.keyboard.press("End")
        assert page.evaluate("getComputedStyle(document.querySelector('.compare img.after')).clipPath").endswith("100%)")
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Download at full resolution").click()
        assert waiting.value.suggested_filename == "placed_udnie.png"
        waiting.value.save_as(tmp_path / "page.png")
    command = [sys.executable, "-m", "stylenet", "stylize", photo, "-s", "udnie", "-o", tmp_path / "own.png", "--device", "cpu"]
    subprocess.run(command, check=True)
    assert np.array_equal(pixels(tmp_path / "page.png"), pixels(tmp_path / "own.png"))
    assert not Image.open(tmp_path / "page.png").getexif()


def test_rejected_file(browser: Any, address: str, tmp_path: Path) -> None:
    wrong = tmp_path / "photo.png"
    wrong.write_text("no picture")
    with page_of(browser, address) as page:
        give(page, 0, wrong)
        page.wait_for_selector("text=photo.png is no picture that can be read")


def test_search_survives_a_reload_and_stops(browser: Any, address: str) -> None:
    """A job goes on while its page is loaded anew; another tab does not see it; stopped, it leaves its picture."""
    with page_of(browser, address) as page:
        begin_search(page)
        page.reload()
        page.get_by_role("tab", name="Optimize").click()
        page.wait_for_selector(".job:has-text('step')")
        other = page.context.new_page()
        other.goto(address)
        other.get_by_role("tab", name="Optimize").click()
        other.wait_for_timeout(2500)
        assert other.locator(".job").count() == 0
        other.close()
        page.get_by_role("button", name="Stop").locator("visible=true").click()
        page.wait_for_selector(".job.stopped")
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Download", exact=True).click()
        with Image.open(waiting.value.path()) as picture:
            assert (picture.format, picture.size) == ("JPEG", (96, 64))


def test_train_twenty_steps(browser: Any, address: str, tmp_path: Path) -> None:
    """A style is trained on a folder of the server, can be downloaded, and is on the shelf."""
    with page_of(browser, address) as page:
        page.get_by_role("tab", name="Train").click()
        give(page, 0, PAINTING)
        page.get_by_label("Name of the style").fill("born here")
        page.locator("[role=tabpanel]:visible").get_by_label("Recipe").click()
        page.get_by_role("option", name="debug").click()
        page.get_by_role("button", name="Train").click()
        page.wait_for_selector(".job.done", timeout=240_000)
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Download the style").click()
        assert waiting.value.suggested_filename == "born_here.safetensors"
        assert (
            stylenet.load_style(waiting.value.path().rename(waiting.value.path().with_suffix(".safetensors"))).card.name
            == "born_here"
        )
        page.reload()
        page.get_by_role("tab", name="Live").click()
        assert "born here" in page.frame_locator("#live").locator("#style").inner_text()


def test_camera(browser: Any, address: str) -> None:
    with page_of(browser, address, permissions=["camera"]) as page:
        page.get_by_role("tab", name="Live").click()
        live = page.frame_locator("#live")
        live.locator("#camera").click()
        live.locator("#status:has-text('384 × 288')").wait_for()
        live.locator("#camera:has-text('Stop')").click()
        live.locator("#status:has-text('Stopped')").wait_for()


def test_keyboard_alone(browser: Any, address: str) -> None:
    """Tab reaches the box for a photo, Enter opens the choice of a file, and a style is picked by Enter."""
    with page_of(browser, address) as page:
        with page.expect_file_chooser() as choosing:
            for _ in range(15):
                page.keyboard.press("Tab")
                if page.evaluate("document.activeElement.matches('button[aria-dropeffect]')"):
                    page.keyboard.press("Enter")
                    break
        choosing.value.set_files(PHOTO)
        page.wait_for_selector(".compare img")
        before = page.get_attribute(".compare img.after", "src")
        page.locator("button.thumbnail-item").nth(2).focus()
        page.keyboard.press("Enter")
        until_changed(page, ".compare img.after", "src", before)


def test_no_serious_fault_for_assistive_technology(browser: Any, address: str, axe: Path) -> None:
    with page_of(browser, address) as page:
        for tab in ("Stylize", "Optimize", "Train", "Film", "Live"):
            page.get_by_role("tab", name=tab).click()
            page.wait_for_timeout(500)
            assert serious_faults(page, axe) == [], tab


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script of axe-core, at the version that the page of examples/browser locks."""
    if shutil.which("npm") is None:
        pytest.skip("axe-core comes by npm: apt-get install nodejs npm")
    folder = tmp_path_factory.mktemp("axe")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / "examples" / "browser" / name, folder)
    subprocess.run(["npm", "ci", "--silent"], cwd=folder, check=True)
    return folder / "node_modules" / "axe-core" / "axe.min.js"


def test_terminated_in_mid_job(browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM ends the server and its job, and nothing is left in the temporary folder."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with serving("--device", "cpu") as (address, process):
        context = browser.new_context()
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(address)
        page.wait_for_selector("text=Your photo in every style")
        begin_search(page)
        context.close()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
    assert not list(tmp_path.glob("stylenet_web_*"))
    running = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, check=False).stdout
    assert not running


def test_token(tmp_path: Path) -> None:
    """Another host than this machine's own makes up a token, without which there is no page."""
    with serving("--host", "0.0.0.0", "--device", "cpu") as (address, _):
        assert re.fullmatch(r"http://0\.0\.0\.0:\d+/\?token=[\w-]{32}", address)
        here = address.replace("0.0.0.0", "127.0.0.1")
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with pytest.raises(urllib.error.HTTPError, match="401"):
            opener.open(here.split("?")[0])
        assert opener.open(here).status == 200
        assert opener.open(here.split("?")[0]).status == 200  # by the cookie
