"""Style sets of any size: shards for machines that know nothing of each other, notes to go on from, an engine for clusters."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from stylenet.choices import check_choices
from stylenet.errors import InputError, Interrupted, argument
from stylenet.inference.batch import style_jobs
from stylenet.inference.blocks import Shard, cut, stream_jobs
from stylenet.inference.file_rules import Files
from stylenet.inference.folders import STREAM, Job
from stylenet.inference.manifest import Manifest
from stylenet.inference.stylizer import Stylizer
from stylenet.inference.summary import Summary

Engine = Literal["auto", "here", "ray"]

# Failures and notes that are kept in memory; all failures are in the manifest.
_KEPT = 1000

Observe = Callable[[Summary, int], None]


@dataclass(frozen=True)
class Scale:
    """Settings of how the work is shared.

    Attributes:
        engine: ``here`` for this process; ``ray`` for workers of Ray, on this machine or on a cluster; ``auto`` takes Ray where
            several devices or a cluster are asked for.
        devices: workers of Ray, each with its own device; ``auto`` for one on each GPU that Ray has, or a single one.
        address: a cluster of Ray: ``auto`` for the one that this machine belongs to, or ``HOST:PORT``; without it Ray runs on
            this machine.
        shard: ``3/100`` for the third of a hundred shares of the photos: one for each task of a Slurm array or a Kubernetes
            job, each with the same command but for this number.
        resume: go on where a run with the same photos, output and shard was stopped, by the notes that it kept beside the
            results. What is finished by the notes is not styled again, whether or not results are to be overwritten.
    """

    engine: Engine = "auto"
    devices: Literal["auto"] | int = "auto"
    address: str | None = None
    shard: str | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        check_choices(self)
        if self.devices != "auto" and self.devices < 1:
            raise InputError(f"devices is {self.devices}: it must be 1 or more")
        if self.engine == "here" and (self.devices not in ("auto", 1) or self.address is not None):
            asked = argument("devices", self.devices) if self.address is None else argument("address", self.address)
            raise InputError(f"{asked} needs {argument('engine', 'ray')}")
        self.share  # noqa: B018 (a shard that makes no sense is told now)

    @property
    def share(self) -> Shard:
        """Return the shard, or all photos as the only one."""
        return Shard() if self.shard is None else Shard.parse(self.shard)

    @property
    def by_ray(self) -> bool:
        """Return whether Ray does the work."""
        return self.engine == "ray" or self.address is not None or self.devices not in ("auto", 1)

    @property
    def wanted(self) -> bool:
        """Return whether this is more than a folder on one device."""
        return bool(self.asked)

    @property
    def asked(self) -> str:
        """Return the arguments that ask for more than a folder on one device, for a message; empty if none does."""
        several = None if self.devices in ("auto", 1) else self.devices
        given: dict[str, object] = {"engine": "ray" if self.engine == "ray" else None, "devices": several}
        given |= {"address": self.address, "shard": self.shard, "resume": self.resume or None}
        return " and ".join(argument(name, value) for name, value in given.items() if value is not None)


def jobs_at_scale(
    inputs: Sequence[str],
    output: str,
    styles: Sequence[str],
    scale: Scale,
    files: Files,
    left_out: Counter[str] | None = None,
) -> Iterator[Job]:
    """Return the jobs as they are found, after a check that results can be written.

    Raises:
        InputError: for streams, or a place that cannot be written.
    """
    if STREAM in (*inputs, output):
        raise InputError(f"stdin and stdout are for one photo, which one device styles: leave out {scale.asked}")
    jobs = stream_jobs(inputs, output, styles, scale.share, left_out)
    first = next(jobs, None)
    if first is None:  # a small set may have no photo for a shard
        return iter(())
    files.check([first])
    return _all(first, jobs)


def _all(first: Job, rest: Iterator[Job]) -> Iterator[Job]:
    yield first
    yield from rest


def style_blocks(
    jobs: Iterator[Job], stylizers: Sequence[Stylizer], files: Files, manifest: Manifest, observe: Observe | None = None
) -> Summary:
    """Style a set on one device of this machine, block by block.

    Args:
        jobs: from :func:`jobs_at_scale`.
        stylizers: one for each output of a job.
        files: how pictures are read and written.
        manifest: what is finished.
        observe: is told the state, and 0 for a number of photos that is not known, after each block.

    Raises:
        Interrupted: after Ctrl-C, with the summary so far.
    """
    summary, started = Summary(), time.monotonic()
    with manifest:
        for block in cut(jobs):
            if not (left := manifest.left(block)):
                add(summary, Summary(), len(block.jobs))
                continue
            try:
                part = style_jobs(left, stylizers, files)
            except Interrupted as error:
                add(summary, error.result, 0)
                raise Interrupted(str(error), summary) from error
            add(summary, part, len(block.jobs) - len(left))
            summary.seconds = time.monotonic() - started
            if part.message:  # the disk is full
                summary.message = part.message
                break
            manifest.note(block, dict(part.failures))
            if observe is not None:
                observe(summary, 0)
    summary.seconds = time.monotonic() - started
    return summary


def add(summary: Summary, part: Summary, finished: int) -> None:
    """Add what came of some jobs to a summary, which does not grow with their number.

    Args:
        summary: of all jobs so far.
        part: of some more.
        finished: jobs beside them that were finished by a run before.
    """
    summary.done += part.done
    summary.skipped += part.skipped + finished
    room = _KEPT - len(summary.failures)
    summary.failures += part.failures[:room]
    summary.unlisted += max(0, len(part.failures) - room) + part.unlisted
    summary.notes += part.notes[: _KEPT - len(summary.notes)]
    summary.broke |= part.broke
