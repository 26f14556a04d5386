"""Files appear whole or not at all; addresses are read within limits."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from stylenet import files
from stylenet.errors import InputError, RunError
from stylenet.files import check_writable, replacing, write_atomic
from stylenet.images import fetching
from stylenet.images.picture import write_image

# --- writing ----------------------------------------------------------------------------------------------------------


def tree(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_written_whole_into_new_folders(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a" / "b.bin", b"content")
    assert (tmp_path / "a" / "b.bin").read_bytes() == b"content"
    assert tree(tmp_path / "a") == ["b.bin"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_umask(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write_atomic(tmp_path / "file", b"x")
        assert os.umask(mask) == mask  # and leave it as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


@pytest.mark.parametrize("old", [None, b"the old picture"])
@pytest.mark.parametrize("where", ["write", "rename"])
def test_a_failure_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, old: bytes | None) -> None:
    target = tmp_path / "picture.png"
    if old is not None:
        target.write_bytes(old)
    before = tree(tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    if where == "write":
        monkeypatch.setattr(files.Path, "write_bytes", fail)
    else:
        monkeypatch.setattr(files.Path, "replace", fail)
    with pytest.raises(RunError, match=r"cannot write .*picture\.png: No space left on device"):
        write_atomic(target, b"new")
    monkeypatch.undo()
    assert tree(tmp_path) == before
    assert old is None or target.read_bytes() == old


def test_ctrl_c_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "picture.png", b"new")
    assert tree(tmp_path) == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_keeps_the_old_picture(tiny_disk: Path) -> None:
    target = tiny_disk / "picture.bmp"
    write_image(torch.zeros(1, 3, 16, 16), target)
    old = target.read_bytes()
    with pytest.raises(RunError, match="No space left on device"):
        write_image(torch.rand(1, 3, 200, 200), target)
    assert target.read_bytes() == old
    assert tree(tiny_disk) == ["picture.bmp"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder", "it is a folder"),
        ("file/picture.png", "a part of that path is a file"),
        ("file/deeper/picture.png", "a part of that path is a file"),
        ("n" * 300 + ".png", "File name too long"),
    ],
)
def test_an_unwritable_path_is_known_before_work(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"regular")
    with pytest.raises(InputError, match=message):
        check_writable(tmp_path / name)
    with pytest.raises(RunError, match="cannot write"):
        write_atomic(tmp_path / name, b"x")
    assert tree(tmp_path) == ["file", "folder"]
    assert tree(tmp_path / "folder") == []


def test_a_check_writes_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "picture.png")
    assert tree(tmp_path) == []


# --- leftovers --------------------------------------------------------------------------------------------------------


def left_behind(folder: Path, name: str, age: float = 3600) -> Path:
    path = folder / name
    path.write_bytes(b"half")
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_leftovers_of_killed_processes_are_deleted(tmp_path: Path) -> None:
    kept = [left_behind(tmp_path, name) for name in ("train2017.zip.part", ".hidden.part", ".a.png.ABCDEFGH.part", ".part")]
    kept.append(left_behind(tmp_path, ".young.png.abcdef12.part", age=1))
    gone = left_behind(tmp_path, ".out.png.abcdef12.part")
    link = tmp_path / ".link.png.abcdef12.part"
    link.symlink_to(kept[0])
    write_atomic(tmp_path / "out.png", b"whole")
    assert not gone.exists()
    assert all(path.exists() for path in [*kept, link])


def test_a_file_in_the_making_is_no_leftover(tmp_path: Path) -> None:
    with replacing(tmp_path / "out.png") as temporary:
        os.utime(temporary, (0, 0))
        program = "import sys; from pathlib import Path; from stylenet import files; files.write_atomic(Path(sys.argv[1]), b'')"
        subprocess.run([sys.executable, "-c", program, str(tmp_path / "other.png")], check=True)
        assert temporary.exists()
        temporary.write_bytes(b"whole")
    assert (tmp_path / "out.png").read_bytes() == b"whole"


def test_temporary_folders_of_killed_processes_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of what lies in stores, and what was uploaded to a page; those of processes that live, and others, stay."""
    program = "import sys; from stylenet import files; print(files.temporary_folder(*sys.argv[1:]), flush=True); input()"
    command = [sys.executable, "-c", program]
    processes, folders = [], []
    for prefix in ("stylenet-", "stylenet_web_", "stylenet-"):
        process = subprocess.Popen([*command, prefix, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        processes.append(process)
        folders.append(Path(process.stdout.readline().strip()))
        (folders[-1] / "copy.safetensors").write_bytes(b"copy")
    for process in processes[:2]:
        process.kill()
        process.wait()
    for name in ("stylenet-kept-abc", "stylenet.d", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "stylenet-link").symlink_to(tmp_path / "other")
    own = files.temporary_folder("stylenet-", str(tmp_path))
    for folder in (*folders, own):
        os.utime(folder / files._HELD, (0, 0))
    monkeypatch.setattr(files, "_cleared", set())  # as in a process of its own
    another = files.temporary_folder("stylenet-", str(tmp_path))
    assert [folder.exists() for folder in (*folders, own, another)] == [False, False, True, True, True]
    assert {"stylenet-kept-abc", "stylenet.d", "other", "stylenet-link"} <= set(tree(tmp_path))
    files.delete_folder(own)
    assert not own.exists()
    processes[2].communicate("\n", timeout=60)
    files.delete_folder(another)


# --- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("file:///etc/hostname", "only http and https"),
        ("ftp://127.0.0.1/x.png", "only http and https"),
        ("data://x", "only http and https"),
        ("http://", "cannot download"),
        ("http://[::1/x.png", "cannot download"),
        ("http://127.0.0.1/a b.png", "cannot download"),
        ("http://127.0.0.1:port/x.png", "cannot download"),
        ("//[x", "does not exist"),
        ("no\0thing", "cannot read"),
        ("n" * 300, "File name too long"),
        ("", "has an empty path"),
    ],
)
def test_bad_addresses(address: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fetching.fetch(address)


@pytest.mark.parametrize("address", ["s3://bucket/a.png", "gs://bucket/a/b.png", "https://host/a.png"])
def test_an_address_never_becomes_a_folder_here(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"cannot write {address}: this goes to a file of this machine, not to a store"):
        check_writable(Path(address))
    assert not list(tmp_path.iterdir())
    (tmp_path / "s3:").mkdir()
    check_writable(Path("s3:/a.png"))
