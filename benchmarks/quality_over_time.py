"""Measure how good a network is after so many seconds of training: calibrated errors of style and content on held-out photos.

    python benchmarks/quality_over_time.py --style PAINTING --photos FOLDER [--budget 15m] [--every 60s]
        [--presets standard half quarter swift] [--optimizer muon] [--batch_size 4] [--size 256] [--half_size 0.5]
        [--learning_rate 0.002] [--ema 0.995] [--init null] [--learns all] [--val_photos FOLDER] [--val_size 256]
        [--val_count 32] [--output benchmarks/results]

Trains as ``stylenet train --budget`` does, with its defaults for all else, and stops the clock of the training for each
measurement; what the training does by itself, such as validation and checkpoints, counts. Presets, optimizers, batch
sizes, sizes, shares at half the size, learning rates, decays of the average, starts (``--init``: ``null`` for nothing, a style,
a body) and what is learnt may be several: every combination is trained, one after the other, and is a line in the plot.

Measured are the photos that the training holds out, with the averaged weights, at ``--val_size`` whatever the size of training.
An error of 1 means "not there at all", 0 "perfect"; those of style and of content are means over their layers.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from machine import record_name, setting, synchronise, write_record

from stylenet.commands.train import parse
from stylenet.devices import keep_freed_memory
from stylenet.durations import parse_seconds
from stylenet.logs import quiet_lightning
from stylenet.network.transform_net import PRESETS
from stylenet.training.data import PhotoDataModule
from stylenet.training.module import StyleTraining

ROOT = Path(__file__).resolve().parent.parent
CHOICES = ("preset", "optimizer", "batch_size", "size", "half_size", "learning_rate", "ema", "init", "learns")
# Photos measured at a time.
TOGETHER = 4


def main() -> None:
    arguments = _arguments()
    quiet_lightning()
    keep_freed_memory()
    runs: list[dict[str, Any]] = []
    combinations = itertools.product(*(getattr(arguments, name) for name in CHOICES))
    for choice in (dict(zip(CHOICES, values, strict=True)) for values in combinations):
        print("  ".join(f"{name} {value}" for name, value in choice.items()), flush=True)
        runs.append({**choice, **_train(arguments, choice)})
        _report(arguments, runs)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--style", required=True, help="style picture")
    parser.add_argument("--photos", required=True, help="folder, zip archive or list of photos; some are held out")
    parser.add_argument("--budget", default="15m", help="of each training")
    parser.add_argument("--every", default="60s", help="of training, between measurements")
    parser.add_argument("--presets", dest="preset", nargs="+", choices=list(PRESETS), default=list(PRESETS))
    parser.add_argument("--optimizer", nargs="+", choices=["muon", "adam"], default=["muon"])
    parser.add_argument("--batch_size", type=int, nargs="+", default=[4])
    parser.add_argument("--size", type=int, nargs="+", default=[256], help="of the crops, pixels")
    parser.add_argument("--half_size", type=float, nargs="+", default=[0.5], help="share of the training at half the size")
    parser.add_argument("--learning_rate", type=float, nargs="+", default=[2e-3])
    parser.add_argument("--ema", type=float, nargs="+", default=[0.995], help="decay of the averaged weights; 0 for no average")
    parser.add_argument("--init", nargs="+", default=["null"], help="what to start from: null, a style, a body")
    parser.add_argument("--learns", nargs="+", default=["all"], help="all, norms or norms+ends")
    parser.add_argument("--val_photos", help="photos to measure on instead of some held out")
    parser.add_argument("--val_size", type=int, default=256, help="of the held-out photos, pixels, 64 or more")
    parser.add_argument("--val_count", type=int, default=32, help="held-out photos to measure on")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


# --- training ---------------------------------------------------------------------------------------------------------


def _train(arguments: argparse.Namespace, choice: Mapping[str, Any]) -> dict[str, Any]:
    """Run one training with the words that a choice stands for."""
    every = parse_seconds(arguments.every)
    assert every is not None
    return train_once(_options(arguments, choice), every)


def train_once(options: Mapping[str, object], every: float) -> dict[str, Any]:
    """Run one training, by the command's own parts, and return how it was set and what was measured.

    Args:
        options: of ``stylenet train``.
        every: seconds of training between measurements.
    """
    with tempfile.TemporaryDirectory() as folder:
        words = {**options, "--run": folder, "--trainer.logger": "false"}
        cli = parse([f"{option}={value}" for option, value in words.items()])
        curve = QualityCurve(every)
        cli.trainer.callbacks.append(curve)  # type: ignore[attr-defined]  # after the averaging of weights
        cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    return {
        "preparation": curve.preparation,
        "precision": str(cli.trainer.precision),
        "margin": cli.model.hparams["margin"],
        "smallest_crop": cli.datamodule.smallest_crop,
        "data": cli.datamodule.fingerprint,
        "nearest": cli.model.nearest,
        "rows": curve.rows,
    }


def _options(arguments: argparse.Namespace, choice: Mapping[str, Any]) -> dict[str, object]:
    """Return the options as they would be typed after ``stylenet train``."""
    options = {
        "--style": arguments.style,
        "--photos": arguments.photos,
        "--budget": arguments.budget,
        "--network": choice["preset"],
        "--model.optimizer": choice["optimizer"],
        "--data.batch_size": choice["batch_size"],
        "--data.size": choice["size"],
        "--data.val_size": arguments.val_size,
        "--data.val_count": arguments.val_count,
        "--model.coarse_share": choice["half_size"],
        "--model.learning_rate": choice["learning_rate"],
        "--ema": choice["ema"],
        "--model.init": choice["init"],
        "--model.learns": choice["learns"],
    }
    if arguments.val_photos:
        options["--data.val_photos"] = arguments.val_photos
    return options


class QualityCurve(Callback):
    """Measures the held-out photos every so many seconds of training, and at its end.

    The clock of a training, and of its budget, begins when all is prepared: what comes before, such as the choice of a look to
    start from, is in ``preparation``, in seconds.
    """

    def __init__(self, every: float) -> None:
        self.every = self.next = every
        self.made, self.preparation = time.monotonic(), 0.0
        self.rows: list[dict[str, float]] = []
        self.photos = torch.empty(0)
        self.seconds = 0.0  # of training, to the end of the last step

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the photos."""
        self.preparation = time.monotonic() - self.made
        with _clock_stopped(cast(StyleTraining, pl_module)):
            data = cast(PhotoDataModule, cast(Any, trainer).datamodule)
            self.photos = data.calibration_photos(data.val_count).to(pl_module.device)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Measure where it is time to."""
        synchronise()
        self.seconds = _seconds(cast(StyleTraining, pl_module))
        if self.seconds >= self.next:
            self._measure(trainer, cast(StyleTraining, pl_module))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure what the command would write; the validation that it does at the end has not made it better."""
        if not self.rows or self.rows[-1]["step"] < trainer.global_step:
            self._measure(trainer, cast(StyleTraining, pl_module))

    def _measure(self, trainer: Trainer, module: StyleTraining) -> None:
        batches = torch.split(self.photos, TOGETHER)
        with _clock_stopped(module), _averaged(trainer, module), trainer.precision_plugin.forward_context():
            measured = [module.measure(photos) for photos in batches]
            metrics = {
                name: sum(float(part[name]) * len(photos) for part, photos in zip(measured, batches, strict=True))
                / len(self.photos)
                for name in measured[0]
            }
        self.next = (self.seconds // self.every + 1) * self.every
        self.rows.append({"seconds": self.seconds, "step": trainer.global_step, **_summary(metrics)})
        print("  ".join(f"{name} {value:.4g}" for name, value in self.rows[-1].items()), flush=True)


def _seconds(module: StyleTraining) -> float:
    assert module.began is not None
    return time.monotonic() - module.began


@contextmanager
def _clock_stopped(module: StyleTraining) -> Iterator[None]:
    """Stop the clock: what happens inside counts neither as training nor against its budget."""
    seconds = _seconds(module)
    yield
    synchronise()
    module.began = time.monotonic() - seconds


@contextmanager
def _averaged(trainer: Trainer, module: StyleTraining) -> Iterator[None]:
    """Put the averaged weights in place inside, where weights are averaged, as for a validation."""
    averages = [callback for callback in trainer.callbacks if isinstance(callback, WeightAveraging)]  # type: ignore[attr-defined]
    for average in averages:
        average.on_validation_epoch_start(trainer, module)
    yield
    for average in averages:
        average.on_validation_epoch_end(trainer, module)


def _summary(metrics: Mapping[str, float]) -> dict[str, float]:
    of_kind = {
        kind: [value for name, value in metrics.items() if name.startswith(f"val/{kind}/")] for kind in ("content", "style")
    }
    return {
        "objective": metrics["val/objective"],
        "content": statistics.fmean(of_kind["content"]),
        "style": statistics.fmean(of_kind["style"]),
        "checkerboard": metrics["val/checkerboard"],
    }


# --- results ----------------------------------------------------------------------------------------------------------


def _report(arguments: argparse.Namespace, runs: Sequence[dict[str, Any]]) -> None:
    """Write everything so far, over what was written before."""
    record = {
        **setting(arguments),
        "runs": runs,
    }
    varied = [name for name in CHOICES if len(getattr(arguments, name)) > 1]
    name = record_name("quality_over_time", Path(arguments.style).stem, *varied)
    write_record(record, arguments.output, name)
    _plot(arguments.output / f"{name}.png", runs)


def _plot(path: Path, runs: Sequence[dict[str, Any]]) -> None:
    """Draw a line for each run."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 5), layout="constrained")
    for axes, metric in zip(figure.subplots(1, 3), ("style", "content", "objective"), strict=True):
        for run in runs:
            seconds, values = ([row[name] for row in run["rows"]] for name in ("seconds", metric))
            axes.plot(seconds, values, ".-", label=_label(run, runs))
        axes.set(title=metric, xlabel="seconds of training", ylabel="on held-out photos")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=100)


def _label(run: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the preset, and what else the runs differ in."""
    others = [name for name in CHOICES[1:] if len({other[name] for other in runs}) > 1]
    return ", ".join([run["preset"], *(f"{name} {run[name]}" for name in others)])


if __name__ == "__main__":
    main()
