"""A client of ``stylenet web`` for its benchmark: uploads, starts events as the page does, and waits for their end."""

from __future__ import annotations

import http.client
import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

Seconds = float


def post_frame(port: int, style: str, body: bytes, length: int | None = None) -> tuple[int, Seconds]:
    """Return the status and the time of one picture sent to the camera's address; ``length`` is what it claims to send."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    began = time.perf_counter()
    headers = {"Content-Length": str(len(body) if length is None else length)}
    connection.request("POST", f"/live-frames/{style}", body, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, time.perf_counter() - began


def send_endless(port: int, most: int) -> tuple[int | str, int]:
    """Send bytes without a word on how many; return the status or how it was cut off, and how many bytes were sent."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest("POST", "/gradio_api/upload")
    connection.putheader("Content-Type", "multipart/form-data; boundary=edge")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    start = b'--edge\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    sent, piece = 0, b"x" * 1_000_000
    try:
        connection.send(b"%x\r\n%b\r\n" % (len(start), start))
        while sent < most:
            connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            sent += len(piece)
        connection.send(b"0\r\n\r\n")
        return connection.getresponse().status, sent
    except OSError as error:
        return type(error).__name__, sent
    finally:
        connection.close()


class PageClient:
    """One open page.

    Args:
        port: port of the server on this machine.
    """

    def __init__(self, port: int) -> None:
        self.port, self.name, self.session = port, secrets.token_hex(16), secrets.token_hex(8)
        config = json.loads(self._ask("GET", "/config"))
        self._components = {component["id"]: component for component in config["components"]}
        self._events = config["dependencies"]

    def upload(self, name: str, content: bytes) -> dict[str, Any]:
        """Send a file and return its description, as events take it."""
        head = f'--edge\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
        body = head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n--edge--\r\n"
        told = self._ask("POST", "/gradio_api/upload", body, "multipart/form-data; boundary=edge")
        return {"path": json.loads(told)[0], "orig_name": name, "meta": {"_type": "gradio.FileData"}}

    def take(self, photo: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Choose a photo in the tab Stylize, and yield every message that follows."""
        return self._start("Photo", "change", {1: photo})

    def optimize(self, photo: dict[str, Any], painting: dict[str, Any]) -> None:
        """Start a search of the tab Optimize, and do not look at it any more."""
        next(iter(self._start("Optimize", "click", {1: photo, 2: painting})))

    def _start(self, part: str, event: str, answers: dict[int, Any]) -> Iterator[dict[str, Any]]:
        """Start the first event of a part; what is not answered keeps the value that the page begins with."""
        found = next(one for one in self._events if any(self._is(target, part, event) for target in one["targets"]))
        data = [self._components[number]["props"].get("value") for number in found["inputs"]]
        data[0] = self.name
        for place, answer in answers.items():
            data[place] = answer
        request = {"data": data, "fn_index": found["id"], "session_hash": self.session}
        self._ask("POST", "/gradio_api/queue/join", json.dumps(request).encode(), "application/json")
        return self._messages()

    def _is(self, target: list[Any], part: str, event: str) -> bool:
        props = self._components[target[0]]["props"] if target[0] in self._components else {}
        return target[1] == event and part in (props.get("label"), props.get("value"))

    def _messages(self) -> Iterator[dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        connection.request("GET", f"/gradio_api/queue/data?session_hash={self.session}")
        for line in connection.getresponse():
            if line.startswith(b"data:"):
                message: dict[str, Any] = json.loads(line[5:])
                yield message
                if message["msg"] == "process_completed":
                    break
        connection.close()

    def _ask(self, method: str, path: str, body: bytes | None = None, kind: str = "text/plain") -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        connection.request(method, path, body, {"Content-Type": kind})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {content[:200]!r}")
        return content
