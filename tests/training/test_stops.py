"""Stopped anywhere and resumed, a training ends as one that never stopped: bit for bit."""

from __future__ import annotations

import collections
import json
import os
import random
import re
from pathlib import Path

import pytest
import torch
from stop_kit import differences, run
from training_kit import PAINTING, STYLES, make_photos

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and forks of POSIX")

LOSS = ["--model.loss.content_layers", '{"relu2_1": 1.0}', "--model.loss.style_layers", '{"relu1_1": 0.5, "relu2_1": 0.5}']
SMALL = [
    *("--network", json.dumps({"width": 4, "residual_blocks": 1}), "--model.style_size", "64", "--model.warmup", "2"),
    *("--model.calibration_photos", "2", "--model.margin", "2", "--data.size", "48", "--data.batch_size", "2"),
    *("--data.val_count", "4", "--trainer.accelerator", "cpu", "--trainer.precision", "32-true", "--ema", "0.9"),
    *("--trainer.val_check_interval", "7", "--checkpoint_every", "3", "--name", "a"),
]

# How a stopped training ends. SIGTERM and SIGHUP have their own meaning again when nothing is left but to measure the result.
CODES = {"SIGINT": [130], "SIGTERM": [130, -15], "SIGHUP": [130, -1], "SIGKILL": [-9]}

# An epoch has ten steps: of 22 photos 2 are held out, and a batch has two.
LENGTHS = {
    "steps": ["--steps", "25"],
    "epochs": ["--trainer.max_epochs", "3"],
    "looks": [
        *("--steps", "25", "--model.several", "looks", "--model.stability_weight", "10"),
        *("--style", PAINTING, str(STYLES / "woodcut.jpg")),
    ],
    "sums": ["--steps", "9", "--trainer.accumulate_grad_batches", "3", "--model.stability_weight", "10"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("photos"), 22)


def words(folder: Path, length: str, workers: int = 0) -> list[str]:
    style = ["--style", PAINTING] if length != "looks" else []
    photos = ["--photos", str(folder), "--data.workers", str(workers)]
    return ["train", *photos, *style, *SMALL, *LOSS, *LENGTHS[length]]


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs that nothing stopped, each made when it is asked for first."""

    class Runs(dict[str, Path]):
        def __missing__(self, length: str) -> Path:
            self[length] = tmp_path_factory.mktemp("whole") / length
            code, log = run([*words(folder, length), "--run", str(self[length])], self[length].with_suffix(".log"))
            assert code == 0, log
            return self[length]

    return Runs()


def stopped(base: list[str], whole: Path, place: Path, kind: str, stops: int, seed: int) -> collections.Counter[str]:
    """Stop and resume a training until it was stopped so often, in as many trainings as that takes.

    Returns:
        How often it was stopped during what.
    """
    generator, moments, chain = random.Random(seed), collections.Counter[str](), 0
    while sum(moments.values()) < stops:
        chain += 1
        home, log, code = place / f"{kind}{chain}", place / "log", -1
        while code != 0:
            resume = ["--ckpt_path", "last"] if (home / "checkpoints" / "last.ckpt").is_file() else []
            again = kind if sum(moments.values()) < stops else ""
            code, text = run([*base, "--run", str(home), *resume], log, again, generator.uniform(0.1, 1.5))
            moments.update(re.findall(r"<SIG\w+ during (.*)>", text))
            assert code in (0, *CODES[kind]), text
            assert "Traceback" not in text, text
        assert differences(home, whole) == [], f"{home}: {moments}"
    return moments


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "length", "workers"),
    [("SIGINT", "steps", 2), ("SIGHUP", "epochs", 0), ("SIGTERM", "epochs", 2), ("SIGKILL", "looks", 0)],
)
def test_stopped_now_and_then(
    folder: Path, whole: dict[str, Path], tmp_path: Path, kind: str, length: str, workers: int
) -> None:
    stopped(words(folder, length, workers), whole[length], tmp_path, kind, stops=2, seed=len(kind + length))


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("length", list(LENGTHS))
@pytest.mark.parametrize("kind", ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_stopped_often(folder: Path, whole: dict[str, Path], tmp_path: Path, kind: str, length: str, workers: int) -> None:
    """Ten stops for each of eight ways to train: 80 of each kind. It takes a quarter of an hour."""
    moments = stopped(words(folder, length, workers), whole[length], tmp_path, kind, stops=10, seed=1)
    print(f"{kind} by {length} with {workers} workers: {dict(moments)}")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_an_end_that_is_given_later(folder: Path, tmp_path: Path, kind: str, workers: int) -> None:
    """A training that has no end but its stops, then one by steps: that of so many steps at once. Two chains of three stops."""
    generator, moments = random.Random(kind), collections.Counter[str]()
    base = ["train", "--photos", str(folder), "--data.workers", str(workers), "--style", PAINTING, *SMALL, *LOSS]
    base += ["--model.schedule", "constant"]
    for chain in range(2):
        home, last, log = (
            tmp_path / f"{kind}{chain}",
            tmp_path / f"{kind}{chain}" / "checkpoints" / "last.ckpt",
            tmp_path / "log",
        )
        for _ in range(3):
            resume = ["--ckpt_path", "last"] if last.is_file() else []
            words = [*base, "--trainer.max_time", "01:00:00:00", "--run", str(home), *resume]
            code, text = run(words, log, kind, generator.uniform(0.1, 0.7))
            moments.update(re.findall(r"<SIG\w+ during (.*)>", text))
            assert code in CODES[kind], text
        resume = ["--ckpt_path", "last"] if last.is_file() else []
        done = torch.load(last, weights_only=True)["global_step"] if resume else 0
        for place, more in ((home, resume), (tmp_path / f"whole{chain}", [])):
            code, text = run([*base, "--steps", str(done + 4), "--run", str(place), *more], log)
            assert code == 0, text
        assert differences(home, tmp_path / f"whole{chain}") == [], moments
    assert sum(moments.values()) == 6
    print(f"{kind} without an end with {workers} workers: {dict(moments)}")
