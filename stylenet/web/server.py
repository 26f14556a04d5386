"""The server: Gradio's page and the camera's behind one gate, on one address, with a temporary folder that goes with it."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import torch

from stylenet import InputError
from stylenet.web.limits import Limits, safe_name

# Multipart boundaries and names around a file of the largest size.
_WRAPPING = 1_000_000


def serve(
    host: str = "127.0.0.1",
    port: int = 7860,
    token: str | None = None,
    styles: Sequence[str] = (),
    photos: Sequence[str] = (),
    device: str = "auto",
    limits: Limits | None = None,
    told: Callable[[str], None] | None = None,
) -> None:
    """Show the page in a browser until Ctrl-C; what was uploaded and made is deleted at the end.

    Args:
        host: address to listen at. Any but this machine's own asks for a token.
        port: port of the address; 0 takes a free one.
        token: that a browser must bring, once; made up where ``host`` needs one.
        styles: style files to show besides those that come with stylenet.
        photos: folders of photos on this machine that trainings may read.
        device: for photos, films' first frames and the webcam: ``auto``, ``cpu``, ``cuda``, ...
        limits: limits of uploads, pictures, times and queues.
        told: gets the address to open, once the server listens there.

    Raises:
        InputError: for an address, style or folder that cannot be.
    """
    _leave_the_network_alone()
    check_packages()
    bounds = limits or Limits()
    own = is_loopback(host)
    if not own and token is None:
        token = secrets.token_urlsafe(24)
    if token is not None and len(token) < 16:
        raise InputError("token is too short: 16 characters or more")
    listening = _listen(host, port)
    root = Path(tempfile.mkdtemp(prefix="stylenet_web_"))
    os.environ["GRADIO_TEMP_DIR"] = str(root / "uploads")
    try:
        _run(listening, host, token, own, styles, photos, device, bounds, root, told)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def check_packages() -> None:
    """Fail without the extra.

    Raises:
        InputError: if Gradio is not installed.
    """
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise InputError("the page needs the package gradio: pip install 'stylenet[web]'") from error


def is_loopback(host: str) -> bool:
    """Return whether an address is this machine's own alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(host: str) -> str:
    """Return an address as a URL has it."""
    return f"[{host}]" if ":" in host else host


def _leave_the_network_alone() -> None:
    """Switch off what would ask others: Gradio's analytics and its look for a newer version, and the hub's."""
    for name, value in (("GRADIO_ANALYTICS_ENABLED", "False"), ("HF_HUB_OFFLINE", "1"), ("HF_HUB_DISABLE_TELEMETRY", "1")):
        os.environ[name] = value


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise InputError(f"cannot listen at {host}:{port} ({error.strerror}): choose another port") from error
    return listening


def _run(
    listening: socket.socket,
    host: str,
    token: str | None,
    own: bool,
    styles: Sequence[str],
    photos: Sequence[str],
    device: str,
    limits: Limits,
    root: Path,
    told: Callable[[str], None] | None,
) -> None:
    """Put the site together and serve it."""
    import uvicorn

    from stylenet.web.gate import Gate
    from stylenet.web.jobs import JobQueue
    from stylenet.web.painting import Painter, Shelf
    from stylenet.web.site import Site
    from stylenet.web.tabs import Tabs

    shelf = Shelf(styles)
    (root / "tabs").mkdir()
    queue = JobQueue(_job_devices(), limits.queue, limits.job_minutes * 60)
    tabs = Tabs(root / "tabs", limits.idle_hours * 3600)
    site = Site(shelf, Painter(shelf, limits, device), queue, tabs, limits, _folders(photos))
    hosts = frozenset({"localhost", "127.0.0.1", "::1", host}) if own else None
    gate = Gate(_application(site, root), hosts, token, int(limits.upload_mb * 1e6) + _WRAPPING)
    server = uvicorn.Server(uvicorn.Config(gate, log_level="warning", timeout_graceful_shutdown=3, limit_concurrency=256))
    _end_in_order()
    listening.listen(128)  # whoever comes before the server is up waits
    if told is not None:
        told(f"http://{_shown(host)}:{listening.getsockname()[1]}/" + (f"?token={token}" if token else ""))
    try:
        server.run(sockets=[listening])
    finally:
        queue.close()


def _application(site: Site, root: Path) -> FastAPI:  # type: ignore[name-defined]  # noqa: F821
    import gradio as gr
    from fastapi import FastAPI

    from stylenet.web.live import add_live
    from stylenet.web.page import CSS, SCRIPT, build_page

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        site.queue.close()  # at SIGTERM: before connections are waited for

    app = FastAPI(lifespan=life, docs_url=None, redoc_url=None, openapi_url=None)
    add_live(app, site.painter)
    page = build_page(site)
    page.queue(max_size=site.limits.queue * 4, api_open=False)
    theme = gr.themes.Base(primary_hue="blue", neutral_hue="stone", font=["system-ui", "sans-serif"], font_mono=["monospace"])
    theme.set(button_primary_background_fill="#1d4ed8", button_primary_background_fill_hover="#1e40af")  # its own: 3.7 to 1
    return gr.mount_gradio_app(
        app,
        page,
        path="/",
        theme=theme,
        css=CSS,
        head=f"<script>{SCRIPT}</script>",
        footer_links=[],
        max_file_size=f"{int(site.limits.upload_mb)}mb",
        allowed_paths=[str(root / "tabs")],
        ssr_mode=False,
        enable_monitoring=False,
        show_error=True,
        mcp_server=False,
    )


def _end_in_order() -> None:
    """Let SIGTERM end the program as an exception does, so that files are deleted: uvicorn raises it again at its end."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def _job_devices() -> list[str]:
    """Return one entry for each device that jobs share."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [str(index) for index in range(count)] or [""]


def _folders(photos: Sequence[str]) -> dict[str, Path]:
    """Return folders of photos by the name that the page shows.

    Raises:
        InputError: for one that is not there.
    """
    found: dict[str, Path] = {}
    for photo in photos:
        folder = Path(photo).resolve()
        if not folder.is_dir():
            raise InputError(f"no folder {photo}")
        found[safe_name(folder.name, f"folder {len(found) + 1}")] = folder
    return found
