"""Crops that depend on seed, epoch and index alone; loaders that go on where they were; splits; geometry."""

from __future__ import annotations

import gc
import logging
import math
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import noise
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image
from skimage import data as photographs
from torch import Tensor

from stylenet.errors import InputError, RunError
from stylenet.training.data import (
    CentreCrop,
    KeySampler,
    PhotoDataModule,
    PhotoDataset,
    RandomCrop,
    ResumableLoader,
    collate,
    pick_workers,
)
from stylenet.training.photos import Photo, find_photos

# Torch warns where there are more workers than cores.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

SIDE = 24


def picture(number: int, height: int = SIDE, width: int = SIDE) -> np.ndarray:
    """Noise whose blue is the number of the photo, to know it again in a batch."""
    array = noise(height, width, number)
    array[..., 2] = number * 4
    return array


def numbers(photos: Tensor) -> list[int]:
    """Which photos are in a batch of bytes, or of floats in 0..1."""
    blue = photos[:, 2].double().mean(dim=(1, 2)) * (1 if photos.dtype == torch.uint8 else 255)
    return [round(float(value) / 4) for value in blue]


def make(folder: Path, count: int, height: int = SIDE, width: int = SIDE) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.fromarray(picture(number, height, width)).save(folder / f"{number:03}.png")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """14 photos of 30 x 24 pixels."""
    return make(tmp_path_factory.mktemp("photos") / "in", 14, 24, 30)


@pytest.fixture(scope="module")
def archive(folder: Path) -> Path:
    path = folder.parent / "photos.zip"
    with zipfile.ZipFile(path, "w") as opened:
        for file in sorted(folder.iterdir()):
            opened.write(file, file.name)
    return path


def module(photos: Path | list[Path], **settings: Any) -> PhotoDataModule:
    """Set up, for small crops; the photos of the validation are the same unless it is said otherwise."""
    sources = [str(path) for path in photos] if isinstance(photos, list) else str(photos)
    defaults: dict[str, Any] = {"val_photos": sources, "size": 16, "batch_size": 3, "workers": 0}
    result = PhotoDataModule(sources, **(defaults | settings))
    result.setup()
    return result


def epoch(loader: ResumableLoader, number: int) -> list[Tensor]:
    loader.sampler.set_epoch(number)
    return [batch.photos for batch in loader]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


# --- what crops depend on ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("source", ["folder", "archive"])
def test_the_same_batches_from_any_worker(folder: Path, archive: Path, source: str, workers: int) -> None:
    """Against single items of the dataset, taken in another order."""
    photos = find_photos(folder)
    dataset = PhotoDataset(photos, RandomCrop(16, 0.5), 1, seed=7)
    expected = {(e, i): dataset[(e, i)][0] for e in (1, 0) for i in reversed(range(14))}
    settings = {"seed": 7, "smallest_crop": 0.5, "workers": workers}
    loader = module(folder if source == "folder" else archive, **settings).train_dataloader()
    for e in (0, 1):
        order = np.array(np.split(np.array([i for b in epoch(loader, e) for i in numbers(b)]), 4))
        assert len(set(order.flatten().tolist())) == 12  # of 14, in 4 batches of 3
        for indices, batch in zip(order, epoch(loader, e), strict=True):
            assert torch.equal(batch, torch.stack([expected[e, int(i)] for i in indices]))


def test_every_epoch_and_seed_has_its_own_crops_and_order(folder: Path) -> None:
    photos = find_photos(folder)
    seen = set()
    for seed in (0, 1):
        dataset = PhotoDataset(photos, RandomCrop(16, 0.5), 1, seed)
        seen |= {dataset[(e, 5)][0].numpy().tobytes() for e in range(4)}
    assert len(seen) == 8
    orders = [
        tuple(i for batch in epoch(module(folder, seed=seed).train_dataloader(), e) for i in numbers(batch))
        for seed, e in ((0, 0), (0, 1), (0, 2), (3, 0))
    ]
    assert len(set(orders)) == 4


