"""Per-image optimization against the installed ``pastiche``: iterations a second, and time to its objective.

Both minimise pastiche's own objective on the same pictures at its default size (500 x 500 pixels), in one run, in turns.

    python benchmarks/optimize.py [--content PHOTO --style PICTURE] [--steps 200] [--output benchmarks/results]

Three things are measured:

1. steps a second on the identical problem (recipe ``pastiche``: same loss, same variables, L-BFGS), in alternating stretches;
2. the objective that pastiche reaches after ``--steps`` steps, and how long it takes;
3. how long stylenet's own search (coarse to fine, preconditioned) takes to a picture that is as good under that objective. That
   picture is evaluated in float32 by pastiche's code, not by ours.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pastiche.pastiche import PasticheArtist
from torch import Tensor

from stylenet.descent import Descent
from stylenet.devices import pick_device, pick_precision
from stylenet.images import Picture, read_image, write_image
from stylenet.losses import PerceptualLoss
from stylenet.monitor import versions
from stylenet.optimize import Iterate, optimize
from stylenet.recipes import load_recipe
from stylenet.settings import OptimizeSettings

PIXELS = 500**2
# stylenet's search for the third measurement.
SEARCH = {"variables": "spectrum", "scales": 2, "history": 30, "steps": 150}


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        content, style = _pictures(arguments, Path(folder))
        print(f"{content} + {style}, {PIXELS} pixels", flush=True)
        rates = _rates(content, style, arguments.repeats)
        theirs = _pastiche(content, style, arguments.steps)
        ours = _stylenet(content, style, theirs["trace"][-1]["objective"], theirs["artist"])
    _report(arguments, rates, theirs, ours)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--content", help="photo; skimage's 'chelsea' by default")
    parser.add_argument("--style", help="style picture; examples/styles/brush_strokes.jpg by default")
    parser.add_argument("--steps", type=int, default=200, help="of pastiche")
    parser.add_argument("--repeats", type=int, default=5, help="stretches of five steps each, in turns")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    return parser.parse_args()


def _pictures(arguments: argparse.Namespace, folder: Path) -> tuple[str, str]:
    """Both pictures as PNG files of pastiche's size, so that two ways of resizing do not make two problems."""
    from skimage import data

    root = Path(__file__).resolve().parent.parent
    if arguments.content:
        photo = read_image(arguments.content)
    else:
        photo = Picture(torch.from_numpy(data.chelsea()).permute(2, 0, 1)[None].float() / 255)
    style = read_image(arguments.style or root / "examples" / "styles" / "brush_strokes.jpg")
    paths = []
    for name, picture in (("content.png", photo), ("style.png", style)):
        write_image(picture.resized(f"{PIXELS / 1e6}mp", upscale=True), folder / name)
        paths.append(str(folder / name))
    return paths[0], paths[1]


def _artist(content: str, style: str) -> Any:
    return PasticheArtist(content, [style], size_pixels=PIXELS, device=str(pick_device()))


def _rates(content: str, style: str, repeats: int) -> dict[str, Any]:
    """Seconds a step on the identical problem, in alternating stretches of five steps."""
    artist = _artist(content, style)
    descent = _identical(content, style)
    seconds: dict[str, list[float]] = {"pastiche": [], "stylenet": []}
    for _ in range(3):  # kernels, memory and the first curvature pairs
        artist.draw()
        descent.step()
    for _ in range(repeats):
        for name, step in (("pastiche", artist.draw), ("stylenet", descent.step)):
            before = time.perf_counter()
            for _ in range(5):
                step()
            _synchronise()
            seconds[name].append((time.perf_counter() - before) / 5)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "seconds_per_step": seconds,
        "median": medians,
        "ratio": medians["pastiche"] / medians["stylenet"],
        "objective_pastiche": artist.loss,
        "objective_stylenet": float(descent.step().total),
    }


def _identical(content: str, style: str) -> Descent:
    """The recipe ``pastiche`` step by step, with the history and the precision that stylenet uses by itself."""
    loss_settings, settings = load_recipe("pastiche", history=OptimizeSettings().history)
    device = pick_device()
    dtype = pick_precision("auto", device)
    memory_format = torch.contiguous_format if dtype == torch.float32 else torch.channels_last
    loss = PerceptualLoss(loss_settings).to(device)
    loss.vgg.convolutions.to(dtype, memory_format=memory_format)  # type: ignore[call-overload]
    photo, painting = (read_image(path).pixels.to(device) for path in (content, style))
    return Descent(loss, loss.targets(photo, [painting]), photo, settings, memory_format)


