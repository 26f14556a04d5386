"""A search that was killed goes on as if nothing had happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import reference
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from stylenet.errors import InputError, RunError
from stylenet.losses.settings import LossSettings
from stylenet.losses.vgg import VGG
from stylenet.optimization import descent as descent_module
from stylenet.optimization import lbfgs, rendering, saving
from stylenet.optimization.engine import Iterate, Result, optimize_pixels
from stylenet.optimization.saving import SearchState, StateFile, state_path
from stylenet.optimization.settings import OptimizeSettings

LOSS = LossSettings(vgg_weights="random", content_layers={"relu2_2": 1.0}, style_layers={"relu1_1": 0.5, "relu2_1": 0.5})
HERE = OptimizeSettings(device="cpu", precision="32", steps=5, plateau=0.0, scales=2)
CONTENT, STYLE = reference.photo("chelsea", 128, 140), reference.photo("coffee", 40, 36)


class Killed(Exception):
    """In place of a signal that cannot be caught."""


@pytest.fixture(scope="module")
def network() -> VGG:
    return reference.lively(VGG(["relu1_1", "relu2_1", "relu2_2"], weights="random"))


def search(network: VGG, settings: OptimizeSettings, content: Tensor = CONTENT, **options: Any) -> Result:
    return optimize_pixels(content, [STYLE], LOSS, settings, vgg=network, **options)


def kill_at(steps: int) -> Any:
    count = 0

    def observe(iterate: Iterate) -> None:
        nonlocal count
        count += 1
        if count > steps:
            raise Killed

    return observe


@pytest.fixture
def each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "_SECONDS", 0.0)
    monkeypatch.setattr(StateFile, "due", lambda self: True)


# Searches of all kinds, with the step at which each is killed in every run of the tests: in the first scale or in the second.
SEARCHES: list[tuple[dict[str, Any], int]] = [
    ({}, 7),
    ({"variables": "pixels", "clamp": False}, 7),
    ({"optimizer": "adam", "learning_rate": 1.0}, 7),
    ({"line_search": True, "steps": [2, 6]}, 2),
    ({"tile": 32}, 7),
    ({"tile": 32, "history": 2, "compact": True}, 2),
    ({"plateau": 0.5}, 2),
]


@pytest.mark.usefixtures("each_step")
@pytest.mark.parametrize("pair_bytes", [(0, 2**40), (2**40, 0)], ids=["compact at first", "compact later"])
def test_memory_that_is_another_now(
    network: VGG, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair_bytes: tuple[int, int]
) -> None:
    """The optimiser is picked by free memory; a search that goes on keeps the one that it began with."""
    settings, state = replace(HERE, scales=1), tmp_path / "state"
    monkeypatch.setattr(descent_module, "_PAIR_BYTES", pair_bytes[0])
    monkeypatch.setattr(descent_module, "free_memory", lambda device: 2**50)
    whole = search(network, settings)
    with pytest.raises(Killed):
        search(network, settings, observe=kill_at(3), state=state)
    monkeypatch.setattr(descent_module, "_PAIR_BYTES", pair_bytes[1])
    resumed = search(network, settings, state=state, resume=True)
    assert torch.equal(resumed.picture, whole.picture)


@pytest.mark.usefixtures("each_step")
@pytest.mark.parametrize(
    ("changes", "kill"),
    [
        pytest.param(changes, kill, marks=[] if kill == moment else pytest.mark.long, id=f"{changes}-{kill}")
        for changes, moment in SEARCHES
        for kill in (2, 7)
    ],
)
def test_exact_to_the_step(
    network: VGG, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], kill: int
) -> None:
    changes = dict(changes)
    if changes.pop("compact", False):
        monkeypatch.setattr(descent_module, "_PAIR_BYTES", 0)
    settings, state = replace(HERE, **changes), tmp_path / "state"
    seen: list[float] = []
    whole = search(network, settings, observe=lambda iterate: seen.append(iterate.objective))
    if kill < len(seen):
        with pytest.raises(Killed):
            search(network, settings, observe=kill_at(kill), state=state)
        assert state.is_file()
    again: list[float] = []
    resumed = search(network, settings, observe=lambda iterate: again.append(iterate.objective), state=state, resume=True)
    assert torch.equal(resumed.picture, whole.picture)
    assert resumed.objective == whole.objective
    assert resumed.steps == whole.steps
    assert resumed.stopped == whole.stopped
    assert again == (seen[kill:] if kill < len(seen) else seen)
    assert not state.exists()


@pytest.mark.usefixtures("each_step")
def test_what_does_not_fit_is_said(network: VGG, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with pytest.raises(Killed):
        search(network, HERE, observe=kill_at(3), state=state)
    for changes in ({"settings": replace(HERE, history=3)}, {"settings": HERE, "content": CONTENT.flip(3)}):
        with pytest.raises(InputError, match="of a search with other pictures or options"):
            search(network, state=state, resume=True, **changes)
    # A budget may be prolonged, and without --resume all begins anew.
    assert search(network, replace(HERE, budget=600), state=state, resume=True).steps == 10
    state.write_bytes(b"no state at all")
    with pytest.raises(InputError, match="is damaged: delete it, or leave resume out"):
        search(network, HERE, state=state, resume=True)
    assert search(network, HERE, state=state).steps == 10


@pytest.mark.usefixtures("each_step")
def test_a_start_that_comes_out_otherwise(network: VGG, tmp_path: Path) -> None:
    """A trained style that is run in other strips gives its picture with other rounding."""
    state = tmp_path / "state"
    with pytest.raises(Killed):
        search(network, replace(HERE, scales=1), observe=kill_at(3), state=state, init=STYLE, start_name="udnie")
    for other in ("other", None):
        with pytest.raises(InputError, match="of a search with other pictures or options"):
            search(network, replace(HERE, scales=1), state=state, resume=True, init=STYLE, start_name=other)
    again = search(network, replace(HERE, scales=1), state=state, resume=True, init=STYLE + 1e-6, start_name="udnie")
    assert any("goes on from step 3" in note for note in again.notes)


@pytest.mark.usefixtures("each_step")
def test_another_picture_to_start_from_is_said(network: VGG, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with pytest.raises(Killed):
        search(network, HERE, observe=kill_at(3), state=state, init=STYLE)
    with pytest.raises(InputError, match="of a search with other pictures or options"):
        search(network, HERE, state=state, resume=True, init=STYLE.flip(3))
    assert search(network, HERE, state=state, resume=True, init=STYLE).steps == 10


@pytest.mark.usefixtures("each_step")
def test_a_budget_that_is_spent_before_the_last_scale(network: VGG, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with pytest.raises(Killed):
        search(network, HERE, observe=kill_at(3), state=state)
    found = search(network, replace(HERE, budget=0.001), state=state, resume=True)
    assert "the budget ends before 140 x 128 pixels: the result is enlarged to it" in found.notes
    assert found.picture.shape == CONTENT.shape


@pytest.mark.usefixtures("each_step")
def test_a_budget_that_is_spent(network: VGG, tmp_path: Path) -> None:
    """The picture so far is the result, with its objective, and nothing is said of sizes that it has."""
    state, seen = tmp_path / "state", []
    stop = kill_at(3)
    with pytest.raises(Killed):
        search(network, replace(HERE, scales=1), observe=lambda one: seen.append(one.objective) or stop(one), state=state)
    found = search(network, replace(HERE, scales=1, budget=0.001), state=state, resume=True)
    assert found.stopped == "budget"
    assert found.steps == 3
    assert found.objective == min(seen[:3])
    assert sum(found.parts.values()) == pytest.approx(found.objective)
    assert not any("the budget ends" in note for note in found.notes)


@pytest.mark.usefixtures("each_step")
def test_pairs_are_taken_over_without_room_for_others(network: VGG, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RunError("no room")

    state, settings = tmp_path / "state", replace(HERE, scales=1)
    monkeypatch.setattr(descent_module, "_PAIR_BYTES", 0)
    with pytest.raises(Killed):
        search(network, settings, observe=kill_at(3), state=state)
    monkeypatch.setattr(lbfgs, "new_tensor", refuse)
    notes = search(network, settings, state=state, resume=True).notes
    assert "kept in 16 bits" in " ".join(notes)
    assert "Adam" not in " ".join(notes)


def test_a_single_tile_is_not_told_of(network: VGG) -> None:
    assert not search(network, replace(HERE, scales=1, steps=0, tile=512)).notes
    assert "in 2 tiles" in search(network, replace(HERE, scales=1, steps=0, tile=128)).notes[0]


def test_a_budget_counts_from_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[float] = []

    def stop(*_: object, started: float, **__: object) -> None:
        began.append(started)
        raise Killed

    read = rendering._read
    monkeypatch.setattr(rendering, "_read", lambda *words: began.append(time.monotonic()) or read(*words))
    monkeypatch.setattr(rendering, "optimize_pixels", stop)
    with pytest.raises(Killed):
        rendering.optimize(CONTENT, STYLE, LOSS, HERE, size=64)
    assert began[-1] <= began[0]  # where the call waited for pictures, it would be later


@pytest.mark.usefixtures("each_step")
def test_tiles_by_hand(network: VGG, tmp_path: Path) -> None:
    """Who was killed for want of memory goes on with smaller tiles; without a word those of before are kept."""
    state = tmp_path / "state"
    for before, after, told in ((0, 32, "tiles of at most 32"), (64, "auto", "tiles of at most 64"), (32, 0, "")):
        with pytest.raises(Killed):
            search(network, replace(HERE, tile=before, scales=1), observe=kill_at(3), state=state)
        notes = " ".join(search(network, replace(HERE, tile=after, scales=1), state=state, resume=True).notes)
        assert "goes on from step 3" in notes
        assert told in notes
        assert ("tiles" in notes) == bool(told)


@pytest.mark.usefixtures("each_step")
def test_a_picture_that_could_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state goes when the picture is where it should be, not before."""

    def refuse(*_: object) -> None:
        raise RunError("the disk is full")

    output, loss = tmp_path / "out.png", LossSettings(vgg_weights="random")
    monkeypatch.setattr(rendering, "write_result", refuse)
    with pytest.raises(RunError, match="the disk is full"):
        rendering.optimize(CONTENT, STYLE, loss, HERE, size=64, output=output)
    assert state_path(output).stat().st_size
    monkeypatch.undo()
    result = rendering.optimize(CONTENT, STYLE, loss, HERE, size=64, output=output, resume=True)
    assert any("goes on from step" in note for note in result.notes)
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