def test_neighbours_have_different_crops(tmp_path: Path) -> None:
    """One photo under many names: nothing but the index tells them apart."""
    file = make(tmp_path / "one", 1) / "000.png"
    dataset = PhotoDataset([Photo(str(file))] * 8, RandomCrop(16, 0.5), 1, seed=0)
    assert len({dataset[(0, i)][0].numpy().tobytes() for i in range(8)}) == 8


def test_four_workers_share_a_zip(tmp_path: Path) -> None:
    """Their file positions are their own: every photo comes once an epoch, whole."""
    folder = make(tmp_path / "in", 48)
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as opened:
        for file in sorted(folder.iterdir()):
            opened.write(file, f"deep/er/{file.name}")
    loader = module(path, size=SIDE, smallest_crop=1.0, batch_size=4, workers=4).train_dataloader()
    for e in range(3):
        found: Counter[int] = Counter()
        mirrored = 0
        loader.sampler.set_epoch(e)
        for batch in loader:
            assert batch.unreadable == ()
            for number, photo in zip(numbers(batch.photos), batch.photos, strict=True):
                array, whole = photo.permute(1, 2, 0).numpy(), picture(number)
                mirrored += (array == whole[:, ::-1]).all()
                assert (array == whole).all() or (array == whole[:, ::-1]).all()
                found[number] += 1
        assert found == Counter(range(48))
        assert 0 < mirrored < 48


# --- the order --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("count", [13, 14])
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_photo_once_an_epoch(replicas: int, count: int, shuffle: bool) -> None:
    dataset = PhotoDataset([Photo(f"{i}.jpg") for i in range(count)], CentreCrop(8), 8, seed=0)
    samplers = [KeySampler(dataset, replicas, rank, shuffle, seed=3) for rank in range(replicas)]
    orders = []
    for e in range(3):
        for sampler in samplers:
            sampler.set_epoch(e)
        keys = [list(sampler) for sampler in samplers]
        assert {len(own) for own in keys} == {len(sampler) for sampler in samplers} == {math.ceil(count / replicas)}
        assert {key[0] for own in keys for key in own} == {e}
        indices = [[index for _, index in own] for own in keys]
        counts = Counter(index for own in indices for index in own)
        assert set(counts) == set(range(count))
        assert counts.total() == math.ceil(count / replicas) * replicas  # one comes twice where it does not come out even
        assert all(keys == [list(sampler) for sampler in samplers] for _ in range(2))  # and again
        orders.append(indices)
    if shuffle:
        assert all(len({tuple(order[rank]) for order in orders}) == 3 for rank in range(replicas))
    else:
        assert [index for pair in zip(*orders[0], strict=True) for index in pair][:count] == list(range(count))


def test_processes_of_a_trainer_share_an_epoch(folder: Path) -> None:
    batches = []
    for rank in range(2):
        data = module(folder, batch_size=2)
        data.trainer = SimpleNamespace(world_size=2, global_rank=rank, overfit_batches=0.0)
        loader = data.train_dataloader()
        assert len(loader) == 3  # of 7 photos
        batches += epoch(loader, 0)
        val = [i for batch in data.val_dataloader() for i in numbers(batch.photos)]
        assert val == list(range(rank, 14, 2))
    assert len({i for batch in batches for i in numbers(batch)}) == 12


def test_short_batches(folder: Path) -> None:
    """Dropped in training, unless nothing would be left; kept in validation."""
    data = module(folder, batch_size=4)
    assert [len(batch) for batch in epoch(data.train_dataloader(), 0)] == [4, 4, 4]
    assert [len(batch.photos) for batch in data.val_dataloader()] == [4, 4, 4, 2]
    assert [len(batch) for batch in epoch(module(folder, batch_size=20).train_dataloader(), 0)] == [14]
    assert [len(batch) for batch in epoch(module(folder, batch_size=4, subset=3).train_dataloader(), 0)] == [3]


# --- files that cannot be read ----------------------------------------------------------------------------------------


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    """Eight photos, of which 2, 3 and the last are none."""
    folder = make(tmp_path / "spoilt", 8)
    (folder / "002.png").write_bytes((folder / "002.png").read_bytes()[:200])
    (folder / "003.png").write_text("not found")
    Image.fromarray(noise(1, 9, 0)).save(folder / "007.png")
    return folder


