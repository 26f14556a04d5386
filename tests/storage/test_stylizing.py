"""``stylenet stylize`` from store to store: the pixels of the plain way, every photo once, whatever fails."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from conftest import noise
from foreign_nets import randomised
from PIL import Image
from store_kit import Store, free_port

from stylenet import storage
from stylenet.commands.cli import main
from stylenet.inference import ray_engine
from stylenet.network.cards import Card
from stylenet.network.look_files import save_look
from stylenet.network.styles import save_style
from stylenet.network.transform_net import NetSettings, TransformNet

NAMES = [f"{number % 3}/{number:03d}.png" for number in range(20)]

# Photos that a process writes at the same time, and those that a worker of Ray may have in hand.
WRITERS, IN_HAND = 4, ray_engine._AT_ONCE * ray_engine._TASK


def photo(number: int, size: tuple[int, int] = (24, 32)) -> bytes:
    content = io.BytesIO()
    Image.fromarray(noise(*size, number)).save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def world(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket with twenty photos below ``in`` and a style, and the same on this machine."""
    torch.manual_seed(0)
    net = randomised(TransformNet(NetSettings(width=4, residual_blocks=1)))
    save_style(net, Card("waves"), tmp_path / "waves.safetensors", bits=32)
    storage.write(f"{bucket}/styles/waves.safetensors", (tmp_path / "waves.safetensors").read_bytes())
    for number, name in enumerate(NAMES):
        storage.write(tmp_path / "in" / name, photo(number))
        storage.write(f"{bucket}/in/{name}", photo(number))
    monkeypatch.chdir(tmp_path)
    return bucket


def stylize(*words: str) -> int:
    return main(["stylize", *words, "--device", "cpu", "--precision", "32"])


def pixels(place: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(storage.read(place)))).astype(int)


def put(bucket: str, name: str, content: bytes) -> None:
    """Add a photo to those in the bucket and those on this machine."""
    for place in (f"{bucket}/in/{name}", f"in/{name}"):
        storage.write(place, content)


def results(bucket: str, folder: str = "out") -> list[str]:
    return [name for name in storage.walk(f"{bucket}/{folder}") if not name.startswith(".stylenet/")]


def check_same(bucket: str, folder: str = "out", most: int = 0) -> None:
    """All results of the plain way are there, with its pixels, and nothing else is."""
    if not Path("plain").exists():
        assert stylize("in", "-s", "waves.safetensors", "-o", "plain") in (0, 1)  # some tests have photos that are none
    written = results(bucket, folder)
    assert sorted(written) == sorted(storage.walk("plain"))
    assert set(NAMES) <= set(written)
    for name in written:
        assert np.abs(pixels(f"{bucket}/{folder}/{name}") - pixels(f"plain/{name}")).max() <= most


# --- one machine ------------------------------------------------------------------------------------------------------


