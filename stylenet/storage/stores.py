"""Talk to stores by fsspec: the driver of an address, what passes by itself and is tried again, and what to tell a person."""

from __future__ import annotations

import errno
import itertools
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from stylenet.errors import InputError, RunError, one_line

# The stores that are known, and the package that brings the driver of each; what fsspec has itself needs none.
DRIVERS = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "hf": "huggingface_hub",
    "memory": "",
}

# The extra of stylenet that brings a driver.
EXTRAS = {"s3fs": "s3", "gcsfs": "gcs", "adlfs": "azure", "huggingface_hub": "hf"}

# Web servers, whose files are read in other ways: see :mod:`stylenet.storage.downloading`.
_WEB = ("http", "https")

# Seconds that a store may be silent before a request counts as lost.
PATIENCE = 15.0

# Each request to S3 is tried so often by its own client, as the parts of a large file must not all begin anew.
_TRIES_A_REQUEST = 4

# What is tried again here: a body that breaks off, and what other clients do not try again by themselves.
_TRIES, _TRIES_BESIDE_CLIENT = 5, 2
_FIRST_PAUSE = 0.25  # seconds; twice as long each time

_PASSING = {
    *(errno.EIO, errno.EBUSY, errno.EAGAIN, errno.ETIMEDOUT, errno.EPIPE, errno.ECONNRESET, errno.ECONNABORTED),
    *(errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH, getattr(errno, "EREMOTEIO", errno.EIO)),
}
PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}

# Classes of aiohttp, botocore, requests and urllib3, named, as they may not be installed: a body that broke off, a connection
# that broke, and credentials that are not there.
_CUT = {"ClientPayloadError", "IncompleteRead", "IncompleteReadError", "ResponseStreamingError", "ChunkedEncodingError"}
_BROKEN = {*_CUT, "ClientConnectionError", "ServerTimeoutError", "HTTPClientError", "FSTimeoutError", "ResponseParserError"}
_UNKNOWN_USER = {
    *("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "DefaultCredentialsError"),
    *("TokenRetrievalError", "UnauthorizedSSOTokenError"),
}

_Result = TypeVar("_Result")


class PassingError(InputError):
    """Raised for a fault of a web server that may pass by itself."""


def scheme_of(address: str) -> str:
    """Return the scheme of an address in lower case, such as ``s3``."""
    return address.partition("://")[0].lower()


def file_system(address: str) -> tuple[Any, str]:
    """Return the fsspec file system of an address, and the path in it.

    Instances are not kept: fsspec has its own cache, which knows of forks.

    Raises:
        InputError: for a scheme that is not known, or whose driver is not installed; for web servers, whose answers fsspec
            gives no end in time or size.
    """
    import fsspec

    scheme = scheme_of(address)
    if scheme in _WEB:
        raise InputError(f"{address} is on a web server, which has no folders: name a file, or the address of a store")
    if scheme not in DRIVERS:
        known = ", ".join(f"{name}://" for name in DRIVERS if name != "memory")
        raise InputError(f"{address}: only http and https addresses, those of stores ({known}), and files, are read")
    try:
        system, path = fsspec.url_to_fs(address, **_options(scheme))
    except (ImportError, ValueError) as error:
        if isinstance(error, ImportError):
            package = DRIVERS[scheme]
            wanted = f"'stylenet[{EXTRAS[package]}]'" if package in EXTRAS else package
            raise InputError(f"{scheme}:// needs the package {package}: pip install {wanted}") from error
        raise InputError(f"{address} is no address that can be used ({error})") from error
    if scheme in ("s3", "s3a"):
        system.retries = 1  # its client tries again
    return system, path


def _options(scheme: str) -> dict[str, Any]:
    """Return how a driver is set up; what a person has set for it in fsspec's own configuration counts more."""
    from fsspec.config import conf

    options: dict[str, Any] = {"use_listings_cache": False} if scheme != "memory" else {}
    if scheme in ("s3", "s3a"):
        retries = {"mode": "standard", "max_attempts": _TRIES_A_REQUEST}
        options["config_kwargs"] = {"connect_timeout": PATIENCE, "read_timeout": PATIENCE, "retries": retries}
    return {**options, **conf.get(scheme, {})}


def patiently(address: str, ask: Callable[[], _Result]) -> _Result:
    """Return what a request to a store gives; what may pass by itself, such as a server that is busy, is tried again.

    Raises:
        InputError: for what is not there, or may not be used.
        RunError: for a store that does not answer as it should, even when asked several times.
    """
    for count in itertools.count(1):
        try:
            return ask()
        except PassingError:
            if count >= _TRIES:
                raise
        except (InputError, RunError):
            raise
        except Exception as error:  # drivers raise what they like
            if not passes(error) or count >= _tries(address, error):
                raise explained(address, error) from error
        time.sleep(_FIRST_PAUSE * 2 ** (count - 1) * random.uniform(0.5, 1.0))
    raise AssertionError("counting has no end")


def _tries(address: str, error: Exception) -> int:
    beside_client = scheme_of(address) in ("s3", "s3a") and not _CUT & _classes(error)
    return _TRIES_BESIDE_CLIENT if beside_client else _TRIES


def passes(error: BaseException) -> bool:
    """Return whether a fault of a store may pass by itself."""
    status = getattr(error, "status", getattr(error, "code", None))
    if isinstance(status, int) and status >= 400:
        return status in PASSING_STATUS
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError | FileExistsError):
        return False
    if isinstance(error, TimeoutError | ConnectionError) or _BROKEN & _classes(error):
        return True
    return isinstance(error, OSError) and error.errno in _PASSING


def explained(address: str, error: BaseException) -> InputError | RunError:
    """Return a fault of a store as an error that a person can act on."""
    reason = _reason(error)
    if isinstance(error, FileNotFoundError):
        gone = "the bucket" if "bucket" in reason.lower() else address
        return InputError(f"{address} does not exist" if gone == address else f"{address}: there is no such bucket")
    if isinstance(error, IsADirectoryError):
        return InputError(f"{address} is a folder, not a file: name a file in it")
    if isinstance(error, PermissionError) or getattr(error, "status", None) in (401, 403) or _UNKNOWN_USER & _classes(error):
        return InputError(f"the store refuses access to {address} ({reason}): check its credentials and their permissions")
    if isinstance(error, NotImplementedError):
        return InputError(f"{address} cannot be used like this: its kind of store does not allow it")
    again = " when asked again" if passes(error) else ""
    return RunError(f"the store does not give or take {address}{again}: {reason}")


def is_refusal(error: BaseException) -> bool:
    """Return whether a store refused access, so that there is no point in asking it for the next file."""
    cause = error.__cause__
    return isinstance(cause, PermissionError) or (cause is not None and bool(_UNKNOWN_USER & _classes(cause)))


def _classes(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return one_line(text, 200)
