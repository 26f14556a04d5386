"""Downloads of pictures: one deadline and one count of bytes over the whole exchange, and an end when the caller ends.

A server can be slow or endless in every phase: in its name's look-up, its status, headers, chunk lines, trailers, provisional
answers and redirects. ``aiohttp`` has a timeout over all of them together; bytes are counted where they leave the socket.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any

from stylenet.errors import InputError

LIMIT_BYTES = 200_000_000
LIMIT_SECONDS = 60.0

# Status, headers, chunk lines and redirects may come beside a file of the largest size.
SLACK_BYTES = 1 << 20

# The event loop of this process: a thread of it does not survive a fork.
_loops: dict[int, asyncio.AbstractEventLoop] = {}
_starting = threading.Lock()

# What is downloaded just now, with the work that it belongs to, if that can be stopped.
_running: dict[Future[bytes], threading.Event | None] = {}


def download(url: str, stopped: threading.Event | None = None) -> bytes:
    """Return what lies at an http(s) address.

    Args:
        url: the address.
        stopped: set when the work that asks for it is stopped; see :func:`stop_downloads`.

    Raises:
        InputError: for an answer that is none, too slow or too large, in one line; for work that is stopped.
    """
    loop = _loop()
    with _starting:  # it is noted before it can be stopped, or was stopped before
        if stopped is not None and stopped.is_set():
            raise _was_stopped(url)
        exchange: Future[bytes] = asyncio.run_coroutine_threadsafe(_bounded(url), loop)
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


async def _bounded(url: str) -> bytes:
    import aiohttp

    count = _Count(LIMIT_BYTES)
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            return await _exchange(url, count)
    except TimeoutError as error:
        raise _too_slow(url) from error
    except aiohttp.NonHttpUrlRedirectClientError as error:
        raise InputError(f"{url} redirects to {error}: only http and https are followed") from error
    except aiohttp.TooManyRedirects as error:
        raise InputError(f"{url} redirects more than {len(error.history)} times") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        if count.exceeded:
            raise _too_large(url) from error
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot download {url}: {_reason(error)}") from error


async def _exchange(url: str, count: _Count) -> bytes:
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
    data = bytearray()
    async with session, session.get(url) as response:
        if not 200 <= response.status < 300:
            raise InputError(f"{url} answered {response.status} {response.reason}")
        async for chunk in response.content.iter_chunked(1 << 16):
            data += chunk
            if count.exceeded or len(data) > LIMIT_BYTES:
                raise _too_large(url)
    return bytes(data)


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


def _too_large(url: str) -> InputError:
    return InputError(f"{url} is larger than {LIMIT_BYTES // 1_000_000} MB: download it yourself first")