def test_from_store_to_store(world: str, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """With a style that lies there too."""
    store.healthy()
    assert stylize(f"{world}/in", "-s", f"{world}/styles/waves.safetensors", "-o", f"{world}/out") == 0
    assert f"{world}/out: 20 of 20 styled" in capsys.readouterr().err
    assert store.requests["PUT"] == 21  # and one to see whether it may write
    check_same(world)


def test_what_is_there_is_not_styled_again(world: str, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert stylize(f"{world}/in", "-s", "waves.safetensors", "-o", f"{world}/out") == 0
    assert "20 were there already" in capsys.readouterr().err


def test_one_photo_each_way(world: str) -> None:
    assert stylize(f"{world}/in/0/000.png", "-s", "waves.safetensors", "-o", "one.png") == 0
    assert stylize("in/0/000.png", "-s", "waves.safetensors", "-o", f"{world}/one.png") == 0
    assert np.array_equal(pixels("one.png"), pixels(f"{world}/one.png"))


@pytest.mark.parametrize("where", ["store", "here"])
def test_an_archive(world: str, where: str) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        for number, name in enumerate(NAMES):
            opened.writestr(name, photo(number))
        opened.writestr("../outside.png", photo(0))
        opened.writestr(".hidden/a.png", photo(0))
    place = f"{world}/in.zip" if where == "store" else "in.zip"
    storage.write(place, content.getvalue())
    assert stylize(place, "-s", "waves.safetensors", "-o", f"{world}/out") == 0
    check_same(world)


def test_a_pattern_and_a_list(world: str) -> None:
    assert stylize(f"{world}/in/1/*.png", "-s", "waves.safetensors", "-o", "some") == 0
    assert sorted(path.name for path in Path("some").iterdir()) == [name[2:] for name in NAMES if name.startswith("1/")]
    storage.write(f"{world}/list.txt", "".join(f"{world}/in/{name}\n" for name in NAMES).encode())
    assert stylize(f"{world}/list.txt", "-s", "waves.safetensors", "-o", "listed") == 0
    assert sorted(storage.walk("listed")) == sorted(f"in/{name}" for name in NAMES)


def test_a_look_finds_its_body_beside_it(world: str, tmp_path: Path) -> None:
    net = TransformNet(NetSettings(width=4, residual_blocks=1))
    save_style(net, Card("mine"), tmp_path / "mine.safetensors", bits=32)
    save_look(net, "norms", tmp_path / "mine.safetensors", Card("look"), tmp_path / "look.safetensors")
    for name in ("mine", "look"):
        storage.write(f"{world}/styles/{name}.safetensors", (tmp_path / f"{name}.safetensors").read_bytes())
        (tmp_path / f"{name}.safetensors").unlink()
    assert stylize("in/0/000.png", "-s", f"{world}/styles/look.safetensors", "-o", "looked.png") == 0


def test_a_look_takes_its_body_along_into_a_store(world: str, tmp_path: Path) -> None:
    net = TransformNet(NetSettings(width=4, residual_blocks=1))
    save_style(net, Card("mine"), tmp_path / "mine.safetensors", bits=32)
    for name in ("one", "two"):
        save_look(net, "norms", tmp_path / "mine.safetensors", Card("look"), f"{world}/looks/{name}.safetensors")
    (tmp_path / "mine.safetensors").unlink()
    assert len(storage.list_names(f"{world}/looks")) == 3
    assert stylize("in/0/000.png", "-s", f"{world}/looks/two.safetensors", "-o", "looked.png") == 0


def test_one_request_in_twenty_fails(world: str, store: Store) -> None:
    store.share = 0.05
    assert stylize(f"{world}/in", "-s", "waves.safetensors", "-o", f"{world}/out") == 0
    assert sum(store.faults.values()) > 1
    store.healthy()
    check_same(world)


def test_wrong_credentials_are_one_line(world: str, refusing: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([f"{world}/in", "-o", "out"], ["in", "-o", f"{world}/out"]):
        assert stylize(*words, "-s", "waves.safetensors") == 2
        told = capsys.readouterr().err.strip().splitlines()
        assert len(told) == 1
        assert "the store refuses access" in told[0]


# --- shards and notes -------------------------------------------------------------------------------------------------


def test_shards(world: str, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 2, 3):
        assert stylize(f"{world}/in", "-s", "waves.safetensors", "-o", f"{world}/out", "--shard", f"{number}/3") == 0
    check_same(world)
    done = [int(line.split(": ")[1].split()[0]) for line in capsys.readouterr().err.splitlines() if " styled in " in line]
    assert sum(done[:3]) == 20
    assert all(done[:3])


def test_resuming_asks_for_no_result(world: str, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"{world}/in", "-s", "waves.safetensors", "-o", f"{world}/out", "--shard", "1/1", "--resume"]
    assert stylize(*words) == 0
    store.healthy()
    assert stylize(*words) == 0
    assert "20 were there already (--overwrite without --resume styles them again)" in capsys.readouterr().err
    assert store.requests["HEAD"] <= 3  # of the folder of notes, and not of twenty results
    assert store.requests["PUT"] == 1
    check_same(world)


@pytest.mark.parametrize("kind", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_a_run_that_is_killed_and_started_again(kind: int, world: str, store: Store) -> None:
    """Wherever it is killed: no half results, and all of them in the end, of which the second run writes what is missing."""
    command = [sys.executable, "-m", "stylenet", "stylize", f"{world}/in", "-s", "waves.safetensors", "-o", f"{world}/out"]
    command += ["--shard", "1/1", "--resume", "--device", "cpu", "--precision", "32"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    while not any(storage.walk(f"{world}/out/1")) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(kind)
    process.communicate(timeout=60)
    for name in storage.walk(f"{world}/out"):
        if name.endswith(".png"):
            pixels(f"{world}/out/{name}")
    assert subprocess.run(command, capture_output=True, timeout=120, check=False).returncode == 0
    assert store.repeated("PUT", f"{world}/out/1") <= WRITERS
    check_same(world, most=1)


# --- Ray --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def ray() -> None:
    pytest.importorskip("ray")


def by_ray(world: str, *more: str, start_new_session: bool = False) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "stylenet", "stylize", f"{world}/in", "-s", "waves.safetensors", "-o", f"{world}/out"]
    command += ["--devices", "2", "--device", "cpu", "--precision", "32", *more]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=start_new_session)


def is_worker(process: psutil.Process) -> bool:
    """Whether a process is a worker of Ray that styles."""
    try:
        return process.cmdline()[:1] == ["ray::Worker.style"]
    except psutil.Error:
        return False


def workers(driver: int) -> list[psutil.Process]:
    """The workers of the Ray that a process has started."""
    try:
        return [child for child in psutil.Process(driver).children(recursive=True) if is_worker(child)]
    except psutil.Error:
        return []


def test_ray_makes_the_same_pixels_with_faults_and_a_broken_photo(
    world: str, store: Store, ray: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """What its notes say, any later run goes on from."""
    storage.write(f"{world}/in/1/broken.png", b"no picture")
    store.share = 0.02
    process = by_ray(world)
    told = process.communicate(timeout=200)[1]
    assert process.returncode == 1
    assert "20 of 21 styled" in told
    assert told.count("not styled: ") == 1
    store.healthy()
    check_same(world, most=1)
    (part,) = storage.walk(f"{world}/out/.stylenet/1-of-1")
    lines = [json.loads(line) for line in storage.read(f"{world}/out/.stylenet/1-of-1/{part}").splitlines()]
    assert sum(line.get("photos", 0) for line in lines) == 21
    assert stylize(f"{world}/in", "-s", "waves.safetensors", "-o", f"{world}/out", "--resume") == 1
    assert "0 of 21 styled" in capsys.readouterr().err


@pytest.mark.parametrize("times", [2, pytest.param(20, marks=pytest.mark.long)])
def test_workers_that_are_killed(times: int, world: str, store: Store, ray: None) -> None:
    """At random moments, while they style, with an unreadable photo in every hundred: all others are there with their pixels,
    and only what a worker had in hand was styled again."""
    numbers = range(20, 20 + 15 * times)
    broken = [number for number in numbers if number % 100 == 30]
    for number in numbers:
        put(world, f"more/{number:03d}.png", b"no picture" if number in broken else photo(number))
    store.healthy()
    process = by_ray(world)
    killed = 0
    random = np.random.default_rng(0)
    told: list[str] = []
    reader = threading.Thread(target=lambda: told.extend(process.stderr or []))
    reader.start()
    while process.poll() is None:
        time.sleep(float(random.uniform(0.2, 0.8)))
        if killed < times and (found := workers(process.pid)):
            os.kill(found[int(random.integers(len(found)))].pid, signal.SIGKILL)
            killed += 1
    reader.join()
    assert process.returncode == 1, "".join(told)
    assert sum("not styled: " in line for line in told) == len(broken) > 0
    assert killed == times
    assert store.repeated("GET", f"{world}/in") <= IN_HAND * times
    assert store.repeated("PUT", f"{world}/out") <= WRITERS * times
    check_same(world, most=1)
    assert len(results(world)) == 20 + 15 * times - len(broken)


@pytest.mark.long
def test_a_killed_driver(world: str, store: Store, ray: None) -> None:
    """By SIGKILL in the midst of its work: its workers end, nothing is half-written, and the next run does the rest."""
    for number in range(20, 320):
        put(world, f"more/{number:03d}.png", photo(number, (240, 320)))
    store.healthy()
    process = by_ray(world, "--resume", start_new_session=True)
    while not (found := workers(process.pid)) or not results(world):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.communicate(timeout=60)
    assert not psutil.wait_procs(found, timeout=60)[1]
    done = results(world)
    for name in done:
        pixels(f"{world}/out/{name}")
    assert 0 < len(done) < 320
    assert stylize(f"{world}/in", "-s", "waves.safetensors", "-o", f"{world}/out", "--resume") == 0
    assert store.repeated("PUT", f"{world}/out/more") <= IN_HAND  # what was at work, and not noted yet
    check_same(world, most=1)
    assert len(results(world)) == 320


def test_ctrl_c_on_ray(world: str, ray: None) -> None:
    """As a terminal sends it, to the whole group: one line, no worker is left, and the rest is done by the next run."""
    for number in range(20, 120):
        storage.write(f"{world}/in/more/{number:03d}.png", photo(number, (240, 320)))
    process = by_ray(world, "--resume", start_new_session=True)
    while not any(name.endswith(".png") for name in storage.walk(f"{world}/out")):
        assert process.poll() is None
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert not psutil.wait_procs(children, timeout=20)[1]
    written = [name for name in storage.walk(f"{world}/out") if name.endswith(".png")]
    for name in written:
        pixels(f"{world}/out/{name}")
    assert 0 < len(written) < 120
    assert stylize(f"{world}/in", "-s", "waves.safetensors", "-o", f"{world}/out", "--shard", "1/1", "--resume") == 0
    assert sum(name.endswith(".png") for name in storage.walk(f"{world}/out")) == 120


def test_without_ray_it_is_said_what_to_install(
    world: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert stylize("in", "-s", "waves.safetensors", "-o", "out", "--devices", "2") == 2
    assert "several devices and clusters need the package ray: pip install 'stylenet[ray]'" in capsys.readouterr().err


def test_a_cluster_that_is_not_there(world: str, ray: None, capsys: pytest.CaptureFixture[str]) -> None:
    address = f"127.0.0.1:{free_port()}"
    assert stylize("in", "-s", "waves.safetensors", "-o", "out", "--engine", "ray", "--address", address) == 2
    assert f"nobody answers at --address {address}: Connection refused" in capsys.readouterr().err
