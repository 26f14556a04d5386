"""Long work in a queue: each job is a command of stylenet in a process of its own, one at a time on a device."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from stylenet import InputError

State = Literal["waiting", "running", "stopping", "done", "stopped", "failed"]

# A command that was asked to stop keeps what it has, which may take a few steps.
_PATIENCE = 30.0


@dataclass
class Job:
    """One command.

    Attributes:
        verb: verb of the command line.
        words: words that follow the verb.
        folder: folder in which it runs.
        output: file that it writes.
        keep: gets the output once it is whole, whether or not a page still looks at it.
        state: how far it is.
        lines: the last lines that it printed.
        version: number that grows with everything that a page shows of it.
        process: its process, once it runs.
        stopping: whether it was asked to stop.
    """

    verb: str
    words: list[str]
    folder: Path
    output: Path
    keep: Callable[[Path], object] | None = None
    state: State = "waiting"
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=20))
    version: int = 0
    process: subprocess.Popen[str] | None = None
    stopping: bool = False

    @property
    def live(self) -> bool:
        """Return whether it waits or runs."""
        return self.state in ("waiting", "running", "stopping")

    @property
    def line(self) -> str:
        """Return the last line that it printed, without paths of the server."""
        return self.lines[-1].replace(f"{self.folder}{os.sep}", "") if self.lines else ""

    @property
    def share(self) -> float:
        """Return the share that is done, 0..1, by the first ``7/20`` of the last line that has one.

        A search from coarse to fine tells its scale before its step, as in ``128x85 (scale 1/2)  step 3/12``.
        """
        for line in reversed(self.lines):
            told = re.search(r"(\d+)/(\d+)", line.partition("scale")[2].partition(")")[2] or line)
            if told and int(told[2]):
                return min(1.0, int(told[1]) / int(told[2]))
        return 0.0

    def become(self, state: State) -> None:
        """Change the state, for the page to see."""
        self.state = state
        self.version += 1


class JobQueue:
    """One worker for each device, which takes the next job that waits.

    Args:
        devices: how many jobs run at once, each with a device of its own; ``[""]`` for one that chooses itself.
        limit: number of jobs that may wait.
        seconds: time that a job may take; then it is stopped.
    """

    def __init__(self, devices: list[str], limit: int, seconds: float) -> None:
        self._waiting: queue.Queue[Job | None] = queue.Queue()
        self._limit, self._seconds = limit, seconds
        self._jobs: list[Job] = []
        self._lock = threading.Lock()
        self._closed = False
        self._threads = [threading.Thread(target=self._work, args=(device,), daemon=True) for device in devices]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> Job:
        """Put a job at the end of the queue.

        Raises:
            InputError: if too many wait already.
        """
        with self._lock:
            self._jobs = [other for other in self._jobs if other.live]
            ahead = sum(other.state == "waiting" for other in self._jobs)
            if ahead >= self._limit or self._closed:
                raise InputError(f"{ahead} jobs are waiting already, which is the limit: try again later")
            self._jobs.append(job)
        self._waiting.put(job)
        return job

    def ahead(self, job: Job) -> int:
        """Return how many jobs are before one that waits, those that run included."""
        with self._lock:
            return next((place for place, other in enumerate(filter(lambda one: one.live, self._jobs)) if other is job), 0)

    def stop(self, job: Job) -> None:
        """Ask a job to stop; it keeps what it has so far. One that stays is ended after half a minute."""
        with self._lock:
            if job.state == "waiting":
                job.become("stopped")
            if job.state != "running" or job.process is None:
                return
            job.stopping = True
            job.become("stopping")
            job.process.send_signal(signal.SIGINT)
        _later(_PATIENCE, _kill, job.process)

    def close(self) -> None:
        """End every job now, and the workers."""
        with self._lock:
            self._closed = True
            processes = [job.process for job in self._jobs if job.process is not None]
            for job in self._jobs:
                if job.state == "waiting":
                    job.become("stopped")
        for process in processes:
            _kill(process)
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join(timeout=5)

    def _work(self, device: str) -> None:
        while (job := self._waiting.get()) is not None:
            try:
                self._run(job, device)
            except (OSError, InputError) as error:  # no process, no folder, no such output: the next job may fare better
                job.lines.append(f"stylenet: {error}")
                job.become("failed")

    def _run(self, job: Job, device: str) -> None:
        environment = {**os.environ, **({"CUDA_VISIBLE_DEVICES": device} if device else {})}
        command = [sys.executable, "-u", "-m", "stylenet", job.verb, *job.words]
        with self._lock:
            if job.state != "waiting" or self._closed:
                return
            # Both outputs in one: what it says last is what a page shows. A group of its own, which Ctrl-C does not reach.
            job.process = subprocess.Popen(
                command,
                cwd=job.folder,
                env=environment,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            job.become("running")
        timer = _later(self._seconds, self.stop, job)
        assert job.process.stdout is not None
        for line in job.process.stdout:
            if line.strip():
                job.lines.append(line.strip())
                job.version += 1
        code = job.process.wait()
        timer.cancel()
        if code == 0 and job.keep is not None:
            job.keep(job.output)
        job.become("done" if code == 0 else "stopped" if job.stopping else "failed")


def _later(seconds: float, function: Callable[[Any], None], value: Any) -> threading.Timer:
    """Call a function after some seconds, unless the program ends before."""
    timer = threading.Timer(seconds, function, [value])
    timer.daemon = True
    timer.start()
    return timer


def _kill(process: subprocess.Popen[str]) -> None:
    """End a process and what it started."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        process.wait(timeout=10)
