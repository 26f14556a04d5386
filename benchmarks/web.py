"""``stylenet web`` under load: photos of 512 pixels from 1, 4 and 16 clients, 50 at once, memory after 500, what it refuses.

Every request goes to a server of its own, on loopback.
"""

from __future__ import annotations

import argparse
import http.client
import io
import signal
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil
from machine import plot, record_name, setting, write_record
from PIL import Image


def photo(side: int, kind: str = "JPEG") -> bytes:
    """Return a picture with soft shapes as the bytes of a file."""
    shapes = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    written = io.BytesIO()
    Image.fromarray(shapes).resize((side, side), Image.Resampling.BICUBIC).save(written, kind)
    return written.getvalue()


def post(port: int, style: str, body: bytes, length: int | None = None) -> tuple[int, float]:
    """Return the status and the seconds of one request; ``length`` is what it claims to send."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    began = time.perf_counter()
    headers = {"Content-Length": str(len(body) if length is None else length)}
    connection.request("POST", f"/live-frames/{style}", body, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, time.perf_counter() - began


def load(port: int, style: str, clients: int, requests: int) -> dict[str, Any]:
    """Return latencies and requests a second of so many clients at once."""
    body = photo(512)
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(lambda _: post(port, style, body), range(requests)))
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


def refusals(port: int, style: str) -> dict[str, int]:
    """Return the statuses that bad requests get."""
    bomb = io.BytesIO()
    Image.new("L", (20_000, 20_000)).save(bomb, "JPEG")
    return {
        "a picture of 400 megapixels": post(port, style, bomb.getvalue())[0],
        "2 GB": post(port, style, b"x", 2 * 10**9)[0],
        "text": post(port, style, b"no picture at all")[0],
        "a style that is not there": post(port, "nothing", photo(512))[0],
        "a path for a style": post(port, "..%2F..%2Fetc%2Fpasswd", photo(512))[0],
    }


def main() -> None:
    """Measure, and write a record and a plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--style", default="starry_night_swift")
    parser.add_argument("--requests", type=int, default=48)
    parser.add_argument("--many", type=int, default=500)
    parser.add_argument("--output", type=Path, default=Path("out/benchmarks"))
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "stylenet", "web", "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = urlsplit(server.stdout.readline().strip()).port or 0
        wait_for(port, arguments.style)
        rows = [load(port, arguments.style, clients, arguments.requests) for clients in (1, 4, 16)]
        parallel = load(port, arguments.style, 50, 50)
        refused = refusals(port, arguments.style)
        memory = [psutil.Process(server.pid).memory_info().rss / 1e9]
        load(port, arguments.style, 4, arguments.many)
        memory.append(psutil.Process(server.pid).memory_info().rss / 1e9)
        began = time.perf_counter()
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=60)
        ended = time.perf_counter() - began
    record = {**setting(arguments), "results": rows, "parallel": parallel, "refused": refused}
    record |= {"memory_gb": memory, "seconds_to_end": ended}
    name = record_name("web")
    write_record(record, arguments.output, name)
    for row in [*rows, parallel]:
        rate = f"{row['per_second']:.1f} a second, median {row['median']} s"
        print(f"{row['clients']:>2} clients: {row['styled']} of {row['requests']}, {rate}")
    print(f"memory before and after {arguments.many}: {memory[0]:.2f} and {memory[1]:.2f} GB; ends in {ended:.1f} s")
    print(f"statuses of what is refused: {refused}")
    with plot(arguments.output / f"{name}.png", xlabel="clients", ylabel="requests a second") as axes:
        axes.plot([row["clients"] for row in rows], [row["per_second"] for row in rows], "o-")


def wait_for(port: int, style: str) -> None:
    """Ask until the server answers, and once more, so that the style is loaded."""
    for _ in range(600):
        try:
            post(port, style, photo(512))
            return
        except OSError:
            time.sleep(0.5)


if __name__ == "__main__":
    main()
