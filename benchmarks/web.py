"""``stylenet web`` under load: photos of 512 pixels from 1, 4 and 16 clients, 50 at once, memory after 500, what it refuses,
and the frames a second that a webcam's page shows in Chromium.

Every request goes to a server of its own, on loopback. With the defaults it takes about three minutes on two cores.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil
from machine import plot, record_name, setting, write_record
from PIL import Image
from web_client import PageClient, post_frame, send_endless


def photo(side: int, kind: str = "JPEG") -> bytes:
    """Return a picture with soft shapes as the bytes of a file."""
    shapes = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    written = io.BytesIO()
    Image.fromarray(shapes).resize((side, side), Image.Resampling.BICUBIC).save(written, kind)
    return written.getvalue()


def bomb() -> bytes:
    """Return a PNG of 400 megapixels in 50 kB."""
    written = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(written, "PNG")
    return written.getvalue()


def load(send: Callable[[], tuple[int, float]], clients: int, requests: int) -> dict[str, Any]:
    """Return latencies and requests a second of so many clients at once."""
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(lambda _: send(), range(requests)))
    spent = time.perf_counter() - began
    seconds = sorted(taken for status, taken in answers if status == 200)
    return {
        "clients": clients,
        "requests": requests,
        "styled": len(seconds),
        "refused": sum(status == 503 for status, _ in answers),
        "per_second": len(seconds) / spent,
        "median": statistics.median(seconds) if seconds else None,
        "worst": seconds[-1] if seconds else None,
    }


def send_photo(port: int) -> tuple[int, float]:
    """Drop a photo on a page of its own; return the time until it is there in every style, and large in one."""
    client = PageClient(port)
    began = time.perf_counter()
    *_, last = client.take(client.upload("photo.jpg", photo(512)))
    return 200 if last.get("success") else 500, time.perf_counter() - began


def refusals(port: int, style: str, root: Path) -> dict[str, Any]:
    """Return what is answered to bad requests: statuses, or the words that the page shows."""
    client = PageClient(port)

    def told(name: str, content: bytes) -> str:
        *_, last = client.take(client.upload(name, content))
        return str(last["output"].get("error"))

    def size() -> float:
        return sum(file.stat().st_size for file in root.rglob("*") if file.is_file()) / 1e6

    before = size()
    endless, left = send_endless(port, 2 * 10**9), size() - before
    return {
        "a bomb, by the page": told("bomb.png", bomb()),
        "a bomb, as a frame": post_frame(port, style, bomb())[0],
        "text, by the page": told("text.jpg", b"no picture at all"),
        "text, as a frame": post_frame(port, style, b"no picture at all")[0],
        "2 GB, said beforehand": post_frame(port, style, b"x", 2 * 10**9)[0],
        "2 GB, not said beforehand": f"{endless[0]} after {endless[1] / 1e6:.0f} MB",
        "MB left of it": round(left, 1),
        "a style that is not there": post_frame(port, "nothing", photo(512))[0],
        "a path for a style": post_frame(port, "..%2F..%2Fetc%2Fpasswd", photo(512))[0],
    }


def end_in_mid_job(server: subprocess.Popen[str], port: int, root: Path) -> dict[str, Any]:
    """Start a search, close its page, and end the server; return what was left before and after."""
    client = PageClient(port)
    picture = client.upload("photo.jpg", photo(512))
    client.optimize(picture, picture)
    time.sleep(5)
    jobs = psutil.Process(server.pid).children(recursive=True)
    began = time.perf_counter()
    server.send_signal(signal.SIGTERM)
    server.wait(timeout=60)
    return {
        "processes after its page was closed": len(jobs),
        "seconds to end": time.perf_counter() - began,
        "processes after SIGTERM": sum(job.is_running() for job in jobs),
        # torch keeps what its compiler makes, for whoever needs it next
        "files after SIGTERM": sorted(path.name for path in root.iterdir() if not path.name.startswith("torchinductor_")),
    }


def webcam(port: int, style: str, seconds: float, size: str = "384") -> float | None:
    """Return the frames a second that the page Live shows, with Chromium's test picture as the camera, on the same machine.

    It is None where Playwright or Chromium are missing, or no seconds are given.
    """
    program = next((found for name in ("chromium", "google-chrome") if (found := shutil.which(name))), None)
    if not seconds or program is None or importlib.util.find_spec("playwright") is None:
        return None
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream=fps=30"]
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=flags)
        page = browser.new_context(permissions=["camera"]).new_page()
        page.goto(f"http://127.0.0.1:{port}/live/")
        page.wait_for_selector("body[data-ready]")
        page.select_option("#style", style)
        page.select_option("#size", size)
        page.click("#camera")
        page.wait_for_selector("#status:has-text('×')")
        page.wait_for_timeout(1000 * seconds)  # the rate shown is that of the last 60 frames
        rate = float(page.get_attribute("#picture", "data-rate") or 0)
        browser.close()
    return rate


def measure(server: subprocess.Popen[str], port: int, root: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return everything that is measured of a server whose temporary files are in a folder."""
    body, style = photo(512), arguments.style

    def frame() -> tuple[int, float]:
        return post_frame(port, style, body)

    def memory() -> float:
        return float(psutil.Process(server.pid).memory_info().rss / 1e9)

    frame(), send_photo(port)  # what comes first loads the styles
    found: dict[str, Any] = {
        "results": [load(frame, clients, max(clients, arguments.requests)) for clients in arguments.clients],
        "page": [load(lambda: send_photo(port), clients, max(clients, arguments.photos)) for clients in arguments.clients],
        "parallel": load(frame, 50, 50),
        "refused": refusals(port, style, root),
        "webcam_frames_per_second": webcam(port, style, arguments.webcam),
        "memory_gb": [memory()],
    }
    load(frame, 4, arguments.many)
    found["memory_gb"].append(memory())
    return found | {"end": end_in_mid_job(server, port, root)}


