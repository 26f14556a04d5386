"""Deliver photos for training, as a LightningDataModule: random crops that depend on seed, epoch and photo alone, so that a
run can be repeated, stopped and resumed exactly."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from stylenet.errors import InputError
from stylenet.training.photos import Photo, Unreadable, find_photos, fingerprint, open_photo

# What a sampler hands to the dataset: epoch and index. The crop follows from them, in whichever worker it is made.
Key = tuple[int, int]


@dataclass(frozen=True)
class Batch:
    """Photos ``[B, 3, S, S]`` (uint8 from the workers, then float32 in 0..1) and the files that could not be read for it."""

    photos: Tensor
    unreadable: tuple[str, ...] = ()

    def pin_memory(self) -> Batch:
        """Pin the photos, for copies to a GPU that do not wait."""
        return Batch(self.photos.pin_memory(), self.unreadable)

    def to(self, device: torch.device, **kwargs: Any) -> Batch:
        """Return the photos on a device."""
        return Batch(self.photos.to(device, **kwargs), self.unreadable)


class PhotoDataset(Dataset[tuple[Tensor, tuple[str, ...]]]):
    """Square crops of photos.

    Args:
        photos: the photos to cut from.
        crop: ``(image, generator) -> image`` of one size.
        least: pixels that the shorter side should keep when a JPEG is decoded.
        seed: decides the crop, together with the epoch and the index.
    """

    def __init__(
        self, photos: Sequence[Photo], crop: Callable[[Image.Image, np.random.Generator], Image.Image], least: int, seed: int
    ) -> None:
        self.photos, self.crop, self.least, self.seed = photos, crop, least, seed

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, key: Key) -> tuple[Tensor, tuple[str, ...]]:
        """Return ``[3, S, S]`` uint8, and the files that were skipped. The next readable photo stands in for one that is
        not."""
        epoch, index = key
        skipped = []
        for offset in range(len(self.photos)):
            photo = self.photos[(index + offset) % len(self.photos)]
            try:
                image = open_photo(photo, self.least)
            except Unreadable as error:
                skipped.append(str(error))
                continue
            crop = self.crop(image, np.random.default_rng((self.seed, epoch, index)))
            return torch.from_numpy(np.array(crop)).permute(2, 0, 1), tuple(skipped)
        raise InputError(f"none of {len(self.photos)} photos can be read: {skipped[0]}")


@dataclass(frozen=True)
class RandomCrop:
    """A square of ``smallest`` to 1 times the shorter side, anywhere, mirrored half of the time, at ``size`` pixels."""

    size: int
    smallest: float

    def __call__(self, image: Image.Image, generator: np.random.Generator) -> Image.Image:
        side = min(image.size) * generator.uniform(self.smallest, 1.0)
        left, top = (generator.uniform(0, length - side) for length in image.size)
        crop = image.resize((self.size, self.size), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
        return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if generator.random() < 0.5 else crop


@dataclass(frozen=True)
class CentreCrop:
    """The square in the middle, at ``size`` pixels."""

    size: int

    def __call__(self, image: Image.Image, generator: np.random.Generator) -> Image.Image:
        side = min(image.size)
        left, top = ((length - side) / 2 for length in image.size)
        return image.resize((self.size, self.size), Image.Resampling.BICUBIC, (left, top, left + side, top + side))


def collate(items: Sequence[tuple[Tensor, tuple[str, ...]]]) -> Batch:
    """Join items into one batch; channels last, as the networks want it."""
    photos = torch.stack([photo for photo, _ in items]).contiguous(memory_format=torch.channels_last)
    return Batch(photos, tuple(name for _, names in items for name in names))


class KeySampler(DistributedSampler[Any]):
    """A sampler of this process' share of an epoch, as ``(epoch, index)``. Torch's sampler does the sharing; Lightning sets
    the epoch."""

    def __init__(self, dataset: PhotoDataset, replicas: int, rank: int, shuffle: bool, seed: int = 0) -> None:
        super().__init__(dataset, num_replicas=replicas, rank=rank, shuffle=shuffle, seed=seed)
        self.done = 0  # items of this epoch that a run before has used

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; what was used of another one does not count in this one."""
        if epoch != self.epoch:
            self.done = 0
        super().set_epoch(epoch)

    def __iter__(self) -> Iterator[Key]:
        indices = list(super().__iter__())[self.done :]
        self.done = 0
        return iter([(self.epoch, index) for index in indices])


class ResumableLoader(DataLoader[tuple[Tensor, tuple[str, ...]]]):
    """A DataLoader that knows how many batches of the epoch it has handed out, which is what Lightning asks of a loader that is
    to go on in the middle of an epoch (``state_dict``, ``load_state_dict``)."""

    sampler: KeySampler
    handed_out = 0

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        first = self.sampler.done // (self.batch_size or 1)
        for count, batch in enumerate(super().__iter__(), first + 1):
            self.handed_out = count
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Return what the next run must skip."""
        return {"epoch": self.sampler.epoch, "batches": self.handed_out % len(self)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Begin the next epoch after the batches that were used."""
        self.sampler.set_epoch(state["epoch"])
        self.sampler.done = state["batches"] * (self.batch_size or 1)
        self.handed_out = state["batches"]


