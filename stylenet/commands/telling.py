"""Tell what came of a command: results to stdout, all else to stderr."""

from __future__ import annotations

import sys
import time
import traceback

from stylenet.errors import one_line

# A budget counts from here, so that it includes loading.
STARTED = time.monotonic()

INTERRUPTED = 130


def tell(line: str) -> None:
    """Print a line for the person, which is no result: it goes to stderr at once."""
    print(one_line(line, 1000), file=sys.stderr, flush=True)


def tell_result(line: object) -> None:
    """Print a line of results to stdout: where they are, and what a person should know of them."""
    print(one_line(line, 1000))


def tell_failure(message: str, code: int, verbose: bool) -> int:
    """Print why a command failed in one line, after the traceback if that is wanted, and return its exit code."""
    if verbose:
        traceback.print_exc()
    print("stylenet:", one_line(message), file=sys.stderr)
    return code
