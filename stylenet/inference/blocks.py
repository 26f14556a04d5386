"""Cut the photos of a large set into shards and blocks that are the same in every run, whatever is done by then.

A shard is what one of several machines takes: which one follows from a photo's name. A block is some dozens of photos that
follow each other in the listing, and the unit of what a manifest notes as finished. Where it ends follows from the names too
(content-defined chunking, as in Muthitacharoen et al., A Low-bandwidth Network File System, SOSP 2001, section 3.1), so that
a photo that is added changes its own block alone.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from stylenet import storage
from stylenet.errors import InputError
from stylenet.inference.folders import Job, find, job_of, plan_jobs, result_folders, written_name
from stylenet.storage.archives import is_member
from stylenet.storage.places import below

# Photos of a block in the mean, and at most.
_USUAL, _MOST = 64, 128


@dataclass(frozen=True)
class Shard:
    """One of several shares of the photos.

    Attributes:
        number: 1 for the first.
        count: how many there are.
    """

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard that ``3/100`` means.

        Raises:
            InputError: for anything else.
        """
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise InputError(f"shard is {text!r}: write 3/100 for the third of a hundred shares; the first is 1/100")
        return cls(int(match[1]), int(match[2]))

    def takes(self, name: str) -> bool:
        """Return whether a photo of this name belongs to it."""
        return self.count == 1 or int.from_bytes(_hash(name)[:8]) % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}-of-{self.count}"


@dataclass(frozen=True)
class Block:
    """Photos that follow each other.

    Attributes:
        jobs: the photos, and where their results go.
    """

    jobs: tuple[Job, ...]

    @property
    def key(self) -> int:
        """Return a number for the photos in it and their results, of 64 bits."""
        names = "\n".join(f"{job.source}\t{job.outputs}" for job in self.jobs)
        return int.from_bytes(_hash(names)[:8])


def cut(jobs: Iterable[Job]) -> Iterator[Block]:
    """Yield blocks of jobs, in their order."""
    gathered: list[Job] = []
    for job in jobs:
        gathered.append(job)
        if len(gathered) == _MOST or int.from_bytes(_hash(job.source)[8:]) % _USUAL == 0:
            yield Block(tuple(gathered))
            gathered = []
    if gathered:
        yield Block(tuple(gathered))


def stream_jobs(
    inputs: Sequence[str], output: str, styles: Sequence[str], shard: Shard, left_out: Counter[str] | None = None
) -> Iterator[Job]:
    """Yield the jobs of a shard as their photos are found, so that ten million take no more memory than ten.

    Args:
        inputs: as :func:`~stylenet.inference.plan_jobs` takes them. Several are planned as a whole first.
        output: folder of the results.
        styles: names for the folders of several styles.
        shard: the share.
        left_out: counts the files of all shares that are no pictures, by their kind.

    Raises:
        InputError: if nothing is there to read, or a result would be one of the photos.
    """
    if len(inputs) > 1:
        folder = output if storage.is_address(output) else f"{output.rstrip('/')}/"
        jobs = plan_jobs(inputs, folder, styles, left_out=left_out)
        yield from (job for job in jobs if shard.takes(job.source))
        return
    folders, word = result_folders(output, styles), inputs[0]
    if below(word, output) and below(output, word):
        raise InputError(f"{output} is the folder of the photos, which would be overwritten by results: name another output")
    inside = below(word, output)
    for source, name in find(word, output, left_out):
        if shard.takes(name.as_posix()):
            job = job_of(source, name, folders)
            if inside and any(below(place, word) for place in job.outputs):
                raise InputError(f"{job.outputs[0]} lies among the photos, and may overwrite one: name another output")
            yield _without_twin(job, renamed=written_name(name) != name)


def _without_twin(job: Job, renamed: bool) -> Job:
    """Return a job that fails if its result has the name of another photo's: ``cat.gif`` becomes ``cat.gif.png``, which may be
    there as a photo. All names together are never in memory, so that this is asked where a result has another name than its
    photo."""
    if not renamed or is_member(job.source) or not storage.exists(f"{job.source}.png"):
        return job
    return Job(job.source, job.outputs, f"its result would be that of {job.source}.png: rename one of them")


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).digest()
