"""What ``optimize`` and ``export`` write, in a store."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import noise
from foreign_nets import randomised
from PIL import Image

from stylenet import storage
from stylenet.commands.cli import main
from stylenet.errors import InputError, RunError
from stylenet.losses.settings import LossSettings
from stylenet.network.cards import Card
from stylenet.network.styles import save_style
from stylenet.network.transform_net import NetSettings, TransformNet
from stylenet.optimization import observers, writing
from stylenet.optimization.rendering import optimize
from stylenet.optimization.series import optimize_series
from stylenet.optimization.settings import OptimizeSettings

LOSS = LossSettings(vgg_weights="random", content_layers={"relu2_2": 1.0}, style_layers={"relu1_1": 1.0})
SETTINGS = OptimizeSettings(device="cpu", precision="32", steps=2, size=32, scales=1)
PHOTO, PAINTING = noise(24, 32, 0), noise(24, 32, 1)


def pixels(place: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(storage.read(place)))).astype(int)


def test_a_search(bucket: str, tmp_path: Path) -> None:
    """The pictures on the way and the panel lie beside the result, which has the pixels of one on this machine."""
    for output in (f"{bucket}/out/a.png", str(tmp_path / "out/a.png")):
        torch.manual_seed(0)  # for the weights of the loss network
        optimize(PHOTO, PAINTING, LOSS, SETTINGS, output=output, save_every=1, panel=True)
    names = ["a.png", "a_00001.png", "a_00002.png", "a_panel.png"]
    assert list(storage.walk(f"{bucket}/out")) == names == sorted(path.name for path in (tmp_path / "out").iterdir())
    for name in names:
        assert np.abs(pixels(f"{bucket}/out/{name}") - pixels(str(tmp_path / "out" / name))).max() <= 1


def test_no_state_of_a_search_is_kept_in_a_store(bucket: str) -> None:
    with pytest.raises(InputError, match=r"lies in a store, where no state of a search is kept: leave resume out"):
        optimize(PHOTO, PAINTING, LOSS, SETTINGS, output=f"{bucket}/a.png", resume=True)
    assert not list(storage.walk(bucket))


def test_several_searches_pass_over_what_is_there(bucket: str, tmp_path: Path) -> None:
    for number in range(2):
        Image.fromarray(noise(24, 32, number)).save(tmp_path / f"{number}.png")
    jobs = [(str(tmp_path / f"{number}.png"), f"{bucket}/out/{number}.png") for number in range(2)]
    told: list[Any] = []

    def run(jobs: list[tuple[str, str]]) -> tuple[int, int]:
        report = lambda *words: told.append(words[0])  # noqa: E731
        series = optimize_series(jobs, [jobs[0][0]], LOSS, SETTINGS, report, resume=True)
        assert not series.failures
        return series.done, series.skipped

    assert run(jobs[:1]) == (1, 0)
    assert run(jobs) == (1, 1)
    assert told == [output for _, output in jobs]
    assert pixels(jobs[1][1]).shape == (24, 32, 3)


def test_what_a_store_refuses_in_the_end_is_kept(bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As where credentials have run out meanwhile."""
    write = writing.write_image

    def refused(picture: Any, path: str | Path, **options: Any) -> Any:
        if storage.is_address(path):
            raise InputError("the store refuses access")
        return write(picture, path, **options)

    monkeypatch.setattr(writing, "write_image", refused)
    monkeypatch.setattr(writing, "scratch_folder", lambda: str(tmp_path))
    with pytest.raises(RunError, match=r"the store refuses access; the picture is kept as .*/a_.*\.png"):
        optimize(PHOTO, PAINTING, LOSS, SETTINGS, output=f"{bucket}/a.png")
    (kept,) = tmp_path.iterdir()
    assert np.asarray(Image.open(kept)).shape == (24, 32, 3)


def test_pictures_on_the_way_that_a_store_refuses(
    bucket: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They are given up, and the search is not."""

    def refused(*words: Any, **options: Any) -> None:
        raise InputError("the store refuses access")

    monkeypatch.setattr(observers, "write_image", refused)
    optimize(PHOTO, PAINTING, LOSS, SETTINGS, output=f"{bucket}/a.png", save_every=1)
    assert "writing the picture so far is given up, and the search goes on without: the store refuses access" in caplog.text
    assert list(storage.walk(bucket)) == ["a.png"]


def test_an_export(bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx = pytest.importorskip("onnx")
    torch.manual_seed(0)
    net = randomised(TransformNet(NetSettings(width=4, residual_blocks=0)))
    save_style(net, Card("waves"), tmp_path / "waves.safetensors", bits=32)
    assert main(["export", str(tmp_path / "waves.safetensors"), "--output", f"{bucket}/waves.onnx"]) == 0
    assert f"{bucket}/waves.onnx: 0.0 MB, precision 32" in capsys.readouterr().out
    onnx.checker.check_model(onnx.load_from_string(storage.read(f"{bucket}/waves.onnx")))
    assert list(storage.walk(bucket)) == ["waves.onnx"]
