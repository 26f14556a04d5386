"""The check of a GPU, at tiny sizes on a processor: the harness, its record, and the training of the body from a pack."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from training_kit import STYLES, make_photos

from stylenet.inference import graphs
from stylenet.inference.graphs import FixedSizeNetwork
from stylenet.network.styles import load_looks
from stylenet.network.tiling import style_picture
from stylenet.network.transform_net import NetSettings, TransformNet

ROOT = Path(__file__).resolve().parent.parent


def gpu_check(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "gpu_check"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)


def test_a_record_of_what_was_measured(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", 3)
    names = ("inference", "resume", "groups")
    result = gpu_check(str(tmp_path / "out"), "--tiny", "--only", *names, "--photos", str(photos))
    assert result.returncode == 0, result.stdout + result.stderr
    record = json.loads((tmp_path / "out" / "gpu_check.json").read_text())
    assert record["tiny"]
    assert record["versions"]["torch"] == torch.__version__
    checks = record["checks"]
    assert {name: check["outcome"] for name, check in checks.items()} == dict.fromkeys(names, "done")
    ways = {row["way"]: row for row in checks["inference"]["rows"]}
    assert {"field", "float32", "float32, CUDA graph", "bfloat16"} <= ways.keys()
    assert ways["float32, CUDA graph"]["of 255"] == 0
    assert all(row["ms"] > 0 for row in ways.values())
    assert checks["resume"]["rows"][0]["different"] == 0
    assert [(row["way"], row["group"]) for row in checks["groups"]["rows"]] == [("one by one", 2), ("groups", 2)]
    assert all(row["apart"] < 1 for row in checks["groups"]["rows"])
    text = (tmp_path / "out" / "gpu_check.md").read_text()
    assert "## Resuming to the bit" in text
    assert "| starry_night_swift | 64x48 | bfloat16 |" in text


@pytest.mark.long
def test_a_record_of_files(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", 3)
    result = gpu_check(str(tmp_path / "out"), "--tiny", "--only", "video", "decoders", "--photos", str(photos))
    assert result.returncode == 0, result.stdout + result.stderr
    checks = json.loads((tmp_path / "out" / "gpu_check.json").read_text())["checks"]
    assert checks["video"]["rows"][0]["frames"] == 4
    assert {"Pillow", "torchvision"} <= {row["way"] for row in checks["decoders"]["rows"] if row.get("a second")}


def test_a_check_that_hangs_or_fails_costs_the_others_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import gpu_check as harness
    import gpu_checks

    arguments = harness.argparse.Namespace(folder=tmp_path, photos=tmp_path / "missing", tiny=True)
    hanging = gpu_checks.Check("step", "slow", 1, gpu_checks.measure_training_step)
    began = time.monotonic()
    result = harness._run_check(hanging, arguments, 5.0)
    assert result["outcome"] == "out of time"
    assert time.monotonic() - began < 20
    failing = gpu_checks.Check("style", "fails", 1, gpu_checks.train_a_style)
    result = harness._run_check(failing, arguments, 120.0)
    assert result["outcome"] == "failed"
    assert "no photos at" in result["error"]
    record = {"device": "a", "date": "b", "time": "c", "commit": "", "versions": {}, "checks": {"style": result}}
    assert "failed" in harness._as_markdown(record, [failing])


def test_missing_packages_are_one_line(tmp_path: Path) -> None:
    script = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "benchmarks")!r}]
import gpu_check
gpu_check.NEEDED = ("lightning", "no_such_package")
sys.argv = ["gpu_check", {str(tmp_path)!r}]
sys.exit(gpu_check.main())
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.strip().startswith("gpu_check: missing packages: no_such_package")


def test_the_body_from_a_pack(tmp_path: Path) -> None:
    """Two steps of all looks, and everything that the next training needs is in the folder."""
    photos = make_photos(tmp_path / "photos", 6)
    pack = tmp_path / "pack.zip"
    made = gpu_check(str(pack), "--make_pack", "--paintings", str(STYLES), "--photos", str(photos))
    assert made.returncode == 0, made.stderr
    assert "4 style pictures and 6 of 6 photos" in made.stdout
    small = gpu_check(str(pack), "--make_pack", "--paintings", str(STYLES), "--photos", str(photos), "--megabytes", "0.1")
    assert small.returncode == 2
    assert small.stderr.strip() == "gpu_check: 0.1 MB hold no photo beside 4 style pictures: give --megabytes more"
    with zipfile.ZipFile(pack) as archive:
        assert "paintings/woodcut.jpg" in archive.namelist()
    first = tmp_path / "first"
    result = gpu_check(str(first), "--train_body", "60s", "--pack", str(pack), "--tiny")
    assert result.returncode == 0, result.stderr
    looks = load_looks(first / "body_standard.safetensors")
    assert looks.titles == ["brush_strokes", "marbling", "stained_glass", "woodcut"]
    assert torch.isfinite(looks.table).all()
    assert (first / "run" / "checkpoints" / "last.ckpt").is_file()
    assert not (first / "data").exists()


class Recorder:
    def __init__(self, error: bool) -> None:
        self.calls, self.error = 0, error

    def __call__(self, net: Any, picture: torch.Tensor, dtype: torch.dtype, device: torch.device) -> Any:
        self.calls += 1
        if self.error:
            raise RuntimeError("out of memory\nmore")
        return lambda photo: style_picture(net, photo, 0, dtype)


@pytest.mark.parametrize("error", [False, True])
def test_sizes_are_recorded_once(error: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """As on a GPU but for the recording: at the second picture of a size, and never again after a failure."""
    recorder = Recorder(error)
    monkeypatch.setattr(graphs, "_record", recorder)
    net = TransformNet(NetSettings(width=4, residual_blocks=1)).eval()
    fixed = FixedSizeNetwork(net)
    assert not fixed._records
    fixed._records = True
    for size in [(16, 16)] * 3 + [(24, 16)] + [(16, 16)] * 3:
        photo = torch.rand(1, 3, *size)
        assert torch.equal(fixed(photo), style_picture(net, photo))
    assert recorder.calls == (1 if error else 2)
    assert ("out of memory" in caplog.text) == error
    assert "more" not in caplog.text
