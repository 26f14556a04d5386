"""The webcam: a frame comes as a JPEG, and goes back in the style.

Gradio's streaming writes every frame to a file, queues it, and has the answer fetched by another request; this page sends the
newest frame when one before has come back, so that nothing piles up, and nothing touches the disk.
"""

from __future__ import annotations

import asyncio
import io
import warnings
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse
from PIL import Image

from stylenet import InputError
from stylenet.web.painting import Painter
from stylenet.web.watching import from_pil, to_pil

_STATIC = Path(__file__).with_name("static")
_FILES = {"": "live.html", "live.js": "live.js", "live.css": "live.css"}
_AT_WORK = 16
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
            return Response("too many cameras are in use", 503)
        async with at_work:
            try:
                painted = await asyncio.to_thread(_painted, await request.body(), style, painter)
            except InputError as error:
                return Response(str(error), 400)
        return Response(painted, media_type="image/jpeg")


def _painted(frame: bytes, style: str, painter: Painter) -> bytes:
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
