"""A large picture must not need a large machine."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from stylenet.optimization.settings import OptimizeSettings

# Its own process, since a peak counts from the start of one.
PROGRAM = """
import json, resource, torch
from stylenet.optimization.engine import optimize_pixels
from stylenet.losses.settings import LossSettings
from stylenet.optimization.settings import OptimizeSettings
from stylenet.losses.vgg import VGG
torch.manual_seed(0)
loss = LossSettings(vgg_weights="random")
picture, style = torch.rand(1, 3, 1536, 2048), torch.rand(1, 3, 512, 512)
result = optimize_pixels(picture, [style], loss, OptimizeSettings(steps=1, scales=1, device="cpu", precision="32"))
print(json.dumps({"steps": result.steps, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
"""


@pytest.mark.long
def test_2048_pixels_stay_under_8_gb() -> None:
    """At 2048 x 1536, with the curvature pairs that a long search would add to this single step."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    history = 2 * OptimizeSettings().history * 3 * 2048 * 1536 * 4
    assert report["steps"] == 1
    assert report["peak"] + history < 8e9


HOARD = """
import psutil, torch
from stylenet.devices import give_back_memory, keep_freed_memory
def resident(): return psutil.Process().memory_info().rss / 1e6
before = resident()
keep_freed_memory()
torch.ones(50_000_000).sum()
kept = resident() - before
give_back_memory()
print(kept, resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_freed_memory_is_kept_until_it_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", HOARD], capture_output=True, text=True, check=True)
    kept, left = (float(word) for word in done.stdout.split())
    assert kept > 190
    assert left < 60
