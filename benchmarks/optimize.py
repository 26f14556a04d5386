"""Compare per-image optimization with the installed ``pastiche`` and the field's way (``baseline.py``): iterations a second,
and time to pastiche's objective.

All see the same pictures, at pastiche's default size, in one run, in turns.
pastiche has a process of its own, as it would have on a user's machine: what stylenet asks of the C library would help it too.

    python benchmarks/optimize.py [--content PHOTO --style PICTURE] [--steps 200] [--pixels 250000]
        [--output benchmarks/results]

Three things are measured:

1. seconds a step on the identical problem (recipe ``pastiche``: same loss, same variables, L-BFGS), in alternating stretches,
   and of the baseline's with the layers of that recipe;
2. the objective that pastiche reaches after ``--steps`` steps, and how long it takes: of its numbers, which leave 0..255, and
   of the picture that is saved, where they are clamped;
3. how long stylenet's own search (preconditioned, clamped at every step) takes to a picture that is as good by each. It is
   evaluated in float32 by pastiche's code, not by ours.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from baseline import Search
from machine import convolutions, plot, record_name, setting, synchronise, write_record
from PIL import Image
from torch import Tensor

from stylenet.commands.recipes import load_recipe
from stylenet.devices import keep_freed_memory, pick_device, pick_loss_precision
from stylenet.images.picture import Picture, read_image, write_image
from stylenet.losses.perceptual import PerceptualLoss
from stylenet.optimization.descent import Descent
from stylenet.optimization.engine import Iterate, optimize_pixels
from stylenet.optimization.settings import OptimizeSettings

# stylenet's search for the third measurement.
SEARCH = {"variables": "spectrum", "clamp": True, "scales": 1, "history": 30, "steps": 200}


def main() -> None:
    arguments = _arguments()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        content, style = write_pair(arguments.content, arguments.style, arguments.pixels, Path(folder))
        print(f"{arguments.pixels} pixels", flush=True)
        rival = Rival(content, style)
        rates = _rates(content, style, arguments.repeats, rival)
        theirs = rival_search(arguments.steps, rival)
        ours = search_until(content, style, theirs, rival)
        rival.close()
    _report(arguments, rates, theirs, ours)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--content", help="photo; skimage's 'chelsea' by default")
    parser.add_argument("--style", help="style picture; examples/styles/brush_strokes.jpg by default")
    parser.add_argument("--steps", type=int, default=200, help="of pastiche")
    parser.add_argument("--pixels", type=int, default=500**2, help="of the result")
    parser.add_argument("--repeats", type=int, default=5, help="stretches of five steps each, in turns")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    return parser.parse_args()


def write_pair(photo_path: str | None, style_path: str | None, pixels: int, folder: Path) -> tuple[str, str]:
    """Write both pictures as PNG files of pastiche's size, so that two ways of resizing do not make two problems."""
    from skimage import data

    root = Path(__file__).resolve().parent.parent
    if photo_path:
        photo = read_image(photo_path)
    else:
        photo = Picture(torch.from_numpy(data.chelsea()).permute(2, 0, 1)[None].float() / 255)  # type: ignore[no-untyped-call]
    style = read_image(style_path or root / "examples" / "styles" / "brush_strokes.jpg")
    paths = []
    for name, picture in (("content.png", photo), ("style.png", style)):
        write_image(picture.resized(f"{pixels / 1e6}mp", upscale=True), folder / name)
        paths.append(str(folder / name))
    return paths[0], paths[1]


class Rival:
    """A process of its own for pastiche, which works only while it is asked to."""

    def __init__(self, content: str, style: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, content, style), daemon=True)
        self._process.start()
        theirs.close()  # a process that dies then ends the pipe

    def ask(self, command: str, value: Any = None) -> Any:
        """Ask to ``begin`` afresh; to ``draw`` so many steps (seconds, objective before the last one's update); to ``judge``
        a picture, or pastiche's own numbers without one; to judge those as they would be ``saved``."""
        self._pipe.send((command, value))
        return self._pipe.recv()

    def close(self) -> None:
        """End the process."""
        self._process.terminate()


