"""Share the blocks of a set among workers of Ray, on this machine or on any cluster that Ray runs on.

Ray starts the workers (actors that hold the style), starts those anew that die, and tries again what they were at. This module
hands out work: few tasks are under way at any time, so that listing waits for styling, and the next one goes to whoever is
done. Ray Data would do the same with tables, but wants to know the whole listing first; ``benchmarks/scale.py`` compares them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from stylenet.devices import processor_cores
from stylenet.errors import InputError, Interrupted, RunError, argument, one_line
from stylenet.images.picture import Picture
from stylenet.inference.at_scale import Observe, Scale, add
from stylenet.inference.batch import style_jobs
from stylenet.inference.blocks import Block, cut
from stylenet.inference.folders import Job
from stylenet.inference.lanes import count_lanes
from stylenet.inference.manifest import Manifest
from stylenet.inference.recipe import Recipe
from stylenet.inference.stylizer import Stylizer
from stylenet.inference.summary import Summary

# Photos of a task at least, for each core of a worker that has several, and on a GPU, where so many of one size are a group.
_TASK, _TASK_A_CORE, _TASK_ON_GPU = 8, 4, 16

# Tasks that a worker has in hand at once (one is styled while the other reads or writes), and that are handed out for each.
_AT_ONCE, _HANDED_OUT = 2, 3

# How Ray is started, where a person says nothing else: nothing is sent to anybody, and what goes wrong is told by exceptions.
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}

# Seconds that a cluster has to answer.
_PATIENCE = 10.0

# How often a task is begun anew whose worker died.
_TRIES = 5


class Worker:
    """A process that holds the styles.

    A worker with several cores styles photos beside each other, one on each core, and so takes one task after the other: two
    would share the cores. Other workers read and write one task while they style another.

    Args:
        recipe: what to make them from.
        threads: of the processor that it may use.
    """

    def __init__(self, recipe: Recipe, threads: int) -> None:
        torch.set_num_threads(threads)
        self.files = recipe.files
        turn, stylizers = threading.Lock(), recipe.stylizers()
        beside = count_lanes(stylizers) > 1
        self.stylizers: Sequence[Any] = stylizers if beside else [_InTurn(stylizer, turn) for stylizer in stylizers]
        self.turn: contextlib.AbstractContextManager[object] = turn if beside else contextlib.nullcontext()

    def style(self, jobs: Sequence[Job]) -> Summary:
        """Style some pictures and write the results."""
        with self.turn:
            return style_jobs(jobs, self.stylizers, self.files)


class _InTurn:
    """A stylizer that one thread uses at a time, while others read and write."""

    def __init__(self, stylizer: Stylizer, turn: threading.Lock) -> None:
        self.stylizer, self.turn, self.device = stylizer, turn, stylizer.device

    def __call__(self, picture: Picture) -> Picture:
        with self.turn:
            return self.stylizer(picture)


@dataclass(frozen=True)
class _Crew:
    """Workers, and how many photos each is handed at a time."""

    workers: Sequence[Any]
    photos: int = _TASK


@dataclass
class _Open:
    """A block of which not all tasks are done."""

    block: Block
    left: int = 0
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Task:
    jobs: tuple[Job, ...]
    of: _Open
    suspect: bool = False


def style_by_ray(
    jobs: Iterator[Job], recipe: Recipe, scale: Scale, manifest: Manifest, observe: Observe | None = None
) -> Summary:
    """Style a set on workers of Ray.

    Args:
        jobs: from :func:`~stylenet.inference.at_scale.jobs_at_scale`.
        recipe: what a worker makes its stylizers from.
        scale: the cluster and the number of workers.
        manifest: what is finished.
        observe: is told the state, and 0 for a number of photos that is not known, after each task.

    Returns:
        What came of the photos. A photo that was written just before its worker died counts as having been there.

    Raises:
        InputError: if Ray is not installed, or there is no such cluster.
        RunError: if no worker can be started.
        Interrupted: after Ctrl-C, with the summary so far.
    """
    summary, started = Summary(), time.monotonic()
    with _started(scale) as ray, manifest:
        shared = ray.put(recipe)  # held until the end: a worker that is started anew needs it
        run = _Run(ray, _crew(ray, shared, recipe.device, scale), manifest, summary)
        try:
            for _ in run.through(cut(jobs)):
                summary.seconds = time.monotonic() - started
                if observe is not None:
                    observe(summary, 0)
        except KeyboardInterrupt as error:
            summary.message, summary.interrupted = "interrupted", True
            raise Interrupted(summary.message, summary) from error
        except ray.exceptions.RayError as error:  # a cluster that is lost, or a fault of the program: no photo is to blame
            reason = one_line(getattr(error, "cause", None) or error, 300)
            advice = f"the same work with {argument('resume', True)} goes on"
            summary.message, summary.broke = f"Ray gave up: {reason}; {advice}", True
        finally:
            summary.seconds = time.monotonic() - started
    return summary


class _Run:
    """Tasks under way."""

    def __init__(self, ray: Any, crew: _Crew, manifest: Manifest, summary: Summary) -> None:
        self.ray, self.manifest, self.summary, self.photos = ray, manifest, summary, crew.photos
        self.free = deque(worker for _ in range(_HANDED_OUT) for worker in crew.workers)
        self.under_way: dict[Any, tuple[_Task, Any]] = {}
        self.again: deque[_Task] = deque()
        self.suspects: deque[_Task] = deque()

    def through(self, blocks: Iterator[Block]) -> Iterator[None]:
        """Do all blocks, and yield after each task."""
        tasks = self._tasks(blocks)
        while not self.summary.message:
            while self.free and (task := self._next(tasks)) is not None:
                worker = self.free.popleft()
                self.under_way[worker.style.remote(task.jobs)] = task, worker
            if not self.under_way:
                return
            (done, *_), _ = self.ray.wait(list(self.under_way), num_returns=1)
            task, worker = self.under_way.pop(done)
            self.free.append(worker)
            self._settle(task, done)
            yield

    def _next(self, tasks: Iterator[_Task]) -> _Task | None:
        """Return what to begin next. Suspects wait until nothing else is left, and have all workers to themselves."""
        if any(task.suspect for task, _ in self.under_way.values()):
            return None
        task = self.again.popleft() if self.again else next(tasks, None)
        return self.suspects.popleft() if task is None and self.suspects and not self.under_way else task

    def _tasks(self, blocks: Iterator[Block]) -> Iterator[_Task]:
        for block in blocks:
            left = self.manifest.left(block)
            add(self.summary, Summary(), len(block.jobs) - len(left))
            opened = _Open(block, len(left))
            yield from (_Task(left[place : place + self.photos], opened) for place in range(0, len(left), self.photos))

    def _settle(self, task: _Task, done: Any) -> None:
        """Take note of what came of a task.

        A worker that dies takes all with it that it was handed. So a task whose worker died each time is taken apart, and a
        photo of which that is true is tried once more at the end, alone: only then it is known to be what kills.
        """
        try:
            part = self.ray.get(done)
        except (self.ray.exceptions.RayActorError, self.ray.exceptions.OutOfMemoryError) as error:
            if getattr(error, "actor_init_failed", False):
                raise RunError(f"no worker can be started: {error}") from error
            if len(task.jobs) > 1:
                self.again.extend(_Task((job,), task.of) for job in task.jobs)
                return
            if not task.suspect:
                self.suspects.append(replace(task, suspect=True))
                return
            part = Summary(failures=[(task.jobs[0].source, f"its worker died {_TRIES + 1} times: memory may be short")])
        add(self.summary, part, 0)
        self.summary.message = part.message
        opened = task.of
        opened.failures |= dict(part.failures)
        opened.left -= len(task.jobs)
        if not opened.left and not part.message:
            self.manifest.note(opened.block, opened.failures)


@contextlib.contextmanager
def _started(scale: Scale) -> Iterator[Any]:
    """Start Ray on this machine, or connect to a cluster."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise InputError(f"several devices and clusters need the package ray: pip install 'stylenet[ray]' ({error})") from error
    if ray.is_initialized():  # a program of a person's own has its own Ray
        yield ray
        return
    here: dict[str, Any] = {}
    if scale.address is not None:
        _check_answers(scale.address)
    else:
        here["num_cpus"] = max(processor_cores(), 1 if scale.devices == "auto" else scale.devices)
    for last in (False, True):  # its processes give up after 30 s, which a machine with much to do may need
        try:
            ray.init(scale.address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, **here)
            break
        except Exception as error:  # Ray raises plain ones too
            ray.shutdown()
            if scale.address is not None:
                raise InputError(f"there is no cluster of Ray at {argument('address', scale.address)}: {error}") from error
            if last:
                raise RunError(f"Ray does not start: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Fail now for a cluster that is not there: Ray itself asks for many minutes.

    Raises:
        InputError: if nobody listens at the address.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():  # such as ``auto``, which is found by Ray
        return
    try:
        socket.create_connection((host, int(port)), _PATIENCE).close()
    except OSError as error:
        raise InputError(f"nobody answers at {argument('address', address)}: {error.strerror or error}") from error


def _crew(ray: Any, recipe: Any, device: str, scale: Scale) -> _Crew:
    """Start the workers, which Ray starts anew when they die."""
    resources = ray.cluster_resources()
    on_gpu = device.startswith("cuda") or (device == "auto" and resources.get("GPU", 0) >= 1)
    usual = int(resources.get("GPU", 0)) if on_gpu else 1 if scale.address is None else int(resources.get("CPU", 1))
    count = max(1, usual) if scale.devices == "auto" else scale.devices
    room = resources.get("GPU" if on_gpu else "CPU", 0)
    if count > room:
        raise InputError(f"{count} workers need as many {'GPUs' if on_gpu else 'processors'}, and Ray has {room:g}")
    threads = max(1, int(resources.get("CPU", 1)) // count)
    options = {"num_gpus": 1} if on_gpu else {"num_cpus": min(threads, 1 if scale.address else threads)}
    actor = ray.remote(Worker).options(max_restarts=-1, max_task_retries=_TRIES, max_concurrency=_AT_ONCE, **options)
    cores = options.get("num_cpus", threads)
    photos = _TASK_ON_GPU if on_gpu else max(_TASK, _TASK_A_CORE * cores)
    return _Crew([actor.remote(recipe, cores) for _ in range(count)], photos)
