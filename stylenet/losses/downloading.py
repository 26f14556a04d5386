"""Download weights of hundreds of megabytes: whole or not at all, and neither for ever nor without end."""

from __future__ import annotations

import hashlib
import http.client
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from stylenet.errors import InputError
from stylenet.files import replacing
from stylenet.patience import SLOW, Patience

# Bytes of the largest weights that are known, VGG-19's, and some more.
_LARGEST = 700_000_000

_CHUNK = 1 << 18

# The beginning of the SHA-256 of a file stands in its name, as in vgg19-dcbb9e9d.pth.
_DIGEST = re.compile(r"-([0-9a-f]{8,64})\.[^.]*$")


class DamagedDownload(InputError):
    """Raised for a file that is not the one that its name tells of."""


def download(url: str, target: Path, silence: float) -> None:
    """Write what lies at an http(s) address to a file, and compare it with the hash in its name.

    Args:
        url: the address.
        target: the file, which appears when it is whole.
        silence: seconds that the server may send nothing, or next to nothing, in whichever phase of the exchange.

    Raises:
        DamagedDownload: for another hash.
        InputError: if it does not come, or is larger than any weights.
        RunError: if it cannot be written.
    """
    digest = hashlib.sha256()
    with replacing(target, durable=True) as temporary, temporary.open("wb") as file:
        for chunk in _chunks(url, silence):
            digest.update(chunk)
            file.write(chunk)
        expected = _DIGEST.search(target.name)
        if expected and not digest.hexdigest().startswith(expected[1]):
            raise DamagedDownload(f"its hash begins with {digest.hexdigest()[: len(expected[1])]}, not with {expected[1]}")


def _chunks(url: str, silence: float) -> Iterator[bytes]:
    """Yield a body as it comes, without an error of the network's own: one of the disk is another matter."""
    done = 0
    with Patience(silence) as patience:
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "stylenet"})
            with patience.open(request) as response:
                patience.renew()
                while chunk := response.read1(_CHUNK):
                    done += len(chunk)
                    if done + (response.length or 0) > _LARGEST:
                        raise InputError(f"it is larger than {_LARGEST // 1_000_000} MB")
                    patience.came(len(chunk))
                    yield chunk
                if patience.over or response.length:
                    raise InputError(SLOW if patience.over else "the connection was closed before its end")
        except (OSError, http.client.HTTPException, ValueError) as error:  # the last for nonsense as the length of a chunk
            if isinstance(error, InputError):
                raise
            raise InputError(SLOW if patience.timed_out(error) else str(error) or type(error).__name__) from error