def test_the_next_photo_stands_in(spoilt: Path) -> None:
    photos = find_photos(spoilt)
    dataset = PhotoDataset(photos, CentreCrop(8), 8, seed=0)
    items = [dataset[(0, i)] for i in range(8)]
    assert numbers(torch.stack([item for item, _ in items])) == [0, 1, 4, 4, 4, 5, 6, 0]
    assert [[message.split(": ")[0] for message in skipped] for _, skipped in items] == [
        *([], [], [str(photos[2]), str(photos[3])], [str(photos[3])]),
        *([], [], [], [str(photos[7])]),
    ]
    # A stand-in has a crop of its own, not a copy of the other's.
    random = PhotoDataset(photos, RandomCrop(8, 0.5), 8, seed=0)
    assert len({random[(0, i)][0].numpy().tobytes() for i in (2, 3, 4)}) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_what_was_skipped_is_said_once(spoilt: Path, workers: int) -> None:
    data = module(spoilt, batch_size=2, workers=workers)
    loader = data.train_dataloader()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", "This DataLoader will create")
        for e in range(2):
            loader.sampler.set_epoch(e)
            for batch in loader:
                assert data.on_after_batch_transfer(data.on_before_batch_transfer(batch, 0), 0).shape == (2, 3, 16, 16)
    said = sorted(str(warning.message) for warning in caught)
    reasons = ["002.png: .*(truncated|broken)", "003.png: it is not a picture", "007.png: it is 9 x 1 pixels"]
    assert len(said) == len(data.unreadable) == 3
    for text, name, reason in zip(said, sorted(data.unreadable), reasons, strict=True):
        assert text == f"skipped a photo that cannot be read: {name}"
        assert re.search(reason, name)


def test_the_end_says_how_many_were_skipped(
    spoilt: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = module(spoilt)
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    monkeypatch.setattr(logging.getLogger("lightning.pytorch"), "propagate", True)
    with caplog.at_level(logging.INFO, logger.name):
        data.teardown("fit")
        assert caplog.text == ""
        data.unreadable = dict.fromkeys(["a", "b"])
        data.teardown("fit")
    assert "2 photos could not be read" in caplog.text


def texts(folder: Path) -> Path:
    folder.mkdir()
    for name in ("a.jpg", "b.png"):
        (folder / name).write_text("no picture")
    return folder


@pytest.mark.parametrize("which", ["photos", "val_photos"])
def test_none_readable_is_known_at_once(tmp_path: Path, folder: Path, which: str) -> None:
    bad = texts(tmp_path / "texts")
    good_and_bad = (
        {"photos": bad, "val_photos": str(folder)} if which == "photos" else {"photos": folder, "val_photos": str(bad)}
    )
    with pytest.raises(InputError, match=r"none of 2 photos can be read, for example .*a\.jpg: it is not a picture") as caught:
        module(**good_and_bad)
    assert "\n" not in str(caught.value)


def test_none_readable_any_more(tmp_path: Path) -> None:
    dataset = PhotoDataset([Photo(str(tmp_path / f"{i}.jpg")) for i in range(3)], CentreCrop(8), 8, seed=0)
    with pytest.raises(InputError, match=r"none of 3 photos can be read: .*1\.jpg"):
        dataset[(0, 1)]


# --- which photos are for what ----------------------------------------------------------------------------------------


def split(data: PhotoDataModule) -> tuple[list[str], list[str]]:
    return [Path(photo.path).name for photo in data.train_set], [Path(photo.path).name for photo in data.val_set]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("many") / "in", 60, 4, 4)


@pytest.mark.parametrize(("val_count", "expected"), [(1, 1), (4, 4), (32, 6)])  # at most a tenth
def test_photos_are_held_out(many: Path, val_count: int, expected: int) -> None:
    train, val = split(module(many, val_photos=None, val_count=val_count))
    assert len(val) == expected
    assert sorted(train + val) == [f"{i:03}.png" for i in range(60)]
    assert train == sorted(train)
    assert val == sorted(val)
    assert (train, val) == split(module(many, val_photos=None, val_count=val_count, seed=9))
    # More photos for validation hold the same ones and others, so that runs can be compared.
    assert set(val) <= set(split(module(many, val_photos=None, val_count=32))[1])
    if expected == 6:
        assert val not in (train[:6], [f"{i:03}.png" for i in range(54, 60)])  # anywhere