def _pastiche(content: str, style: str, steps: int) -> dict[str, Any]:
    started = time.perf_counter()
    artist = _artist(content, style)
    trace = [{"seconds": time.perf_counter() - started, "objective": artist.loss}]
    for step in range(steps):
        artist.draw()
        trace.append({"seconds": time.perf_counter() - started, "objective": artist.loss})
        if step % 20 == 19:
            print(f"pastiche  step {step + 1}  {trace[-1]['seconds']:.1f} s  objective {artist.loss:.1f}", flush=True)
    # The loss that draw() reports is from before its update.
    trace[-1]["objective"] = float(artist._calc_loss())
    return {"trace": trace, "artist": artist}


def _stylenet(content: str, style: str, goal: float, artist: Any) -> dict[str, Any]:
    """Until pastiche's code finds our picture as good as its own."""
    loss, settings = load_recipe("pastiche", **SEARCH)
    started = time.perf_counter()
    photo, painting = read_image(content).pixels, read_image(style).pixels
    trace: list[dict[str, Any]] = []
    reached: dict[str, Any] = {}
    checking = 0.0  # seconds spent in pastiche's evaluation, which are not ours

    def observe(iterate: Iterate) -> None:
        nonlocal checking
        trace.append(
            {
                "seconds": time.perf_counter() - started - checking,
                "objective": iterate.objective,
                "scale": iterate.scale,
                "step": iterate.step,
            }
        )
        if iterate.scale == iterate.scales and not reached and iterate.objective < goal * 1.03:
            before = time.perf_counter()
            judged = _judged(artist, iterate.picture())
            checking += time.perf_counter() - before
            if judged <= goal:
                reached.update(trace[-1], judged=judged)
                raise KeyboardInterrupt

    result = optimize(photo, [painting], loss, replace(settings, size="full"), observe=observe)
    return {"trace": trace, "reached": reached, "judged": _judged(artist, result.picture), "picture": result.picture}


def _judged(artist: Any, picture: Tensor) -> float:
    """pastiche's objective of our picture, by its code and in float32."""
    mean = torch.tensor([103.939, 116.779, 123.68], device=picture.device).view(1, 3, 1, 1)
    kept, artist.pastiche = artist.pastiche, picture.flip(1) * 255 - mean
    with torch.no_grad():
        value = float(artist._calc_loss())
    artist.pastiche = kept
    return value


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _report(arguments: argparse.Namespace, rates: dict[str, Any], theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    goal, seconds = theirs["trace"][-1]["objective"], theirs["trace"][-1]["seconds"]
    device, dtype = pick_device(), pick_precision("auto", pick_device())
    rows = [
        ("", "pastiche", "stylenet", "ratio"),
        (
            "seconds a step, identical problem",
            f"{rates['median']['pastiche']:.3f}",
            f"{rates['median']['stylenet']:.3f}",
            f"{rates['ratio']:.2f}",
        ),
    ]
    reached = ours["reached"]
    if reached:
        ratio = f"{seconds / reached['seconds']:.2f}"
        rows.append((f"seconds to objective {goal:.0f}", f"{seconds:.1f}", f"{reached['seconds']:.1f}", ratio))
    else:
        rows.append((f"seconds to objective {goal:.0f}", f"{seconds:.1f}", f"not reached ({ours['judged']:.0f})", "-"))
    for row in rows:
        print(f"{row[0]:<36}{row[1]:>12}{row[2]:>24}{row[3]:>8}")
    record = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
        "convolutions": str(dtype).removeprefix("torch."),
        "versions": {**versions(), "pastiche": "1.6.0"},
        "content": Path(arguments.content).name if arguments.content else "skimage chelsea",
        "style": Path(arguments.style).name if arguments.style else "brush_strokes",
        "pixels": PIXELS,
        "search": SEARCH,
        "identical_problem": rates,
        "pastiche": {"steps": arguments.steps, "seconds": seconds, "objective": goal, "trace": theirs["trace"]},
        "stylenet": {name: ours[name] for name in ("reached", "judged", "trace")},
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    name = f"optimize_{record['date']}_{record['convolutions']}"
    (arguments.output / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    _plot(arguments.output / f"{name}.png", theirs["trace"], ours["trace"], goal)
    print(f"written: {arguments.output / name}.json and .png")


def _processor() -> str:
    """The processor's name and what of it matters here."""
    name = platform.processor() or platform.machine()
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


def _plot(path: Path, theirs: list[dict[str, Any]], ours: list[dict[str, Any]], goal: float) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([row["seconds"] for row in theirs], [row["objective"] for row in theirs], label="pastiche 1.6.0")
    for scale in sorted({row["scale"] for row in ours}):
        rows = [row for row in ours if row["scale"] == scale]
        axes.plot([row["seconds"] for row in rows], [row["objective"] for row in rows], label=f"stylenet, scale {scale}")
    axes.axhline(goal, color="grey", linestyle=":", label="pastiche's last")
    axes.set(xlabel="seconds", ylabel="pastiche's objective", yscale="log")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
