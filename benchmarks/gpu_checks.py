"""The checks of ``gpu_check.py``, each a function that measures and hands its rows on as they come."""

from __future__ import annotations

import copy
import functools
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from machine import synchronise
from torch import Tensor

from stylenet.devices import can_compile, keep_freed_memory, pick_device, pick_precision
from stylenet.network.tiling import style_picture

ROOT = Path(__file__).resolve().parent.parent
STYLES = ROOT / "examples" / "styles"


class Keep(Protocol):
    """Takes the rows so far, which stay if the check is ended."""

    def __call__(self, rows: list[dict[str, Any]], **more: Any) -> None: ...


@dataclass(frozen=True)
class Task:
    """A description of what a check is to do.

    Attributes:
        keep: takes what was found.
        folder: for pictures.
        photos: real ones, if there are any.
        tiny: measure nothing worth keeping, in seconds on a processor.
    """

    keep: Keep
    folder: Path
    photos: Path | None
    tiny: bool


Run = Callable[[Task], None]


@dataclass(frozen=True)
class Check:
    """One thing to measure: its name, what it is, its share of the time, and what does it."""

    name: str
    title: str
    share: float
    run: Run


def _timed(work: Callable[[], object], repeats: int) -> float:
    """Return the median seconds of a call, after two that warm up."""
    for _ in range(2):
        work()
    synchronise()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        synchronise()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _peak_gb() -> float | None:
    return round(torch.cuda.max_memory_allocated() / 1e9, 3) if torch.cuda.is_available() else None


def _reset_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


# --- tests ------------------------------------------------------------------------------------------------------------


def run_tests(task: Task) -> None:
    """Run the tests that need a GPU; without one they are only collected."""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu", str(ROOT / "tests")]
    words += ["--collect-only"] if task.tiny else []
    told = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
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
            photo = _picture(height, width).to(device)
            exact = style_picture(net, photo, 0, torch.float32)
            for way, work in _ways(net, photo, field, FixedSizeNetwork, task.tiny):
                row: dict[str, Any] = {"style": style, "size": f"{width}x{height}", "way": way}
                try:
                    seconds = _timed(lambda work=work: work(), 2 if task.tiny else 10)  # type: ignore[misc]
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


def _picture(height: int, width: int) -> Tensor:
    """Return soft shapes with fine noise ``[1, 3, height, width]``, always the same."""
    generator = torch.Generator().manual_seed(0)
    shapes = torch.nn.functional.interpolate(torch.rand(1, 3, 6, 6, generator=generator), (height, width), mode="bicubic")
    return (shapes + 0.05 * torch.randn(1, 3, height, width, generator=generator)).clamp(0, 1)


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
            _reset_peak()
            seconds = _timed(make(), 1 if task.tiny else 10)
            rows.append({"batch": batch, "size": size, "way": way, "ms": 1000 * seconds, "photos a second": batch / seconds})
            rows[-1]["peak GB"] = _peak_gb()
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
        _reset_peak()
        result = optimize_pixels(photo, [painting], loss, settings)
        rows.append({"size": size, "steps": result.steps, "seconds": result.seconds, "objective": result.objective})
        rows[-1]["peak GB"] = _peak_gb()
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
            _reset_peak()
            began = time.perf_counter()
            row: dict[str, Any] = {"side": side, "way": way}
            try:
                style_picture(net, photo, tile, dtype)
                synchronise()
                row |= {"seconds": time.perf_counter() - began, "peak GB": _peak_gb()}
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
    """Measure figure 5 of Johnson et al. for shipped styles, by its benchmark."""
    place = task.photos or _stand_in_photos()
    styles = ["starry_night_swift"] if task.tiny else ["great_wave", "starry_night"]
    words = [*styles, "--photos", str(place), "--count", "1" if task.tiny else "4"]
    words += ["--sizes", "64" if task.tiny else "512", "--iterations", "2" if task.tiny else "200", "--start", "content"]
    _benchmark(task, "fig5", words)


def _benchmark(task: Task, name: str, words: list[str]) -> None:
    """Run a benchmark as a person would; its record is the result."""
    import json

    with tempfile.TemporaryDirectory() as output:
        command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), *words, "--output", output]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
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

    place = task.photos or _stand_in_photos()
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "style.safetensors"
        words = ["--style", str(STYLES / "brush_strokes.jpg"), "--photos", str(place), "--output", str(output)]
        words += ["--run", f"{scratch}/run", "--data.batch_size", "1" if task.tiny else "8"]
        words += ["--steps", "2", "--data.size", "48", "--network", "quarter"] if task.tiny else ["--budget", "60s"]
        _stylenet("train", *words)
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

    place = task.photos or _stand_in_photos()
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
                _stylenet("train", *common, "--run", f"{scratch}/{run}", "--steps", str(steps), *again)
        whole, halves = (load_file(f"{scratch}/{run}/style.safetensors") for run in ("whole", "halves"))
    different = [name for name in whole if not torch.equal(whole[name], halves[name])]
    task.keep([{"steps": last, "tensors": len(whole), "different": len(different)}])
    if different:
        raise SystemExit(f"resuming changes {len(different)} of {len(whole)} tensors, such as {different[0]}")


