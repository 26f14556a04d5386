"""Stores: what is written is read, as it is, through faults; and what cannot be is told in one line."""

from __future__ import annotations

import io
import os
import threading
import tomllib
import zipfile
from pathlib import Path

import fsspec
import pytest
import torch
from documents_kit import ROOT
from store_kit import Store

from stylenet import storage
from stylenet.errors import InputError, RunError
from stylenet.images.picture import read_image, write_image
from stylenet.storage import listing, places, stores
from stylenet.storage.archives import member_place
from stylenet.storage.ranges import RangedFile

# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "name", "parent", "child"),
    [
        ("s3://b/a/1.jpg", "1.jpg", "s3://b/a", "s3://b/a/1.jpg/x"),
        ("s3://b/a/", "a", "s3://b", "s3://b/a/x"),
        ("s3://b", "b", "s3://b", "s3://b/x"),
        ("a/1.jpg", "1.jpg", "a", "a/1.jpg/x"),
        ("zip://p/1.jpg::s3://b/z.zip", "z.zip", "zip://p/1.jpg::s3://b", "zip://p/1.jpg::s3://b/z.zip/x"),
    ],
)
def test_parts_of_names(place: str, name: str, parent: str, child: str) -> None:
    assert (storage.name_of(place), storage.parent_of(place), storage.join(place, "x")) == (name, parent, child)


@pytest.mark.parametrize(
    ("place", "beside"),
    [
        ("s3://b/a/1.tar.jpg", "s3://b/a/1.tar_2.jpg"),
        ("s3://b/1", "s3://b/1_2"),
        ("a/1.jpg", "a/1_2.jpg"),
        (Path("1.jpg"), "1_2.jpg"),
    ],
)
def test_a_mark_in_a_name(place: str | Path, beside: str) -> None:
    assert storage.marked(place, "_2") == beside


def test_each_driver_has_an_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(stores.DRIVERS.values()) - {"", "aiohttp"} == stores.EXTRAS.keys()
    for package, extra in stores.EXTRAS.items():
        assert [wanted.partition(">=")[0] for wanted in extras[extra]] == [package]


@pytest.mark.parametrize(
    ("place", "root", "inside"),
    [
        ("s3://b/a/1", "s3://b/a", True),
        ("s3://b/a", "s3://b/a/", True),
        ("s3://b/ab", "s3://b/a", False),
        ("s3://b/a", "/a", False),
        ("x/../a/1", "a", True),
        ("ab", "a", False),
    ],
)
def test_below(place: str, root: str, inside: bool) -> None:
    assert places.below(place, root) is inside


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/a", "a//b", "./a", "", "a/"])
def test_names_that_lead_elsewhere(name: str) -> None:
    assert not places.is_ordinary(name)


# --- what is written is read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 4095, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, 7_000_001])
def test_bytes_of_any_number(size: int, bucket: str) -> None:
    content = os.urandom(size)
    storage.write(f"{bucket}/a b/ü+%20.bin", content)
    assert storage.read(f"{bucket}/a b/ü+%20.bin") == content


def test_a_large_file_goes_in_parts(bucket: str, store: Store, tmp_path: Path) -> None:
    """Its parts are one file when the last is there, so that a reader has the old one until then."""
    content = os.urandom(105_000_000)
    with storage.replacing(f"{bucket}/large.bin") as temporary:
        temporary.write_bytes(content)
        assert not storage.exists(f"{bucket}/large.bin")
    assert store.requests["PUT"] > 2
    assert storage.read(f"{bucket}/large.bin") == content