def test_time_spent_before_counts(network: VGG, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StateFile, "due", lambda self: True)
    state = tmp_path / "state"
    with pytest.raises(Killed):
        search(network, replace(HERE, budget=1000), observe=kill_at(3), state=state)
    with safe_open(state, "pt") as opened:
        assert 0 < json.loads(opened.metadata()["stylenet.search"])["values"]["seconds"] < 1000
    result = search(network, replace(HERE, budget=0.05), state=state, resume=True)
    assert result.stopped == "budget"
    assert result.steps == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64])
def test_the_file_is_safetensors(tmp_path: Path, dtype: torch.dtype) -> None:
    """As the library reads it, in every type, also of tensors that are larger than a part, empty, or of no dimension."""
    file = StateFile(tmp_path / "state", "job")
    shapes = [(3, 5), (), (0,), (2**22 + 3,)]
    tensors = {str(index): (torch.randn(shape) * 9).to(dtype) for index, shape in enumerate(shapes)}
    tensors["other way"] = tensors["0"].t()
    file.save(SearchState(tensors, {"one": [1, 2.5, None]}))
    loaded = file.load()
    assert loaded.values == {"one": [1, 2.5, None]}
    assert {name: tensor.shape for name, tensor in loaded.tensors.items()} == {n: t.shape for n, t in tensors.items()}
    assert all(torch.equal(loaded.tensors[name], tensor) for name, tensor in tensors.items())
    assert list(tmp_path.iterdir()) == [tmp_path / "state"]


