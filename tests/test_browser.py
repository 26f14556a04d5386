"""The page of examples/browser, built, served and used in Chromium; its pixels against Python's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_kit import chromium, opened, serious_faults, served
from PIL import Image

import stylenet

pytestmark = pytest.mark.browser

SOURCE = Path(__file__).resolve().parent.parent / "examples" / "browser"
STYLE = "starry_night_swift"
SOFTWARE_GPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
READY = "body[data-ready]"
PAINTED = "#status:has-text('pixels in')"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that ``npm ci && npm run build`` makes, and beside it axe-core."""
    if shutil.which("npm") is None:
        pytest.skip("the page is built with node and npm: apt-get install nodejs npm")
    pytest.importorskip("onnxruntime", reason="the page's styles are exported: pip install 'stylenet[export]'")
    folder = tmp_path_factory.mktemp("browser") / "browser"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
    environment = {**os.environ, "PYTHON": sys.executable}
    for command in ("npm ci", "npm run build"):
        done = subprocess.run(command.split(), cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "dist"


@pytest.fixture(scope="module")
def address(built: Path) -> Iterator[str]:
    with served(built) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium(*SOFTWARE_GPU) as started:
        yield started


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of 451 x 300 pixels, one side odd, as PNG, which every program reads alike."""
    path = tmp_path_factory.mktemp("photo") / "cat.png"
    Image.open(SOURCE / "example.jpg").save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def downloaded(page: Any, path: Path) -> Path:
    with page.expect_download() as waiting:
        page.click("#save")
    waiting.value.save_as(path)
    return path


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_pixels_are_pythons(browser: Any, address: str, photo: Path, tmp_path: Path, strength: float) -> None:
    with opened(browser, address + "?engine=wasm") as page:
        page.wait_for_selector(READY)
        assert "WebAssembly" in page.inner_text("#engine")
        page.set_input_files("#file", photo)
        page.wait_for_selector(PAINTED)
        page.check(f"[value={STYLE}]", force=True)
        page.wait_for_selector("#status:has-text('Starry Night, 451 × 300')")
        page.fill("#strength", str(round(strength * 100)))
        result = downloaded(page, tmp_path / "page.png")
    finish = stylenet.Finish(strength=strength)
    stylenet.stylize(photo, STYLE, tmp_path / "python.png", finish=finish, precision="32")
    difference = np.abs(pixels(result) - pixels(tmp_path / "python.png"))
    assert difference.max() <= 3
    assert np.abs(pixels(result) - pixels(photo)).mean() > 5


def test_graphics_card_gives_the_same(browser: Any, address: str, photo: Path, tmp_path: Path) -> None:
    """Through WebGPU, which Chromium's SwiftShader works out on the processor: few pixels, as that is slow."""
    small = tmp_path / "small.png"
    Image.open(photo).resize((40, 32)).save(small)
    with opened(browser, address) as page:
        page.wait_for_selector(READY)
        if page.inner_text("#engine") != "WebGPU":
            pytest.skip("this Chromium has no WebGPU in software")
        page.set_input_files("#file", small)
        page.wait_for_selector(PAINTED)
        result = downloaded(page, tmp_path / "page.png")
    stylenet.stylize(small, "great_wave_swift", tmp_path / "python.png", precision="32")
    assert np.abs(pixels(result) - pixels(tmp_path / "python.png")).max() <= 3


def test_example_and_thumbnails(browser: Any, address: str, tmp_path: Path) -> None:
    """A JPEG comes back as a JPEG, in the size asked for, named after photo and style; every tile shows the photo."""
    with opened(browser, address + "?engine=wasm") as page:
        page.wait_for_selector(READY)
        page.select_option("#size", "256")
        page.click("#example")
        page.wait_for_selector(".tile >> nth=1 >> canvas[data-own]")
        assert page.evaluate("[...document.querySelectorAll('.tile canvas')].map((tile) => tile.width)") == [240, 240]
        page.wait_for_selector("#status:has-text('256 × 170')")
        with page.expect_download() as waiting:
            page.click("#save")
        assert waiting.value.suggested_filename == "example_great_wave_swift.jpg"
        waiting.value.save_as(tmp_path / "out.jpg")
    written = Image.open(tmp_path / "out.jpg")
    assert (written.format, written.size) == ("JPEG", (256, 170))


def test_slider_uncovers_the_photo(browser: Any, address: str) -> None:
    with opened(browser, address + "?engine=wasm") as page:
        page.wait_for_selector(READY)
        page.click("#example")
        page.wait_for_selector(PAINTED)
        page.focus("#compare")
        page.keyboard.press("End")
        assert page.evaluate("getComputedStyle(document.getElementById('after')).clipPath") == "inset(0px 0px 0px 100%)"


@pytest.mark.parametrize(("name", "content"), [("notes.txt", b"not a picture"), ("cut.png", b"\x89PNG\r\n\x1a\n0000")])
def test_rejected_file(browser: Any, address: str, tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with opened(browser, address + "?engine=wasm") as page:
        page.wait_for_selector(READY)
        page.set_input_files("#file", path)
        page.wait_for_selector(f"#status.trouble:has-text('{name} is no picture')")


def test_keyboard_alone(browser: Any, address: str) -> None:
    """The example is painted, and another style chosen, with Tab, Enter and the arrow keys."""
    with opened(browser, address + "?engine=wasm") as page:
        page.wait_for_selector(READY)
        page.select_option("#size", "256")
        _tab_to(page, "example")
        page.keyboard.press("Enter")
        page.wait_for_selector("#status:has-text('Great Wave, 256')")
        page.wait_for_selector("#save:enabled")
        _tab_to(page, "save")
        for _ in range(10):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.name") == "style":
                break
        page.keyboard.press("ArrowDown")
        page.wait_for_selector("#status:has-text('Starry Night, 256')")


def _tab_to(page: Any, name: str) -> None:
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == name:
            return
    raise AssertionError(f"Tab does not reach {name}")


def test_camera(browser: Any, address: str) -> None:
    with opened(browser, address + "?engine=wasm", permissions=["camera"]) as page:
        page.wait_for_selector(READY)
        page.select_option("#size", "256")
        page.click("#camera")
        page.wait_for_selector("#status:has-text('frames a second')")
        page.click("#camera:has-text('Stop')")
        page.wait_for_selector("#status:has-text('Stopped')")
        assert page.is_enabled("#save")


@pytest.mark.parametrize("isolating", [True, False])
def test_threads_need_headers(browser: Any, built: Path, isolating: bool) -> None:
    """With the headers there are threads; without, the page still works and says why it is slower."""
    with served(built, isolating) as found, opened(browser, found + "?engine=wasm") as page:
        page.wait_for_selector(READY)
        threads = (os.cpu_count() or 1) if isolating else 1
        said = page.inner_text("#engine")
        assert said.startswith(f"WebAssembly, {min(threads, 8)} thread")
        assert ("headers" in said) == (threads == 1)
        page.select_option("#size", "256")
        page.click("#example")
        page.wait_for_selector(PAINTED)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_for_assistive_technology(browser: Any, address: str, built: Path, scheme: str) -> None:
    axe = built.parent / "node_modules" / "axe-core" / "axe.min.js"
    with opened(browser, address + "?engine=wasm", color_scheme=scheme) as page:
        page.wait_for_selector(READY)
        assert serious_faults(page, axe) == []
        page.select_option("#size", "256")
        page.click("#example")
        page.wait_for_selector(PAINTED)
        assert serious_faults(page, axe) == []