def measure_video(task: Task) -> None:
    """Measure frames a second of a video from file to file: decoded, styled, encoded."""
    import av

    rows: list[dict[str, Any]] = []
    frames = 4 if task.tiny else 120
    with tempfile.TemporaryDirectory() as scratch:
        for width, height in [(64, 48)] if task.tiny else [(1280, 720), (1920, 1080)]:
            source = f"{scratch}/{width}.mp4"
            still = (_picture(height, width)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
            with av.open(source, "w") as container:
                stream = container.add_stream("libx264", rate=30)
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                for index in range(frames):
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(still, 2 * index, axis=1))))
                container.mux(stream.encode())
            for style in ("starry_night_swift",) if task.tiny else ("starry_night_swift", "starry_night"):
                from stylenet.video.stylize import stylize_video

                result = stylize_video(source, style, f"{scratch}/out.mp4", overwrite=True)
                rate = result.frames / result.seconds
                rows.append({"style": style, "size": f"{width}x{height}", "frames": result.frames, "a second": rate})
                task.keep(rows)


def measure_groups(task: Task) -> None:
    """Measure photos a second of one size, one by one and in groups, pixels in and out; and the greatest difference."""
    from stylenet.images.picture import Picture
    from stylenet.inference.groups import group_size, join_pictures, split_pictures
    from stylenet.inference.stylizer import Stylizer

    rows: list[dict[str, Any]] = []
    for side in (64,) if task.tiny else (256, 512, 1024):
        for style in ("starry_night_swift",) if task.tiny else ("starry_night_swift", "starry_night"):
            stylizer = Stylizer(style)
            first = _picture(side, side)
            count = 2 if task.tiny else group_size(Picture(first))
            photos = [Picture(first.roll(7 * index, dims=3)) for index in range(count)]

            def alone(stylizer: Stylizer = stylizer, photos: list[Picture] = photos) -> list[Picture]:
                return [stylizer(photo) for photo in photos]

            def together(stylizer: Stylizer = stylizer, photos: list[Picture] = photos) -> list[Picture]:
                return split_pictures(stylizer(join_pictures(photos)), photos)

            pairs = zip(alone(), together(), strict=True)
            apart = max(float((one.pixels - other.pixels).abs().max()) for one, other in pairs)
            for way, work in (("one by one", alone), ("groups", together)):
                rate = count / _timed(work, 1 if task.tiny else 5)
                rows.append({"style": style, "side": side, "way": way, "group": count, "a second": rate, "apart": 255 * apart})
                task.keep(rows)


def measure_decoders(task: Task) -> None:
    """Measure JPEGs a second: Pillow's decoder on one core, torchvision's, and that of the device (nvJPEG), where it is."""
    from PIL import Image
    from torchvision.io import ImageReadMode, decode_jpeg

    height, width, count = (48, 64, 2) if task.tiny else (1080, 1920, 16)
    still = Image.fromarray((_picture(height, width)[0].permute(1, 2, 0) * 255).byte().numpy())
    buffer = io.BytesIO()
    still.save(buffer, "JPEG", quality=90)
    content = torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)

    def by_pillow() -> Tensor:
        with Image.open(buffer) as opened:
            return torch.from_numpy(np.array(opened.convert("RGB"))).permute(2, 0, 1)

    def by_torchvision(device: str = "cpu") -> Tensor:
        decoded: Tensor = decode_jpeg(content, ImageReadMode.RGB, device=device)  # type: ignore[no-untyped-call, unused-ignore]
        return decoded

    ways: dict[str, Callable[[], Tensor]] = {"Pillow": by_pillow, "torchvision": by_torchvision}
    if pick_device("auto").type == "cuda":
        ways["nvJPEG"] = functools.partial(by_torchvision, "cuda")
    rows: list[dict[str, Any]] = [] if "nvJPEG" in ways else [{"way": "nvJPEG", "failed": "no GPU here"}]
    for way, decode in ways.items():
        row: dict[str, Any] = {"way": way, "size": f"{width}x{height}"}
        try:
            apart = (decode().cpu().int() - by_pillow().int()).abs()
            row |= {
                "a second": 1 / _timed(decode, count),
                "most apart": int(apart.max()),
                "mean apart": float(apart.float().mean()),
            }
        except RuntimeError as error:  # a build of torchvision without nvJPEG
            row["failed"] = str(error).splitlines()[0][:200]
        rows.append(row)
        task.keep(rows)


def _stylenet(*words: str) -> None:
    """Run the command line; its last lines are the error."""
    command = [sys.executable, "-m", "stylenet", *words]
    told = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
    if told.returncode:
        raise SystemExit(told.stderr[-1500:])


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def _stand_in_photos() -> Path:
    """Return photos of scikit-image where it is installed, else the project's style pictures, which are no photos but will
    do."""
    try:
        from skimage import data
    except ImportError:
        return STYLES
    from stylenet.images.picture import write_image

    folder = Path(tempfile.gettempdir()) / "stylenet_gpu_check_photos"
    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        path = folder / f"{name}.png"
        if not path.is_file():
            write_image(torch.from_numpy(getattr(data, name)()).permute(2, 0, 1)[None].float() / 255, path)
    return folder


keep_freed_memory()

CHECKS = (
    Check("tests", "Tests that need a GPU", 2, run_tests),
    Check("inference", "A picture through a network", 3, measure_inference),
    Check("step", "A training step", 2, measure_training_step),
    Check("style", "A style in sixty seconds", 3, train_a_style),
    Check("resume", "Resuming to the bit", 1.5, check_resume),
    Check("optimize", "The recipe default from start to picture", 2, measure_optimize),
    Check("table1", "Table 1 of Johnson et al.", 2, measure_table1),
    Check("fig5", "Figure 5 of Johnson et al. at 512 pixels", 3, measure_fig5),
    Check("memory", "Memory by size", 1, measure_memory),
    Check("video", "A video from file to file", 1.5, measure_video),
    Check("groups", "Photos of one size, one by one and together", 1, measure_groups),
    Check("decoders", "Decoders of JPEG", 0.5, measure_decoders),
)
