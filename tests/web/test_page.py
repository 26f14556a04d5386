"""The page as a person uses it, in Chromium: every tab, reloads, two tabs, bad files, keys alone, and no request elsewhere."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from page_kit import chromium, serious_faults
from PIL import Image
from training_kit import make_photos
from video_kit import make_video
from web_kit import (
    PAINTING,
    PHOTO,
    ROOT,
    begin_search,
    choose,
    download,
    enter,
    give,
    make_looks,
    page_of,
    panel,
    pixels,
    press,
    ready,
    serving,
    shown,
    small_photo,
    until_changed,
)

import stylenet

pytest.importorskip("gradio", reason="the page needs gradio: pip install 'stylenet[web]'")
TooLate = pytest.importorskip("playwright.sync_api", reason="the tests of pages need playwright").TimeoutError
pytestmark = pytest.mark.browser

TABS = ("Stylize", "Optimize", "Train", "Video", "Live")


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_looks(tmp_path_factory.mktemp("looks"))


@pytest.fixture(scope="module")
def address(looks: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    photos = make_photos(tmp_path_factory.mktemp("web") / "some_photos", 12)
    with serving("--photos", str(photos), "--styles", *map(str, looks)) as (found, _):
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


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
        before = shown(page)
        assert page.locator("button.thumbnail-item").count() == len(stylenet.list_styles()) + 2
        press(page, "udnie")
        until_changed(page, before)
        page.focus(".compare input")
        page.keyboard.press("End")
        assert (
            page.evaluate("getComputedStyle(document.querySelector('.compare img.before')).clipPath") == "inset(0px 0% 0px 0px)"
        )
        assert download(page, "Download at full resolution", tmp_path / "page.png") == "placed_udnie.png"
    command = [sys.executable, "-m", "stylenet", "stylize", photo, "-s", "udnie", "-o", tmp_path / "own.png", "--device", "cpu"]
    subprocess.run(command, check=True)
    assert np.array_equal(pixels(tmp_path / "page.png"), pixels(tmp_path / "own.png"))
    assert not Image.open(tmp_path / "page.png").getexif()


def test_blend_and_strength(browser: Any, address: str, looks: list[Path], tmp_path: Path) -> None:
    """Two looks on one body are blended, at half the strength, as the library does; other styles offer no blend."""
    photo = small_photo(tmp_path / "photo.png")
    with page_of(browser, address) as page:
        give(page, 0, photo)
        before = shown(page)
        press(page, "udnie")  # a network of its own
        until_changed(page, before)
        before = shown(page)
        assert not page.get_by_label("Blend with").is_visible()
        for change in (
            lambda: press(page, "one"),
            lambda: choose(page, "Blend with", "two"),
            lambda: enter(page, "Strength", 0.5),
        ):
            change()
            until_changed(page, before)
            before = shown(page)
        assert download(page, "Download at full resolution", tmp_path / "page.png") == "photo_one_two.png"
    blend = stylenet.blend_styles(dict.fromkeys(map(str, looks), 0.5))
    stylenet.stylize(photo, blend, tmp_path / "own.png", finish=stylenet.Finish(strength=0.5), device="cpu")
    assert np.array_equal(pixels(tmp_path / "page.png"), pixels(tmp_path / "own.png"))


def test_several_photos(browser: Any, address: str, tmp_path: Path) -> None:
    """Two photos and a file that is none come back as a zip, each in its format, with a word on the third."""
    photos = [small_photo(tmp_path / name) for name in ("a.jpg", "b.webp")]
    broken = tmp_path / "c.png"
    broken.write_text("no picture")
    with page_of(browser, address) as page:
        panel(page).get_by_role("button", name="Several photos at once").click()
        give(page, 1, *photos, broken)
        press(page, "Style them all in the chosen style")
        page.wait_for_selector(".job.done:has-text('2 of 3')")
        assert download(page, "Download the zip", tmp_path / "page.zip") == "adoration_of_the_magi.zip"
    with zipfile.ZipFile(tmp_path / "page.zip") as archive:
        assert archive.namelist() == ["001_a.jpg", "002_b.webp", "not_styled.txt"]
        with archive.open("002_b.webp") as file:
            assert Image.open(file).size == Image.open(photos[1]).size


def test_rejected_files(browser: Any, address: str, tmp_path: Path) -> None:
    """Text and a picture that is too large are refused in words, and the page goes on."""
    text, huge = tmp_path / "text.png", tmp_path / "huge.png"
    text.write_text("no picture")
    Image.new("1", (6400, 6400)).save(huge)
    with page_of(browser, address) as page:
        give(page, 0, text)
        page.wait_for_selector("text=text.png is not a picture in a format that is known here")
        panel(page).get_by_label("Remove Image").click()
        give(page, 0, huge)
        page.wait_for_selector("text=huge.png is 6400 x 6400 pixels: 40 megapixels are the limit")
        panel(page).get_by_label("Remove Image").click()
        give(page, 0, small_photo(tmp_path / "photo.png"))
        assert shown(page)


def test_photo_from_the_camera(browser: Any, address: str, tmp_path: Path) -> None:
    with page_of(browser, address, permissions=["camera"]) as page:
        choose(page, "Longest side in pixels", "512")
        press(page, "Capture from camera")
        panel(page).get_by_text("Click to Access Webcam").click()
        press(page, "capture photo")
        assert shown(page)
        download(page, "Download at full resolution", tmp_path / "photo")
    assert Image.open(tmp_path / "photo").width == 512


def test_pasted_photo(browser: Any, address: str, tmp_path: Path) -> None:
    copy = """async () => {
      const canvas = Object.assign(document.createElement("canvas"), { width: 90, height: 70 });
      canvas.getContext("2d").fillRect(10, 10, 50, 30);
      const picture = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
      await navigator.clipboard.write([new ClipboardItem({ "image/png": picture })]);
    }"""
    with page_of(browser, address, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.evaluate(copy)
        press(page, "Paste from clipboard")
        assert shown(page)
        download(page, "Download at full resolution", tmp_path / "photo.png")
    assert Image.open(tmp_path / "photo.png").size == (90, 70)


def test_search_survives_a_reload_and_stops(browser: Any, address: str, tmp_path: Path) -> None:
    """A job goes on while its page is loaded anew; a duplicate of the tab does not see it; stopped, it leaves its picture."""
    with page_of(browser, address, "Optimize") as page:
        begin_search(page)
        page.reload()
        ready(page, "Optimize")
        page.wait_for_selector(".job:has-text('step')")
        with page.expect_popup() as opening:
            page.evaluate("window.open(location.href)")  # brings along what the tab has stored, as "Duplicate tab" does
        other = opening.value
        ready(other, "Optimize")
        other.wait_for_timeout(1500)
        assert other.evaluate("sessionStorage.stylenet") != page.evaluate("sessionStorage.stylenet")
        assert other.locator(".job").count() == 0
        other.close()
        page.locator("img[src*=optimized]").wait_for()
        press(page, "Stop")
        page.wait_for_selector(".job.stopped")
        assert download(page, "Download the picture", tmp_path / "picture.jpg") == "example_optimized.jpg"
    with Image.open(tmp_path / "picture.jpg") as picture:
        assert (picture.format, picture.size) == ("JPEG", (160, 106))


def test_train_twenty_steps(browser: Any, address: str, tmp_path: Path) -> None:
    """A style is trained on a folder of the server, with its losses; it can be downloaded, and is on the shelf."""
    with page_of(browser, address, "Train") as page:
        give(page, 0, PAINTING)
        page.get_by_label("Name of the style").fill("born here")
        choose(page, "Recipe", "debug")
        press(page, "Train")
        page.wait_for_selector(".job.done")
        page.wait_for_selector("[role=tabpanel]:visible .vega-embed canvas, [role=tabpanel]:visible .vega-embed svg")
        assert download(page, "Download the style", tmp_path / "style.safetensors") == "born_here.safetensors"
        page.reload()
        ready(page, "Live")
        page.frame_locator("#live").locator("#style option", has_text="born here").wait_for(state="attached")
    assert stylenet.load_style(tmp_path / "style.safetensors").card.name == "born_here"


def test_training_stops_and_goes_on(browser: Any, address: str, tmp_path: Path) -> None:
    """A training on photos that were dropped is stopped, and goes on from the step where it stopped."""
    photos = [tmp_path / f"{index}.png" for index in range(8)]
    with Image.open(PHOTO) as whole:
        for index, path in enumerate(photos):
            whole.crop((20 * index, 0, 20 * index + 288, 288)).save(path)
    with page_of(browser, address, "Train") as page:
        give(page, 0, PAINTING)
        choose(page, "Photos to learn from", "photos that I drop here")
        give(page, 1, *photos)
        press(page, "Train")
        page.wait_for_selector(".job:has-text('step')")
        press(page, "Stop")
        page.wait_for_selector(".job.stopped")
        press(page, "Go on from where it stopped")
        page.wait_for_selector(".job.running:has-text('step')")
        press(page, "Stop")
        page.wait_for_selector(".job.stopped")


def test_video(browser: Any, address: str, tmp_path: Path) -> None:
    """A clip shows its first frames in the style, and comes back with as many frames."""
    clip = make_video(tmp_path / "clip.mp4")
    with page_of(browser, address, "Video") as page:
        choose(page, "Style", "one")
        give(page, 0, clip)
        panel(page).locator("button.thumbnail-item").first.wait_for()
        press(page, "Style the video")
        page.wait_for_selector(".job.done")
        page.wait_for_selector("video.player")
        assert download(page, "Download the video", tmp_path / "page.mp4") == "clip_one.mp4"
    with av.open(str(tmp_path / "page.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 12


def test_webcam(browser: Any, address: str) -> None:
    """Frames come back in the style, and how many a second is shown."""
    with page_of(browser, address, "Live", permissions=["camera"]) as page:
        live = page.frame_locator("#live")
        live.locator("#style").select_option("one")
        live.locator("#camera").click()
        live.locator("#status:has-text('384 × 288')").wait_for()
        assert float(live.locator("#picture").get_attribute("data-rate")) > 0
        live.locator("#camera:has-text('off')").click()
        live.locator("#status:has-text('Stopped')").wait_for()


def test_keyboard_alone(browser: Any, address: str, tmp_path: Path) -> None:
    """Tab reaches the box for a photo, Enter opens the choice of a file, and a style is picked and downloaded by Enter."""

    def tab_to(selector: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"Tab does not reach {selector}")

    def choose_file() -> Any:
        for attempt in range(4):  # while Gradio still draws the page, a box that has the focus may be replaced
            tab_to("button[aria-dropeffect]")
            with contextlib.suppress(TooLate):
                with page.expect_file_chooser(timeout=2000 * 3**attempt) as choosing:
                    page.keyboard.press("Enter")
                return choosing.value
        raise AssertionError("Enter does not open the choice of a file")

    with page_of(browser, address) as page:
        choose_file().set_files(small_photo(tmp_path / "photo.png"))
        before = shown(page)
        for _ in range(3):
            tab_to("button.thumbnail-item")
        page.keyboard.press("Enter")
        until_changed(page, before)
        tab_to(".compare input")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.value") == "50.5"
        before = shown(page)
        page.get_by_label("range slider for Strength").focus()
        page.keyboard.press("ArrowLeft")
        until_changed(page, before)
        page.focus(".compare input")
        with page.expect_download() as waiting:
            tab_to("#stylize-result button.primary, #stylize-result a, #stylize-result a button")
            page.keyboard.press("Enter")
        assert waiting.value.suggested_filename.startswith("photo_")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_for_assistive_technology(browser: Any, address: str, axe: Path, scheme: str, tmp_path: Path) -> None:
    with page_of(browser, address, color_scheme=scheme) as page:
        give(page, 0, small_photo(tmp_path / "photo.png"))
        assert shown(page)
        for tab in TABS:
            page.get_by_role("tab", name=tab).click()
            page.wait_for_timeout(300)
            assert serious_faults(page, axe) == [], tab


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script of axe-core, at the version that the page of examples/browser locks."""
    if shutil.which("npm") is None:
        pytest.skip("axe-core comes by npm: apt-get install nodejs npm")
    folder = tmp_path_factory.mktemp("axe")
    lock = json.loads((ROOT / "examples" / "browser" / "package-lock.json").read_text())
    version = lock["packages"]["node_modules/axe-core"]["version"]
    command = ["npm", "install", "--silent", "--ignore-scripts", "--prefix", folder, f"axe-core@{version}"]
    subprocess.run(command, check=True)
    return folder / "node_modules" / "axe-core" / "axe.min.js"
