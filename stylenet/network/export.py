"""Write a trained style as an ONNX file, for programs without Python; it is checked against the network before it appears."""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from stylenet.choices import check_choice
from stylenet.errors import InputError, RunError
from stylenet.formats import ending
from stylenet.modes import guest
from stylenet.network.look_blends import check_one_body, mix_looks
from stylenet.network.onnx_graph import INPUT, OUTPUT, SHARES, network_model
from stylenet.network.styles import Style, as_style
from stylenet.network.transform_net import ConvLayer, TransformNet
from stylenet.storage import check_apart, check_writable, write

Format = Literal["onnx"]
ExportPrecision = Literal["32", "16"]

# Width and height of the pictures that are compared: the smallest, both sides odd, multiples of 4, one of each.
CHECKED_SIZES = ((8, 8), (127, 65), (256, 256), (333, 251))

# Values of other pictures may be this many times larger than those of the checked ones before float16 overflows.
_RESERVE = 4


@dataclass(frozen=True)
class Bounds:
    """The most by which a file may differ from the network, the range being 0..1.

    Attributes:
        maximum: the largest difference of any value of any checked picture.
        mean: the mean of the absolute differences of one picture.
    """

    maximum: float
    mean: float


# float32: sums are taken in another order, which came to 3e-5; 1e-3 is a quarter of one level of 8 bits.
# float16 holds 11 bits, and a channel that hardly varies is enlarged by its normalisation, rounding and all. Networks came to
# 0.009 and 0.0006 on photos' sizes, and to 0.026 and 0.004 on 8 x 8 pixels, where the deepest layers have four positions for
# their statistics. So the mean may reach 2.5 levels of 8 bits, which nobody sees, and single values ten times as much.
BOUNDS: dict[ExportPrecision, Bounds] = {"32": Bounds(1e-3, 1e-3), "16": Bounds(0.1, 0.01)}


@dataclass(frozen=True)
class Difference:
    """The difference between the file and the network on one picture.

    Attributes:
        width, height: width and height of the picture in pixels.
        maximum, mean: maximum and mean of the absolute differences, the range being 0..1.
    """

    width: int
    height: int
    maximum: float
    mean: float

    def __str__(self) -> str:
        return f"{self.width} x {self.height}: maximum difference {self.maximum:.2g}, mean {self.mean:.2g}"


@guest
def export_style(
    style: Style | str | Path | Sequence[Style | str | Path], path: str | Path, precision: ExportPrecision = "32"
) -> list[Difference]:
    """Write a style as ONNX: input ``photo``, output ``styled``, both ``[batch, 3, height, width]``, float32, RGB, 0..1.

    Batch, height and width are free, from 8 pixels a side; the output has the size of the input. The style's card is in the
    file's metadata, as JSON under ``stylenet``.

    Args:
        style: the name of a shipped one, a file, or one that is loaded. Several that are looks on one body make one file, which
            takes their ``shares`` ``[K]`` beside the photo: 1 and zeros for one of them, anything between for a blend.
        path: file to write, on this machine or in a store, ending in ``.onnx``. It appears after the check and not before.
        precision: ``32``, or ``16``: half the size, with weights and convolutions in float16. Input and output are float32
            either way, so that one program runs both. So are the normalisations: the sum of a channel's squares would overflow.

    Returns:
        The differences to the network, one for each of :data:`CHECKED_SIZES`.

    Raises:
        InputError: without the packages onnx and onnxruntime, for a style or path that cannot be, or a style that float16
            cannot hold.
        RunError: if the file would not do what the network does, or cannot be written.
    """
    _check_packages()
    if not isinstance(path, str | Path):
        raise InputError(f"the path to write is of type {type(path).__name__}: give a text or a Path")
    if ending(path) != ".onnx":
        raise InputError(f"cannot write {path}: its ending must be .onnx")
    check_choice("precision", precision, ExportPrecision)
    check_writable(path)
    several = [style] if isinstance(style, Style | str | Path) or not isinstance(style, Sequence) else list(style)
    check_apart(path, several)
    if not several:
        raise InputError("no style to export was given")
    loaded = [as_style(one) for one in several]
    if len(loaded) > 1:
        check_one_body({f"{one.card.name} (style {place})": one.net for place, one in enumerate(loaded, 1)})
    nets = [one.net.float() for one in loaded]
    cards = [dataclasses.asdict(one.card) for one in loaded]
    about = json.dumps(cards[0] if len(cards) == 1 else cards)
    content = network_model(nets, about, float16=precision == "16").SerializeToString()
    differences = _compare(nets, content, precision)
    _check_agreement(differences, precision, path)
    write(path, content)
    return differences


