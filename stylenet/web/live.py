"""The webcam: a frame comes as a JPEG, and goes back in the style.

Gradio's streaming writes every frame to a file, queues it, and has the answer fetched by another request. This page sends the
newest frame when one before has come back, so that nothing piles up, and nothing touches the disk.
"""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse

import stylenet
from stylenet import InputError, RunError
from stylenet.web.painting import Painter

_STATIC = Path(__file__).with_name("static")
_FILES = {"": "live.html", "live.js": "live.js", "live.css": "live.css"}
_AT_WORK = 16
_JPEG = b"\xff\xd8\xff"
_LARGEST_FRAME, _LONGEST, _SHORTEST = 2_000_000, 640, 16


def add_live(app: FastAPI, painter: Painter) -> None:
    """Add the page ``/live/``, and what it asks, to an application."""
    at_work = asyncio.Semaphore(_AT_WORK)

    @app.get("/live/{name:path}", include_in_schema=False)
    def page(name: str) -> FileResponse:
        return FileResponse(_STATIC / _FILES.get(name, "live.html"))

    @app.get("/live-styles", include_in_schema=False)
    def styles() -> list[str]:
        return sorted(painter.shelf.names, key=lambda name: not name.endswith("_swift"))

    @app.post("/live-frames/{style}", include_in_schema=False)
    async def frames(style: str, request: Request) -> Response:
        if at_work.locked():
            return Response("too many cameras are in use: try again later", 503)
        async with at_work:
            try:
                painted = await asyncio.to_thread(paint_frame, await _body(request), style, painter)
            except (InputError, RunError) as error:
                return Response(str(error), 400)
        return Response(painted, media_type="image/jpeg")


async def _body(request: Request) -> bytes:
    """Return the body of a request, and stop reading one that is too large.

    Raises:
        InputError: then.
    """
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST_FRAME:
            raise InputError(f"this frame is too large: {_LARGEST_FRAME // 1_000_000} MB are the limit")
    return body


def paint_frame(frame: bytes, style: str, painter: Painter) -> bytes:
    """Return a frame in a style; both are JPEGs.

    Raises:
        InputError: for what is no JPEG, or has too many or too few pixels, and for a style that is not there.
        RunError: for a frame that memory does not hold.
    """
    if not frame.startswith(_JPEG):
        raise InputError("this frame is no JPEG")
    try:
        size = stylenet.read_size(frame)
    except InputError as error:
        raise InputError(f"this frame is no JPEG that can be read: {error}") from error
    if max(size) > _LONGEST or min(size) < _SHORTEST:
        raise InputError(f"a frame has {_SHORTEST} to {_LONGEST} pixels a side")
    try:
        picture = stylenet.read_image(frame)
    except InputError as error:
        raise InputError(f"this frame is no JPEG that can be read: {error}") from error
    written = io.BytesIO()
    painter.frame(picture, style).pil().save(written, "JPEG", quality=85)
    return written.getvalue()