@pytest.mark.parametrize("subset", [1, 10, 54, 1000])
def test_a_subset(many: Path, subset: int) -> None:
    train, val = split(module(many, val_photos=None, subset=subset))
    whole, same_val = split(module(many, val_photos=None))
    assert val == same_val
    assert len(train) == min(subset, 54)
    assert set(train) <= set(whole)
    assert train == sorted(train)
    if subset == 10:
        assert train != whole[:10]  # not the first, which may be of one kind
        assert set(train) < set(split(module(many, val_photos=None, subset=20))[0])


def test_own_photos_for_validation(many: Path, folder: Path) -> None:
    train, val = split(module(many, val_photos=str(folder), val_count=5))
    assert len(train) == 60
    assert val == [f"{i:03}.png" for i in range(5)]
    data = module(many, val_photos=str(folder), val_count=5)
    assert all(photo.path.startswith(str(folder)) for photo in data.val_set)


def test_few_photos(tmp_path: Path) -> None:
    assert split(module(make(tmp_path / "two", 2), val_photos=None)) in ((["000.png"], ["001.png"]), (["001.png"], ["000.png"]))
    assert split(module(make(tmp_path / "one", 1), val_photos=None)) == (["000.png"], ["000.png"])


def test_several_sources(many: Path, folder: Path, archive: Path) -> None:
    data = module([folder, archive, folder], val_photos=str(many))
    assert len(data.train_set) == 28
    assert data.fingerprint.startswith("28 photos, ")


def test_the_fingerprint_is_of_the_training_photos(folder: Path, archive: Path) -> None:
    value = module(folder).fingerprint
    assert value == module(archive).fingerprint
    assert value != module(folder, val_photos=None).fingerprint
    assert module(folder, val_photos=None, seed=1).fingerprint == module(folder, val_photos=None).fingerprint