def test_states_are_kept_at_intervals(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "state", "job", seconds=0.2)
    assert not file.due()
    time.sleep(0.25)
    assert file.due()
    file.save(SearchState({"x": torch.zeros(1)}, {}))
    assert not file.due()
    file.cost = 1000.0  # a state that takes so long is not written every minute
    time.sleep(0.25)
    assert not file.due()


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_killed_command(tmp_path: Path) -> None:
    """SIGKILL, which nothing can catch, and the same words once more with --resume."""
    rng = torch.Generator().manual_seed(0)
    for name in ("photo.png", "painting.png"):
        pixels = torch.randint(0, 256, (40, 48, 3), generator=rng, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(tmp_path / name)
    script = "import sys; from stylenet.optimization import saving; saving._SECONDS = 0.0; saving._SHARE = 1e9;"
    words = [sys.executable, "-c", f"{script} from stylenet.commands.cli import main; sys.exit(main(sys.argv[1:]))", "optimize"]
    words += ["photo.png", "painting.png", "--device", "cpu", "--plateau", "0", "--scales", "1"]
    long = [*words, "--steps", "12", "-o", "out.png"]
    process = subprocess.Popen(long, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    state = state_path(tmp_path / "out.png")
    until = time.monotonic() + 300
    while not state.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert state.exists()
    assert not (tmp_path / "out.png").exists()
    done = subprocess.run([*long, "--resume"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "goes on from step" in done.stderr
    assert not state.exists()
    subprocess.run([*words, "--steps", "12", "-o", "whole.png"], cwd=tmp_path, capture_output=True, check=True)
    assert (tmp_path / "out.png").read_bytes() == (tmp_path / "whole.png").read_bytes()
