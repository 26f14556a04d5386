"""A trained style as a file: weights and a card that says how they came about, in one safetensors file.

Styles that come with stylenet are found by name; other repositories' checkpoints are recognised (``foreign.py``).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from stylenet.errors import InputError
from stylenet.files import write_atomic
from stylenet.foreign import read_foreign
from stylenet.images import Picture
from stylenet.transform_net import NetSettings, TransformNet

_PACKAGE = Path(__file__).resolve().parent
_KEY = "stylenet"


@dataclass(frozen=True)
class Card:
    """What is known about a trained style.

    Attributes:
        name: of the style.
        network: fields of :class:`~stylenet.transform_net.NetSettings`.
        style: the style pictures: file name and SHA-256.
        credit: painter, title, year, and whose picture of it.
        loss: fields of :class:`~stylenet.losses.LossSettings`, which name the VGG and its weights: losses under other weights
            cannot be compared.
        training: size, batch, steps, learning rate, seconds, device.
        data: fingerprint of the photos.
        metrics: of the held-out photos, by name.
        versions: of the software.
        date: of the training's end, ISO.
        source: who made the file: ``stylenet``, or the repository whose layout was recognised.
    """

    name: str
    network: dict[str, Any] = field(default_factory=dict)
    style: list[dict[str, str]] = field(default_factory=list)
    credit: str = ""
    loss: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    data: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    date: str = ""
    source: str = "stylenet"


@dataclass(frozen=True)
class Style:
    """A network that is ready to style pictures, and its card."""

    net: TransformNet
    card: Card

    @torch.inference_mode()
    def __call__(self, picture: Picture | Tensor) -> Picture | Tensor:
        """A picture in the style, of the same size and kind; values in 0..1, transparency carried over."""
        if isinstance(picture, Tensor):
            result: Tensor = self.net(picture).clamp(0, 1)
            return result
        return dataclasses.replace(picture, pixels=self.net(picture.pixels).clamp(0, 1))


def save_style(net: TransformNet, card: Card, path: str | Path, half: bool = True) -> None:
    """Writes a style: float16 by default, 3.4 MB for the ``standard`` network.

    Raises:
        InputError: for weights that are not finite, or too large for float16.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    if half:
        state = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    broken = [name for name, value in state.items() if not torch.isfinite(value).all()]
    if broken:
        raise InputError(f"{path} is not written: {broken[0]} holds numbers that are not finite")
    card = dataclasses.replace(card, network=dataclasses.asdict(net.settings))
    write_atomic(Path(path), save(state, {_KEY: json.dumps(dataclasses.asdict(card))}))


def load_style(style: str | Path, device: torch.device | str = "cpu") -> Style:
    """A style by the name of a shipped one or the path of a file: stylenet's own, or a checkpoint of pytorch/examples,
    gordicaleksa or eriklindernoren. No code in a file is ever run.

    Raises:
        InputError: if there is no such style, or the file is none.
    """
    path = find_style(style)
    card = read_card(path)
    if card is None:
        state, settings, source = read_foreign(path)
        card = Card(path.stem, dataclasses.asdict(settings), source=source)
    else:
        settings, state = NetSettings(**card.network), _read_tensors(path)
    net = TransformNet(settings)
    try:
        net.load_state_dict({name: value.float() if value.is_floating_point() else value for name, value in state.items()})
    except RuntimeError as error:
        raise InputError(f"{path} does not fit the network that it describes: {' '.join(str(error).split())[:200]}") from error
    return Style(net.requires_grad_(False).eval().to(device), card)


def find_style(style: str | Path) -> Path:
    """The file of a style by name or path."""
    path = Path(style)
    if path.is_file():
        return path
    shipped = style_folder() / f"{style}.safetensors"
    if path.name == str(style) and shipped.is_file():
        return shipped
    names = ", ".join(card.name for card in list_styles()) or "none"
    raise InputError(f"no style {str(style)!r}: give the path of a style file, or one that comes with stylenet: {names}")


def style_folder() -> Path:
    """Inside an installed package, or beside it in a checkout."""
    inside = _PACKAGE / "checkpoints"
    return inside if inside.is_dir() else _PACKAGE.parent / "checkpoints"


def list_styles() -> list[Card]:
    """The cards of the styles that come with stylenet."""
    cards = [read_card(path) for path in sorted(style_folder().glob("*.safetensors"))]
    return [card for card in cards if card is not None]


def read_card(path: Path) -> Card | None:
    """The card of a style file; None for files without one.

    Raises:
        InputError: for a card that cannot be read.
    """
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, "pt") as opened:
            text = (opened.metadata() or {}).get(_KEY)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is no safetensors file, or is damaged ({error})") from error
    if text is None:
        return None
    try:
        return Card(**json.loads(text))
    except (json.JSONDecodeError, TypeError) as error:
        raise InputError(f"{path} was written by a newer version of stylenet, or is damaged ({error})") from error


def _read_tensors(path: Path) -> dict[str, Tensor]:
    with safe_open(path, "pt") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (it is no dictionary)


def sha256(path: str | Path) -> str:
    """Of a file, in hexadecimal."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
