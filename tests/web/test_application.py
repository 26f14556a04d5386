"""What requests may name, by the parts of Gradio that a request goes through, without a server."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from stylenet import InputError

gradio = pytest.importorskip("gradio", reason="the page needs gradio: pip install 'stylenet[web]'")


def test_broken_uploads_are_deleted(tmp_path: Path) -> None:
    """What has not grown for long is, beside whole uploads in folders of their own and one that is under way."""
    from stylenet.web.application import delete_broken

    whole, broken, growing = tmp_path / "abc" / "photo.png", tmp_path / "tmp1", tmp_path / "tmp2"
    whole.parent.mkdir()
    for file in (whole, broken, growing):
        file.write_bytes(b"picture")
    for file in (whole, broken):
        os.utime(file, (0, 0))
    delete_broken(tmp_path)
    assert [file.exists() for file in (whole, broken, growing)] == [True, False, True]


def sent(block: Any, path: str) -> Any:
    """Return what a part of the page gets of a request that names a file."""
    from gradio.processing_utils import async_move_files_to_cache

    payload = {"path": path, "meta": {"_type": "gradio.FileData"}}
    return asyncio.run(async_move_files_to_cache(payload, block, check_in_upload_folder=True))


def test_files_stay_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures, numbers and texts alike: a file of the folder is taken, any other and every address is refused."""
    from stylenet.web.application import keep_files_within

    root = (tmp_path / "root").resolve()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(root / "uploads"))
    uploaded, secret = root / "uploads" / "abc" / "photo.png", tmp_path / "secret.png"
    uploaded.parent.mkdir(parents=True)
    for file in (uploaded, secret):
        file.write_bytes(b"picture")
    link = root / "uploads" / "link.png"
    link.symlink_to(secret)
    with gradio.Blocks() as page:
        blocks = [gradio.Image(), gradio.File(), gradio.Slider(), gradio.Textbox(), gradio.State({})]
    keep_files_within(root, page)
    for block in blocks:
        assert sent(block, str(uploaded))["path"] == str(uploaded)
        for path in (str(secret), "/etc/passwd", f"{root}/../secret.png", str(link), "http://127.0.0.1:9/a.png", "photo.png"):
            with pytest.raises(InputError, match="not uploaded here"):
                sent(block, path)


@pytest.mark.parametrize("recipe", ["quick", "default"])
def test_words_of_a_training(recipe: str, tmp_path: Path) -> None:
    """The form says what was chosen; what a training starts from is left to the command, which knows the bodies."""
    from stylenet.web.train_tab import TrainTab

    painting = tmp_path / "a painting.png"
    Image.new("RGB", (32, 32)).save(painting)
    site = SimpleNamespace(
        photos={"here": tmp_path}, painter=SimpleNamespace(check=print), shelf=SimpleNamespace(keep=print, names=[])
    )
    tab: Any = SimpleNamespace(site=site, verb="train", _free_name=lambda name: name)
    visit: Any = SimpleNamespace(fresh_folder=lambda: tmp_path)
    job = TrainTab.make_job(tab, visit, str(painting), "", "here", None, recipe, "swift", 2)
    options = dict(zip(job.words[::2], job.words[1::2], strict=True))
    assert options["--recipe"] == recipe
    assert options["--network"] == "swift"
    assert "--init" not in options
