"""The one boundary where errors become lines, whichever verb ran and whichever library raised them."""

from __future__ import annotations

import errno
import pickle
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from stylenet.commands.telling import INTERRUPTED
from stylenet.errors import InputError, RunError, one_line

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NAMES = {errno.ENAMETOOLONG, errno.ELOOP}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}

# What torch says when a file cannot be written to its end, and when one cannot be read: it has no classes for these.
_TORCH_WRITES = ("PytorchStreamWriter", "inline_container", "unexpected pos", "Parent directory", "iostream error")
_TORCH_READS = ("PytorchStreamReader", "central directory", "miniz", "invalid load key", "Ran out of input", "EOFError")
_TORCH_REFUSES = ("weights_only", "Weights only load failed", "Unsupported global", "Unsupported operand")
_TORCH_LACKS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_cpu")

_LONGEST = 300


def explain(error: BaseException) -> tuple[str, int]:
    """Return one line that tells a person what went wrong, and the exit code.

    Errors of stylenet say it themselves. Others are told by their kind; what is not known is named, shortened to one line.
    """
    match error:
        case KeyboardInterrupt():
            return one_line(error) or "interrupted", INTERRUPTED
        case InputError():
            return str(error), 2
        case RunError():
            return str(error), 1
        case MemoryError():
            return _no_memory(), 1
        case UnicodeEncodeError():
            return "the terminal or file that is written to cannot show all characters: set PYTHONIOENCODING=utf-8", 1
        case OSError():
            return _of_system(error), 2 if error.errno in _NAMES else 1
        case RecursionError():
            return "something is nested too deeply to be read", 2
        case pickle.UnpicklingError():
            return _of_torch(str(error)) or f"a file is damaged ({one_line(error, _LONGEST)})", 2
    if told := _of_torch(str(error)):
        return told, 1
    if type(error).__name__ == "MisconfigurationException":  # of Lightning, which is not imported for this
        return one_line(error, _LONGEST), 2
    return f"{type(error).__name__}: {one_line(error, _LONGEST)} (--verbose shows where)", 1


def _of_system(error: OSError) -> str:
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    where = f" {names[-1]}" if names else ""
    if error.errno in _FULL:
        return f"the disk is full, or its quota is used up:{where or ' something'} cannot be written to its end"
    if error.errno in _FORBIDDEN:
        return f"no permission to use{where or ' a file'}: choose another place, or change its permissions"
    reason = error.strerror or one_line(error, _LONGEST) or type(error).__name__
    return f"cannot use{where}: {reason}" if where else reason


def _of_torch(text: str) -> str:
    """Return what a text of torch means, or nothing. It advises to read files in a way that runs their code."""
    if any(sign in text for sign in _TORCH_REFUSES):
        return "a checkpoint or weights file holds more than tensors and plain values; as it could run any code, it is not read"
    if any(sign in text for sign in _TORCH_WRITES):
        return "a checkpoint cannot be written to its end: is the disk full, or its folder gone?"
    if any(sign in text for sign in _TORCH_READS):
        return "a checkpoint or weights file is damaged, or was not written or downloaded to its end"
    if any(sign in text.lower() for sign in _TORCH_LACKS):
        return _no_memory()
    return ""


def _no_memory() -> str:
    return "not enough memory: take smaller pictures (--size), fewer at a time, or close other programs"


@contextmanager
def ended_at_once() -> Iterator[None]:
    """Let Ctrl-C end the process itself while modules are loaded: there is nothing to keep yet, and some of them catch and
    forget every exception that comes meanwhile. SIGTERM does so by itself."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or handler is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP, such as ``docker stop`` and a closed terminal send them, do what Ctrl-C does: end what is at
    work, keep what is finished, and leave no half of a file."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:  # nohup has it ignored
            before[number] = signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, _: FrameType | None) -> None:
    """Do what Ctrl-C does, which may itself be ignored, as in a background job; not where a trainer has put its own handler in
    front, which ends after the step that is at work."""
    if signal.getsignal(number) is _interrupt:
        raise KeyboardInterrupt