def test_setting_up_twice_changes_nothing(folder: Path) -> None:
    data = module(folder, val_photos=None)
    before = split(data)
    data.sources = "nowhere"
    data.setup("validate")
    assert split(data) == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0: it must be 1 or more"),
        ({"size": 0}, "size is 0"),
        ({"val_size": 0}, "val_size is 0"),
        ({"size": -5}, "size is -5"),
        ({"val_count": 0}, "val_count is 0"),
        ({"subset": 0}, "subset is 0"),
        ({"subset": -1}, "subset is -1"),
        ({"workers": -1}, "workers is -1: it must be 0 or more"),
        ({"seed": -1}, "seed is -1"),
        ({"smallest_crop": 0.0}, r"smallest_crop is 0\.0: it must be above 0 and at most 1"),
        ({"smallest_crop": 1.01}, r"smallest_crop is 1\.01"),
        ({"smallest_crop": float("nan")}, "smallest_crop is nan"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        PhotoDataModule("photos", **settings)


def test_wrong_sources(tmp_path: Path) -> None:
    data = PhotoDataModule(str(tmp_path / "none"))
    with pytest.raises(InputError, match="there is no such folder"):
        data.setup()


@pytest.mark.parametrize(
    ("cores", "processes", "expected"), [(1, 1, 1), (4, 1, 2), (16, 1, 8), (64, 1, 8), (16, 4, 2), (4, 8, 1)]
)
def test_workers_fit_the_machine(monkeypatch: pytest.MonkeyPatch, cores: int, processes: int, expected: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert pick_workers(processes) == expected
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert pick_workers(processes) == expected


# --- what the network gets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
def test_batches(folder: Path, workers: int) -> None:
    data = module(folder, size=16, val_size=20, batch_size=3, workers=workers)
    for loader, side in ((data.train_dataloader(), 16), (data.val_dataloader(), 20)):
        for batch in loader:
            assert batch.photos.dtype == torch.uint8
            moved = move_data_to_device(batch, torch.device("cpu"))
            photos = data.on_after_batch_transfer(data.on_before_batch_transfer(moved, 0), 0)
            assert photos.dtype == torch.float32
            assert photos.shape[1:] == (3, side, side)
            assert photos.is_contiguous(memory_format=torch.channels_last)
            assert torch.equal((photos.double() * 255).round(), batch.photos.double())
            assert 0 <= float(photos.min()) < 0.1
            assert 0.9 < float(photos.max()) <= 1


def test_batches_keep_what_was_skipped_on_their_way(folder: Path) -> None:
    item = torch.arange(48, dtype=torch.uint8).view(3, 4, 4)
    batch = collate([(item, ("a", "b")), (item + 1, ()), (item + 2, ("a",))])
    assert torch.equal(batch.photos, torch.stack([item, item + 1, item + 2]))
    moved = move_data_to_device(batch, torch.device("cpu"))
    assert batch.unreadable == moved.unreadable == ("a", "b", "a")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_pinned_batches(folder: Path) -> None:
    batch = next(iter(module(folder).train_dataloader()))
    assert batch.photos.is_pinned()
    assert torch.equal(move_data_to_device(batch, torch.device("cuda")).photos.cpu(), batch.photos)


def test_validation_is_the_same_every_time(folder: Path) -> None:
    first = module(folder, val_size=16)
    batches = [batch.photos for batch in first.val_dataloader()]
    assert [i for batch in batches for i in numbers(batch)] == list(range(14))
    again = first.val_dataloader()
    assert same(epoch(again, 5), batches)
    assert same([batch.photos for batch in module(folder, seed=5).val_dataloader()], batches)
    calibration = first.calibration_photos(4)
    assert calibration.dtype == torch.float32
    assert torch.equal(calibration * 255, torch.cat(batches)[:4].float())
    assert len(first.calibration_photos(100)) == 14


# --- going on in the middle of an epoch -------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_goes_on_where_it_was(folder: Path, workers: int) -> None:
    whole = module(folder, workers=workers).train_dataloader()
    epochs = [epoch(whole, e) for e in range(3)]
    assert [len(batches) for batches in epochs] == [4, 4, 4]
    for taken in range(4):
        whole.sampler.set_epoch(1)
        running = iter(whole)
        before = [next(running).photos for _ in range(taken)]
        state = whole.state_dict()
        running.close()
        resumed = module(folder, workers=workers).train_dataloader()
        resumed.load_state_dict(state)
        assert resumed.state_dict() == state  # a run that is stopped again before its first step
        resumed.sampler.set_epoch(1)  # as Lightning does before an epoch
        rest = iter(resumed)
        following = next(rest).photos
        assert resumed.state_dict()["batches"] == (taken + 1) % 4
        assert same([*before, following, *(batch.photos for batch in rest)], epochs[1])
        assert resumed.state_dict()["batches"] == 0
        assert same(epoch(resumed, 2), epochs[2])


def test_a_state_of_another_epoch_skips_nothing(folder: Path) -> None:
    """What Lightning asks for where an epoch is ended early, by ``limit_train_batches``."""
    whole = module(folder).train_dataloader()
    resumed = module(folder).train_dataloader()
    resumed.load_state_dict({"epoch": 1, "batches": 2})
    assert same(epoch(resumed, 2), epoch(whole, 2))


def test_what_was_used_is_skipped_once(folder: Path) -> None:
    whole = epoch(module(folder).train_dataloader(), 1)
    resumed = module(folder).train_dataloader()
    resumed.load_state_dict({"epoch": 1, "batches": 3})
    assert same(epoch(resumed, 1), whole[3:])
    assert same(epoch(resumed, 1), whole)


class Recorder(LightningModule):
    """Trains nothing, and takes note of its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[int, int, list[int], float]] = []

    def training_step(self, photos: Tensor, batch_idx: int) -> Tensor:
        assert photos.dtype == torch.float32
        self.seen.append((self.current_epoch, batch_idx, numbers(photos), float(photos.double().sum())))
        return self.weight.sum()

    def validation_step(self, photos: Tensor, *_: Any) -> None:
        assert photos.shape[1:] == (3, 16, 16)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.fixture
def quiet() -> Iterator[None]:
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    logger.setLevel(logging.WARNING)
    yield
    logger.setLevel(before)


def trained(photos: Path, run: Path, steps: int, resume: Path | None = None, **settings: Any) -> list[Any]:
    """Batches of a run that validates within epochs and saves its last step."""
    recorder = Recorder()
    trainer = Trainer(
        max_steps=steps,
        max_epochs=-1,
        accelerator="cpu",
        logger=False,
        callbacks=[ModelCheckpoint(run, "last", every_n_train_steps=steps)],
        enable_progress_bar=False,
        enable_model_summary=False,
        val_check_interval=3,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        **settings,
    )
    trainer.fit(recorder, datamodule=module(photos), ckpt_path=resume, weights_only=True if resume else None)
    return recorder.seen


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("limit", "stops"), [(1.0, (1, 4, 6)), (2, (2, 3))])
def test_a_resumed_training_sees_what_the_whole_would(
    folder: Path, tmp_path: Path, quiet: None, limit: float, stops: tuple[int, ...]
) -> None:
    whole = trained(folder, tmp_path / "whole", 10, limit_train_batches=limit)
    assert [step[:2] for step in whole] == [divmod(step, 2 if limit == 2 else 4) for step in range(10)]
    assert len({step[3] for step in whole}) == 10
    for stop in stops:
        run = tmp_path / str(stop)
        before = trained(folder, run, stop, limit_train_batches=limit)
        after = trained(folder, run, 10, run / "last.ckpt", limit_train_batches=limit)
        assert before + after == whole


# --- crops ------------------------------------------------------------------------------------------------------------


def cubic(x: float) -> float:
    """Keys 1981, a = -0.5."""
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def cut(array: np.ndarray, left: float, top: float, side: float, size: int) -> np.ndarray:
    """A square of ``[H, W, 3]`` at another size, antialiased bicubic, slowly in float64."""

    def weights(start: float, length: int) -> np.ndarray:
        step = side / size
        wide = max(step, 1.0)
        table = np.zeros((size, length))
        for i in range(size):
            centre = start + (i + 0.5) * step
            for j in range(length):
                table[i, j] = cubic((j + 0.5 - centre) / wide)
        return table / table.sum(axis=1, keepdims=True)

    rows, columns = weights(top, array.shape[0]), weights(left, array.shape[1])
    across = np.einsum("xw,hwc->hxc", columns, array.astype(np.float64))
    return np.einsum("yh,hxc->yxc", rows, across).clip(0, 255)


class Scripted:
    """In place of a random generator: the same share of every range, and one value of ``random``."""

    def __init__(self, share: float, flip: float) -> None:
        self.share, self.flip = share, flip

    def uniform(self, low: float, high: float) -> float:
        return low + self.share * (high - low)

    def random(self) -> float:
        return self.flip


@pytest.mark.parametrize("name", ["coffee", "rocket"])
@pytest.mark.parametrize(("share", "flip"), [(0.0, 0.9), (0.37, 0.1), (1.0, 0.5)])
@pytest.mark.parametrize("size", [20, 90])
def test_random_crop_against_a_slow_one(name: str, share: float, flip: float, size: int) -> None:
    array = getattr(photographs, name)()[100:160, 200:300]
    found = np.asarray(RandomCrop(size, 0.6)(Image.fromarray(array), Scripted(share, flip))).astype(float)
    side = 60 * (0.6 + 0.4 * share)
    expected = cut(array, share * (100 - side), share * (60 - side), side, size)
    expected = expected[:, ::-1] if flip < 0.5 else expected
    assert found.shape == (size, size, 3)
    assert np.abs(found - expected).max() < 2.1  # Pillow rounds between its two passes too


@pytest.mark.parametrize(("height", "width"), [(40, 70), (70, 41), (50, 50)])
def test_centre_crop_against_a_slow_one(height: int, width: int) -> None:
    array = photographs.astronaut()[100 : 100 + height, 180 : 180 + width]
    side = min(height, width)
    found = np.asarray(CentreCrop(24)(Image.fromarray(array), np.random.default_rng(0))).astype(float)
    assert np.abs(found - cut(array, (width - side) / 2, (height - side) / 2, side, 24)).max() < 2.1


@pytest.mark.parametrize(("height", "width"), [(180, 256), (256, 180)])
def test_where_random_crops_lie(height: int, width: int) -> None:
    """Read off a picture whose red is x and whose green is y."""
    y, x = np.mgrid[:height, :width]
    image = Image.fromarray(np.stack([x, y, y * 0], axis=-1).astype(np.uint8))
    boxes = []
    for seed in range(400):
        crop = np.asarray(RandomCrop(104, 0.5)(image, np.random.default_rng(seed))).astype(float)[4:-4, 4:-4]
        across, down = crop[..., 0].mean(axis=0), crop[..., 1].mean(axis=1)
        steps = [np.polyfit(np.arange(96), line, 1)[0] for line in (across, down)]
        assert crop[..., 0].std(axis=0).max() < 0.5  # upright: red is the same down a column
        sides = [step * 104 for step in steps]
        assert abs(sides[0]) == pytest.approx(sides[1], abs=2)  # square, mirrored across alone
        middle = across.mean() + 0.5, down.mean() + 0.5
        boxes.append((sides[1], middle[0] - sides[1] / 2, middle[1] - sides[1] / 2, sides[0] < 0))
    side, left, top, mirrored = np.array(boxes).T
    shorter = min(height, width)
    assert (side > 0.5 * shorter - 2).all()
    assert (side < shorter + 2).all()
    for start, length in ((left, width), (top, height)):
        assert (start > -2).all()
        assert (start + side < length + 2).all()
        room = (start / (length - side + 1e-9))[length - side > 8]
        assert np.quantile(room, [0.05, 0.5, 0.95]) == pytest.approx([0.05, 0.5, 0.95], abs=0.08)  # anywhere, evenly
    assert np.quantile(side / shorter, [0.05, 0.5, 0.95]) == pytest.approx([0.525, 0.75, 0.975], abs=0.04)
    assert 160 < mirrored.sum() < 240  # four standard deviations of a fair coin


def test_a_whole_crop_of_the_same_size_changes_nothing() -> None:
    array = noise(32, 32, 0)
    found = {
        np.asarray(RandomCrop(32, 1.0)(Image.fromarray(array), np.random.default_rng(seed))).tobytes() for seed in range(20)
    }
    assert found == {array.tobytes(), array[:, ::-1].tobytes()}


def test_a_small_photo_is_enlarged(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(noise(3, 2, 0)).save(path)
    photo, _ = PhotoDataset([Photo(str(path))], RandomCrop(40, 0.5), 80, seed=0)[(0, 0)]
    assert photo.shape == (3, 40, 40)


def test_a_drafted_photo_has_enough_pixels_for_its_smallest_crop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large JPEG is decoded at a part of its size, and crops are never enlarged for that."""
    for number in range(2):
        Image.fromarray(photographs.astronaut()).save(tmp_path / f"{number}.jpg", quality=95)
    data = module(tmp_path, size=64, smallest_crop=0.51)
    sizes: list[tuple[int, int]] = []
    crop = RandomCrop.__call__

    def watched(self: RandomCrop, image: Image.Image, generator: np.random.Generator) -> Image.Image:
        sizes.append(image.size)
        return crop(self, image, generator)

    monkeypatch.setattr(RandomCrop, "__call__", watched)
    epoch(data.train_dataloader(), 0)
    assert sizes == [(128, 128)] * 2
    sizes.clear()
    epoch(module(tmp_path, size=65, smallest_crop=0.5).train_dataloader(), 0)
    assert sizes == [(256, 256)] * 2


# --- what is told of photos -------------------------------------------------------------------------------------------


def test_held_out_photos_are_such_that_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three photos one is held out; whichever cannot be read, another is taken."""
    for bad in range(3):
        folder = make(tmp_path / str(bad), 3)
        (folder / f"{bad:03}.png").write_bytes(b"a scan that is too large")
        train, val = split(module(folder, val_photos=None))
        assert len(val) == 1
        assert f"{bad:03}.png" not in val
        assert set(train) - {f"{bad:03}.png"} == {f"{index:03}.png" for index in range(3) if index != bad} - set(val)


def test_little_is_said_to_be_little(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module(make(tmp_path / "one", 1), val_photos=None)
    assert "there is one photo that can be read: it is trained on and measured on" in capsys.readouterr().err
    folder = make(tmp_path / "small", 3, 7, 9)
    (folder / "a.txt").write_text("")
    module(folder, val_photos=None, size=64)
    error = capsys.readouterr().err
    assert "1 file is left out beside the 3 photos: 1 .txt" in error
    assert "1 of 1 photos that were looked at are smaller than 8 pixels: enlarged to 64, they teach no detail" in error


def test_photos_that_go_while_others_read_them(tmp_path: Path) -> None:
    """The error's own line, not a traceback of another process."""
    folder = make(tmp_path / "gone", 4)
    data = module(folder, workers=1, batch_size=2)
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"^none of 4 photos can be read: .*\.png: .*No such file") as caught:
        next(iter(data.train_dataloader()))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("free", "workers"), [(None, 2), (10**9, 2), (1000, 0)])