def _serve(pipe: Connection, content: str, style: str) -> None:
    from pastiche.pastiche import PasticheArtist

    artist: Any = None
    while True:
        command, value = pipe.recv()
        started = time.perf_counter()
        if command == "begin":
            # Its own rule would make the painting a pixel smaller, and softer, where the two areas are not quite the same.
            sizes = {"size": _height_and_width(content), "style_size": _height_and_width(style)}
            artist = PasticheArtist(content, [style], device=str(pick_device()), **sizes)
        elif command == "draw":
            for _ in range(value):
                artist.draw()
            synchronise()
        seconds = time.perf_counter() - started
        if command in ("judge", "saved"):
            pipe.send(_judged(artist, value, clamped=command == "saved"))
        else:
            pipe.send((seconds, artist.loss))


def _height_and_width(path: str) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.height, image.width


def _rates(content: str, style: str, repeats: int, rival: Rival) -> dict[str, Any]:
    """Return seconds a step on the identical problem, in alternating stretches of five steps."""
    rival.ask("begin")
    descent = _identical(content, style)
    baseline = _baseline(content, style)
    seconds: dict[str, list[float]] = {"pastiche": [], "baseline": [], "stylenet": []}
    for _ in range(3):  # kernels, memory and the first curvature pairs
        rival.ask("draw", 1)
        baseline()
        descent.step()
    for _ in range(repeats):
        spent, objective = rival.ask("draw", 5)
        seconds["pastiche"].append(spent / 5)
        seconds["baseline"].append(_stretch(baseline))
        seconds["stylenet"].append(_stretch(descent.step))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "seconds_per_step": seconds,
        "median": medians,
        "ratio": {name: medians[name] / medians["stylenet"] for name in ("pastiche", "baseline")},
        "objective_pastiche": objective,
        "objective_stylenet": float(descent.step().total),
    }


def _stretch(step: Callable[[], object]) -> float:
    """Return seconds a step, over five steps."""
    before = time.perf_counter()
    for _ in range(5):
        step()
    synchronise()
    return (time.perf_counter() - before) / 5


def _baseline(content: str, style: str) -> Callable[[], object]:
    """Return a step of the field's search, on the layers of the recipe ``pastiche``."""
    loss, _ = load_recipe("pastiche")
    photo, painting = (read_image(path).pixels.to(pick_device()) for path in (content, style))
    return Search(dict(loss.content_layers), dict(loss.style_layers), photo, painting)


def _identical(content: str, style: str) -> Descent:
    """Take the recipe ``pastiche`` step by step, with the history and the precision that stylenet uses by itself."""
    loss_settings, settings = load_recipe("pastiche", history=OptimizeSettings().history)
    device = pick_device()
    dtype = pick_loss_precision("auto", device)
    memory_format = torch.contiguous_format if dtype == torch.float32 else torch.channels_last
    loss = PerceptualLoss(loss_settings).to(device)
    loss.vgg.convolutions.to(dtype, memory_format=memory_format)  # type: ignore[call-overload]
    photo, painting = (read_image(path).pixels.to(device) for path in (content, style))
    return Descent(loss, loss.targets(photo, [painting]), photo, settings, memory_format)


def rival_search(steps: int, rival: Rival) -> dict[str, Any]:
    """Return how pastiche's objective fell, and what it came to."""
    seconds, objective = rival.ask("begin")
    trace = [{"seconds": seconds, "objective": objective}]
    for step in range(steps):
        spent, objective = rival.ask("draw", 1)
        seconds += spent
        trace.append({"seconds": seconds, "objective": objective})
        if step % 20 == 19:
            print(f"pastiche  step {step + 1}  {seconds:.1f} s  objective {objective:.1f}", flush=True)
    # The loss that draw() reports is from before its update.
    trace[-1]["objective"] = rival.ask("judge")
    return {
        "steps": steps,
        "seconds": seconds,
        "trace": trace,
        "objective": trace[-1]["objective"],
        "saved": rival.ask("saved"),
    }


