"""The gate that every request passes: the right host, the token where there is one, and no more bytes than are taken."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

COOKIE = "stylenet_token"

# A browser asks nobody but this server, whatever the page says. Gradio writes scripts and styles into the page itself.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; frame-ancestors 'self'; form-action 'self'; base-uri 'self'"
)


class Gate:
    """An ASGI application before another.

    Args:
        app: the application behind.
        hosts: names by which this server may be called, without ports, so that no other site's name can be pointed at it
            (DNS rebinding); None for any, where a token is asked for anyway.
        token: what a request must bring, by ``?token=`` once and a cookie from then on; None for none.
        most: largest size of a request's body in bytes.
    """

    def __init__(self, app: App, hosts: frozenset[str] | None, token: str | None, most: int) -> None:
        self.app, self.hosts, self.token, self.most = app, hosts, token, most

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """Answer with what is wrong, or let the request through."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is None:
            await self.app(scope, self._counted(receive), self._marked(scope, send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})
        else:
            body = refusal[1].encode()
            kind = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": refusal[0], "headers": kind})
            await send({"type": "http.response.body", "body": body})

    def _refusal(self, scope: Message, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self.hosts is not None and host.rsplit(":", 1)[0].strip("[]") not in self.hosts:
            return 421, "this server is not called that"
        origin = headers.get("origin", "")
        if origin and origin.split("://", 1)[-1] != host:
            return 403, "requests come from this server's own page alone"
        if self.token is not None and not self._brings_token(scope, headers):
            return 401, "open the address with ?token=... that stylenet web printed"
        if "chunked" in headers.get("transfer-encoding", ""):
            return 411, "say beforehand how many bytes come: browsers do"
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self.most:
            return 413, f"too large: {self.most // 1_000_000} MB are the limit"
        return None

    def _brings_token(self, scope: Message, headers: dict[str, str]) -> bool:
        assert self.token is not None
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        brought = [*_asked(scope), *([] if cookie is None else [cookie.value])]
        return any(hmac.compare_digest(one.encode(), self.token.encode()) for one in brought)

    def _counted(self, receive: Any) -> Any:
        """Cut a body off that is longer than it said, or did not say."""
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message: Message = await receive()
            taken += len(message.get("body", b"")) if message["type"] == "http.request" else 0
            return message if taken <= self.most else {"type": "http.disconnect"}

        return counted

    def _marked(self, scope: Message, send: Any) -> Any:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = [
                    (b"content-security-policy", _POLICY.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                ]
                if self.token is not None and _asked(scope):
                    more.append((b"set-cookie", f"{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/".encode()))
                message["headers"] = [*message.get("headers", []), *more]
            await send(message)

        return marked


def _asked(scope: Message) -> list[str]:
    return parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [])
