"""Write the style that a training has learnt, with its card, and keep it elsewhere where that fails."""

from __future__ import annotations

import datetime
import shutil
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from stylenet.devices import versions
from stylenet.errors import InputError, RunError, argument
from stylenet.files import scratch_folder
from stylenet.network.cards import Card
from stylenet.network.look_files import save_look
from stylenet.network.styles import save_style
from stylenet.storage import exists, join, name_of, parent_of
from stylenet.storage.places import leads_to
from stylenet.training.checkpoints import LAST
from stylenet.training.progress_line import photos_a_step

if TYPE_CHECKING:
    from stylenet.training.run import Session


def save(session: Session) -> None:
    """Write what was learnt: a look, or a network with its looks, if it has any.

    Raises:
        RunError: if it cannot be written; it says where the style is kept instead, and the checkpoint that there is.
        InputError: if no other place would take it either, as with weights that are not finite.
    """
    try:
        _save(session, str(session.config.output))
    except (RunError, InputError) as error:  # of which the second may be a store that refuses
        kept = _keep(session)
        if isinstance(error, InputError) and not kept:
            raise InputError(f"{error}{_checkpoint_of(str(session.config.run))}") from error
        raise RunError(f"{error}{kept}{_checkpoint_of(str(session.config.run))}") from error


def _keep(session: Session) -> str:
    """Keep a style that could not be written in the folder of the run, or else among temporary files; say where."""
    output, run = str(session.config.output), str(session.config.run)
    kept = _keep_in(run, session) if leads_to(run) != leads_to(parent_of(output)) else ""
    if not kept:
        with suppress(OSError):
            spare = tempfile.mkdtemp(prefix="stylenet-kept-", dir=scratch_folder())
            kept = _keep_in(spare, session)
            if not kept:
                shutil.rmtree(spare)  # a body may have come so far
    return f"; the style is kept as {kept}" if kept else ""


def _keep_in(folder: str, session: Session) -> str:
    """Keep a style in a folder; return its place, or nothing where it cannot be kept there."""
    place = join(folder, name_of(str(session.config.output)))
    with suppress(RunError, InputError):
        if not exists(place):
            _save(session, place)
            return place
    return ""


def _checkpoint_of(run: str) -> str:
    if not exists(join(run, "checkpoints", LAST)):
        return ""
    again = f"{argument('run', run)} {argument('ckpt_path', 'last')}"
    return f"; the last checkpoint is kept: mend that, and write the style by {again}"


def _save(session: Session, path: str) -> None:
    module, card = session.model, _card(session)
    learns = module.hparams["learns"]
    if module.base is not None:
        save_look(module.network, learns, module.base, card, path)
    else:
        save_style(module.worn_network(), card, path, grams=module.style_grams(), looks=module.looks)


def _card(session: Session) -> Card:
    module, data, trainer, config = session.model, session.datamodule, session.trainer, session.config
    return Card(
        name=config.name,
        style=module.style_files,
        credit=config.credit,
        loss=asdict(module.loss_settings),
        training={
            "steps": trainer.global_step,
            "batch": photos_a_step(trainer),
            "size": data.size,
            "smallest_crop": data.smallest_crop,
            "seed": data.seed,
            "coarse_share": module.hparams["coarse_share"],
            "margin": module.hparams["margin"],
            "stability_weight": module.hparams["stability_weight"],
            "init": Path(module.init).stem if module.init else None,  # no path of this machine
            "nearest": module.nearest,
            "learns": module.hparams["learns"],
            "several": module.hparams["several"],
            "style_size": module.hparams["style_size"],
            "optimizer": module.hparams["optimizer"],
            "learning_rate": module.learning_rate,
            "warmup": module.warmup,
            "schedule": module.schedule,
            "budget": module.budget,
            "ema": config.ema,
            "precision": str(trainer.precision),
            "device": trainer.strategy.root_device.type,
            "seconds": round(module.seconds),
            "skipped_steps": module.bad_steps,
            **({"changes": module.changes} if module.changes else {}),
            **({"ended": module.broken} if module.broken else {}),
        },
        data=data.fingerprint,
        versions=versions(),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )
