"""Which task goes to which worker, and what comes of tasks whose worker dies, with a Ray that is made of plain objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from stylenet.errors import Interrupted, RunError
from stylenet.inference import ray_engine
from stylenet.inference.at_scale import Scale
from stylenet.inference.blocks import Shard, cut
from stylenet.inference.file_rules import Files
from stylenet.inference.finish import Finish
from stylenet.inference.folders import Job
from stylenet.inference.manifest import Manifest
from stylenet.inference.ray_engine import style_by_ray
from stylenet.inference.recipe import Recipe
from stylenet.inference.summary import Summary

JOBS = [Job(f"in/{number:04d}.jpg", (f"out/{number:04d}.jpg",)) for number in range(500)]


class RayFailed(Exception):
    """Stands for ``ray.exceptions.RayError``."""


class OutOfMemory(RayFailed):
    """Stands for ``ray.exceptions.OutOfMemoryError``."""


class ActorDied(RayFailed):
    """Stands for ``ray.exceptions.RayActorError``."""

    def __init__(self, at_start: bool = False) -> None:
        super().__init__("it died")
        self.actor_init_failed = at_start


Answer = Callable[[tuple[Job, ...]], Summary]


class PlainRay:
    """Workers that answer at once; the task that was handed out last is done first."""

    exceptions = SimpleNamespace(RayError=RayFailed, RayActorError=ActorDied, OutOfMemoryError=OutOfMemory)

    def __init__(self, answer: Answer) -> None:
        self.answer, self.most_open = answer, 0
        self.tasks: list[tuple[Job, ...]] = []
        self.open: list[int] = []

    def workers(self, count: int) -> list[Any]:
        return [SimpleNamespace(style=SimpleNamespace(remote=self._remote)) for _ in range(count)]

    def _remote(self, jobs: tuple[Job, ...]) -> int:
        self.tasks.append(jobs)
        return len(self.tasks) - 1

    def put(self, value: object) -> object:
        return value

    def wait(self, tasks: list[int], num_returns: int) -> tuple[list[int], list[int]]:
        self.most_open, self.open = max(self.most_open, len(tasks)), tasks
        return tasks[-1:], tasks[:-1]

    def get(self, task: int) -> Summary:
        return self.answer(self.tasks[task])


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Summary, PlainRay]]:
    """Style all jobs by two workers, and return the summary."""

    def with_answer(answer: Answer, resume: bool = False, jobs: Iterator[Job] | None = None) -> tuple[Summary, PlainRay]:
        ray = PlainRay(answer)
        monkeypatch.setattr(ray_engine, "_started", lambda scale: _Context(ray))
        monkeypatch.setattr(ray_engine, "_crew", lambda *_: ray_engine._Crew(ray.workers(2)))
        recipe = Recipe((), Finish(), None, "cpu", "32", "auto", Files())
        manifest = Manifest(str(tmp_path / "out"), Shard(), resume)
        return style_by_ray(iter(JOBS) if jobs is None else jobs, recipe, Scale(engine="ray"), manifest), ray

    return with_answer


class _Context:
    def __init__(self, ray: PlainRay) -> None:
        self.ray = ray

    def __enter__(self) -> PlainRay:
        return self.ray

    def __exit__(self, *_: object) -> None:
        pass


def good(jobs: tuple[Job, ...]) -> Summary:
    return Summary(done=len(jobs))


def left(tmp_path: Path) -> list[str]:
    manifest = Manifest(str(tmp_path / "out"), Shard(), resume=True)
    return [job.source for block in cut(JOBS) for job in manifest.left(block)]


def test_every_photo_is_in_one_task(run: Any, tmp_path: Path) -> None:
    summary, ray = run(good)
    assert (summary.done, summary.failed) == (500, 0)
    assert sorted(job.source for task in ray.tasks for job in task) == [job.source for job in JOBS]
    assert max(map(len, ray.tasks)) == 8
    assert not left(tmp_path)


def test_the_listing_waits_for_the_work(run: Any) -> None:
    """No more than three tasks a worker are open, so that the listing is ahead by some blocks and no more."""
    listed = 0
    ahead = []

    def counted() -> Iterator[Job]:
        nonlocal listed
        for job in JOBS:
            listed += 1
            yield job

    done = 0

    def answer(jobs: tuple[Job, ...]) -> Summary:
        nonlocal done
        done += len(jobs)
        ahead.append(listed - done)
        return good(jobs)

    _, ray = run(answer, jobs=counted())
    assert ray.most_open == 6
    assert max(ahead) <= 6 * 16 + 128


@pytest.mark.parametrize(
    ("resources", "scale", "cores", "photos"),
    [
        ({"CPU": 2}, Scale(engine="ray"), 2, 8),
        ({"CPU": 2}, Scale(devices=2), 1, 8),
        ({"CPU": 32}, Scale(devices=2), 16, 64),  # a core each, and some for those that are done first
        ({"CPU": 64}, Scale(address="auto"), 1, 8),
        ({"CPU": 32, "GPU": 4}, Scale(engine="ray"), 8, 16),  # a full group
    ],
)
def test_how_many_photos_a_worker_is_handed(resources: dict[str, float], scale: Scale, cores: int, photos: int) -> None:
    ray = MagicMock()
    ray.cluster_resources.return_value = resources
    start = ray.remote.return_value.options.return_value.remote
    crew = ray_engine._crew(ray, "recipe", "auto", scale)
    assert crew.photos == photos
    assert len(crew.workers) == start.call_count
    start.assert_called_with("recipe", cores)


@pytest.mark.parametrize("death", [ActorDied, OutOfMemory])
def test_a_photo_that_kills_its_worker_is_the_only_one_that_fails(run: Any, tmp_path: Path, death: type[Exception]) -> None:
    def answer(jobs: tuple[Job, ...]) -> Summary:
        if any(job.source == "in/0123.jpg" for job in jobs):
            raise death
        return good(jobs)

    summary, _ = run(answer)
    assert summary.done == 499
    ((source, reason),) = summary.failures
    assert source == "in/0123.jpg"
    assert "its worker died 6 times: memory may be short" in reason
    assert left(tmp_path) == ["in/0123.jpg"]


def test_neighbours_of_a_photo_that_kills_are_not_blamed(run: Any, tmp_path: Path) -> None:
    """A worker that dies takes with it what it was handed besides: all tasks that are open beside the one that kills."""
    get = PlainRay.get

    def dying(self: PlainRay, task: int) -> Summary:
        if any(job.source == "in/0123.jpg" for number in self.open for job in self.tasks[number]):
            raise ActorDied
        return get(self, task)

    def first_comes_first(self: PlainRay, tasks: list[int], num_returns: int) -> tuple[list[int], list[int]]:
        self.open = tasks
        return tasks[:1], tasks[1:]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PlainRay, "get", dying)
        patch.setattr(PlainRay, "wait", first_comes_first)
        summary, ray = run(good)
    assert summary.done == 499
    assert [source for source, _ in summary.failures] == ["in/0123.jpg"]
    assert left(tmp_path) == ["in/0123.jpg"]
    assert len(ray.tasks[-1]) == 1


def test_workers_that_cannot_be_made(run: Any) -> None:
    def answer(jobs: tuple[Job, ...]) -> Summary:
        raise ActorDied(at_start=True)

    with pytest.raises(RunError, match="no worker can be started: it died"):
        run(answer)


def test_what_else_goes_wrong_in_ray_is_one_line(run: Any, tmp_path: Path) -> None:
    """As where a machine is lost, or the program is wrong: what is done is kept, and no photo is blamed."""
    count = 0

    def answer(jobs: tuple[Job, ...]) -> Summary:
        nonlocal count
        count += 1
        if count > 20:
            raise RayFailed("the object store\nis gone")
        return good(jobs)

    summary, _ = run(answer)
    assert summary.message == "Ray gave up: the object store is gone; the same work with resume=True goes on"
    assert summary.broke
    assert not summary.failures
    assert summary.done > 100
    assert 0 < len(left(tmp_path)) < 500


def test_failures_are_noted_and_tried_again(run: Any, tmp_path: Path) -> None:
    def answer(jobs: tuple[Job, ...]) -> Summary:
        failures = [(job.source, "damaged") for job in jobs if job.source.endswith("00.jpg")]
        return Summary(done=len(jobs) - len(failures), failures=failures)

    summary, _ = run(answer)
    assert (summary.done, summary.failed) == (495, 5)
    again, ray = run(good, resume=True)
    assert (again.done, again.skipped) == (5, 495)
    assert sorted(job.source for task in ray.tasks for job in task) == [f"in/0{number}00.jpg" for number in range(5)]


def test_a_full_disk_ends_it(run: Any) -> None:
    summary, ray = run(lambda jobs: Summary(done=1, message="the disk is full"))
    assert summary.message == "the disk is full"
    assert len(ray.tasks) == 6


def test_what_is_done_is_kept_when_it_is_interrupted(run: Any, tmp_path: Path) -> None:
    count = 0

    def answer(jobs: tuple[Job, ...]) -> Summary:
        nonlocal count
        count += 1
        if count > 20:
            raise KeyboardInterrupt
        return good(jobs)

    with pytest.raises(Interrupted) as stopped:
        run(answer)
    done = stopped.value.result.done
    assert stopped.value.result.interrupted
    assert 0 < done < 500
    assert 0 < len(left(tmp_path)) < 500
    again, _ = run(good, resume=True)
    assert again.done + again.skipped == 500
    assert not left(tmp_path)
