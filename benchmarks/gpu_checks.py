"""The checks of ``gpu_check.py``, each a function that measures and hands its rows on as they come."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from gpu_files import measure_decoders, measure_groups, measure_video
from gpu_task import ROOT, STYLES, Check, Task, environment, find_photos_for, peak_gb, picture, reset_peak, run_stylenet, timed
from machine import synchronise
from torch import Tensor

from stylenet.devices import can_compile, keep_freed_memory, pick_device, pick_precision
from stylenet.network.tiling import style_picture

# --- tests ------------------------------------------------------------------------------------------------------------


def run_tests(task: Task) -> None:
    """Run the tests that need a GPU; without one they are only collected. Those of other folders want packages that a bare
    machine lacks."""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu", str(ROOT / "tests" / "gpu")]
    words += ["--collect-only"] if task.tiny else []
    told = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False, env=environment())
    lines = [line for line in told.stdout.splitlines() if line.startswith(("FAILED", "ERROR")) or " in " in line]
    task.keep([{"result": line} for line in lines[-20:]])
    if told.returncode:
        raise SystemExit(f"the tests failed:\n{told.stdout[-1500:]}{told.stderr[-500:]}")


# --- networks ---------------------------------------------------------------------------------------------------------


def measure_inference(task: Task) -> None:
    """Measure milliseconds a picture of every way to run a shipped network, and how far each is from float32."""
    from baseline import network

    from stylenet.inference.graphs import FixedSizeNetwork
    from stylenet.network.styles import load_style

    device = pick_device()
    sizes = [(64, 48)] if task.tiny else [(256, 256), (512, 512), (1024, 1024), (1920, 1080)]
    rows: list[dict[str, Any]] = []
    field = network().to(device).eval()
    for style in ("starry_night_swift",) if task.tiny else ("starry_night", "starry_night_swift"):
        net = load_style(style).net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for width, height in sizes:
            photo = picture(height, width).to(device)
            exact = style_picture(net, photo, 0, torch.float32)
            for way, work in _ways(net, photo, field, FixedSizeNetwork, task.tiny):
                row: dict[str, Any] = {"style": style, "size": f"{width}x{height}", "way": way}
                try:
                    seconds = timed(lambda work=work: work(), 2 if task.tiny else 10)  # type: ignore[misc]
                    result = work()
                    row |= {"ms": 1000 * seconds, "a second": 1 / seconds}
                    if way != "field":
                        row["of 255"] = 255 * float((result - exact).abs().mean())
                except RuntimeError as error:  # what one way cannot do does not keep the others from being measured
                    row["error"] = str(error).splitlines()[0][:200]
                rows.append(row)
                task.keep(rows)


def _ways(
    net: Any, photo: Tensor, field: Any, graphed: Callable[..., Callable[[Tensor], Tensor]], tiny: bool
) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    def as_the_field() -> Tensor:
        with torch.no_grad():
            result: Tensor = field(photo.contiguous())
        return result

    yield "field", as_the_field
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float16)):
        if dtype == torch.float16 and photo.device.type == "cpu":
            continue
        yield name, lambda dtype=dtype: style_picture(net, photo, 0, dtype)  # type: ignore[misc]
        fixed = graphed(net, dtype)
        yield f"{name}, CUDA graph", lambda fixed=fixed: fixed(photo)  # type: ignore[misc]
    if can_compile(photo.device) and not tiny:
        dtype = pick_precision("auto", photo.device)
        compiled = torch.compile(copy.deepcopy(net), dynamic=False)
        yield "compiled", lambda: style_picture(compiled, photo, 0, dtype)  # type: ignore[arg-type]
        fixed = graphed(compiled, dtype)
        yield "compiled, CUDA graph", lambda: fixed(photo)


def measure_training_step(task: Task) -> None:
    """Measure seconds of a training step as the field takes it and as stylenet does, plain and compiled."""
    from training import _baseline, stylenet_step

    device = pick_device()
    rows: list[dict[str, Any]] = []
    for batch, size in [(1, 48)] if task.tiny else [(4, 256), (16, 256), (8, 384)]:
        crops = torch.rand(batch, 3, size, size, device=device)
        ways: dict[str, Callable[[], Callable[[], object]]] = {
            "field": lambda crops=crops: _baseline(crops),  # type: ignore[misc]
            "stylenet": lambda crops=crops: stylenet_step(crops, False),  # type: ignore[misc]
        }
        if can_compile(device) and not task.tiny:
            ways["compiled"] = lambda crops=crops: stylenet_step(crops, True)  # type: ignore[misc]
        for way, make in ways.items():
            reset_peak()
            seconds = timed(make(), 1 if task.tiny else 10)
            rows.append({"batch": batch, "size": size, "way": way, "ms": 1000 * seconds, "photos a second": batch / seconds})
            rows[-1]["peak GB"] = peak_gb()
            task.keep(rows)


def measure_optimize(task: Task) -> None:
    """Measure seconds of the recipe ``default`` from start to picture."""
    from stylenet.commands.recipes import load_recipe
    from stylenet.images.picture import read_image, write_image
    from stylenet.optimization.engine import optimize_pixels

    rows: list[dict[str, Any]] = []
    for size, steps in [(64, 2)] if task.tiny else [(512, None), (1024, None)]:
        changes = {"size": size} | ({} if steps is None else {"steps": steps})
        loss, settings = load_recipe("default", **changes)
        photo = read_image(STYLES / "woodcut.jpg", settings.size, upscale=True).pixels
        painting = read_image(STYLES / "brush_strokes.jpg").pixels
        reset_peak()
        result = optimize_pixels(photo, [painting], loss, settings)
        rows.append({"size": size, "steps": result.steps, "seconds": result.seconds, "objective": result.objective})
        rows[-1]["peak GB"] = peak_gb()
        task.keep(rows)
        write_image(result.picture, task.folder / "gpu_check_optimized.jpg")


def measure_memory(task: Task) -> None:
    """Measure the peak memory of pictures of growing size, whole and in strips."""
    from stylenet.network.styles import load_style

    device = pick_device()
    net = load_style("starry_night").net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    dtype = pick_precision("auto", device)
    rows: list[dict[str, Any]] = []
    for side in [64] if task.tiny else [1024, 2048, 4096, 8192]:
        for tile, way in ((0, "whole"), (256, "strips")):
            photo = torch.rand(1, 3, side, side)
            reset_peak()
            began = time.perf_counter()
            row: dict[str, Any] = {"side": side, "way": way}
            try:
                style_picture(net, photo, tile, dtype)
                synchronise()
                row |= {"seconds": time.perf_counter() - began, "peak GB": peak_gb()}
            except RuntimeError as error:
                row["error"] = str(error).splitlines()[0][:200]
            rows.append(row)
            task.keep(rows)


# --- the papers' tables -----------------------------------------------------------------------------------------------


def measure_table1(task: Task) -> None:
    """Measure table 1 of Johnson et al., by its benchmark."""
    sizes = ["64x48"] if task.tiny else ["256x256", "512x512", "1024x1024"]
    presets = ["quarter"] if task.tiny else ["standard", "swift"]
    counts = ["--gatys_steps", "2", "--repeats", "2"] if task.tiny else ["--gatys_steps", "20", "--repeats", "10"]
    words = ["--sizes", *sizes, "--presets", *presets, *counts]
    _benchmark(task, "table1", words)


def measure_fig5(task: Task) -> None:
    """Measure figure 5 of Johnson et al. for shipped styles, by its benchmark and from noise, as the paper has it."""
    place = find_photos_for(task)
    styles = ["starry_night_swift"] if task.tiny else ["great_wave", "starry_night"]
    words = [*styles, "--photos", str(place), "--count", "1" if task.tiny else "4"]
    words += ["--sizes", "64" if task.tiny else "512", "--iterations", "2" if task.tiny else "200", "--start", "noise"]
    _benchmark(task, "fig5", words)


def _benchmark(task: Task, name: str, words: list[str]) -> None:
    """Run a benchmark as a person would; its record is the result."""
    with tempfile.TemporaryDirectory() as output:
        command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), *words, "--output", output]
        told = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
        lines = [{"line": line} for line in told.stdout.splitlines() if line and not line.startswith("written")]
        records = [json.loads(path.read_text()) for path in Path(output).glob("*.json")]
        task.keep(lines[-40:], records=records)
    if told.returncode:
        raise SystemExit(told.stderr[-1500:])


# --- training ---------------------------------------------------------------------------------------------------------


def train_a_style(task: Task) -> None:
    """Train a style in sixty seconds from the command line, and style photos with it."""
    from stylenet.images.picture import read_image, write_image
    from stylenet.images.sheets import contact_sheet
    from stylenet.network.styles import load_style

    place = find_photos_for(task)
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "style.safetensors"
        words = ["--style", str(STYLES / "brush_strokes.jpg"), "--photos", str(place), "--output", str(output)]
        words += ["--run", f"{scratch}/run", "--data.batch_size", "1" if task.tiny else "8"]
        words += ["--steps", "2", "--data.size", "48", "--network", "quarter"] if task.tiny else ["--budget", "60s"]
        run_stylenet("train", *words)
        style = load_style(output)
    task.keep([{"steps": style.card.training["steps"], "seconds": style.card.training["seconds"], **style.card.metrics}])
    from stylenet.training.photos import find_photos, photo_source

    chosen = [read_image(photo_source(photo), 512).pixels for photo in find_photos(str(place))[:3]]
    pictures = [picture for photo in chosen for picture in (photo, style(photo))]
    labels = [label for _ in chosen for label in ("photo", "60 s")]
    write_image(contact_sheet(pictures, labels, columns=2), task.folder / "gpu_check_style.jpg")


def check_resume(task: Task) -> None:
    """Take twenty steps at once and in two halves: the weights must be the same to the bit."""
    from safetensors.torch import load_file

    place = find_photos_for(task)
    last = 4 if task.tiny else 20
    with tempfile.TemporaryDirectory() as scratch:
        common = ["--style", str(STYLES / "woodcut.jpg"), "--photos", str(place), "--network", "quarter"]
        common += ["--data.size", "48", "--data.batch_size", "1"] if task.tiny else ["--data.size", "192"]
        # A cosine that ends earlier has other rates.
        common += ["--data.workers", "0", "--model.schedule", "constant"]
        common += ["--trainer.deterministic", "true", "--checkpoint_every", str(last // 2), "--name", "style"]
        for run, parts in (("whole", [last]), ("halves", [last // 2, last])):
            for place_in_run, steps in enumerate(parts):
                again = ["--ckpt_path", "last"] if place_in_run else []
                run_stylenet("train", *common, "--run", f"{scratch}/{run}", "--steps", str(steps), *again)
        whole, halves = (load_file(f"{scratch}/{run}/style.safetensors") for run in ("whole", "halves"))
    different = [name for name in whole if not torch.equal(whole[name], halves[name])]
    task.keep([{"steps": last, "tensors": len(whole), "different": len(different)}])
    if different:
        raise SystemExit(f"resuming changes {len(different)} of {len(whole)} tensors, such as {different[0]}")


keep_freed_memory()

CHECKS = (
    Check("tests", "Tests that need a GPU", 2, run_tests, ("pytest", "skimage")),
    Check("inference", "A picture through a network", 3, measure_inference),
    Check("step", "A training step", 2, measure_training_step),
    Check("style", "A style in sixty seconds", 3, train_a_style),
    Check("resume", "Resuming to the bit", 1.5, check_resume),
    Check("optimize", "The recipe default from start to picture", 2, measure_optimize),
    Check("table1", "Table 1 of Johnson et al.", 2, measure_table1),
    Check("fig5", "Figure 5 of Johnson et al. at 512 pixels", 3, measure_fig5),
    Check("memory", "Memory by size", 1, measure_memory),
    Check("video", "A video from file to file", 3, measure_video, ("av",)),
    Check("groups", "Photos of one size, one by one and together", 1, measure_groups),
    Check("decoders", "Decoders of JPEG", 0.5, measure_decoders),
)
