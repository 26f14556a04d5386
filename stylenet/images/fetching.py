"""Turn a path, an address, bytes or a file object into bytes."""

from __future__ import annotations

import http.client
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO, Any

from stylenet.errors import InputError

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]

URL_LIMIT_BYTES = 200_000_000
URL_LIMIT_SECONDS = 60.0


def fetch(source: Source, name: str = "the picture") -> tuple[str, bytes]:
    """Return a name for messages, and the bytes.

    Args:
        source: path, http(s) address, bytes or binary file.
        name: name used in messages, where the source has none.

    Raises:
        InputError: for what is missing, too large, too slow, or neither a file nor http(s).
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return name, bytes(source)
    if not isinstance(source, str | os.PathLike):
        return _read_file(source, name)
    text = os.fspath(source)
    if not isinstance(text, str):
        text = os.fsdecode(text)
    if not text:
        raise InputError(f"{name} has an empty path")
    if isinstance(source, str) and text.lower().startswith(("http://", "https://")):
        return text, _download(text)
    if "://" in text:
        raise InputError(f"{text}: only http and https addresses, and files, are read")
    path = Path(text)
    try:
        return text, path.read_bytes()
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder, not a picture: name a file in it") from error
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {text!r}: {getattr(error, 'strerror', None) or error}") from error


def _read_file(file: IO[bytes], name: str) -> tuple[str, bytes]:
    """Return what is left to read of an open file."""
    named = getattr(file, "name", name)
    name = named if isinstance(named, str) else name  # a pipe's is a number
    try:
        data: object = file.read()
    except (OSError, ValueError, UnicodeDecodeError) as error:  # closed, or opened for writing or as text
        raise InputError(f"{name} cannot be read ({error}): give a file opened with mode 'rb'") from error
    if not isinstance(data, bytes | bytearray | memoryview):
        raise InputError(f"{name} is open as text: open it with mode 'rb'")
    return name, bytes(data)


class _HttpOnly(urllib.request.HTTPRedirectHandler):
    """Redirects are followed to http(s) alone; Python's own handler would follow one to ftp."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urllib.parse.urlsplit(newurl).scheme not in ("http", "https"):
            raise InputError(f"{req.full_url} redirects to {newurl}: only http and https are followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download(url: str) -> bytes:
    deadline = time.monotonic() + URL_LIMIT_SECONDS
    data = bytearray()
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "stylenet"})
        with urllib.request.build_opener(_HttpOnly).open(request, timeout=min(URL_LIMIT_SECONDS, 20)) as response:
            while chunk := response.read1(1 << 16):
                data += chunk
                if len(data) > URL_LIMIT_BYTES:
                    raise InputError(f"{url} is larger than {URL_LIMIT_BYTES // 1_000_000} MB: download it yourself first")
                if time.monotonic() > deadline:
                    raise InputError(f"{url} took more than {URL_LIMIT_SECONDS:g} s: download it yourself first")
    except urllib.error.HTTPError as error:
        raise InputError(f"{url} answered {error.code} {error.reason}") from error
    except InputError:
        raise
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(f"cannot download {url}: {reason}") from error
    return bytes(data)
