"""Pictures of moderate size are styled beside each other, and nothing else changes."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import noise
from foreign_nets import randomised
from PIL import Image

from stylenet.cores import start_lanes
from stylenet.errors import Interrupted
from stylenet.inference import Files, Finish, Stylizer, lanes, plan_jobs, stylize_many
from stylenet.inference.ray_engine import Worker
from stylenet.inference.recipe import Recipe
from stylenet.inference.summary import Summary
from stylenet.network.cards import Card
from stylenet.network.styles import Style
from stylenet.network.transform_net import NetSettings, TransformNet


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def stylizer() -> Stylizer:
    torch.manual_seed(0)
    return Stylizer(Style(randomised(TransformNet(NetSettings(width=4, residual_blocks=1))), Card("tiny")), device="cpu")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Nine photos of several sizes, of which the third is none and the fifth takes all cores."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(9):
        height = 200 if index == 4 else 40 + 4 * index
        Image.fromarray(noise(height, 48, index)).save(folder / f"{index}.png")
    (folder / "2.png").write_text("no picture")
    return folder


def styled(photos: Path, stylizer: Stylizer, output: Path) -> Summary:
    return stylize_many(plan_jobs([str(photos)], str(output), ["tiny"]), [stylizer], Files())


@pytest.mark.usefixtures("two_threads")
def test_the_same_results(photos: Path, stylizer: Stylizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "_LARGEST", 48 * 80)
    threads, both, call = set(), threading.Barrier(2, timeout=60), Stylizer.__call__
    met: list[int] = []

    def noted(self: Stylizer, picture: object) -> object:
        height = int(picture.height)  # type: ignore[attr-defined]
        threads.add((threading.current_thread() is threading.main_thread(), torch.get_num_threads(), height == 200))
        if height in (40, 44):  # the first two wait for each other
            met.append(both.wait())
        return call(self, picture)  # type: ignore[call-overload]

    monkeypatch.setattr(Stylizer, "__call__", noted)
    summary = styled(photos, stylizer, tmp_path / "beside")
    assert sorted(met) == [0, 1]
    assert threads == {(False, 1, False), (True, 2, True)}
    assert torch.get_num_threads() == 2
    assert (summary.done, summary.skipped, [Path(source).name for source, _ in summary.failures]) == (8, 0, ["2.png"])
    monkeypatch.undo()
    torch.set_num_threads(1)
    one_by_one = styled(photos, stylizer, tmp_path / "one_by_one")
    assert (one_by_one.done, len(one_by_one.failures)) == (8, 1)
    for path in (tmp_path / "one_by_one").iterdir():
        ours, theirs = (np.asarray(Image.open(folder / path.name)).astype(int) for folder in (path.parent, tmp_path / "beside"))
        assert np.abs(ours - theirs).max() <= 1


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("cores", [1, 2])
def test_a_worker_of_ray_styles_as_many_photos_at_once_as_it_has_cores(
    cores: int, photos: Path, stylizer: Stylizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while it has two tasks in hand."""
    call, lock = Stylizer.__call__, threading.Lock()
    now, most = [0], [0]

    def counted(self: Stylizer, picture: object) -> object:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.05)
        result = call(self, picture)  # type: ignore[call-overload]
        with lock:
            now[0] -= 1
        return result

    monkeypatch.setattr(Stylizer, "__call__", counted)
    monkeypatch.setattr(lanes, "free_main_memory", lambda: 8_000_000_000)
    worker = Worker(Recipe((stylizer.style,), Finish(), None, "cpu", "32", "auto", Files()), cores)
    jobs = plan_jobs([str(photos)], str(tmp_path / "out"), ["tiny"])
    with ThreadPoolExecutor(2) as tasks:
        parts = list(tasks.map(worker.style, [jobs[:5], jobs[5:]]))
    assert [part.done for part in parts] == [4, 4]
    assert most == [cores]


@pytest.mark.usefixtures("two_threads")
def test_ctrl_c(photos: Path, stylizer: Stylizer, tmp_path: Path) -> None:
    """What is under way is finished, and no thread is left."""
    before = threading.active_count()

    def stop(summary: Summary, _: int) -> None:
        if summary.tried >= 2 and not summary.interrupted:
            raise KeyboardInterrupt

    jobs = plan_jobs([str(photos)], str(tmp_path / "out"), ["tiny"])
    with pytest.raises(Interrupted) as stopped:
        stylize_many(jobs, [stylizer], Files(), stop)
    assert stopped.value.result.interrupted
    for path in (tmp_path / "out").iterdir():
        Image.open(path).load()
    assert len(list((tmp_path / "out").iterdir())) < 8
    assert torch.get_num_threads() == 2
    assert threading.active_count() <= before + 1


@pytest.mark.usefixtures("two_threads")
def test_as_many_as_memory_allows(stylizer: Stylizer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lanes.count_lanes([stylizer, stylizer]) == 2
    monkeypatch.setattr(lanes, "free_main_memory", lambda: 1_500_000_000)
    assert lanes.count_lanes([stylizer]) == 1
    assert lanes.count_lanes([lambda picture: picture]) == 1
    monkeypatch.undo()
    on_gpu = dataclasses.make_dataclass("OnGpu", ["device"])(torch.device("cuda"))
    assert lanes.count_lanes([on_gpu]) == 1


@pytest.mark.usefixtures("two_threads")
def test_lanes_that_are_started_change_nothing_else() -> None:
    with start_lanes(3) as started:
        assert [started.submit(torch.get_num_threads).result() for _ in range(6)] == [1] * 6
        assert torch.get_num_threads() == 2
        found: list[int] = []
        other = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        other.start()
        other.join()
        assert found == [2]
