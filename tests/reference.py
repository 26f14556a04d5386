"""Independent references for the tests: float64 and plain loops, sharing no code with the package."""

from __future__ import annotations

import numpy as np
import torch
from skimage import data, transform
from torch import Tensor, nn

from stylenet.losses.vgg import VGG

# Convolution widths and pools of Simonyan & Zisserman, arXiv:1409.1556, table 1, columns D and E.
TABLE = {
    "vgg16": [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"],
    "vgg19": [64, 64, "M", 128, 128, "M", *[256] * 4, "M", *[512] * 4, "M", *[512] * 4, "M"],
}


def photo(name: str, height: int, width: int) -> Tensor:
    """A real photo ``[1, 3, height, width]`` of whole bytes in 0..1."""
    array = transform.resize(getattr(data, name)()[..., :3], (height, width), anti_aliasing=True)
    return torch.from_numpy((array * 255).round().astype(np.float32) / 255).permute(2, 0, 1)[None].contiguous()


def to_bytes(picture: Tensor) -> np.ndarray:
    """``[1, 3, H, W]`` in 0..1 as ``[H, W, 3]`` uint8."""
    return (picture[0].permute(1, 2, 0).double().numpy() * 255).round().astype(np.uint8)


def lively(network: VGG, seed: int = 0) -> VGG:
    """Random weights under which activations keep their size from layer to layer (He et al. 2015)."""
    generator = torch.Generator().manual_seed(seed)
    for convolution in network.convolutions.values():
        fan_in = convolution.weight[0].numel()
        convolution.weight.data = torch.randn(convolution.weight.shape, generator=generator) * (2 / fan_in) ** 0.5
        convolution.bias.data = torch.randn(convolution.bias.shape, generator=generator) * 0.1
    return network


def small_state(architecture: str, seed: int = 0) -> dict[str, Tensor]:
    """A state dict in torchvision's layout whose file is tiny: every 3x3 filter holds one value nine times."""
    generator = torch.Generator().manual_seed(seed)
    state, channels, number = {}, 3, 0
    for width in TABLE[architecture]:
        if width == "M":
            number += 1
            continue
        column = torch.randn(width, 1, 1, 1, generator=generator) * (2 / (9 * channels)) ** 0.5
        state[f"features.{number}.weight"] = column.expand(width, channels, 3, 3)
        state[f"features.{number}.bias"] = torch.rand(width, generator=generator)
        channels, number = width, number + 2
    return state


def sequential(state: dict[str, Tensor], architecture: str, depth: int) -> nn.Sequential:
    """The first ``depth`` modules of torchvision's own network with these weights."""
    import torchvision

    with torch.device("meta"):
        features = getattr(torchvision.models, architecture)(weights=None).features[:depth]
    kept = {key.removeprefix("features."): value for key, value in state.items() if int(key.split(".")[1]) < depth}
    features.load_state_dict({key: value.contiguous() for key, value in kept.items()}, assign=True)
    return features.eval()


def gram_loop(features: np.ndarray) -> np.ndarray:
    """``[C, h, w]``: sums over positions, not normalised (Gatys et al., CVPR 2016, eq. 3)."""
    channels, height, width = features.shape
    gram = np.zeros((channels, channels))
    for i in range(channels):
        for j in range(channels):
            for y in range(height):
                for x in range(width):
                    gram[i, j] += float(features[i, y, x]) * float(features[j, y, x])
    return gram


def gram_sum(features: np.ndarray) -> np.ndarray:
    """The same as :func:`gram_loop`, quickly."""
    return np.einsum("ihw,jhw->ij", features.astype(np.float64), features.astype(np.float64))


def style_formula(form: str, features: np.ndarray, style: np.ndarray, pixels: int) -> float:
    """The style forms as printed in their sources, for ``[C, h, w]`` features."""
    n, m, other = features.shape[0], features[0].size, style[0].size
    g, a = gram_sum(features), gram_sum(style)
    if form == "gatys":  # eq. 4; with another size of the style, each divided by its own positions
        return float(((g / m - a / other) ** 2).sum() / (4 * n**2))
    if form == "johnson":  # eqs. 3 and 4, with the mean of the squares
        return float(((g / (n * m) - a / (n * other)) ** 2).mean())
    if form == "raw":
        return float(((g - a) ** 2).mean() / (n * m))
    return float(((g - a) ** 2).sum() / (4.0 * 3**2 * pixels**2))


def variation_loop(picture: np.ndarray, form: str, reduction: str) -> float:
    """Total variation of one picture ``[3, H, W]`` by loops."""
    channels, height, width = picture.shape
    across, down, both = [], [], []
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                here = float(picture[c, y, x])
                dx = float(picture[c, y, x + 1]) - here if x + 1 < width else None
                dy = float(picture[c, y + 1, x]) - here if y + 1 < height else None
                if dx is not None:
                    across.append(abs(dx) if form == "l1" else dx**2)
                if dy is not None:
                    down.append(abs(dy) if form == "l1" else dy**2)
                if dx is not None and dy is not None:
                    both.append((dx**2 + dy**2) ** 1.25)
    terms = [both] if form == "power" else [across, down]
    return sum(sum(term) / (len(term) if reduction == "mean" else 1) for term in terms)
