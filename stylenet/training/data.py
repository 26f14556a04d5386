"""Deliver photos for training, as a LightningDataModule: random crops that depend on seed, epoch and photo alone, so that a
run can be repeated, stopped and resumed exactly."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import psutil
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler, SequentialSampler

from stylenet.choices import check_choice
from stylenet.devices import processor_cores
from stylenet.errors import InputError, RunError, argument
from stylenet.formats import tell_left_out
from stylenet.interrupts import STOPS, uninterrupted
from stylenet.training.notes import say
from stylenet.training.photos import Photo, Unreadable, fingerprint, open_photo, sizes_of, survey_photos

# Seconds after which a process that reads photos is given up.
_PATIENCE = 600

# What a sampler hands to the dataset: epoch and index. The crop follows from them, in whichever worker it is made.
Key = tuple[int, int]


class Batch(NamedTuple):
    """Photos ``[B, 3, S, S]`` (uint8 from the workers, then float32 in 0..1) and the files that could not be read for it.

    A tuple, because torch and Lightning know how to pin, convert and move what is in one.
    """

    photos: Tensor
    unreadable: tuple[str, ...] = ()


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


class FixedKeys(KeySampler, SequentialSampler):
    """A sampler of the same crops in the same order in every epoch.

    Lightning's ``overfit_batches`` takes a sequential sampler as it is.
    """

    def __iter__(self) -> Iterator[Key]:  # type: ignore[override]
        return iter([(0, index) for _, index in super().__iter__()])


@dataclass
class Waiting:
    """Holds the context manager that is entered while a batch is waited for. It does nothing until a training that listens for
    signals sets its own."""

    context: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext


class ResumableLoader(DataLoader[tuple[Tensor, tuple[str, ...]]]):
    """A DataLoader that knows how many batches of the epoch it has handed out, which is what Lightning asks of a loader that is
    to go on in the middle of an epoch (``state_dict``, ``load_state_dict``)."""

    sampler: KeySampler
    handed_out = 0
    waiting = Waiting()

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        first = self.sampler.done // (self.batch_size or 1)
        with _interrupts_wait():  # for the processes that begin here, until they ignore them
            batches = super().__iter__()
        for count in itertools.count(first + 1):
            try:
                with self.waiting.context():
                    batch = next(batches)
            except StopIteration:
                return
            except (InputError, RuntimeError, OSError, EOFError) as error:
                raise _in_own_words(error) from error
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


def _in_own_words(error: Exception) -> Exception:
    """Return the error of a reading process without the traceback that torch puts around it."""
    told = str(error.args[0] if error.args else "").strip()  # an InputError's own str() is one line already
    last = told.splitlines()[-1] if told else type(error).__name__
    if isinstance(error, InputError):
        return InputError(last.removeprefix(f"{InputError.__module__}.{InputError.__name__}: "))
    ended = isinstance(error, (ConnectionError, EOFError))  # a pipe whose other end was closed in the middle of a batch
    if ended or "timed out" in str(error) or "DataLoader worker" in str(error):
        advice = f"/dev/shm or their memory may be full, or the disk does not answer: try {argument('workers', 0, 'data')}"
        return RunError(f"the processes that read photos have ended or hang ({last}): {advice}")
    return error


class PhotoDataModule(LightningDataModule):
    """Training and validation photos.

    Args:
        photos: folder (nested ones too), zip archive (read in place), ``.txt`` list of files, or several of these.
        val_photos: the same for validation; by default some of ``photos`` are held out.
        val_count: photos for validation; of ``photos`` no more than a tenth is held out.
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
        check_choice("workers", workers, Literal["auto"] | int)
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
        self._sizes: dict[str, str | None] = {}
        self.unreadable: dict[str, None] = {}  # ordered, each once
        self._training_loader: ResumableLoader | None = None
        self._place: dict[str, Any] = {}  # where a training goes on that was stopped
        self.waiting = Waiting()

    def setup(self, stage: str | None = None) -> None:
        """Find the photos and split them.

        Raises:
            InputError: if there are none, or none that can be read.
        """
        if self.train_set:
            return
        found, left_out = survey_photos(self.sources)
        if left_out:
            say(tell_left_out(left_out, len(found), "photos"))
        # The split depends on the photos alone, so that runs with other seeds are measured on the same ones.
        order = [int(index) for index in np.random.default_rng(0).permutation(len(found))]
        if self.val_sources is None:
            count = min(self.val_count, max(len(found) // 10, 1))
            held_out, rest = self._hold_out(found, order, count)
            self.val_set = [found[i] for i in sorted(held_out)]
            if not rest:
                say("there is one photo that can be read: it is trained on and measured on, which tells little of others")
                rest = held_out
        else:
            theirs, left_out = survey_photos(self.val_sources)
            if left_out:
                say(tell_left_out(left_out, len(theirs), "photos to measure on"))
            rest = order
            self.val_set = [theirs[i] for i in self._hold_out(theirs, range(len(theirs)), self.val_count)[0]]
        if self.subset:
            rest = rest[: self.subset]
        self.train_set = [found[i] for i in sorted(rest)]
        self._hold_out(self.train_set, range(len(self.train_set)), 1)

    def _hold_out(self, photos: Sequence[Photo], order: Sequence[int], count: int) -> tuple[list[int], list[int]]:
        """Return the first photos of an order that can be read, and the rest without those that cannot.

        Raises:
            InputError: if there is none.
        """
        taken: list[int] = []
        small = 0
        unreadable: list[str] = []
        rest = list(order)
        while rest and len(taken) < count:
            index = rest.pop(0)
            try:
                side = min(open_photo(photos[index], self.size).size)
            except Unreadable as error:
                unreadable.append(str(error))
                continue
            taken.append(index)
            small += side < self.size // 8
        if not taken:
            raise InputError(f"none of {len(order)} photos can be read, for example {unreadable[0]}")
        if small:
            say(
                f"{small} of {len(taken)} photos that were looked at are smaller than {self.size // 8} pixels: enlarged to"
                f" {self.size}, they teach no detail"
            )
        return taken, rest

    @property
    def fingerprint(self) -> str:
        """Return a name for the set of training photos."""
        return f"{len(self.train_set)} photos, {fingerprint(self.train_set)}"

    @property
    def val_fingerprint(self) -> str:
        """Return a name for the set of photos for validation."""
        return f"{len(self.val_set)} photos, {fingerprint(self.val_set)}"

    def sizes(self, purpose: Literal["train", "val"]) -> str | None:
        """Return a name for the sizes of photos in bytes, as they were when it was asked for first; None where these are not
        known."""
        if purpose not in self._sizes:
            self._sizes[purpose] = sizes_of(self.train_set if purpose == "train" else self.val_set)
        return self._sizes[purpose]

    def calibration_photos(self, count: int) -> Tensor:
        """Return the first validation photos, ``[N, 3, S, S]`` in 0..1: the same in every process and after every resume."""
        dataset = PhotoDataset(self.val_set, CentreCrop(self.val_size), self.val_size, self.seed)
        return collate([dataset[(0, index)] for index in range(min(count, len(dataset)))]).photos.float() / 255

    def train_dataloader(self) -> ResumableLoader:
        """Return a loader of random crops in random order."""
        least = round(self.size / self.smallest_crop)
        dataset = PhotoDataset(self.train_set, RandomCrop(self.size, self.smallest_crop), least, self.seed)
        overfit = self.trainer is not None and self.trainer.overfit_batches > 0  # type: ignore[attr-defined]
        self._training_loader = loader = self._loader(dataset, shuffle=not overfit)
        loader.waiting = self.waiting
        if self._place:
            loader.load_state_dict(self._place)
            self._place = {}
        return loader

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the photos of the epoch."""
        return self._training_loader.state_dict() if self._training_loader is not None else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Keep a place for the loader. Lightning has its own way for loaders, which comes too late where a training is counted
        in epochs: their number of steps is asked for, and the loader made, before the place is restored."""
        self._place = state

    def val_dataloader(self) -> ResumableLoader:
        """Return a loader of the same squares every time."""
        dataset = PhotoDataset(self.val_set, CentreCrop(self.val_size), self.val_size, self.seed)
        return self._loader(dataset, shuffle=False)

    def _loader(self, dataset: PhotoDataset, shuffle: bool) -> ResumableLoader:
        replicas, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        workers = self._workers(replicas)
        kind = KeySampler if shuffle else FixedKeys
        return ResumableLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=kind(dataset, replicas, rank, shuffle, self.seed),
            num_workers=workers,
            collate_fn=collate,
            # A short last batch would be compiled for, and weigh more than its share.
            drop_last=shuffle and len(dataset) >= self.batch_size * replicas,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_begin_worker,
            timeout=_PATIENCE if workers else 0,
        )

    def _workers(self, replicas: int) -> int:
        """How many processes read photos: none where the memory that they hand them over in is too small."""
        workers = pick_workers(replicas) if self.workers == "auto" else self.workers
        batch = 3 * self.batch_size * max(self.size, self.val_size) ** 2
        needed = workers * replicas * 2 * 2 * batch  # two batches ahead, of photos for training and for validation
        free = free_shared_memory()
        if workers and free is not None and free < needed:
            say(
                f"photos are read without other processes: /dev/shm has {free / 1e6:.0f} MB free, and {needed / 1e6:.0f} are"
                " needed (a container's is set when it is started)"
            )
            return 0
        return workers

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


def free_shared_memory() -> int | None:
    """Return the bytes that processes can hand each other, or None where that is not limited."""
    try:
        return int(psutil.disk_usage("/dev/shm").free)
    except OSError:
        return None


def pick_workers(processes: int) -> int:
    """Choose the reading processes for each training process: half of the cores shared among them, 1 to 8."""
    return max(1, min(8, processor_cores() // (2 * processes)))


def _begin_worker(_: int) -> None:
    """Leave it to the process that trains when this one ends: a stop may be sent to all processes of a training.

    SIGTERM is obeyed where it comes from that process, as torch sends it to a worker that hangs, and Python to those that are
    left when it ends. Only a thread that waits for the signal learns who sent it.
    """
    torch.set_num_threads(1)
    from_parent: set[signal.Signals] = {signal.SIGTERM} if hasattr(signal, "sigwaitinfo") else set()  # not on macOS
    for number in set(STOPS) - {signal.SIGTERM}:
        signal.signal(number, signal.SIG_IGN)
    if from_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, set(STOPS) - from_parent)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    while parent is not None:
        if signal.sigwaitinfo({signal.SIGTERM}).si_pid == parent.pid:
            os._exit(0)


@contextlib.contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Hold back what asks for a stop, also in processes that are started meanwhile: they inherit what is blocked."""
    with uninterrupted():  # what one thread blocks reaches the process by another
        if not hasattr(signal, "pthread_sigmask"):  # Windows
            yield
            return
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
