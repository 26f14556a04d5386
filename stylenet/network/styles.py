"""Save and load a trained style: weights and a card that says how they came about, in one safetensors file.

Styles that come with stylenet are found by name; other repositories' checkpoints are recognised (``foreign.py``).
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, overload

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from stylenet.choices import check_choice
from stylenet.errors import InputError, one_line
from stylenet.images.fetching import Source
from stylenet.images.picture import Picture, PictureLike, as_picture
from stylenet.losses.gram_packing import pack_grams, unpack_grams
from stylenet.losses.terms import Grams
from stylenet.modes import guest
from stylenet.network.cards import CARD_KEY, Card, read_card, typed
from stylenet.network.checkpoints import from_checkpoint, is_checkpoint, looks_from_checkpoint
from stylenet.network.foreign import from_foreign
from stylenet.network.looks import LOOK_PARTS, Learns, Looks, LookTable, no_looks, read_look, wear_look
from stylenet.network.shipped import find_bodies, find_style
from stylenet.network.tiling import style_picture
from stylenet.network.transform_net import NetSettings, TransformNet
from stylenet.storage import fetched, write
from stylenet.storage.reading import origin
from stylenet.tensor_files import check_finite, check_tensors, first_not_finite, read_weights

# Names of tensors beside those of the network: that of a look by itself, and the beginnings and endings of others.
LOOK_KEY = "look"
_GRAM, _LOOKS, _SCALE = "gram.", "looks.", ".scale"

Bits = Literal[8, 16, 32]


@dataclass(frozen=True, eq=False)
class Style:
    """A network that is ready to style pictures, and its card.

    Attributes:
        net: the network.
        card: what is known about it.
        path: the file that it was loaded from, if it was.
    """

    net: TransformNet
    card: Card
    path: Path | None = None

    @overload
    def __call__(self, picture: Tensor) -> Tensor: ...

    @overload
    def __call__(self, picture: Picture | np.ndarray | Image.Image | Source) -> Picture: ...

    @guest
    def __call__(self, picture: PictureLike) -> Picture | Tensor:
        """Return a picture in the style, of the same size; values in 0..1, transparency carried over.

        One that memory would not hold goes through the network in strips. :class:`~stylenet.inference.Stylizer` picks precision
        and device too.

        Args:
            picture: whatever :func:`~stylenet.read_image` takes.

        Returns:
            For a tensor ``[3, H, W]`` or ``[B, 3, H, W]`` one of the same shape in float32, on its device and outside any
            graph; for all else a :class:`~stylenet.Picture`.

        Raises:
            InputError: for what is no picture, or one below 8 pixels a side.
        """
        return restyle(picture, lambda given: dataclasses.replace(given, pixels=style_picture(self.net, given.filled())))

    def on(self, device: torch.device | str) -> Style:
        """Return the style with a network of its own on a device, in channels-last layout; this one stays as it is."""
        net = copy.deepcopy(self.net).requires_grad_(False).eval()
        net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return dataclasses.replace(self, net=net)

    def __repr__(self) -> str:
        return f"Style({self.card.name!r}, width {self.net.settings.width})"


def restyle(picture: PictureLike, change: Callable[[Picture], Picture]) -> Picture | Tensor:
    """Return a changed picture: a tensor of the same shape for a tensor, a :class:`~stylenet.Picture` for all else."""
    changed = change(as_picture(picture))
    if not isinstance(picture, Tensor):
        return changed
    return changed.pixels if picture.ndim == 4 else changed.pixels[0]


def as_style(style: Style | str | os.PathLike[str], device: torch.device | str = "cpu") -> Style:
    """Return a style by name or file on a device, with a network that is nobody else's.

    Raises:
        InputError: if there is none, or it is something else.
    """
    if isinstance(style, Style):
        return style.on(device)
    loaded = load_style(style)
    loaded.net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return loaded


def hash_body(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of a network's weights (float32, by name) but for the scales and shifts of its normalisations."""
    digest = hashlib.sha256()
    for name in sorted(name for name in state if ".norm." not in name):
        digest.update(name.encode() + state[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_style(
    net: TransformNet,
    card: Card,
    path: str | Path,
    bits: Bits = 8,
    grams: Grams | None = None,
    looks: LookTable | None = None,
) -> None:
    """Write a style: with 8 bits 1.7 MB for the ``standard`` network, with 16 3.4, with 32 6.7.

    Args:
        net: the network.
        card: what is known about it.
        path: file to write.
        bits: number of bits of a weight. With 8 a kernel is integers and a unit for each of its rows, all else is float16:
            pictures differ by 0.1 to 0.2 of 255 in the mean, as they do where the network computes in bfloat16.
        grams: Gram matrices of the style picture (0.6 MB), by which the style can be measured without it.
        looks: the looks that the network was trained with as their body (6 kB each); see :func:`load_looks`.

    Raises:
        InputError: for weights that are not finite, or too large for float16, or another number of bits.
    """
    check_choice("bits", bits, Bits)
    state: dict[str, Tensor] = {}
    for name, value in net.state_dict().items():
        state |= _stored(name, value.detach().float().cpu().contiguous() if value.is_floating_point() else value.cpu(), bits)
    state |= {_GRAM + name: value.cpu() for name, value in pack_grams(grams or {}).items()}
    if looks is not None:
        tensors = {"table": looks.table, "signatures": looks.signatures}
        dtype = torch.float32 if bits == 32 else torch.float16
        state |= {_LOOKS + name: value.detach().cpu().to(dtype) for name, value in tensors.items() if value is not None}
    # A card that was loaded may be of a look, or of a body with looks. This file holds a network, and the looks that are given.
    titles = [] if looks is None else looks.titles
    write_style_file(state, dataclasses.replace(card, network=dataclasses.asdict(net.settings), body={}, looks=titles), path)


def add_metrics(path: str | Path, metrics: Mapping[str, float]) -> Card:
    """Write metrics into the card of a style file, and leave all else as it is.

    Returns:
        The card.
    """
    file = fetched(path)
    card = read_card(file)
    assert card is not None, "only files with a card have metrics"
    card = dataclasses.replace(card, metrics={**card.metrics, **metrics})
    with safe_open(file, "pt") as opened:
        state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    write_style_file(state, card, path)
    return card


def write_style_file(state: dict[str, Tensor], card: Card, path: str | Path) -> None:
    broken = first_not_finite(state.items())
    if broken is not None:
        raise InputError(f"{path} is not written: {broken.removesuffix(_SCALE)} holds numbers that are not finite")
    write(path, save(state, {CARD_KEY: json.dumps(dataclasses.asdict(card))}))


@guest
def load_style(style: str | os.PathLike[str], device: torch.device | str = "cpu") -> Style:
    """Load a style by the name of a shipped one or the path of a file: stylenet's own, a checkpoint of its
    training, or one of pytorch/examples, gordicaleksa or eriklindernoren. No code in a file is ever run.

    Raises:
        InputError: if there is no such style, or the file is none.
    """
    if not isinstance(style, str | os.PathLike):
        raise InputError(f"a style is named by a word or a path, not by a value of type {type(style).__name__}")
    path = find_style(os.fspath(style))
    card = read_card(path)
    if card is None:
        state, card = _read_uncarded(path)
    else:
        state = read_body(path, card)[1] if card.body else read_network(path)
    net = _built(path, _net_settings(path, card), state)
    if card.body:
        _wear_look_of(path, card, net)
    check_finite(path, net.state_dict())
    return Style(net.requires_grad_(False).eval().to(device), card, path)


def _read_uncarded(path: Path) -> tuple[dict[str, Tensor], Card]:
    """Return the weights of a file without a card, and a card of what is known: a checkpoint, or another repository's file."""
    loaded = read_weights(path)
    if is_checkpoint(loaded):
        return from_checkpoint(loaded, path)
    state, settings, source = from_foreign(loaded, path)
    return state, Card(path.stem, dataclasses.asdict(settings), source=source)


def _net_settings(path: Path, card: Card) -> NetSettings:
    try:
        return typed(card.network, NetSettings)
    except InputError as error:
        raise InputError(f"{path} is damaged: {error}") from error
    except ValueError as error:
        raise InputError(f"{path} was written by a newer version of stylenet, or is damaged ({error})") from error


def _built(path: Path, settings: NetSettings, state: dict[str, Tensor]) -> TransformNet:
    """Return a network with the weights of a file. Its settings are compared with them before anything is built: a card is
    a few bytes, which can ask for any number of blocks and channels."""
    blocks = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
    if blocks != settings.residual_blocks:
        trouble = f"{settings.residual_blocks} residual blocks, and the file has {blocks}"
        raise InputError(f"{path} does not fit the network that it describes: {trouble}")
    with torch.device("meta"):  # drawing weights that are replaced at once would disturb the host's random numbers
        net = TransformNet(settings)
    expected = {name: value.shape for name, value in net.state_dict().items()}
    for name in sorted(expected.keys() | state.keys()):
        if name not in state or name not in expected or state[name].shape != expected[name]:
            theirs = list(state[name].shape) if name in state else "missing"
            wanted = list(expected[name]) if name in expected else "not a part of it"
            trouble = f"{one_line(name, 80)} is {theirs}, wanted {wanted}"
            raise InputError(f"{path} does not fit the network that it describes: {trouble}")
    net.to_empty(device="cpu")
    net.load_state_dict(state)
    return net


def read_body(path: Path, card: Card) -> tuple[Path, dict[str, Tensor]]:
    """Return the file and the weights of the body that a look's file was made on."""
    files = find_bodies(card, path)
    for file in files:
        if (state := body_of(file, card.body.get("sha256"))) is not None:
            return file, state
    name, others = files[0].stem, " and ".join(origin(file) for file in files)
    raise InputError(
        f"{origin(path)} is a look on another {name} than {others}: their weights differ;"
        f" put the {name}.safetensors that it was learnt on beside it"
    )


def body_of(file: Path, digest: object) -> dict[str, Tensor] | None:
    """Return the weights of a network in a file, if they have this hash; None for all else that may stand in a folder."""
    try:
        state = read_network(file)
    except (InputError, SafetensorError, OSError):
        return None
    return state if hash_body(state) == digest else None


def learnt_of(card: Card) -> Learns | None:
    """Return what a look's file holds; None where its card has another word."""
    return next((part for part in LOOK_PARTS if part == card.body.get("learns")), None)


def _wear_look_of(path: Path, card: Card, net: TransformNet) -> None:
    """Write the numbers of a look's file into its body."""
    learns = learnt_of(card)
    look = _read_tensors(path).get(LOOK_KEY, torch.empty(0))
    if learns is None or look.shape != read_look(net, learns).shape:
        raise InputError(f"{path} is damaged: its numbers are not those of a look on {card.body.get('name')}")
    wear_look(net, look.float(), learns)


def read_network(path: Path) -> dict[str, Tensor]:
    """Return the weights of the network in a file, in float32."""
    state = _read_tensors(path)
    for name in state:
        unit = state.get(name + _SCALE)
        # Units of another length would be spread over the weights, and make gigabytes of a small file.
        if unit is not None and not (state[name].dim() == 4 and unit.shape == state[name].shape[:1]):
            raise InputError(f"{path} is damaged: the units of {one_line(name, 80)} do not fit its weights")
    return {name: _restored(name, state) for name in state if not name.endswith(_SCALE)}


def _stored(name: str, value: Tensor, bits: Bits) -> dict[str, Tensor]:
    """Return a float32 tensor of the network (or a whole number) as it is written."""
    if bits == 32 or not value.is_floating_point():
        return {name: value}
    if bits == 16 or value.ndim < 4:
        return {name: value.half()}
    unit = value.flatten(1).abs().amax(dim=1).clamp_min(torch.finfo(torch.float32).tiny) / 127
    return {name: (value / unit.view(-1, 1, 1, 1)).round().to(torch.int8), name + _SCALE: unit}


def _restored(name: str, state: dict[str, Tensor]) -> Tensor:
    """Return a stored tensor as it is used: float32, or a whole number."""
    value = state[name]
    if name + _SCALE in state:
        return value.float() * state[name + _SCALE].view(-1, 1, 1, 1)
    return value.float() if value.is_floating_point() else value


def load_looks(style: str | Path) -> Looks:
    """Return the looks in a body's file, or in a checkpoint of its training; none for another style's file.

    Raises:
        InputError: if there is no such style, or the looks do not fit their titles.
    """
    path = find_style(style)
    card = read_card(path)
    if card is None:
        loaded = read_weights(path)
        return looks_from_checkpoint(loaded, path) if is_checkpoint(loaded) else no_looks()
    if not card.looks:
        return no_looks()
    tensors = _read_tensors(path, _LOOKS)
    table, signatures = (tensors.get(name, torch.empty(0, 0)).float() for name in ("table", "signatures"))
    shaped = table.dim() == 2 and signatures.dim() == 2
    fits = shaped and len(table) == len(card.looks) and len(signatures) in (0, len(table))
    if not fits or not (torch.isfinite(table).all() and torch.isfinite(signatures).all()):
        raise InputError(f"{path} is damaged: its looks do not fit their {len(card.looks)} titles")
    return Looks(list(card.looks), table, signatures, card.loss)


def load_grams(style: str | Path) -> Grams:
    """Load Gram matrices of the picture that a style was trained on, by layer of its loss network; none if the file has none.

    Raises:
        InputError: if there is no such style, or they are damaged or not finite.
    """
    path = find_style(style)
    if read_card(path) is None:
        return {}
    packed = _read_tensors(path, _GRAM)
    check_finite(path, packed)
    try:
        return unpack_grams(packed)
    except (LookupError, TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        raise InputError(f"{path} is damaged: its Gram matrices cannot be unpacked") from error


def _read_tensors(path: Path, group: str = "") -> dict[str, Tensor]:
    """Read the tensors whose names begin with ``group``, without it; by default those of the network."""
    with safe_open(path, "pt") as opened:
        names = [name for name in opened.keys() if name.startswith(group or (_GRAM, _LOOKS)) == bool(group)]  # noqa: SIM118
        tensors = {name.removeprefix(group): opened.get_tensor(name) for name in names}
    check_tensors(path, tensors)
    return tensors
