"""Note which photos of a large set are finished, so that a run that was stopped goes on without listing its output.

The notes lie beside the results, in ``.stylenet/3-of-100/``. Stores cannot append to a file: each process writes parts of its
own, a line for each block, and writes the part that grows anew every few seconds. Reading merges all parts.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from types import TracebackType

from stylenet import storage
from stylenet.errors import InputError, argument
from stylenet.inference.blocks import Block, Shard
from stylenet.inference.folders import Job
from stylenet.storage.listing import walk

FOLDER = ".stylenet"

# Seconds between two times that a part is written, and lines after which a new one begins.
_EVERY, _LINES = 10.0, 1000


class Manifest:
    """The notes of one shard.

    Args:
        output: folder of the results.
        shard: the share that this process works on.
        resume: go on from the notes that there are. Without, they are deleted.
        work: what is done with the photos, in words: style and settings.

    Raises:
        InputError: for notes that are not ours or of other work, or a store that refuses.
    """

    def __init__(self, output: str, shard: Shard, resume: bool, work: str = "") -> None:
        self.folder = storage.join(output, FOLDER, str(shard))
        self._work = hashlib.sha256(work.encode(errors="surrogateescape")).hexdigest()[:16]
        self._finished: dict[int, tuple[int, ...]] = {}  # failed ones of each block, by their place in it
        parts = self._parts()
        if resume:
            for place in parts:
                self._finished |= dict(_read(place, self._work))
        else:
            for place in parts:
                storage.delete(place)
        self._name, self._number = f"{time.time_ns():020d}-{secrets.token_hex(4)}", 0
        self._lines: list[str] = []
        self._written, self._unwritten = time.monotonic(), 0

    def _parts(self) -> list[str]:
        """Return the parts of all runs, oldest first."""
        if not storage.is_folder(self.folder):
            return []
        return sorted(storage.join(self.folder, name) for name in walk(self.folder) if name.endswith(".jsonl"))

    def left(self, block: Block) -> tuple[Job, ...]:
        """Return what of a block is still to do: all of it, what failed in it, or nothing."""
        if (failed := self._finished.get(block.key)) is None:
            return block.jobs
        return tuple(block.jobs[place] for place in failed if place < len(block.jobs))

    def note(self, block: Block, failures: Mapping[str, str]) -> None:
        """Note that a block is finished.

        Args:
            block: the block.
            failures: the reason for each source that failed.

        Raises:
            InputError, RunError: if the notes cannot be written.
        """
        failed = {place: failures[job.source] for place, job in enumerate(block.jobs) if job.source in failures}
        self._lines.append(json.dumps({"block": block.key, "photos": len(block.jobs), "failed": failed}))
        self._unwritten += 1
        if len(self._lines) >= _LINES:
            self.write()
            self._lines, self._number = [], self._number + 1
        elif time.monotonic() - self._written > _EVERY:
            self.write()

    def write(self) -> None:
        """Write what is not written yet.

        Raises:
            InputError, RunError: if it cannot be written.
        """
        if self._unwritten:
            place = storage.join(self.folder, f"{self._name}-{self._number:06d}.jsonl")
            lines = [json.dumps({"work": self._work}), *self._lines]
            storage.write(place, "".join(f"{line}\n" for line in lines).encode())
        self._written, self._unwritten = time.monotonic(), 0

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.write()


def _read(place: str, work: str) -> Iterator[tuple[int, tuple[int, ...]]]:
    try:
        lines = [json.loads(line) for line in storage.read(place).splitlines()]
        known = lines[0]["work"] == work
        blocks = [(int(line["block"]), tuple(sorted(int(number) for number in line["failed"]))) for line in lines[1:]]
    except (ValueError, TypeError, LookupError) as error:
        raise InputError(f"{place} holds no notes of finished photos: delete it, or leave {argument('resume')} out") from error
    if not known:
        raise InputError(
            f"what is finished by the notes in {place} was of another style or other settings: name another output, or leave"
            f" {argument('resume')} out to begin anew"
        )
    yield from blocks
