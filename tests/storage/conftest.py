"""A store for all tests of this folder."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import fsspec
import pytest
from store_kit import KEYS, Store

pytest.importorskip("s3fs")


@pytest.fixture(scope="session")
def server() -> Iterator[Store]:
    """A server that all tests share; it takes two seconds to start."""
    store = Store()
    yield store
    store.stop()


@pytest.fixture
def store(server: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The server without faults, with the environment of this process and its children set to it."""
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": server.url}.items():
        monkeypatch.setenv(name, value)
    server.healthy()
    return server


@pytest.fixture
def bucket(store: Store) -> str:
    """The address of a new bucket."""
    name = f"b{uuid.uuid4().hex[:12]}"
    fsspec.filesystem("s3").mkdir(name)
    return f"s3://{name}"


@pytest.fixture
def refusing(bucket: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The server while it checks credentials, and knows none of ours."""
    store.check_credentials(True)
    fsspec.filesystem("s3").clear_instance_cache()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "unknown")
    yield store
    store.check_credentials(False)
