"""Sets of any size: shards are a partition, blocks are the same in every run, notes are what a run goes on from."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import noise
from PIL import Image

from stylenet import storage
from stylenet.errors import InputError, Interrupted
from stylenet.images.picture import Picture
from stylenet.inference import reading
from stylenet.inference.at_scale import Scale, jobs_at_scale, style_blocks
from stylenet.inference.blocks import Block, Shard, cut, stream_jobs
from stylenet.inference.file_rules import Files
from stylenet.inference.folders import Job
from stylenet.inference.manifest import Manifest
from stylenet.inference.summary import Summary

JOBS = [Job(f"in/{number:05d}.jpg", (f"out/{number:05d}.jpg",)) for number in range(5000)]


# --- shards and blocks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 7, 64, 100])
def test_shards_are_a_partition(count: int) -> None:
    shards = [Shard(number, count) for number in range(1, count + 1)]
    taken = Counter(number for job in JOBS for number, shard in enumerate(shards) if shard.takes(job.source))
    assert all(sum(shard.takes(job.source) for shard in shards) == 1 for job in JOBS[:500])
    usual = len(JOBS) / count
    assert all(abs(taken[number] - usual) < 5 * usual**0.5 for number in range(count))  # five standard deviations


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "-1/2", "1/0", "1/2/3", "", "1 /2", "1/99999999999999"])
def test_shards_that_make_no_sense(text: str) -> None:
    with pytest.raises(InputError, match="write 3/100 for the third of a hundred shares"):
        Scale(shard=text)


def test_blocks_are_all_jobs_in_their_order() -> None:
    blocks = list(cut(JOBS))
    assert [job for block in blocks for job in block.jobs] == JOBS
    assert max(len(block.jobs) for block in blocks) <= 128
    assert 30 < len(JOBS) / len(blocks) < 90
    assert len({block.key for block in blocks}) == len(blocks)


def test_photos_that_come_and_go_change_few_blocks() -> None:
    changed = list(JOBS)
    for place in random.Random(0).sample(range(len(JOBS)), 5):
        del changed[place]
    changed.insert(2500, Job("in/02500-new.jpg", ("out/02500-new.jpg",)))
    before = {block.key for block in cut(JOBS)}
    after = [block.key for block in cut(changed)]
    assert sum(key not in before for key in after) <= 12


def test_blocks_of_a_shard_of_as_many_shards_as_a_block_has_photos() -> None:
    """The two cuts are independent: neither one photo a block, nor none."""
    shard = [job for job in JOBS * 4 if Shard(3, 64).takes(job.source)]
    assert 2 < len(shard) / len(list(cut(shard))) <= 128


# --- what is streamed -------------------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for number in range(20):
        path = tmp_path / "photos" / str(number % 3) / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(16, 20, number)).save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def streamed(*inputs: str, output: str = "out", shard: Shard | None = None) -> list[Job]:
    return list(stream_jobs(inputs, output, ["s"], shard or Shard()))


def test_a_stream_is_a_plan(photos: Path) -> None:
    plan = streamed("photos")
    assert len(plan) == 20
    assert plan[0] == Job("photos/0/00.png", ("out/0/00.png",))
    parts = [streamed("photos", shard=Shard(number, 3)) for number in (1, 2, 3)]
    assert sorted(job.source for part in parts for job in part) == [job.source for job in plan]
    assert all(parts)


def test_a_list_of_files(photos: Path) -> None:
    (photos / "lists").mkdir()
    (photos / "lists/some.txt").write_text(f"# three\n\na.png\n{photos}/b.png\ns3://b/in/c.png\n")
    jobs = streamed("lists/some.txt")
    assert [job.source for job in jobs] == ["lists/a.png", f"{photos}/b.png", "s3://b/in/c.png"]
    assert [job.outputs[0] for job in jobs] == ["out/a.png", f"out{photos}/b.png", "out/in/c.png"]


@pytest.mark.parametrize(
    ("lines", "message"), [("", "names no pictures"), ("../a.png\n", "paths go without"), ("\xff", "text")]
)
def test_lists_that_cannot_be(lines: str, message: str, photos: Path) -> None:
    (photos / "some.txt").write_bytes(lines.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        streamed("some.txt")


@pytest.mark.parametrize("output", ["photos", "photos/../photos", "."])
def test_results_never_overwrite_photos(output: str, photos: Path) -> None:
    (photos / "photos/photos").mkdir()
    Image.fromarray(noise(16, 20, 0)).save(photos / "photos/photos/a.png")
    with pytest.raises(InputError, match="overwrit"):
        streamed("photos", output=output)


def test_a_result_with_another_name_never_meets_a_photos(photos: Path) -> None:
    Image.fromarray(noise(16, 20, 0)).save(photos / "photos/x.gif")
    assert [job.trouble for job in streamed("photos") if job.source.endswith("x.gif")] == [""]
    Image.fromarray(noise(16, 20, 0)).save(photos / "photos/x.gif.png")
    trouble = {job.source: job.trouble for job in streamed("photos")}
    assert trouble["photos/x.gif.png"] == ""
    assert "its result would be that of photos/x.gif.png" in trouble["photos/x.gif"]


# --- notes ------------------------------------------------------------------------------------------------------------


def note_all(manifest: Manifest, failures: dict[str, str]) -> None:
    with manifest:
        for block in cut(JOBS):
            manifest.note(block, {job.source: failures[job.source] for job in block.jobs if job.source in failures})


def left(manifest: Manifest) -> list[str]:
    return [job.source for block in cut(JOBS) for job in manifest.left(block)]


def test_what_failed_is_left(tmp_path: Path) -> None:
    failures = {JOBS[number].source: "damaged" for number in range(0, 5000, 100)}
    output = str(tmp_path / "out")
    note_all(Manifest(output, Shard(), resume=False), failures)
    assert left(Manifest(output, Shard(), resume=True)) == list(failures)
    assert left(Manifest(output, Shard(1, 2), resume=True)) == [job.source for job in JOBS]


def test_later_notes_count(tmp_path: Path) -> None:
    output, block = str(tmp_path / "out"), next(cut(JOBS))
    for failures in ({block.jobs[3].source: "no memory"}, {}):
        with Manifest(output, Shard(), resume=True) as manifest:
            manifest.note(block, failures)
    assert Manifest(output, Shard(), resume=True).left(block) == ()


def test_a_run_from_the_beginning_deletes_its_own_notes(tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    for shard in (Shard(1, 2), Shard(2, 2)):
        note_all(Manifest(output, shard, resume=False), {})
    Manifest(output, Shard(1, 2), resume=False)
    assert len(left(Manifest(output, Shard(1, 2), resume=True))) == len(JOBS)
    assert not left(Manifest(output, Shard(2, 2), resume=True))


def test_notes_of_other_work(tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    note_all(Manifest(output, Shard(), resume=False, work="udnie"), {})
    with pytest.raises(InputError, match="was of another style or other settings"):
        Manifest(output, Shard(), resume=True, work="great_wave")


@pytest.mark.parametrize("content", ["", "no json\n", "[]\n", '{"work": "x"}\n{"block": "a"}\n', "\0\n"])
def test_damaged_notes(content: str, tmp_path: Path) -> None:
    storage.write(tmp_path / "out/.stylenet/1-of-1/a.jsonl", content.encode())
    with pytest.raises(InputError, match=r"a\.jsonl holds no notes of finished photos: delete it"):
        Manifest(str(tmp_path / "out"), Shard(), resume=True)


def test_parts_hold_all_reasons(tmp_path: Path) -> None:
    note_all(Manifest(str(tmp_path), Shard(), resume=False), {JOBS[7].source: "damaged"})
    lines = [json.loads(line) for path in (tmp_path / ".stylenet/1-of-1").iterdir() for line in path.read_text().splitlines()]
    assert sum(line.get("photos", 0) for line in lines) == len(JOBS)
    assert [list(line["failed"].values()) for line in lines if line.get("failed")] == [["damaged"]]


# --- running ----------------------------------------------------------------------------------------------------------


class Styler:
    """A style that inverts, and may be stopped."""

    def __init__(self, most: int = 10**9) -> None:
        self.seen: list[str] = []
        self.most = most

    def __call__(self, picture: Picture) -> Picture:
        if len(self.seen) >= self.most:
            raise KeyboardInterrupt
        self.seen.append(Path(picture.name).name)
        return Picture(1 - picture.pixels, name=picture.name)


def run(styler: Styler, resume: bool, output: str = "out", **options: str) -> Summary:
    scale = Scale(resume=resume, **options)  # type: ignore[arg-type]
    jobs = jobs_at_scale(["photos"], output, ["s"], scale, Files())
    return style_blocks(jobs, [styler], Files(), Manifest(output, scale.share, resume))  # type: ignore[list-item]


def test_a_run_goes_on_where_it_was_stopped(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylenet.inference.blocks._USUAL", 4)
    first = Styler(most=9)
    with pytest.raises(Interrupted) as stopped:
        run(first, resume=False)
    second = Styler()
    summary = run(second, resume=True)
    assert 20 <= len(first.seen) + len(second.seen) <= 22  # what waits to be written when it is stopped is given up
    assert 0 < stopped.value.result.done <= len(first.seen)
    assert summary.done + summary.skipped == 20
    assert len(list((photos / "out").rglob("*.png"))) == 20
    third = Styler()
    assert run(third, resume=True).skipped == 20
    assert not third.seen


def test_what_is_finished_is_not_looked_for(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(Styler(), resume=False)

    def never(place: object) -> bool:
        raise AssertionError(f"asked for {place}")

    monkeypatch.setattr("stylenet.inference.file_rules.exists", never)
    assert run(Styler(), resume=True).skipped == 20


def test_shards_do_all_and_nothing_twice(photos: Path) -> None:
    stylers = [Styler() for _ in range(3)]
    done = [run(styler, resume=False, shard=f"{number}/3").done for number, styler in enumerate(stylers, 1)]
    assert sum(done) == 20
    assert len({name for styler in stylers for name in styler.seen}) == 20
    written = {path.relative_to(photos / "out").as_posix() for path in (photos / "out").rglob("*.png")}
    assert written == {path.relative_to(photos / "photos").as_posix() for path in (photos / "photos").rglob("*.png")}


def test_a_shard_without_a_photo(photos: Path) -> None:
    for path in list((photos / "photos").rglob("*.png"))[1:]:
        path.unlink()
    assert sum(run(Styler(), resume=False, shard=f"{number}/9").done for number in range(1, 10)) == 1


def test_failures_are_counted_and_tried_again(photos: Path) -> None:
    good = (photos / "photos/0/03.png").read_bytes()
    (photos / "photos/0/03.png").write_bytes(b"no picture")
    summary = run(Styler(), resume=False)
    assert (summary.done, summary.failed) == (19, 1)
    (photos / "photos/0/03.png").write_bytes(good)
    again = Styler()
    assert run(again, resume=True).done == 1
    assert again.seen == ["03.png"]


def test_only_so_many_failures_are_kept(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylenet.inference.at_scale._KEPT", 5)
    for path in (photos / "photos").rglob("*.png"):
        path.write_bytes(b"no picture")
    summary = run(Styler(), resume=False)
    assert (len(summary.failures), summary.unlisted, summary.failed, summary.tried) == (5, 15, 20, 20)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devices": 0}, "devices is 0"),
        ({"engine": "here", "devices": 2}, "devices=2 needs engine='ray'"),
        ({"engine": "here", "address": "auto"}, "address='auto' needs engine='ray'"),
    ],
)
def test_what_does_not_go_together(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Scale(**options)  # type: ignore[arg-type]


def test_block_keys_tell_outputs_apart() -> None:
    assert Block((Job("a", ("b",)),)).key != Block((Job("a", ("c",)),)).key


def test_pixels_are_those_of_the_style(photos: Path) -> None:
    run(Styler(), resume=False)
    for path in (photos / "out").rglob("*.png"):
        photo = np.asarray(Image.open(photos / "photos" / path.relative_to(photos / "out")))
        assert np.array_equal(np.asarray(Image.open(path)), 255 - photo)


@pytest.mark.parametrize(("device", "cores", "most"), [("cpu", 32, 2), ("cuda", 32, 16), ("cuda", 8, 8), ("cuda", 1, 2)])
def test_beside_a_gpu_all_cores_read(device: str, cores: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "processor_cores", lambda: cores)
    styler = Styler()
    styler.device = torch.device(device)  # type: ignore[attr-defined]
    assert reading.most_ahead([styler]) == most  # type: ignore[list-item]
