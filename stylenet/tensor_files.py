"""Weights from files of unknown origin: tensors alone, no code, and no more memory than the file is large."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from stylenet.errors import InputError, one_line
from stylenet.recognition import also, no_weights, what_is

_EXPECTED = ".safetensors or a state dict saved by torch"

# Types of numbers that weights have. Complex, boolean and quantised ones are no weights.
_TYPES = {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int8, torch.uint8, torch.int32, torch.int64}


def read_weights(path: Path) -> object:
    """Return what a ``.safetensors`` file, or one that torch saved, holds: tensors, and plain values in containers.

    Raises:
        InputError: for a file that is neither, or would need code of its own to be read, or unfolds to more than it is.
    """
    try:
        if reason := no_weights(path):
            raise InputError(f"{path} is {reason}")
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        check_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles of another version, and of sparse tensors
            loaded: object = torch.load(path, map_location="cpu", weights_only=True)
        return loaded
    except InputError:
        raise
    except Exception as error:  # unpickling raises almost anything
        raise InputError(f"{path} cannot be read as weights alone: expected {_EXPECTED}{_because(path, error)}") from error


def _because(path: Path, error: Exception) -> str:
    """Return why in words of our own: torch's advise to read the file with ``weights_only=False``, which would run its code."""
    what = what_is(path)
    if what == "empty":
        return f"{also(what)}; it was not written or downloaded to its end"
    if what not in ("", "a zip archive or a file that torch saved", "a pickle", "a safetensors file"):
        return also(what)
    if "Unsupported" in str(error):
        return ": it holds more than tensors, such as a whole model; save what model.state_dict() gives instead"
    reason = one_line(str(error).split("\n", 1)[0], 120) or type(error).__name__
    return f" ({reason}): it is damaged, or was not downloaded to its end"


def check_archive(path: Path) -> None:
    """Refuse a zip archive whose members are compressed: torch's never are, and others unfold to any size.

    Raises:
        InputError: for one.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as opened:
        members = opened.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise InputError(
            f"{path} is a zip archive that torch did not write: expected .safetensors or a state dict saved by torch"
        )
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise InputError(f"{path} is damaged: its parts are larger than the file")


def check_finite(path: Path | str, tensors: Mapping[str, Tensor]) -> None:
    """Refuse numbers that are NaN or infinite: whatever is worked out with them would be, too.

    Raises:
        InputError: naming the first of them.
    """
    if (name := first_not_finite(tensors.items())) is not None:
        what = f"weights that are not finite ({one_line(name, 80)})"
        raise InputError(f"{path} holds {what}: it is damaged, or its training had failed; train it again")


def first_not_finite(tensors: Iterable[tuple[str, Tensor]]) -> str | None:
    """Return the name of the first tensor that holds NaN or infinity, or None."""
    return next((name for name, value in tensors if not torch.isfinite(value).all()), None)


def check_tensors(path: Path | str, tensors: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]]) -> None:
    """Refuse tensors that are no weights, or that hold more numbers than there are in the file.

    Args:
        path: for the message.
        tensors: with their names, which need not differ where they are pairs.

    Raises:
        InputError: naming the first of them.
    """
    pairs = list(tensors.items() if isinstance(tensors, Mapping) else tensors)
    for name, value in pairs:
        if value.layout is not torch.strided or value.device.type != "cpu" or value.dtype not in _TYPES:
            kind = str(value.dtype).removeprefix("torch.")
            raise InputError(f"{path} holds no weights that are known: {one_line(name, 80)} is {kind}, {value.layout}")
    check_claims(path, pairs)


def check_claims(path: Path | str, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Refuse tensors, of whichever type, that hold more numbers than there are in the file.

    A view with strides of zero is a few bytes that claim to be gigabytes, and becomes them as soon as it is copied, or looked
    at as a whole.

    Raises:
        InputError: naming the first of them.
    """
    storages: dict[int, int] = {}
    claimed = 0
    for name, value in tensors:
        if value.layout is not torch.strided or value.is_meta:  # it has no storage of its own
            continue
        size, stored = value.numel() * value.element_size(), value.untyped_storage().nbytes()
        if size > stored:
            raise InputError(f"{path} is damaged: {one_line(name, 80)} claims {size:,} bytes, and the file holds {stored:,}")
        storages[value.untyped_storage().data_ptr()] = stored
        claimed += size
    if claimed > 2 * sum(storages.values()):  # weights that are shared by two layers are possible
        raise InputError(f"{path} is damaged: its tensors claim {claimed:,} bytes, and it holds {sum(storages.values()):,}")