def test_what_raises_leaves_nothing(bucket: str) -> None:
    storage.write(f"{bucket}/a.bin", b"before")
    with pytest.raises(ZeroDivisionError), storage.replacing(f"{bucket}/a.bin") as temporary:
        temporary.write_bytes(b"half" * (1 // 0))
    assert list(storage.walk(bucket)) == ["a.bin"]
    assert storage.read(f"{bucket}/a.bin") == b"before"


def test_there_or_not(bucket: str) -> None:
    storage.write(f"{bucket}/a/1.bin", b"")
    found = {name: storage.exists(f"{bucket}/{name}") for name in ("a", "a/", "a/1.bin", "a/1", "b")}
    assert found == {"a": True, "a/": True, "a/1.bin": True, "a/1": False, "b": False}
    assert storage.is_folder(f"{bucket}/a")
    assert not storage.is_folder(f"{bucket}/a/1.bin")
    storage.delete(f"{bucket}/a/1.bin")
    storage.delete(f"{bucket}/a/1.bin")
    assert not storage.exists(f"{bucket}/a")


def test_seeking_is_that_of_a_file(bucket: str) -> None:
    content = os.urandom(5_000_000)
    storage.write(f"{bucket}/a.bin", content)
    opened, reference = io.BufferedReader(RangedFile(f"{bucket}/a.bin")), io.BytesIO(content)
    for offset, whence, size in [(4_000_000, 0, 10), (-7, 2, 20), (100, 0, 3_000_000), (-1000, 1, 5), (9_000_000, 0, 1)]:
        assert opened.seek(offset, whence) == reference.seek(offset, whence)
        assert opened.read(size) == reference.read(size)


def test_a_copy_is_forgotten_when_the_file_is_written_anew(bucket: str) -> None:
    for content in (b"one", b"two"):
        storage.write(f"{bucket}/a.bin", content)
        copy = storage.fetched(f"{bucket}/a.bin")
        assert (copy.name, copy.read_bytes()) == ("a.bin", content)
        assert storage.fetched(f"{bucket}/a.bin") == copy


def test_a_photo_is_one_request_each_way(bucket: str, store: Store) -> None:
    storage.exists(bucket)  # the first request asks for the region of the bucket
    store.healthy()
    write_image(torch.rand(1, 3, 48, 64), f"{bucket}/1.jpg")
    assert store.requests == {"PUT": 1}
    store.healthy()
    assert read_image(f"{bucket}/1.jpg").name == f"{bucket}/1.jpg"
    assert store.requests == {"GET": 1}


# --- listing ----------------------------------------------------------------------------------------------------------


def test_listing_by_pages_in_order(bucket: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_PAGE", 40)
    names = sorted(f"{number % 7}/{number:04d}.bin" for number in range(60))
    system = fsspec.filesystem("s3")
    system.pipe({f"{bucket}/in/{name}": b"x" for name in [*names, "../out.bin", "a//b.bin"]})
    storage.write(f"{bucket}/inside.bin", b"x")
    store.healthy()
    assert list(storage.walk(f"{bucket}/in")) == names
    assert store.requests == {"GET": 2}


def test_the_first_names_come_before_the_last_are_asked_for(bucket: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_PAGE", 20)
    fsspec.filesystem("s3").pipe({f"{bucket}/{number:04d}": b"x" for number in range(30)})
    store.healthy()
    assert next(storage.walk(bucket)) == "0000"
    assert store.requests == {"GET": 1}


def test_listing_other_stores_and_folders(tmp_path: Path) -> None:
    names = ["a/1.bin", "a/b/2.bin", "c.bin"]
    memory = fsspec.filesystem("memory")
    for name in names:
        memory.pipe_file(f"/listed/{name}", b"x")
        storage.write(tmp_path / name, b"x")
    assert sorted(storage.walk("memory://listed")) == names
    assert sorted(storage.walk(str(tmp_path))) == names


# --- archives ---------------------------------------------------------------------------------------------------------


def archive(method: int, count: int = 30) -> bytes:
    """A zip archive of noise in files of 50 kB."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as opened:
        for number in range(count):
            opened.writestr(f"p/{number:03d}.bin", bytes([number]) * 25_000 + os.urandom(25_000))
    return content.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_in_place(method: int, bucket: str, store: Store) -> None:
    content = archive(method, 80)  # 4 MB: more than the directory's own request brings
    storage.write(f"{bucket}/z.zip", content)
    with zipfile.ZipFile(io.BytesIO(content)) as reference:
        assert storage.members(f"{bucket}/z.zip") == reference.namelist()
        for name in reference.namelist()[::20]:
            store.healthy()
            assert storage.read(member_place(f"{bucket}/z.zip", name)) == reference.read(name)
            assert store.requests == {"GET": 1}
    assert storage.exists(member_place(f"{bucket}/z.zip", "p/000.bin"))
    assert not storage.exists(member_place(f"{bucket}/z.zip", "p/none.bin"))
    assert not storage.exists(member_place(f"{bucket}/none.zip", "p/000.bin"))


def test_threads_read_members_side_by_side(bucket: str) -> None:
    content = archive(zipfile.ZIP_DEFLATED)
    storage.write(f"{bucket}/z.zip", content)
    wrong: list[str] = []

    def read(name: str, wanted: bytes) -> None:
        if storage.read(member_place(f"{bucket}/z.zip", name)) != wanted:
            wrong.append(name)

    with zipfile.ZipFile(io.BytesIO(content)) as reference:
        threads = [threading.Thread(target=read, args=(name, reference.read(name))) for name in reference.namelist()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def damage(content: bytes) -> bytes:
    """The archive with a byte of its first member changed."""
    place = content.index(b"p/000.bin") + 5000
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: archive(zipfile.ZIP_STORED)[:-100], "is no zip archive, or was not downloaded to its end"),
        (lambda: b"", "is no zip archive"),
        (lambda: damage(archive(zipfile.ZIP_STORED)), "checksum is wrong"),
        (lambda: archive(zipfile.ZIP_LZMA), "packed by another method"),
    ],
)
def test_damaged_archives(make: object, message: str, bucket: str) -> None:
    storage.write(f"{bucket}/z.zip", make())  # type: ignore[operator]
    with pytest.raises((InputError, ValueError, zipfile.BadZipFile), match=message):
        storage.read(member_place(f"{bucket}/z.zip", storage.members(f"{bucket}/z.zip")[0]))


# --- faults -----------------------------------------------------------------------------------------------------------


def test_one_request_in_twenty_fails(bucket: str, store: Store) -> None:
    store.share = 0.05
    written = {f"{bucket}/{number}.bin": os.urandom(3000) for number in range(150)}
    for place, content in written.items():
        storage.write(place, content)
    assert sorted(storage.walk(bucket)) == sorted(place.removeprefix(f"{bucket}/") for place in written)
    assert {place: storage.read(place) for place in written} == written
    assert sum(store.faults.values()) >= 5


def test_an_answer_that_never_comes(bucket: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write(f"{bucket}/a.bin", b"a")
    monkeypatch.setattr(stores, "PATIENCE", 1.0)
    fsspec.filesystem("s3").clear_instance_cache()
    store.stalls = 1
    assert storage.read(f"{bucket}/a.bin") == b"a"
    assert store.faults["stall"] == 1


@pytest.mark.parametrize("kind", ["busy", "cut"])
def test_a_store_that_has_gone(kind: str, bucket: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(stores, "_TRIES_A_REQUEST", 2)
    fsspec.filesystem("s3").clear_instance_cache()
    store.share, store.kinds = 1.0, [kind]
    with pytest.raises(RunError, match=r"the store does not give or take s3://.*/a\.bin when asked again"):
        storage.write(f"{bucket}/a.bin", b"a")
    store.healthy()
    assert not storage.exists(f"{bucket}/a.bin")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("s3://{bucket}/gone.jpg", "s3://.*/gone.jpg does not exist"),
        ("s3://nobucket-of-this-name/a.jpg", "there is no such bucket"),
        ("ftp://h/a.jpg", r"only http and https addresses, those of stores \(s3://,"),
        ("gs://b/a.jpg", r"gs:// needs the package gcsfs: pip install 'stylenet\[gcs\]'"),
        ("file:///etc/hostname", "only http and https addresses"),
        ("zip://a.jpg::s3://{bucket}/gone.zip", "gone.zip does not exist"),
    ],
)
def test_what_cannot_be_read(place: str, message: str, bucket: str) -> None:
    with pytest.raises(InputError, match=message):
        read_image(place.format(bucket=bucket.removeprefix("s3://")))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("s3://nobucket-of-this-name/a.jpg", "there is no such bucket"),
        ("http://127.0.0.1:9/a.jpg", "cannot write http://.*: name a file, or the address of a store"),
        ("zip://a.jpg::s3://b/z.zip", "cannot write zip://"),
    ],
)
def test_what_cannot_be_written(place: str, message: str, store: Store) -> None:
    with pytest.raises(InputError, match=message):
        storage.check_writable(place)


def test_wrong_credentials(bucket: str, refusing: Store) -> None:
    """Keys that the server does not know, and none at all."""
    for ask in (
        lambda: storage.read(f"{bucket}/a"),
        lambda: storage.write(f"{bucket}/a", b""),
        lambda: [*storage.walk(bucket)],
    ):
        with pytest.raises(InputError, match=r"the store refuses access to s3://.*check its credentials"):
            ask()
