"""Say how pictures are read and written, and do both."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from stylenet.errors import InputError
from stylenet.formats import ending
from stylenet.images.picture import Picture, check_format, check_output, encode_image, read_image, write_image
from stylenet.images.sizes import SizeRule
from stylenet.inference.folders import STREAM, Job
from stylenet.storage import exists


@dataclass(frozen=True)
class Files:
    """Settings of how pictures are read and written.

    Attributes:
        size: size rule of the pictures before styling.
        allow_huge: accept more than 89 million pixels.
        overwrite: style again what is there already.
        quality: quality of JPEG, WebP and AVIF, 1 to 100.
        bits: 8, or 16 for PNG and TIFF.
    """

    size: str | int | SizeRule = "full"
    allow_huge: bool = False
    overwrite: bool = False
    quality: int = 95
    bits: int = 8

    def __post_init__(self) -> None:
        SizeRule.parse(self.size)
        if not 1 <= self.quality <= 100:
            raise InputError(f"quality is {self.quality}: it goes from 1 to 100")

    def check(self, jobs: Sequence[Job]) -> None:
        """Fail now rather than at the first result.

        Raises:
            InputError: if a result could not be written.
        """
        outputs = [output for job in jobs for output in job.outputs if output != STREAM]
        for example in {ending(output): output for output in outputs}.values():
            check_format(example, self.bits)
        if outputs:
            check_output(outputs[0], self.bits)

    def wanted(self, job: Job) -> bool:
        """Return whether a result of the job is missing. This is asked just before the work, so that two processes can share
        a folder."""
        return self.overwrite or not all(output != STREAM and exists(output) for output in job.outputs)

    def read(self, job: Job) -> Picture:
        """Read the picture of a job.

        Raises:
            InputError: if it cannot be read.
            RunError: if its store does not answer.
        """
        if job.trouble:
            raise InputError(job.trouble)
        source = sys.stdin.buffer if job.source == STREAM else job.source
        return read_image(source, self.size, allow_huge=self.allow_huge)

    def write(self, picture: Picture, output: str) -> None:
        """Write a result, whole or not at all; to stdout as PNG.

        Raises:
            InputError: for a size that its format does not take.
            RunError: for a disk that is full or a place that is not writable.
        """
        if output != STREAM:
            write_image(picture, output, quality=self.quality, bits=self.bits)
            return
        sys.stdout.buffer.write(encode_image(picture, "PNG", bits=self.bits))
        sys.stdout.buffer.flush()
