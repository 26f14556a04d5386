"""What a step of a large search does not work on lies in files, and changes nothing."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Literal

import pytest
import reference
import torch

from stylenet.errors import RunError
from stylenet.losses.settings import LossSettings
from stylenet.losses.vgg import VGG
from stylenet.optimization import descent, scratch
from stylenet.optimization.engine import optimize_pixels
from stylenet.optimization.planning import _SEARCH_IN_FILES
from stylenet.optimization.settings import OptimizeSettings

LOSS = LossSettings(vgg_weights="random", content_layers={"relu2_2": 1.0}, style_layers={"relu1_1": 1.0}, style_distance="gram")
HERE = OptimizeSettings(device="cpu", precision="32", steps=4, scales=2, plateau=0.0, tile=32)


@pytest.mark.parametrize(
    ("changes", "count"),
    [({}, 12), ({"variables": "pixels"}, 9), ({"optimizer": "adam", "learning_rate": 1.0}, 7)],
    ids=["spectrum", "pixels", "adam"],
)
def test_the_result_is_the_same(monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], count: int) -> None:
    """So many tensors of the picture's size lie in files: start, variables, what L-BFGS has, and the pictures of steps."""
    monkeypatch.setattr(descent, "_PAIR_BYTES", 0)
    torch.manual_seed(0)
    picture, style = torch.rand(1, 3, 130, 142), torch.rand(1, 3, 40, 36)
    network = VGG(["relu1_1", "relu2_2"], weights="random")
    settings = replace(HERE, **changes)  # type: ignore[arg-type]
    in_memory = optimize_pixels(picture, [style], LOSS, settings, vgg=network)
    for name in ("IN_MEMORY", "_SMALL"):
        monkeypatch.setattr(scratch, name, 0)
    made: list[int] = []
    monkeypatch.setattr(scratch, "_mapping", lambda size, make=scratch._mapping: made.append(size) or make(size))
    in_files = optimize_pixels(picture, [style], LOSS, settings, vgg=network)
    assert made.count(picture.nbytes) == count
    assert torch.equal(in_files.picture, in_memory.picture)
    assert in_files.objective == in_memory.objective


@pytest.mark.parametrize(("variables", "rate"), [("spectrum", 1.0), ("pixels", 0.005)])
def test_adam_where_the_disk_is_full(
    monkeypatch: pytest.MonkeyPatch, variables: Literal["spectrum", "pixels"], rate: float
) -> None:
    """Adam takes the place of L-BFGS with the rate that is told, from its first step on."""

    def refuse(*_: object, **__: object) -> None:
        raise RunError("no room")

    monkeypatch.setattr(descent, "_PAIR_BYTES", 0)
    monkeypatch.setattr(descent, "CompactLBFGS", refuse)
    torch.manual_seed(0)
    picture, style = reference.photo("chelsea", 64, 64), reference.photo("coffee", 40, 36)
    rates: list[float] = []
    step = torch.optim.Adam.step
    note = lambda self, closure: rates.append(self.param_groups[0]["lr"]) or step(self, closure)  # noqa: E731
    monkeypatch.setattr(torch.optim.Adam, "step", note)
    settings = replace(HERE, variables=variables, scales=1)
    told: list[float] = []
    observe = lambda iterate: told.append(iterate.objective)  # noqa: E731
    found = optimize_pixels(
        picture, [style], LOSS, settings, vgg=VGG(["relu1_1", "relu2_2"], weights="random"), observe=observe
    )
    assert rates == [rate] * 4
    assert f"Adam takes the place of L-BFGS, with a rate of {rate}" in " ".join(found.notes)
    assert found.objective < told[0]


def test_a_full_gpu_is_told_as_a_full_disk_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """So Adam takes the place of L-BFGS there too."""

    def refuse(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(torch, "empty", refuse)
    with pytest.raises(RunError, match=r"^no room for 0\.4 GB on meta: end what else runs there"):
        scratch.new_tensor((100, 10**6), torch.float32, "meta")


def test_a_tensor_that_the_disk_has_no_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(size: int) -> None:
        raise RunError("no room")

    for name in ("IN_MEMORY", "_SMALL"):
        monkeypatch.setattr(scratch, name, 0)
    monkeypatch.setattr(scratch, "_mapping", refuse)
    tensor = torch.rand(3, 4)
    assert scratch.set_aside(tensor) is tensor


# Its own process, as a peak counts from the start of one. Files do not count as anonymous memory.
PROGRAM = """
import sys, threading, torch
from stylenet.devices import keep_freed_memory
from stylenet.losses.settings import LossSettings
from stylenet.optimization import descent, scratch
from stylenet.optimization.engine import optimize_pixels
from stylenet.optimization.settings import OptimizeSettings

keep_freed_memory()  # as the command does
scratch.IN_MEMORY = scratch._SMALL = descent._PAIR_BYTES = 0
ended, peak = threading.Event(), 0

def watch():
    global peak
    while not ended.wait(0.002):
        with open("/proc/self/status") as status:
            anonymous = next(line for line in status if line.startswith("RssAnon"))
        peak = max(peak, 1024 * int(anonymous.split()[1]))

loss = LossSettings(
    vgg_weights="random", content_layers={"relu1_1": 1.0}, style_layers={"relu1_1": 1.0}, style_distance="gram"
)
side = int(sys.argv[1])
picture = scratch.set_aside(torch.rand(1, 3, side, side))
settings = OptimizeSettings(device="cpu", precision="32", steps=2, scales=1, plateau=0.0, tile=128)
watcher = threading.Thread(target=watch)
watcher.start()
optimize_pixels(picture, [torch.rand(1, 3, 64, 64)], loss, settings)
ended.set()
watcher.join()
print(peak)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_for_each_pixel() -> None:
    """A search that is let through must not need more than was asked for."""
    peaks = {}
    for side in (512, 1024):
        words = [sys.executable, "-c", PROGRAM, str(side)]
        peaks[side] = int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    assert (peaks[1024] - peaks[512]) / (1024**2 - 512**2) < _SEARCH_IN_FILES