class PhotoDataModule(LightningDataModule):
    """Training and validation photos.

    Args:
        photos: folder (nested ones too), zip archive (read in place), ``.txt`` list of files, or several of these.
        val_photos: the same for validation; by default some of ``photos`` are held out.
        val_count: photos for validation.
        subset: use this many of the training photos only.
        size: size of the square crops, pixels.
        val_size: size of the validation photos, pixels; as ``size`` by default.
        smallest_crop: a crop's side is drawn from this share of the photo's shorter side to all of it, so that a network knows
            what photos of up to three times the size of its crops look like.
        batch_size: photos a step and process.
        workers: processes that read photos; ``auto`` fits the machine.
        seed: seed of crops and order.
    """

    def __init__(
        self,
        photos: str | list[str],
        val_photos: str | list[str] | None = None,
        val_count: int = 32,
        subset: int | None = None,
        size: int = 256,
        val_size: int | None = None,
        smallest_crop: float = 0.35,
        batch_size: int = 4,
        workers: Literal["auto"] | int = "auto",
        seed: int = 0,
    ) -> None:
        super().__init__()
        counts = {"val_count": val_count, "subset": subset, "size": size, "val_size": val_size, "batch_size": batch_size}
        for name, value in counts.items():
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}: it must be 1 or more")
        for name, value in {"workers": 0 if workers == "auto" else workers, "seed": seed}.items():
            if value < 0:
                raise InputError(f"{name} is {value}: it must be 0 or more")
        if not 0 < smallest_crop <= 1:
            raise InputError(f"smallest_crop is {smallest_crop}: it must be above 0 and at most 1")
        self.sources, self.val_sources, self.val_count, self.subset = photos, val_photos, val_count, subset
        self.size, self.val_size, self.smallest_crop = size, val_size or size, smallest_crop
        self.batch_size, self.workers, self.seed = batch_size, workers, seed
        self.train_set: list[Photo] = []
        self.val_set: list[Photo] = []
        self.unreadable: dict[str, None] = {}  # ordered, each once

    def setup(self, stage: str | None = None) -> None:
        """Find the photos and split them.

        Raises:
            InputError: if there are none, or none that can be read.
        """
        if self.train_set:
            return
        found = find_photos(self.sources)
        # The split depends on the photos alone, so that runs with other seeds are measured on the same ones.
        order = np.random.default_rng(0).permutation(len(found))
        if self.val_sources is None:
            count = min(self.val_count, max(len(found) // 10, 1)) if len(found) > 1 else 0
            held_out, rest = order[:count], order[count:]
            self.val_set = [found[i] for i in sorted(held_out)] or found
        else:
            rest = order
            self.val_set = find_photos(self.val_sources)[: self.val_count]
        if self.subset:
            rest = rest[: self.subset]
        self.train_set = [found[i] for i in sorted(rest)]
        for photos in (self.train_set, self.val_set):
            self._check_readable(photos)

    def _check_readable(self, photos: Sequence[Photo]) -> None:
        first = ""
        for photo in photos:
            try:
                open_photo(photo, self.size)
                return
            except Unreadable as error:
                first = first or str(error)
        raise InputError(f"none of {len(photos)} photos can be read, for example {first}")

    @property
    def fingerprint(self) -> str:
        """Return a name for the set of training photos."""
        return f"{len(self.train_set)} photos, {fingerprint(self.train_set)}"

    def calibration_photos(self, count: int) -> Tensor:
        """Return the first validation photos, ``[N, 3, S, S]`` in 0..1: the same in every process and after every resume."""
        dataset = PhotoDataset(self.val_set, CentreCrop(self.val_size), self.val_size, self.seed)
        return collate([dataset[(0, index)] for index in range(min(count, len(dataset)))]).photos.float() / 255

    def train_dataloader(self) -> ResumableLoader:
        """Return a loader of random crops in random order."""
        least = round(self.size / self.smallest_crop)
        dataset = PhotoDataset(self.train_set, RandomCrop(self.size, self.smallest_crop), least, self.seed)
        return self._loader(dataset, shuffle=True)

    def val_dataloader(self) -> ResumableLoader:
        """Return a loader of the same squares every time."""
        dataset = PhotoDataset(self.val_set, CentreCrop(self.val_size), self.val_size, self.seed)
        return self._loader(dataset, shuffle=False)

    def _loader(self, dataset: PhotoDataset, shuffle: bool) -> ResumableLoader:
        replicas, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        workers = pick_workers(replicas) if self.workers == "auto" else self.workers
        return ResumableLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=KeySampler(dataset, replicas, rank, shuffle, self.seed),
            num_workers=workers,
            collate_fn=collate,
            # A short last batch would be compiled for, and weigh more than its share.
            drop_last=shuffle and len(dataset) >= self.batch_size * replicas,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_one_thread,
        )

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Take note of files that could not be read."""
        for name in batch.unreadable:
            if name not in self.unreadable:
                self.unreadable[name] = None
                rank_zero_warn(f"skipped a photo that cannot be read: {name}")
        return batch

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Tensor:
        """Return photos ``[B, 3, S, S]``, float32, 0..1."""
        return batch.photos.float() / 255

    def teardown(self, stage: str) -> None:
        """Say how many files were skipped."""
        if self.unreadable:
            rank_zero_info(f"{len(self.unreadable)} photos could not be read and were skipped")


def pick_workers(processes: int) -> int:
    """Choose the reading processes for each training process: half of the cores shared among them, 1 to 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, cores // (2 * processes)))


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
