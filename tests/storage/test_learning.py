"""Trainings whose photos, painting and run lie in a store: the same crops, the same weights, and going on from there."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from store_kit import Store
from training_kit import PAINTING, make_photos

from stylenet import storage
from stylenet.commands.cli import main
from stylenet.network.styles import load_style
from stylenet.training.checkpoints import CheckpointFiles, find_checkpoint, read_checkpoint
from stylenet.training.data import PhotoDataModule
from stylenet.training.photos import find_photos, open_photo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_photos(tmp_path / "photos", 12)


@pytest.fixture
def learning(bucket: str, folder: Path) -> str:
    """A bucket with the photos in a folder, in an archive and in a list, and a painting."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        for path in sorted(folder.iterdir()):
            storage.write(f"{bucket}/photos/{path.name}", path.read_bytes())
            opened.write(path, f"photos/{path.name}")
    storage.write(f"{bucket}/photos/notes.md", b"no photo")
    storage.write(f"{bucket}/photos.zip", content.getvalue())
    storage.write(f"{bucket}/list.txt", "".join(f"photos/{path.name}\n" for path in sorted(folder.iterdir())).encode())
    storage.write(f"{bucket}/painting.jpg", Path(PAINTING).read_bytes())
    return bucket


SOURCES = ("photos", "photos.zip", "list.txt")


@pytest.mark.parametrize("source", SOURCES)
def test_the_same_photos_as_here(source: str, learning: str, folder: Path) -> None:
    there, here = find_photos(f"{learning}/{source}"), find_photos(folder)
    assert [storage.name_of(photo.member or photo.path) for photo in there] == [Path(photo.path).name for photo in here]
    for one, other in zip(there, here, strict=True):
        assert open_photo(one, 64).tobytes() == open_photo(other, 64).tobytes()


def batches(source: str, workers: int) -> list[torch.Tensor]:
    module = PhotoDataModule(source, val_count=2, size=48, batch_size=2, workers=workers)
    module.setup()
    loader = module.train_dataloader()
    loader.sampler.set_epoch(1)
    return [batch.photos for batch in loader]


@pytest.mark.parametrize("source", SOURCES[:2])
def test_the_same_crops_by_processes_of_their_own(source: str, learning: str, folder: Path, store: Store) -> None:
    """The processes are forks of this one, which has connections to the store; and some requests fail."""
    store.share = 0.05
    found = batches(f"{learning}/{source}", workers=2)
    wanted = batches(str(folder), workers=0)
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_a_photo_that_is_gone_is_skipped(learning: str) -> None:
    module = PhotoDataModule(f"{learning}/photos", val_count=2, size=48, batch_size=2, workers=0)
    module.setup()
    storage.delete(str(module.train_set[0]))
    unreadable = [name for batch in module.train_dataloader() for name in batch.unreadable]
    assert len(unreadable) == 1
    assert "does not exist" in unreadable[0]


def train(words: Sequence[str], *more: str) -> int:
    quick = ["--data.size", "48", "--data.workers", "0", "--trainer.accelerator", "cpu", "--trainer.precision", "32-true"]
    return main(["train", "--recipe", "debug", *words, *quick, *more])


def test_a_run_in_a_store(learning: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Photos, painting, checkpoints, log and style are there, and it goes on from there to the weights of a run here."""
    there = ["--photos", f"{learning}/photos.zip", "--style", f"{learning}/painting.jpg", "--run", f"{learning}/run"]
    there += ["--trainer.val_check_interval", "2"]
    assert train(there, "--steps", "4", "--checkpoint_every", "2", "--name", "painting") == 0
    written = set(storage.walk(f"{learning}/run"))
    checkpoints = {f"checkpoints/{name}.ckpt" for name in ("last", "last-1", "best")}
    assert {name for name in written if not name.startswith("log/")} == {"painting.safetensors", *checkpoints}
    assert any(name.startswith("log/events") for name in written)
    assert load_style(f"{learning}/run/painting.safetensors").card.training["steps"] == 4

    assert train(there, "--steps", "6", "--name", "painting") == 2
    assert "holds a training already" in capsys.readouterr().err
    assert train(there, "--steps", "6", "--ckpt_path", "last", "--name", "painting") == 0
    here = ["--photos", str(folder), "--style", PAINTING, "--run", str(tmp_path / "run"), "--name", "painting", *there[-2:]]
    assert train(here, "--steps", "4") == 0
    assert train(here, "--steps", "6", "--ckpt_path", "last") == 0
    one, other = (load_style(f"{run}/painting.safetensors").net.state_dict() for run in (f"{learning}/run", tmp_path / "run"))
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_the_checkpoint_before_is_kept(bucket: str) -> None:
    place = f"{bucket}/run/checkpoints/last.ckpt"
    state = {"state_dict": {}, "loops": {}, "optimizer_states": [], "lr_schedulers": []}
    for step in (1, 2):
        CheckpointFiles().save_checkpoint({**state, "step": step}, place)
    assert find_checkpoint("last", f"{bucket}/run") == place
    assert read_checkpoint(place)["step"] == 2
    assert read_checkpoint(place.replace("last", "last-1"))["step"] == 1


def test_a_checkpoint_that_cannot_be_written_costs_no_training(bucket: str, refusing: Store) -> None:
    with pytest.warns(UserWarning, match="the store refuses access to .*; the training goes on"):
        CheckpointFiles().save_checkpoint({}, f"{bucket}/run/checkpoints/best.ckpt")
