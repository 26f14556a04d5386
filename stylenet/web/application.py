"""The application behind the gate: Gradio's page, and the camera's."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI

from stylenet import InputError
from stylenet.web.live import add_live
from stylenet.web.page import CSS, SCRIPT, build_page
from stylenet.web.site import Site


def make_application(site: Site, root: Path) -> FastAPI:
    """Return the application of a site.

    Args:
        site: the parts of the server.
        root: folder of all that is uploaded and made. No file outside of it is read for a request, or sent.
    """

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(_sweep(root / "uploads"))
        yield
        sweeping.cancel()
        site.queue.close()  # at SIGTERM: before connections are waited for

    application = FastAPI(lifespan=life, docs_url=None, redoc_url=None, openapi_url=None)
    add_live(application, site.painter)
    page = build_page(site)
    page.queue(max_size=site.limits.queue * 4, api_open=False)
    keep_files_within(root, page)
    gr.mount_gradio_app(
        application,
        page,
        path="/",
        theme=_theme(),
        css=CSS,
        head=f"<script>{SCRIPT}</script>",
        footer_links=[],
        max_file_size=f"{int(site.limits.upload_mb)}mb",
        allowed_paths=[str(root / "visits")],
        ssr_mode=False,
        enable_monitoring=False,
        show_error=True,
        mcp_server=False,
    )
    return application


async def _sweep(uploads: Path) -> None:
    """Delete broken uploads again and again."""
    while True:
        await asyncio.sleep(60)
        delete_broken(uploads)


def delete_broken(uploads: Path, seconds: float = 600) -> None:
    """Delete uploads that broke off: Gradio leaves what came so far beside the folders of those that are whole.

    Args:
        uploads: folder of Gradio's uploads.
        seconds: time without another byte after which an upload counts as broken.
    """
    for part in uploads.glob("*"):
        with contextlib.suppress(OSError):
            if part.is_file() and time.time() - part.stat().st_mtime > seconds:
                part.unlink()


def keep_files_within(root: Path, page: gr.Blocks) -> None:
    """Refuse files outside of a folder, and addresses, wherever a request may name a file.

    Gradio checks this for a page that it launches itself, but not for one that is mounted (6.31,
    ``processing_utils._check_allowed``): there a request could name any file of the machine as "uploaded", for any part of the
    page, and have it copied to where it can be fetched. An address would be fetched by this machine.
    """

    def guarded(usual: Any) -> Any:
        async def move(path: str | Path | None) -> str | None:
            if path is not None and not Path(path).resolve().is_relative_to(root):
                raise InputError("this file was not uploaded here")
            moved: str | None = await usual(path)
            return moved

        return move

    for block in page.blocks.values():
        block.async_move_resource_to_block_cache = guarded(block.async_move_resource_to_block_cache)  # type: ignore[method-assign, unused-ignore]


def _theme() -> gr.themes.Base:
    """Return Gradio's plainest theme with fonts of the machine and colours of sufficient contrast."""
    theme = gr.themes.Base(
        primary_hue="blue",
        neutral_hue="stone",
        radius_size="lg",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    theme.set(
        button_primary_background_fill="#1d4ed8",  # Gradio's own has 3.7 to 1
        button_primary_background_fill_hover="#1e40af",
        button_primary_text_color="#ffffff",
        block_label_background_fill="*block_background_fill",
        block_label_border_width="0px",
        input_background_fill="*neutral_50",
        input_background_fill_dark="*neutral_800",
        input_border_width="1px",
    )
    return theme