def tell(record: dict[str, Any], many: int) -> None:
    """Print a record."""
    for what in ("results", "page"):
        for row in record[what]:
            rate = f"{row['per_second']:.2f} a second, median {row['median']:.2f} s, worst {row['worst']:.2f} s"
            print(f"{what}: {row['clients']:>2} clients: {row['styled']} of {row['requests']}, {rate}")
    print(f"50 at once: {record['parallel']['styled']} styled, {record['parallel']['refused']} refused")
    if (rate := record["webcam_frames_per_second"]) is not None:
        print(f"webcam: {rate:.1f} frames a second at 384 pixels")
    before, after = record["memory_gb"]
    print(f"memory before and after {many}: {before:.2f} and {after:.2f} GB")
    for what, answer in {**record["refused"], **record["end"]}.items():
        print(f"{what}: {answer}")


def main() -> None:
    """Measure, and write a record and a plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--style", default="starry_night_swift")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16], help="how many at once, for each row")
    parser.add_argument("--requests", type=int, default=48, help="frames for each row, or one for each client")
    parser.add_argument("--photos", type=int, default=4, help="photos on the page for each row, or one for each client")
    parser.add_argument("--webcam", type=float, default=20.0, help="seconds to watch the webcam's page; 0 for not at all")
    parser.add_argument("--many", type=int, default=500, help="frames between the two looks at the memory")
    parser.add_argument("--output", type=Path, default=Path("out/benchmarks"))
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "stylenet", "web", "--port", "0", "--device", "cpu"]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TMPDIR": folder}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
            assert server.stdout is not None
            port = urlsplit(server.stdout.readline().strip()).port or 0
            try:
                record = {**setting(arguments), **measure(server, port, Path(folder), arguments)}
            finally:
                server.kill()
    name = record_name("web")
    write_record(record, arguments.output, name)
    tell(record, arguments.many)
    with plot(arguments.output / f"{name}.png", xlabel="clients", ylabel="requests a second") as axes:
        for what in ("results", "page"):
            axes.plot([row["clients"] for row in record[what]], [row["per_second"] for row in record[what]], "o-", label=what)
        axes.legend()


if __name__ == "__main__":
    main()