def test_too_little_shared_memory(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], free: int | None, workers: int
) -> None:
    monkeypatch.setattr("stylenet.training.data.free_shared_memory", lambda: free)
    loader = module(folder, workers=2).train_dataloader()
    assert loader.num_workers == workers
    assert ("/dev/shm has 0 MB free" in capsys.readouterr().err) == (workers == 0)
    assert (loader.timeout > 0) == (workers > 0)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_while_processes_begin(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """It reaches the whole group. Those that read photos must not die of it before they know that they are to ignore it, and
    this process must not hear of it in the midst of a fork, whichever of its threads was told."""
    start, blocked, over = multiprocessing.process.BaseProcess.start, [], threading.Event()
    idle = threading.Thread(target=over.wait, daemon=True)
    idle.start()

    def interrupted(process: multiprocessing.process.BaseProcess) -> None:
        blocked.append(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, set()))
        os.kill(os.getpid(), signal.SIGINT)
        signal.pthread_kill(idle.ident or 0, signal.SIGINT)
        time.sleep(0.01)
        start(process)
        os.kill(int(process.pid or 0), signal.SIGINT)

    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", interrupted)
    loader = module(folder, workers=2).train_dataloader()
    with pytest.raises(KeyboardInterrupt):
        next(iter(loader))
    over.set()
    idle.join()
    assert blocked == [True, True]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())
    monkeypatch.undo()
    assert len(list(module(folder, workers=2).train_dataloader())) > 0
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="who sent a signal is not told")
def test_what_a_group_is_sent_ends_no_reader(folder: Path) -> None:
    """Terminals, schedulers and service managers send signals to all processes of a training. Its own word still ends those
    that read photos, as where one hangs, and none is left behind."""
    before = set(multiprocessing.active_children())
    loader = module(folder, workers=2, batch_size=1).train_dataloader()
    batches = iter(loader)
    next(batches)
    readers = [process for process in multiprocessing.active_children() if process not in before]
    for name in ("INT", "TERM", "HUP"):
        subprocess.run(["kill", "-s", name, *(str(process.pid) for process in readers)], check=True)
    assert len(list(batches)) == len(loader) - 1
    assert [process.is_alive() for process in readers] == [True, True]
    readers[0].terminate()
    readers[0].join(10)
    assert readers[0].exitcode == 0
    del batches, loader
    gc.collect()
    readers[1].join(10)
    assert readers[1].exitcode == 0


def kill_readers(folder: Path) -> None:
    """Kill the processes that read photos, and print what is told of it."""
    batches = iter(module(folder, workers=1, batch_size=1).train_dataloader())
    next(batches)
    for process in multiprocessing.active_children():
        process.kill()
    try:
        list(batches)
    except RunError as error:
        print(error)


def test_processes_that_are_killed_are_told(folder: Path) -> None:
    """In a process of its own: torch's handler raises wherever it happens to be when a child dies, be it in pytest itself."""
    places = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    call = f"test_data.kill_readers(pathlib.Path({str(folder)!r}))"
    script = f"import sys; sys.path[:0] = {places!r}; import test_data, pathlib; {call}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    told = done.stdout + done.stderr
    assert re.search(r"have ended or hang .* try workers=0|DataLoader worker .* is killed by signal", told), told
