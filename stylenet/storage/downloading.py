"""Downloads from web servers: one deadline and one count of bytes over the whole exchange, and an end when the caller ends.

A server can be slow or endless in every phase: in its name's look-up, its status, headers, chunk lines, trailers, provisional
answers and redirects. ``aiohttp`` has a timeout over all of them together; bytes are counted where they leave the socket.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any

from stylenet.errors import InputError
from stylenet.storage.stores import PASSING_STATUS, PassingError

LIMIT_BYTES = 200_000_000
LIMIT_SECONDS = 60.0

# Status, headers, chunk lines and redirects may come beside a file of the largest size.
SLACK_BYTES = 1 << 20

# The event loop of this process: a thread of it does not survive a fork.
_loops: dict[int, asyncio.AbstractEventLoop] = {}
_starting = threading.Lock()

# What is downloaded just now, with the work that it belongs to, if that can be stopped.
_running: dict[Future[Answer], threading.Event | None] = {}

# What tells which part of a file an answer has (RFC 9110, 14.4).
_CONTENT_RANGE = re.compile(r"bytes (?:(?P<start>\d+)-\d+|\*)/(?P<size>\d+|\*)")


class MissingError(InputError):
    """Raised where there is no such file."""


class WholeError(InputError):
    """Raised for a server that gives no parts of a file."""


@dataclass(frozen=True)
class Answer:
    """The answer of a web server.

    Attributes:
        data: the bytes that were asked for.
        size: size of the whole file, where a part was asked for and the server tells it.
    """

    data: bytes
    size: int | None = None


def download(url: str, stopped: threading.Event | None = None) -> bytes:
    """Return what lies at an http(s) address.

    Args:
        url: the address.
        stopped: set when the work that asks for it is stopped; see :func:`stop_downloads`.

    Raises:
        InputError: for an answer that is none, too slow or too large, in one line; for work that is stopped.
    """
    return _awaited(url, None, stopped).data


def download_part(url: str, start: int, end: int) -> Answer:
    """Return the bytes from ``start`` to ``end``, or to the end of the file if that comes first.

    Raises:
        MissingError: if there is no such file.
        WholeError: if the server gives no parts.
        InputError: for an answer that is none, too slow, or longer than what was asked for, in one line.
    """
    if end - start > LIMIT_BYTES:
        raise _too_large(url)
    return _awaited(url, (start, end), None)


def _awaited(url: str, part: tuple[int, int] | None, stopped: threading.Event | None) -> Answer:
    loop = _loop()
    with _starting:  # it is noted before it can be stopped, or was stopped before
        if stopped is not None and stopped.is_set():
            raise _was_stopped(url)
        exchange: Future[Answer] = asyncio.run_coroutine_threadsafe(_bounded(url, part), loop)
        _running[exchange] = stopped
    try:
        return exchange.result(LIMIT_SECONDS + 5)  # what cannot be cancelled, such as the look-up of a name, is left behind
    except CancelledError as error:
        raise _was_stopped(url) from error
    except TimeoutError as error:
        raise _too_slow(url) from error
    finally:
        exchange.cancel()
        _running.pop(exchange, None)


def stop_downloads(stopped: threading.Event) -> None:
    """End the downloads of other threads for some work, those that are about to begin included: they would keep the process
    from ending.

    Args:
        stopped: the work's, and set.
    """
    with _starting:
        exchanges = [exchange for exchange, work in list(_running.items()) if work is stopped]
    for exchange in exchanges:
        exchange.cancel()


def _loop() -> asyncio.AbstractEventLoop:
    with _starting:
        if os.getpid() not in _loops:
            loop = _loops[os.getpid()] = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="downloads", daemon=True).start()
        return _loops[os.getpid()]


async def _bounded(url: str, part: tuple[int, int] | None) -> Answer:
    import aiohttp

    count = _Count(LIMIT_BYTES if part is None else part[1] - part[0])
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            return await _exchange(url, count, part)
    except TimeoutError as error:
        raise _too_slow(url) from error
    except aiohttp.NonHttpUrlRedirectClientError as error:
        raise InputError(f"{url} redirects to {error}: only http and https are followed") from error
    except aiohttp.TooManyRedirects as error:
        raise InputError(f"{url} redirects more than {len(error.history)} times") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        if count.exceeded:
            raise _too_large(url) if part is None else _too_long(url) from error
        if isinstance(error, InputError):
            raise
        kind = InputError if isinstance(error, ValueError) else PassingError  # an address that makes no sense does not pass
        raise kind(f"cannot download {url}: {_reason(error)}") from error


async def _exchange(url: str, count: _Count, part: tuple[int, int] | None) -> Answer:
    import aiohttp

    connector = aiohttp.TCPConnector(socket_factory=count.socket, force_close=True)
    session = aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=LIMIT_SECONDS),
        # What is packed would be unpacked to any size.
        headers={"User-Agent": "stylenet", "Accept-Encoding": "identity"},
        auto_decompress=False,
        trust_env=True,
    )
    headers = {} if part is None else {"Range": f"bytes={part[0]}-{part[1] - 1}"}
    most = LIMIT_BYTES if part is None else part[1] - part[0]
    data = bytearray()
    size: int | None = None
    async with session, session.get(url, headers=headers) as response:
        told = f"{url} answered {response.status} {response.reason}"
        if part is not None:
            start, size = _range_of(response.headers.get("Content-Range", ""))
            if response.status == 416:  # it lies behind the end
                return Answer(b"", size)
            if response.status == 200:
                raise WholeError(f"the server of {url} gives no parts of files: download it yourself first")
            if response.status == 206 and start != part[0]:
                raise InputError(f"{url} answered with another part than was asked for: download it yourself first")
        if response.status in (404, 410):
            raise MissingError(told)
        if not 200 <= response.status < 300:
            raise PassingError(told) if response.status in PASSING_STATUS else InputError(told)
        async for chunk in response.content.iter_chunked(1 << 16):
            data += chunk
            if count.exceeded or len(data) > most:
                raise _too_large(url) if part is None else _too_long(url)
    return Answer(bytes(data), size)


def _range_of(header: str) -> tuple[int | None, int | None]:
    """Return where the part of an answer begins, and the size of the whole file, as far as they are told."""
    found = _CONTENT_RANGE.fullmatch(header.strip())
    if found is None:
        return None, None
    start, size = found["start"], found["size"]
    return None if start is None else int(start), None if size == "*" else int(size)


class _Count:
    """A count of the bytes that an exchange brings, over all its connections.

    Args:
        most: after so many the sockets fail.
    """

    def __init__(self, most: int) -> None:
        self.left = most + SLACK_BYTES
        self.exceeded = False

    def take(self, size: int) -> None:
        """Count bytes.

        Raises:
            ConnectionAbortedError: if they are too many.
        """
        self.left -= size
        if self.left < 0:
            self.exceeded = True
            raise ConnectionAbortedError("too large")

    def socket(self, address: Any) -> socket.socket:
        """Return a socket whose bytes are counted; ``address`` is as ``socket.getaddrinfo`` gives it."""
        family, kind, protocol, _, _ = address
        return _CountingSocket(self.take, family, kind, protocol)


class _CountingSocket(socket.socket):
    def __init__(self, take: Callable[[int], None], family: int, kind: int, protocol: int) -> None:
        super().__init__(family, kind, protocol)
        self.take = take

    def recv(self, *arguments: Any) -> bytes:
        data = super().recv(*arguments)
        self.take(len(data))
        return data

    def recv_into(self, *arguments: Any) -> int:
        size = super().recv_into(*arguments)
        self.take(size)
        return size


def _reason(error: Exception) -> str:
    """Return why in words; many errors of asyncio have none of their own."""
    cause = getattr(error, "os_error", error)
    number = cause.errno if isinstance(cause, OSError) else None
    if number is not None and number > 0:
        return os.strerror(number)
    return str(error) or type(error).__name__


def _was_stopped(url: str) -> InputError:
    return InputError(f"the download of {url} was stopped")


def _too_slow(url: str) -> InputError:
    return InputError(f"{url} took more than {LIMIT_SECONDS:g} s: download it yourself first")


def _too_long(url: str) -> InputError:
    return InputError(f"{url} answered with more bytes than were asked for: download it yourself first")


def _too_large(url: str) -> InputError:
    return InputError(f"{url} is larger than {LIMIT_BYTES // 1_000_000} MB: download it yourself first")
