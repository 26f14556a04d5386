"""Wait for results on their way to the disk, and tell which failures would meet every other result too."""

from __future__ import annotations

import errno
from concurrent.futures import Future
from dataclasses import dataclass, field

from stylenet.errors import InputError, RunError
from stylenet.inference.summary import Summary
from stylenet.storage.stores import is_refusal


class HopelessError(Exception):
    """Raised when the disk is full, or a store refuses what is written, so that there is no point in going on."""


@dataclass
class Writing:
    """The results of one picture on their way to the disk."""

    source: str
    futures: list[Future[None]] = field(default_factory=list)

    def settle(self, summary: Summary) -> None:
        """Wait for the results to be written."""
        for future in self.futures:
            try:
                future.result()
            except (InputError, RunError) as error:
                summary.broke |= isinstance(error, RunError)
                if all(self.source != source for source, _ in summary.failures):
                    summary.failures.append((self.source, str(error)))
                if is_hopeless(error):
                    raise HopelessError(str(error)) from error
        if all(self.source != source for source, _ in summary.failures):
            summary.done += 1


def is_hopeless(error: Exception) -> bool:
    """Return whether a failure to write will meet every other result too: a full disk, or a store that refuses access."""
    return is_refusal(error) or (
        isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    )
