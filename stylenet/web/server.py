"""The server: Gradio's page and the camera's behind one gate, on one address, with a temporary folder that goes with it."""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from stylenet import InputError
from stylenet.devices import keep_freed_memory
from stylenet.files import delete_folder, temporary_folder
from stylenet.web.gate import Gate
from stylenet.web.jobs import JobQueue
from stylenet.web.limits import Limits, safe_name
from stylenet.web.painting import Painter
from stylenet.web.shelf import Shelf
from stylenet.web.site import Site
from stylenet.web.visits import Visits

# Multipart boundaries and names around a file of the largest size.
_WRAPPING = 1_000_000
_SHORTEST_TOKEN = 16


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
        device: for photos, first frames of videos and the webcam: ``auto``, ``cpu``, ``cuda``, ...
        limits: limits of uploads, pictures, times and queues.
        told: gets the address to open, once the server listens there.

    Raises:
        InputError: for an address, style or folder that cannot be.
    """
    _leave_the_network_alone()
    check_packages()
    keep_freed_memory()
    limits = limits or Limits()
    token = check_token(host, token)
    with _listening(host, port) as listening, _temporary_folder() as root, _jobs(limits) as queue:
        shelf = Shelf(styles, root / "shelf")
        visits = Visits(root / "visits", limits.idle_hours * 3600)
        site = Site(shelf, Painter(shelf, limits, device), queue, visits, limits, find_folders(photos))
        gate = _gate(site, root, host, token)
        listening.listen(128)  # whoever comes before the server is up waits
        if told is not None:
            told(_address(host, listening.getsockname()[1], token))
        _run(gate, listening)


def check_packages() -> None:
    """Fail without the extra.

    Raises:
        InputError: if Gradio is not installed.
    """
    if importlib.util.find_spec("gradio") is None:  # imported later: Gradio picks its temporary folder when it is
        raise InputError("the page needs the package gradio: pip install 'stylenet[web]'")


def check_token(host: str, token: str | None) -> str | None:
    """Return the token that a browser must bring: the one that was given, or one made up for an address that others reach.

    Raises:
        InputError: for one that can be guessed.
    """
    if token is None:
        return None if is_loopback(host) else secrets.token_urlsafe(24)
    if len(token) < _SHORTEST_TOKEN:
        raise InputError(f"token is too short: {_SHORTEST_TOKEN} characters or more")
    return token


def is_loopback(host: str) -> bool:
    """Return whether an address is this machine's own alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def find_folders(photos: Sequence[str]) -> dict[str, Path]:
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


def _address(host: str, port: int, token: str | None) -> str:
    """Return the address that a person opens."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")


def _leave_the_network_alone() -> None:
    """Switch off what would ask others: Gradio's analytics and its look for a newer version, and the hub's."""
    for name, value in (("GRADIO_ANALYTICS_ENABLED", "False"), ("HF_HUB_OFFLINE", "1"), ("HF_HUB_DISABLE_TELEMETRY", "1")):
        os.environ[name] = value


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket at an address, taken before anything slow is done."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except OSError as error:
            raise InputError(f"cannot listen at {host}:{port} ({error.strerror}): choose another port") from error
        yield listening


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    """Yield a folder for what is uploaded and made; it is deleted at the end, by SIGTERM too, and what a server that was
    killed has left at the next start."""
    if threading.current_thread() is threading.main_thread():
        # The program then ends as by an exception. uvicorn raises the signal again when it has ended.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    root = temporary_folder("stylenet_web_", tempfile.gettempdir())
    os.environ["GRADIO_TEMP_DIR"] = str(root / "uploads")
    for part in ("visits", "shelf"):
        (root / part).mkdir()
    try:
        yield root
    finally:
        delete_folder(root)


@contextlib.contextmanager
def _jobs(limits: Limits) -> Iterator[JobQueue]:
    """Yield the queue, with one worker for each device; its jobs end with it."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    devices = [str(index) for index in range(count)] or [""]
    queue = JobQueue(devices, limits.queue, limits.job_minutes * 60)
    try:
        yield queue
    finally:
        queue.close()


def _gate(site: Site, root: Path, host: str, token: str | None) -> Gate:
    """Return the whole application."""
    from stylenet.web.application import make_application

    own_names = frozenset({"localhost", "127.0.0.1", "::1", host}) if is_loopback(host) else None
    return Gate(make_application(site, root), own_names, token, int(site.limits.upload_mb * 1e6) + _WRAPPING)


def _run(gate: Gate, listening: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    import uvicorn

    config = uvicorn.Config(gate, log_level="warning", timeout_graceful_shutdown=3, limit_concurrency=256)
    uvicorn.Server(config).run(sockets=[listening])
