"""The webcam: a frame comes over a socket, and goes back in the style.

Gradio's streaming sends every frame as a request of its own that is written to a file and queued; this page sends the newest
frame when the one before has come back, so that nothing piles up.
"""

from __future__ import annotations

import asyncio
import io
import json
import warnings
from pathlib import Path
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse
from PIL import Image

from stylenet import InputError
from stylenet.web.painting import Painter
from stylenet.web.watching import from_pil, to_pil

_STATIC = Path(__file__).with_name("static")
_FILES = {"": "live.html", "live.js": "live.js", "live.css": "live.css"}
_SOCKETS = 4
_LARGEST_FRAME, _LONGEST, _SHORTEST = 2_000_000, 640, 16


def add_live(app: FastAPI, painter: Painter) -> None:
    """Add the page ``/live/`` and its socket to an application."""
    open_sockets: set[WebSocket] = set()

    @app.get("/live/{name:path}", include_in_schema=False)
    def page(name: str) -> FileResponse:
        return FileResponse(_STATIC / _FILES.get(name, "live.html"))

    @app.get("/live-styles", include_in_schema=False)
    def styles() -> list[str]:
        return sorted(painter.shelf.names, key=lambda name: not name.endswith("_swift"))

    @app.websocket("/live-frames")
    async def frames(socket: WebSocket) -> None:
        await socket.accept()
        if len(open_sockets) >= _SOCKETS:
            await socket.close(1013, "too many cameras are in use")
            return
        open_sockets.add(socket)
        try:
            await _serve_frames(socket, painter)
        except WebSocketDisconnect:
            pass
        finally:
            open_sockets.discard(socket)


async def _serve_frames(socket: WebSocket, painter: Painter) -> None:
    """Answer one frame after another: JPEG bytes in, JPEG bytes out; text names the style, and tells what is wrong."""
    style = ""
    while True:
        message: dict[str, Any] = dict(await socket.receive())
        if message["type"] == "websocket.disconnect":
            return
        try:
            if message.get("text") is not None:
                style = _style(message["text"], painter)
            else:
                await socket.send_bytes(await asyncio.to_thread(_painted, message.get("bytes") or b"", style, painter))
        except InputError as error:
            await socket.send_text(json.dumps({"error": str(error)}))


def _style(text: str, painter: Painter) -> str:
    painter.shelf.path(text)
    return text


def _painted(frame: bytes, style: str, painter: Painter) -> bytes:
    if not style:
        raise InputError("choose a style first")
    if len(frame) > _LARGEST_FRAME:
        raise InputError("this frame is too large")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(frame), formats=["JPEG"])
            if max(image.size) > _LONGEST or min(image.size) < _SHORTEST:
                raise InputError(f"a frame has {_SHORTEST} to {_LONGEST} pixels a side")
            picture = from_pil(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError("this frame is no JPEG") from error
    written = io.BytesIO()
    to_pil(painter.frame(picture, style)).save(written, "JPEG", quality=85)
    return written.getvalue()