def search_until(
    content: str,
    style: str,
    theirs: dict[str, Any],
    rival: Rival,
    search: dict[str, Any] | None = None,
    start: Tensor | None = None,
) -> dict[str, Any]:
    """Search, from the photo or another start, until pastiche's code finds our picture as good as its own."""
    loss, settings = load_recipe("pastiche", **(search or SEARCH))
    goals = {"saved": theirs["saved"], "objective": theirs["objective"]}
    started = time.perf_counter()
    photo, painting = read_image(content).pixels, read_image(style).pixels
    trace: list[dict[str, Any]] = []
    reached: dict[str, dict[str, Any]] = {}
    checking = 0.0  # seconds spent in pastiche's evaluation, which are not ours

    def observe(iterate: Iterate) -> bool:
        nonlocal checking
        row = {"seconds": time.perf_counter() - started - checking, "objective": iterate.objective, "step": len(trace) + 1}
        trace.append(row)
        waiting = [goal for name, goal in goals.items() if name not in reached]
        if iterate.scale < iterate.scales or iterate.objective > 1.03 * max(waiting):
            return True
        before = time.perf_counter()
        judged = rival.ask("judge", iterate.picture().cpu())
        checking += time.perf_counter() - before
        for name, goal in goals.items():
            if judged <= goal:
                reached.setdefault(name, {**row, "judged": judged})
        return len(reached) < len(goals)  # False ends the search

    settings = replace(settings, size="full", style_size="full")  # the very pixels that pastiche sees
    result = optimize_pixels(photo, [painting], loss, settings, init=start, observe=observe)
    return {"trace": trace, "reached": reached, "judged": rival.ask("judge", result.picture.cpu())}


def _judged(artist: Any, picture: Tensor | None, clamped: bool) -> float:
    """Return pastiche's objective of a picture of ours, or of its own, by its code and in float32."""
    kept = artist.pastiche
    mean = torch.tensor([103.939, 116.779, 123.68], device=kept.device).view(1, 3, 1, 1)
    if picture is not None:
        artist.pastiche = picture.to(kept.device).flip(1) * 255 - mean
    elif clamped:
        artist.pastiche = (kept + mean).clamp(0, 255) - mean
    with torch.no_grad():
        value = float(artist._calc_loss())
    artist.pastiche = kept
    return value


def _report(arguments: argparse.Namespace, rates: dict[str, Any], theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    rows = [("", "theirs", "stylenet", "ratio")]
    medians = rates["median"]
    for name, title in (("pastiche", "identical problem"), ("baseline", "the field's way")):
        numbers = (f"{medians[name]:.3f}", f"{medians['stylenet']:.3f}", f"{rates['ratio'][name]:.2f}")
        rows.append((f"seconds a step, {title}", *numbers))
    for name, title in (("saved", "of the picture as saved"), ("objective", "of unclamped numbers")):
        row = ours["reached"].get(name)
        mine = f"{row['seconds']:.1f}" if row else f"not reached ({ours['judged']:.0f})"
        ratio = f"{theirs['seconds'] / row['seconds']:.2f}" if row else "-"
        rows.append((f"seconds to objective {theirs[name]:.0f} {title}", f"{theirs['seconds']:.1f}", mine, ratio))
    for row in rows:
        print(f"{row[0]:<56}{row[1]:>10}{row[2]:>22}{row[3]:>8}")
    head = setting(arguments)
    record = {
        **head,
        "versions": {**head["versions"], "pastiche": version("pastiche")},
        "convolutions": convolutions(loss=True),
        "content": Path(arguments.content).name if arguments.content else "skimage chelsea",
        "style": Path(arguments.style).name if arguments.style else "brush_strokes",
        "search": SEARCH,
        "identical_problem": rates,
        "pastiche": theirs,
        "stylenet": ours,
    }
    name = record_name("optimize", record["convolutions"])
    write_record(record, arguments.output, name)
    _plot(arguments.output / f"{name}.png", theirs, ours["trace"])


def _plot(path: Path, theirs: dict[str, Any], ours: list[dict[str, Any]]) -> None:
    with plot(path, xlabel="seconds", ylabel="pastiche's objective", yscale="log") as axes:
        for rows, label in ((theirs["trace"], "pastiche (unclamped)"), (ours, "stylenet (clamped at every step)")):
            axes.plot([row["seconds"] for row in rows], [row["objective"] for row in rows], label=label)
        axes.axhline(theirs["objective"], color="grey", linestyle=":", label="pastiche's last")
        axes.axhline(theirs["saved"], color="grey", linestyle="--", label="pastiche's last, as saved")


if __name__ == "__main__":
    main()
