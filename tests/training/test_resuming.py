"""What a training that goes on is compared by: every option that decides how it goes."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Trainer
from training_kit import make_photos, module, photos

from stylenet.training.data import PhotoDataModule
from stylenet.training.module import StyleTraining
from stylenet.training.resuming import settings_of

# Options that are not compared by their names, and why not.
ELSEWHERE = {
    "model.leave_out": "what is left is in model.style",
    "model.compile": "changes nothing but rounding",
    "data.subset": "what is left is in data.photos",
    "data.val_count": "what is held out is in data.val_photos",
    "data.workers": "changes nothing: crops depend on seed, epoch and photo alone",
}

# Another value for what decides how a training goes, and is easily forgotten.
CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "model.calibration_photos": ({"calibration_photos": 1}, "model.calibration_photos"),
    "model.stability_weight": ({"stability_weight": 2.0}, "model.stability_weight"),
    "model.budget": ({"budget": "15m"}, "model.budget"),
    "data.val_count": ({"val_count": 1}, "data.val_photos"),
    "data.val_size": ({"val_size": 32}, "data.val_size"),
    "data.val_photos": ({"val_photos": "other"}, "data.val_photos"),
    "data.photos": ({"photos": "larger"}, "data.sizes"),
    "trainer.max_time": ({"max_time": "00:01:00:00"}, "trainer.max_time"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, others for validation, and larger ones of the same names."""
    place = tmp_path_factory.mktemp("photos")
    make_photos(place / "photos", 22)
    make_photos(place / "other", 3)
    for path in make_photos(place / "larger", 22).iterdir():
        path.write_bytes(path.read_bytes() + b"0")
    return place


def settings(folder: Path, **changes: Any) -> dict[str, Any]:
    """The settings of a training that is about to begin."""
    found = {"photos": "photos", **changes}
    own = {name: found.pop(name) for name in list(found) if name in inspect.signature(StyleTraining).parameters}
    options = {name: found.pop(name) for name in list(found) if name in inspect.signature(Trainer).parameters}
    found |= {name: str(folder / found[name]) for name in ("photos", "val_photos") if name in found}
    training, data = module(**own), photos(Path(found.pop("photos")), **found)
    trainer: Any = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, **options)
    data.setup()
    trainer.datamodule = data
    made = {"network": asdict(training.network.settings), "loss": asdict(training.loss_settings)}
    return settings_of({**training.hparams, **made}, [], trainer)


def test_no_option_is_forgotten(folder: Path) -> None:
    options = {
        f"{group}.{name}"
        for group, kind in (("model", StyleTraining), ("data", PhotoDataModule))
        for name in inspect.signature(kind).parameters
    }
    assert options - set(settings(folder)) == set(ELSEWHERE)


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_seen(folder: Path, name: str) -> None:
    changes, told = CHANGES[name]
    before, now = settings(folder), settings(folder, **changes)
    assert told in {setting for setting in now if before.get(setting) != now[setting]}