def _check_packages() -> None:
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"exporting needs the package {' and '.join(missing)}: pip install 'stylenet[export]'")


# --- the check --------------------------------------------------------------------------------------------------------


def _picture(width: int, height: int) -> Tensor:
    """Return soft shapes with fine noise on them ``[1, 3, height, width]``, always the same; no channel of a network stays
    flat."""
    generator = torch.Generator().manual_seed(width * 10_000 + height)
    shapes = F.interpolate(torch.rand(1, 3, 6, 6, generator=generator), (height, width), mode="bicubic", align_corners=False)
    return (shapes + 0.1 * torch.randn(1, 3, height, width, generator=generator)).clamp(0, 1)


def _session(content: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


@torch.no_grad()
def _compare(nets: Sequence[TransformNet], content: bytes, precision: ExportPrecision) -> list[Difference]:
    """Compare the file, run by onnxruntime, with the network; in float16 also the network with rounded weights and values.

    On a processor onnxruntime computes float16 in float32: it sees how weights were rounded, but not what happens to values,
    which a telephone or a graphics card rounds too. Several styles are compared one by one, and all of them mixed.
    """
    session = _session(content)
    mixtures = _checked_shares(len(nets))
    distances: dict[tuple[int, int], list[Tensor]] = {size: [] for size in CHECKED_SIZES}
    for shares in mixtures:
        net = copy.deepcopy(nets[0])
        if len(nets) > 1:
            mix_looks(net, nets, shares)
        feed = {SHARES: np.array(shares, dtype=np.float32)} if len(nets) > 1 else {}
        rounded = _rounded(net) if precision == "16" else None
        for width, height in CHECKED_SIZES:
            picture = _picture(width, height)
            wanted = net(picture).clamp(0, 1)
            results = [torch.from_numpy(session.run([OUTPUT], {INPUT: picture.numpy(), **feed})[0])]
            if rounded is not None:
                with _NarrowValues():
                    results.append(rounded(picture).clamp(0, 1))
            distances[width, height] += [(result - wanted).abs() for result in results]
    # If one number is NaN, torch's maximum is NaN.
    return [
        Difference(*size, float(torch.stack(found).max()), float(torch.stack(found).mean(dim=(1, 2, 3, 4)).max()))
        for size, found in distances.items()
    ]


def _checked_shares(count: int) -> list[list[float]]:
    """Return the shares to check: each style alone, and where there are several all in unequal parts."""
    alone = [[float(row == column) for column in range(count)] for row in range(count)]
    whole = count * (count + 1) / 2
    return alone if count == 1 else [*alone, [(place + 1) / whole for place in range(count)]]


def _rounded(net: TransformNet) -> TransformNet:
    """Return the network with float16 weights of its convolutions."""
    result = copy.deepcopy(net)
    for module in result.modules():
        if isinstance(module, ConvLayer):
            module.conv.half().float()
    return result


class _NarrowValues(TorchFunctionMode):
    """Rounds what goes into every convolution and what comes out to float16.

    Products are summed in float32, as hardware does. Values above the largest float16 over the reserve become infinite.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in (F.conv2d, F.conv_transpose2d):
            return func(*args, **(kwargs or {}))
        return _narrow(func(_narrow(args[0]), *args[1:], **(kwargs or {})))


def _narrow(values: Tensor) -> Tensor:
    return (values * _RESERVE).half().float() / _RESERVE


def _check_agreement(differences: list[Difference], precision: ExportPrecision, path: str | Path) -> None:
    bounds = BOUNDS[precision]
    for difference in differences:
        if difference.maximum <= bounds.maximum and difference.mean <= bounds.mean:
            continue  # NaN is not
        allowed = f"allowed are {bounds.maximum} and {bounds.mean}"
        trouble = f"{path} is not written, because it would differ from the network: {difference}; {allowed}"
        if precision == "16":
            raise InputError(f"{trouble}; float16 does not suit this style: use precision 32")
        raise RunError(trouble)
