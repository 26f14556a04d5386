"""Save what a search needs to go on after it was killed, in one file beside its output.

The file is safetensors, so that nothing in it can run. It is written tensor by tensor, because a copy of all of them at once,
as the library makes one, would double the memory of a print.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from stylenet import storage
from stylenet.errors import InputError, argument
from stylenet.files import replacing
from stylenet.optimization.scratch import new_tensor

# Seconds between two states, and the largest share of the time that writing them may take.
_SECONDS, _SHARE = 60.0, 0.05

_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64", torch.float64: "F64"}

# Bytes that are handed to the system at once.
_PART = 2**24

# The key of the header, and the format of what is kept: a state of another one is not gone on from.
_KEY, _FORMAT = "stylenet.search", 2


@dataclass(frozen=True, eq=False)
class SearchState:
    """A search between two steps: tensors by name, and all else as JSON knows it."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]


class StateFile:
    """Keeps the state of one search.

    Args:
        path: of the file.
        job: what tells this search from others; see :func:`fingerprint`.
        seconds: between two states at least; a minute by default.
    """

    def __init__(self, path: Path, job: str, seconds: float | None = None) -> None:
        self.path, self.job, self.seconds = path, job, _SECONDS if seconds is None else seconds
        self.saved, self.cost = time.monotonic(), 0.0

    def due(self) -> bool:
        """Return whether it is time to save."""
        return time.monotonic() - self.saved >= max(self.seconds, self.cost / _SHARE)

    def save(self, state: SearchState) -> None:
        """Replace the file by a new one.

        Raises:
            RunError: if it cannot be written; the file is then as it was.
        """
        began = time.monotonic()
        with replacing(self.path) as temporary:
            _write(temporary, state.tensors, {_KEY: json.dumps({"job": self.job, "values": state.values})})
        self.saved = time.monotonic()
        self.cost = self.saved - began

    def load(self) -> SearchState | None:
        """Return the state, or None where there is no file, or an empty one, which says that a search is not finished.

        Raises:
            InputError: for a file that is damaged, or of another search.
        """
        if not self.path.is_file() or not self.path.stat().st_size:
            return None
        try:
            with safe_open(self.path, "pt") as opened:
                about = json.loads((opened.metadata() or {})[_KEY])
                job, values = about["job"], about["values"]
                if job == self.job:
                    return SearchState({name: _copied(opened.get_tensor(name)) for name in opened.keys()}, values)  # noqa: SIM118
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{self.path} is damaged: delete it, or leave {argument('resume')} out to start anew") from error
        raise InputError(
            f"{self.path} is of a search with other pictures or options: give the same, or leave {argument('resume')} out"
        )

    def remove(self) -> None:
        """Delete the file, if there is one: the search has ended."""
        self.path.unlink(missing_ok=True)


def _copied(stored: Tensor) -> Tensor:
    """Return a copy where tensors usually lie in memory: from odd addresses, as in a file, some processors add up in another
    order, and a search would not go on to the bit."""
    return new_tensor(stored.shape, stored.dtype).copy_(stored)


def state_place(output: str | Path) -> str:
    """Return where the state of a search lies: beside its output, hidden."""
    return storage.join(storage.parent_of(output), f".{storage.name_of(output)}.search")


def state_path(output: Path) -> Path:
    """Return :func:`state_place` of an output on this machine, as a path."""
    return Path(state_place(output))


def fingerprint(settings: Mapping[str, Any], pictures: list[Tensor]) -> str:
    """Return a number in hexadecimal that only the same settings and pictures have, for one format of the file."""
    digest = hashlib.sha256(json.dumps({**settings, "format": _FORMAT}, sort_keys=True, default=str).encode())
    for picture in pictures:
        digest.update(str(tuple(picture.shape)).encode())
        digest.update(picture.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def pack_optimizer(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state of an optimiser of one tensor as tensors by name, and as numbers; :func:`unpack_optimizer` undoes it."""
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for name, value in state.items():
        if name == "al":  # scratch space of torch's L-BFGS
            continue
        if isinstance(value, Tensor):
            tensors[f"optimizer.{name}"] = value
        elif isinstance(value, list) and value and all(isinstance(one, Tensor) for one in value):
            tensors |= {f"optimizer.{name}.{index:04d}": one for index, one in enumerate(value)}
        else:
            values[name] = value
    return tensors, values


def unpack_optimizer(tensors: Mapping[str, Tensor], values: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Return the state of an optimiser from :func:`pack_optimizer`."""
    state: dict[str, Any] = dict(values)
    for name in sorted(tensors):
        kind, _, rest = name.partition(".")
        if kind != "optimizer":
            continue
        key, _, index = rest.partition(".")
        if index:
            state.setdefault(key, []).append(tensors[name].to(device))
        else:
            # Adam counts its steps on the processor.
            state[key] = tensors[name] if key == "step" else tensors[name].to(device)
    return state


def _write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write the safetensors format: the length of a header, the header as JSON, and the bytes of every tensor."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for tensor in tensors.values():
            flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            for begin in range(0, len(flat), _PART):
                file.write(flat[begin : begin + _PART].numpy().data)
