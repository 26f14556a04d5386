"""Style many pictures on several devices: Lightning's ``Trainer.predict`` hands each job to one device."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch.utils.data import DataLoader, Dataset

from stylenet.errors import InputError, RunError, argument
from stylenet.images.picture import Picture
from stylenet.inference.batch import Files, Summary, disk_is_full, try_to_read, try_to_style
from stylenet.inference.folders import STREAM, Job
from stylenet.inference.stylizer import Stylizer
from stylenet.logs import quiet_lightning

# A job's number with its picture; None where nothing is to do; the reason where it cannot be read.
_Item = tuple[int, Picture | str | None]


class _Jobs(Dataset[_Item]):
    def __init__(self, jobs: Sequence[Job], files: Files) -> None:
        self.jobs, self.files = jobs, files

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, index: int) -> _Item:
        return index, try_to_read(self.jobs[index], self.files)


class _Predictor(LightningModule):
    """A process that styles its share of the jobs. What fails is noted: a process that dies would take the others with it."""

    def __init__(self, jobs: Sequence[Job], stylizers: Sequence[Stylizer], files: Files) -> None:
        super().__init__()
        self.jobs, self.stylizers, self.files, self.summary = jobs, stylizers, files, Summary()

    def on_predict_start(self) -> None:
        for stylizer in self.stylizers:
            stylizer.move_to(self.device)

    def predict_step(self, item: _Item, batch_idx: int) -> tuple[str, list[tuple[Picture, str]]]:
        """Return a job's source, and its results with where they go."""
        index, picture = item
        job = self.jobs[index]
        if self.summary.message:  # the disk is full
            return job.source, []
        return job.source, list(try_to_style(job, [picture], self.stylizers, self.summary))

    def transfer_batch_to_device(self, batch: _Item, device: torch.device, dataloader_idx: int) -> _Item:
        """Leave pictures where they are: a stylizer moves what it works on."""
        return batch


class _Writer(BasePredictionWriter):
    def __init__(self) -> None:
        super().__init__("batch")

    def write_on_batch_end(self, trainer: Trainer, pl_module: LightningModule, prediction: Any, *others: Any) -> None:
        assert isinstance(pl_module, _Predictor)
        source, results = prediction
        try:
            for picture, output in results:
                pl_module.files.write(picture, output)
        except (InputError, RunError) as error:
            pl_module.summary.failures.append((source, str(error)))
            if disk_is_full(error):
                pl_module.summary.message = str(error)
            return
        pl_module.summary.done += bool(results) and len(results) == len(pl_module.stylizers)


def stylize_on_devices(
    jobs: Sequence[Job], stylizers: Sequence[Stylizer], files: Files, devices: int, accelerator: str = "auto"
) -> Summary | None:
    """Style every picture in every style, each picture on one of several devices.

    Args:
        jobs: from :func:`~stylenet.inference.plan_jobs`; at least as many as devices.
        stylizers: one for each output of a job.
        files: how pictures are read and written.
        devices: how many processes, each with its own device.
        accelerator: Lightning's name of the kind of device.

    Returns:
        The sum over all processes, on the first of them; None on the others, which have nothing to tell.

    Raises:
        InputError: for a stream, or a place that cannot be written.
    """
    if any(STREAM in (job.source, *job.outputs) for job in jobs):
        raise InputError(f"stdin and stdout need {argument('devices', 1)}")
    files.check(jobs)
    started = time.monotonic()
    quiet_lightning()
    predictor = _Predictor(jobs, stylizers, files)
    trainer = Trainer(
        accelerator=accelerator,
        devices=devices,
        strategy="ddp",
        callbacks=[_Writer()],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    # Reading goes on beside the network; batches are single pictures of any size.
    loader = DataLoader(_Jobs(jobs, files), batch_size=None, num_workers=1)
    try:
        trainer.predict(predictor, loader, return_predictions=False)
    except SystemExit as error:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt("interrupted: what is written is whole") from error
    summary = _summed(predictor.summary, time.monotonic() - started)
    return summary if trainer.is_global_zero else None


def _summed(own: Summary, seconds: float) -> Summary:
    """Return the sum of the summaries of all processes."""
    parts: list[Any] = [own]
    if torch.distributed.is_initialized():
        parts = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(parts, own)
    return Summary(
        done=sum(part.done for part in parts),
        skipped=sum(part.skipped for part in parts),
        failures=[failure for part in parts for failure in part.failures],
        notes=[note for part in parts for note in part.notes],
        seconds=seconds,
        message=next((part.message for part in parts if part.message), ""),
    )
