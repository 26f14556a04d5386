"""Free memory is the least of the machine's, every control group's and the shell's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from stylenet import memory
from stylenet.memory import free_main_memory

GB = 2**30


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for control groups of our own, and 64 GB in the machine."""
    monkeypatch.setattr(memory, "_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "self")
    machine = psutil.virtual_memory()._replace(available=64 * GB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: machine)
    monkeypatch.setattr(psutil, "swap_memory", lambda: SimpleNamespace(free=8 * GB))
    return tmp_path


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def test_no_groups(groups: Path) -> None:
    assert free_main_memory() == 64 * GB


def test_version_2(groups: Path) -> None:
    (groups / "self").write_text("0::/user.slice/job\n")
    job = groups / "cgroup" / "user.slice" / "job"
    write(job, memory__max=3 * GB, memory__current=2 * GB, memory__stat=f"anon 1\ninactive_file {GB // 2}\nfile 7")
    assert free_main_memory() == GB + GB // 2
    write(job.parent, memory__max=4 * GB, memory__current=4 * GB - 10)
    assert free_main_memory() == 10
    write(job.parent, memory__max="max")
    assert free_main_memory() == GB + GB // 2
    write(job, memory__current=4 * GB)
    assert free_main_memory() == 0


def test_version_2_in_a_container(groups: Path) -> None:
    """The path is that of the host, and the root of what is mounted is the container's group."""
    (groups / "self").write_text("0::/../../docker/abc\n")
    write(groups / "cgroup", memory__max=2 * GB, memory__current=GB)
    assert free_main_memory() == GB


def test_version_1(groups: Path) -> None:
    (groups / "self").write_text("5:cpu,cpuacct:/a\n9:memory:/docker/abc\n0::/\n")
    group = groups / "cgroup" / "memory" / "docker" / "abc"
    write(group, memory__limit_in_bytes=2 * GB, memory__usage_in_bytes=GB, memory__stat=f"total_inactive_file {GB // 4}\n")
    write(groups / "cgroup" / "memory", memory__limit_in_bytes=2**63 - 4096, memory__usage_in_bytes=7 * GB)
    assert free_main_memory() == GB + GB // 4


def test_swap(groups: Path) -> None:
    """A group may allow less of it than the machine has."""
    assert free_main_memory(swap=True) == 72 * GB
    (groups / "self").write_text("0::/job/part\n")
    part = groups / "cgroup" / "job" / "part"
    write(part, memory__max=3 * GB, memory__current=2 * GB)
    assert free_main_memory(swap=True) == 9 * GB
    write(part, memory__swap__max=2 * GB, memory__swap__current=GB)
    assert free_main_memory(swap=True) == 2 * GB
    write(part, memory__swap__max=0, memory__swap__current=0)
    assert free_main_memory(swap=True) == free_main_memory() == GB


@pytest.mark.parametrize(
    ("own", "outer", "free"),
    [
        ({"memory__max": 2 * GB, "memory__current": GB}, {"memory__max": "max", "memory__swap__max": 0}, GB),
        ({"memory__max": 2 * GB, "memory__current": GB}, {"memory__max": 4 * GB, "memory__swap__max": 0}, GB),
        ({"memory__max": "max", "memory__swap__max": 0}, {}, 64 * GB),
        ({"memory__max": 2 * GB, "memory__current": GB, "memory__swap__max": 0}, {"memory__swap__max": 3 * GB}, GB),
    ],
    ids=["the group around", "the group around, limited", "no limit of memory", "the inner one"],
)
def test_every_group_limits_swap(groups: Path, own: dict[str, object], outer: dict[str, object], free: int) -> None:
    (groups / "self").write_text("0::/job/part\n")
    used = {"memory__current": GB, "memory__swap__current": 0}
    write(groups / "cgroup" / "job" / "part", **{**used, **own})
    write(groups / "cgroup" / "job", **{**used, **outer})
    assert free_main_memory(swap=True) == free


def test_swap_counted_with_memory(groups: Path) -> None:
    (groups / "self").write_text("9:memory:/docker/abc\n")
    group = groups / "cgroup" / "memory" / "docker" / "abc"
    write(group, memory__limit_in_bytes=2 * GB, memory__usage_in_bytes=GB)
    assert free_main_memory(swap=True) == 9 * GB
    write(group, memory__memsw__limit_in_bytes=3 * GB, memory__memsw__usage_in_bytes=GB)
    assert free_main_memory(swap=True) == 2 * GB
    write(group, memory__memsw__limit_in_bytes=2 * GB)
    assert free_main_memory(swap=True) == free_main_memory() == GB
    write(group, memory__limit_in_bytes=2**63 - 4096, memory__memsw__limit_in_bytes=2**63 - 4096)
    write(group.parent, memory__limit_in_bytes=2 * GB, memory__usage_in_bytes=GB)
    write(group.parent, memory__memsw__limit_in_bytes=4 * GB, memory__memsw__usage_in_bytes=GB)
    assert free_main_memory(swap=True) == 3 * GB


def test_address_space() -> None:
    program = (
        "import resource; from stylenet.memory import free_main_memory as free; from psutil import Process\n"
        "resource.setrlimit(resource.RLIMIT_AS, (Process().memory_info().vms + 50_000_000,) * 2); print(free())"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 0 < int(run.stdout) < 51_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell how much private memory a process has")
@pytest.mark.parametrize(("kind", "used"), [("RLIMIT_AS", "vms"), ("RLIMIT_DATA", "data")])
def test_limits_of_the_shell(groups: Path, monkeypatch: pytest.MonkeyPatch, kind: str, used: str) -> None:
    """`ulimit -v` and `ulimit -d`."""
    import resource

    limits = {getattr(resource, kind): (50 * GB, 50 * GB)}
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits.get(which, (resource.RLIM_INFINITY,) * 2))
    own = getattr(psutil.Process().memory_info(), used)
    assert own > 0
    assert abs(free_main_memory() - (50 * GB - own)) < GB // 4
