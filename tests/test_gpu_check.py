"""The check of a GPU, at tiny sizes on a processor: the harness, its record, and the training of the body from a pack."""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from training_kit import STYLES, make_photos

from stylenet.errors import InputError
from stylenet.inference import graphs
from stylenet.inference.graphs import REPEATS, FixedSizeNetwork
from stylenet.network.styles import load_looks
from stylenet.network.tiling import style_picture
from stylenet.network.transform_net import NetSettings, TransformNet

ROOT = Path(__file__).resolve().parent.parent


def gpu_check(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "gpu_check"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that imports a module of the benchmarks by its name."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module


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
def test_all_checks(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", 6)
    command = [sys.executable, str(ROOT / "scripts" / "gpu_check"), str(tmp_path / "out")]
    words = ["--tiny", "--minutes", "60", "--photos", str(photos)]
    result = subprocess.run([*command, *words], capture_output=True, text=True, timeout=3600, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    checks = json.loads((tmp_path / "out" / "gpu_check.json").read_text())["checks"]
    assert len(checks) == 12
    assert {check["outcome"] for check in checks.values()} == {"done"}, result.stdout
    assert all(check["rows"] for check in checks.values())
    [video] = checks["video"]["rows"]
    assert (video["compiled"], video["frames"]) == ("false", 4)
    assert video["a second"] > 0
    assert {"Pillow", "torchvision"} <= {row["way"] for row in checks["decoders"]["rows"] if row.get("a second")}
    [curves] = [result for record in checks["fig5"]["records"] for result in record["results"]]
    assert curves["start"] == "noise"


def still_runs(pid: int) -> bool:
    """Whether a process is at work: one that has ended may stay in the list until its parent asks for it."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def wait_for(condition: Any, seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


# It starts a program, keeps a row, and waits.
HANGING = """
printf '{"rows": [{"found": 1}]}' > "$GPU_CHECK_RESULT"
sleep 600 &
echo $! > "$1.part" && mv "$1.part" "$1"
wait
"""


def test_a_check_that_hangs_or_fails_costs_the_others_nothing(
    tmp_path: Path, benchmark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had found stays, and nothing that it had started does."""
    harness, tasks, checks = benchmark("gpu_check"), benchmark("gpu_task"), benchmark("gpu_checks")
    arguments = argparse.Namespace(folder=tmp_path, photos=tmp_path / "missing", tiny=True)
    failing = tasks.Check("style", "fails", 1, checks.train_a_style)
    result = harness._run_check(failing, arguments, 120.0)
    assert result["outcome"] == "failed"
    assert "no photos at" in result["error"]
    record = {"device": "a", "date": "b", "time": "c", "commit": "", "versions": {}, "checks": {"style": result}}
    assert "failed" in harness._as_markdown(record, [failing])
    pid = tmp_path / "pid"
    monkeypatch.setattr(harness, "_words", lambda *_: ["sh", "-c", HANGING, "sh", str(pid)])
    result = harness._run_check(tasks.Check("step", "slow", 1, checks.measure_training_step), arguments, 5.0)
    assert (result["outcome"], result["rows"]) == ("out of time", [{"found": 1}])
    wait_for(lambda: not still_runs(int(pid.read_text())))


@pytest.mark.parametrize("script", ["sleep 600 & echo $! > $1.part && mv $1.part $1; wait", "sleep 600 & echo $! > $1; exit 3"])
def test_nothing_is_left_of_a_command(script: str, tmp_path: Path, benchmark: Any) -> None:
    """After Ctrl-C, and after a command that left a program behind."""
    pid, run_bounded = tmp_path / "pid", benchmark("bounded").run_bounded
    words = ["sh", "-c", script, "sh", str(pid)]
    if "exit" in script:
        assert run_bounded(words, 60, tmp_path, tmp_path / "errors") == 3
    else:

        def interrupt() -> None:
            wait_for(pid.is_file)
            time.sleep(0.5)  # until the main thread waits
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            run_bounded(words, 60, tmp_path, tmp_path / "errors")
    wait_for(lambda: not still_runs(int(pid.read_text())))


def test_a_signal_ends_what_was_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "benchmarks")!r}]
import gpu_check
gpu_check._words = lambda *_: ["sh", "-c", {HANGING!r}, "sh", {str(pid)!r}]
sys.argv = ["gpu_check", {str(tmp_path / "out")!r}, "--tiny", "--only", "step"]
sys.exit(gpu_check.main())
"""
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    wait_for(pid.is_file, 120)
    process.terminate()
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.endswith("gpu_check: interrupted; what was finished is in the folder\n")
    wait_for(lambda: not still_runs(int(pid.read_text())))


def test_a_check_without_its_packages_is_left_out(tmp_path: Path, benchmark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    harness, tasks = benchmark("gpu_check"), benchmark("gpu_task")
    monkeypatch.setattr(harness, "CHECKS", (tasks.Check("video", "A video", 1, print, ("json", "no_such_package")),))
    monkeypatch.setattr(sys, "argv", ["gpu_check", str(tmp_path), "--tiny"])
    assert harness.main() == 0
    record = json.loads((tmp_path / "gpu_check.json").read_text())
    assert record["checks"]["video"]["outcome"] == "left out"
    assert record["checks"]["video"]["error"] == "missing packages: no_such_package"
    assert "missing packages: no_such_package" in (tmp_path / "gpu_check.md").read_text()


def test_every_check_needs_what_there_is(benchmark: Any) -> None:
    """Else a wrong name would leave it out on every machine."""
    checks = benchmark("gpu_checks").CHECKS
    assert {name for check in checks for name in check.needs} == {"pytest", "skimage", "av"}
    assert benchmark("gpu_check")._missing(benchmark("gpu_check").NEEDED) == []


def test_frames_that_warm_up_are_not_timed(benchmark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    files = benchmark("gpu_files")
    seconds = iter([0.0, 100.0, 100.5, 101.0, 102.0])
    monkeypatch.setattr(files, "time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    clock = files.Clock(2)
    for done in range(1, 6):
        clock(done, 5)
    assert (clock.frames, clock.rate) == (3, 1.5)
    assert files.Clock(2).rate == 0


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
    record = json.loads((first / "train_body.json").read_text())
    assert (record["exit_code"], record["steps"], record["steps_before"], record["init"]) == (0, 2, 0, None)
    assert record["seconds"] > 0
    assert record["objective"] == record["metrics"]["val/objective"] > 0
    assert record["versions"]["torch"] == torch.__version__
    assert record["arguments"] == {"pack": "pack.zip", "budget": "60s", "resume": None, "tiny": True}


@pytest.mark.long
def test_a_body_goes_on(tmp_path: Path) -> None:
    """By the time that it is given, whatever it had before: in another folder, and again in that one."""
    pack, first = tmp_path / "pack.zip", tmp_path / "first"
    photos = make_photos(tmp_path / "photos", 6)
    assert gpu_check(str(pack), "--make_pack", "--paintings", str(STYLES), "--photos", str(photos)).returncode == 0
    words = ["--train_body", "10m", "--pack", str(pack), "--tiny"]
    result = gpu_check(str(first), *words)
    assert result.returncode == 0, result.stderr
    checkpoint = first / "run" / "checkpoints" / "last.ckpt"
    state = torch.load(checkpoint, weights_only=True)
    state["training"]["seconds"] = 5000.0
    torch.save(state, checkpoint)
    for before in (2, 4):
        result = gpu_check(str(tmp_path / "second"), *words, "--resume", str(first))
        assert result.returncode == 0, result.stderr
        record = json.loads((tmp_path / "second" / "train_body.json").read_text())
        assert (record["steps_before"], record["steps"]) == (before, 2)
    assert load_looks(tmp_path / "second" / "body_standard.safetensors").titles
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 2


def test_what_a_body_begins_from(tmp_path: Path, benchmark: Any) -> None:
    """The shipped body, or the training before with its own beginning and its time."""
    training = benchmark("body_training")

    def options(past: Any) -> dict[str, str]:
        words = training.training_words(tmp_path, 1500.0, past, False)
        assert len(words) % 2
        return dict(zip(words[1::2], words[2::2], strict=True))

    fresh = options(training.read_past(tmp_path / "last.ckpt"))
    assert fresh["--budget"] == "1500.0s"
    assert fresh["--model.init"] == "body_standard"
    assert "--ckpt_path" not in fresh
    state: dict[str, Any] = {part: {} for part in ("state_dict", "loops", "optimizer_states", "lr_schedulers")}
    settings = {"model.init": "starry_night"}
    torch.save({**state, "global_step": 70, "training": {"seconds": 1498.2, "settings": settings}}, tmp_path / "last.ckpt")
    past = training.read_past(tmp_path / "last.ckpt")
    assert (past.steps, past.seconds, past.init) == (70, 1498.2, "starry_night")
    again = options(past)
    assert again["--budget"] == "2998.2s"
    assert again["--model.init"] == "starry_night"
    assert again["--ckpt_path"] == "last"


def test_ctrl_c_waits_for_the_checkpoint(tmp_path: Path, benchmark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    training, started, kept = benchmark("body_training"), tmp_path / "started", tmp_path / "kept"
    program = tmp_path / "python"
    trap = f"trap 'sleep 1; touch {kept}; exit 5' INT"
    program.write_text(f"#!/bin/sh\n{trap}\ntouch {started}\nwhile :; do sleep 0.1; done\n")
    program.chmod(0o755)
    monkeypatch.setattr(training, "sys", SimpleNamespace(executable=str(program)))

    def interrupt() -> None:
        wait_for(started.is_file)
        time.sleep(0.5)  # until the main thread waits
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    assert training._train([]) == 5
    assert kept.is_file()


def no_pack(path: Path) -> None:
    """There is none."""


def text_for_a_pack(path: Path) -> None:
    path.write_text("no archive")


def folder_for_a_pack(path: Path) -> None:
    path.mkdir()


def damaged_pack(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("paintings/a.jpg", b"x" * 1000)
    path.write_bytes(path.read_bytes().replace(b"xxxx", b"yyyy", 1))


def pack_without_photos(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("paintings/a.jpg", b"x")


@pytest.mark.parametrize("make", [no_pack, text_for_a_pack, folder_for_a_pack, damaged_pack, pack_without_photos])
def test_a_pack_that_is_none_is_one_line(
    make: Any, tmp_path: Path, benchmark: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "pack.zip")
    words = ["--train_body", "1m", "--pack", str(tmp_path / "pack.zip"), "--tiny"]
    monkeypatch.setattr(sys, "argv", ["gpu_check", str(tmp_path / "out"), *words])
    assert benchmark("gpu_check").main() == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("gpu_check: ")
    assert "pack.zip" in line
    assert not (tmp_path / "out" / "data").exists()


def test_other_wrong_words_for_a_body(tmp_path: Path, benchmark: Any) -> None:
    training, pack = benchmark("body_training"), tmp_path / "pack.zip"
    with zipfile.ZipFile(pack, "w") as archive:
        archive.writestr("paintings/a.jpg", b"x")
        archive.writestr("photos/a.jpg", b"x")
    with pytest.raises(InputError, match=r"holds no training to go on with: it lacks run/checkpoints/last\.ckpt"):
        training.train_body(tmp_path / "out", pack, "1m", tmp_path / "missing", True)
    with pytest.raises(InputError, match="is not understood"):
        training.train_body(tmp_path / "out", pack, "soon", None, True)
    with pytest.raises(InputError, match="no folder"):
        training.make_pack(pack, tmp_path / "missing", tmp_path, 1.0)


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
    """As on a GPU but for the recording: after some pictures of a size in a row, and never again after a failure."""
    recorder = Recorder(error)
    monkeypatch.setattr(graphs, "_record", recorder)
    net = TransformNet(NetSettings(width=4, residual_blocks=1)).eval()
    fixed = FixedSizeNetwork(net)
    assert not fixed._records
    fixed._records = True
    many = REPEATS + 2
    for size in [(16, 16)] * many + [(24, 16)] * REPEATS + [(16, 16)] * many:
        photo = torch.rand(1, 3, *size)
        assert torch.equal(fixed(photo), style_picture(net, photo))
    assert recorder.calls == (1 if error else 2)
    assert ("out of memory" in caplog.text) == error
    assert "more" not in caplog.text
