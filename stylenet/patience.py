"""Give up a connection that brings too little, in whichever phase of an exchange it is.

The timeout of a socket begins anew with every byte: a server that sends one header line, or one byte of a file, every few
seconds would never meet it.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
import urllib.request
from types import TracebackType
from typing import Any

# So many bytes have to come in the time that is waited.
LEAST = 1 << 16

# What is told of a connection that was given up.
SLOW = "the server timed out: it sends nothing, or next to nothing"


class Patience:
    """Opens addresses, and cuts their connections where nothing is renewed for so many seconds. Used as a context.

    Args:
        seconds: seconds until the first :meth:`renew`, and from one to the next.

    Attributes:
        over: the connections were cut.
        connections: all of them, one after the other.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.over = seconds, False
        self.connections: list[Any] = []
        self._done = threading.Event()
        self.renew()

    def renew(self) -> None:
        """Begin to wait anew."""
        self.deadline, self._missing = time.monotonic() + self.seconds, LEAST

    def came(self, size: int) -> None:
        """Take note of bytes that came; with enough of them the wait begins anew."""
        self._missing -= size
        if self._missing <= 0:
            self.renew()

    def timed_out(self, error: Exception) -> bool:
        """Return whether an error says that too little came in time."""
        return self.over or isinstance(getattr(error, "reason", error), TimeoutError)

    def open(self, request: urllib.request.Request) -> Any:
        """Return the answer to a request, by http and https alone.

        Raises:
            OSError, http.client.HTTPException: as ``urllib.request.urlopen`` does.
        """
        opener = urllib.request.OpenerDirector()
        for handler in (
            *(urllib.request.ProxyHandler(), urllib.request.HTTPRedirectHandler(), urllib.request.UnknownHandler()),
            *(urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPErrorProcessor()),
            *(_Plain(self), _Secure(self)),
        ):
            opener.add_handler(handler)
        return opener.open(request, timeout=self.seconds)

    def _watch(self) -> None:
        while not self._done.wait(max(self.deadline - time.monotonic(), 0.0)):
            if time.monotonic() >= self.deadline:
                self.over = True
                for connection in list(self.connections):
                    _cut(connection.kept or connection.sock)
                return

    def __enter__(self) -> Patience:
        threading.Thread(target=self._watch, name="patience", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._done.set()


def _cut(one: socket.socket | None) -> None:
    with contextlib.suppress(OSError):  # it has ended by itself
        if one is not None:
            one.shutdown(socket.SHUT_RDWR)


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, patience: Patience) -> None:
        super().__init__()
        self.kind = _noting(http.client.HTTPConnection, patience)

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self.kind, req)


class _Secure(urllib.request.HTTPSHandler):
    def __init__(self, patience: Patience) -> None:
        super().__init__()
        self.kind = _noting(http.client.HTTPSConnection, patience)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self.kind, req)


def _noting(kind: Any, patience: Patience) -> Any:
    """Return a class of connections that are noted before they begin, and keep the socket that they hand to their answer.

    After the time is over, such as behind a redirect, none begins.
    """

    class Connection(kind):  # type: ignore[misc]
        kept: socket.socket | None = None

        def connect(self) -> None:
            patience.connections.append(self)
            if patience.over:
                raise TimeoutError("timed out")
            super().connect()
            self.kept = self.sock

    return Connection
