"""Draw two figures of what the loss network sees: mean activations, and pictures rebuilt from single layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from stylenet.deprecation import renamed
from stylenet.images.picture import PictureLike, as_picture, check_single
from stylenet.images.sheets import contact_sheet
from stylenet.losses.settings import LossSettings
from stylenet.losses.vgg import VGG, Architecture, Pooling, layer_names, smallest_side
from stylenet.modes import guest
from stylenet.optimization.engine import optimize_pixels
from stylenet.optimization.settings import OptimizeSettings

# The layers of Gatys et al., CVPR 2016, section 3: the first convolution of each block.
_FIRST = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")


@guest
@torch.no_grad()
def features(
    photo: PictureLike, vgg: Architecture = "vgg19", vgg_weights: str = "caffe", pooling: Pooling = "max", columns: int = 6
) -> Tensor:
    """Draw the mean activation over the channels of every named layer, as a labelled grid.

    Args:
        photo: whatever :func:`~stylenet.read_image` takes; layers that it is too small for are left out.
        vgg: the network.
        vgg_weights: weights of the loss network.
        pooling: ``max`` or ``average``.
        columns: pictures a row.

    Returns:
        A sheet ``[1, 3, h, w]``: each layer from its smallest mean (black) to its largest (white), which the label gives.
    """
    photo = _single(photo, "the photo")
    names = [name for name in layer_names(vgg) if smallest_side(name) <= min(photo.shape[-2:])]
    network = VGG(names, vgg, vgg_weights, pooling)
    pictures, labels = [photo], ["photo"]
    for name, activations in network(photo).items():
        mean = activations.mean(dim=1, keepdim=True)
        low, high = float(mean.min()), float(mean.max())
        pictures.append(((mean - low) / max(high - low, 1e-8)).expand(1, 3, -1, -1))
        labels.append(f"{name}  {low:.3g} .. {high:.3g}")
    return contact_sheet(pictures, labels, columns, height=160)


@renamed(report="observe")
@guest
def reconstruct(
    photo: PictureLike,
    style: PictureLike | None = None,
    steps: int = 100,
    vgg: Architecture = "vgg19",
    vgg_weights: str = "caffe",
    pooling: Pooling = "average",
    seed: int = 0,
    device: str = "auto",
    observe: Callable[[str], None] | None = None,
) -> Tensor:
    """Draw figure 1 of Gatys et al., CVPR 2016: what each layer keeps of the content and of the style.

    Args:
        photo: whatever :func:`~stylenet.read_image` takes, whose content is rebuilt from each of conv1_1 .. conv5_1 by itself.
        style: whose style is rebuilt from conv1_1, conv1_1 and conv2_1, ... (five growing sets); the photo by default.
        steps: number of steps of L-BFGS, from noise, for each of the ten pictures.
        vgg: the network.
        vgg_weights: weights of the loss network.
        pooling: ``max`` or ``average``.
        seed: seed of the noise.
        device: ``auto``, ``cpu``, ``cuda``, ...
        observe: called with the name of each picture before it is made.

    Returns:
        A sheet of two rows ``[1, 3, h, w]``: the original and five contents, the original and five styles.
    """
    photo = _single(photo, "the photo")
    style = photo if style is None else _single(style, "the style picture")
    base = LossSettings(vgg=vgg, vgg_weights=vgg_weights, pooling=pooling, style_form="gatys")
    search = OptimizeSettings(init="normal", steps=steps, seed=seed, scales=1, device=device)
    contents = [replace(base, content_layers={name: 1.0}, style_layers={}) for name in _FIRST]
    styles = [replace(base, content_layers={}, style_layers=dict.fromkeys(_FIRST[:n], 1 / n)) for n in range(1, 6)]
    sheet, labels = [photo], ["photo"]
    for name, settings in zip(_FIRST, contents, strict=True):
        sheet.append(_rebuild(f"content of {name}", photo, [], settings, search, observe))
        labels.append(f"content: {name}")
    sheet.append(style)
    labels.append("style")
    for number, settings in enumerate(styles, 1):
        label = "style: conv1_1" if number == 1 else f"style: conv1_1 .. conv{number}_1"
        sheet.append(_rebuild(label, style, [style], settings, search, observe))
        labels.append(label)
    return contact_sheet(sheet, labels, columns=6, height=min(photo.shape[2], 256))


def _single(source: PictureLike, name: str) -> Tensor:
    """Return what is seen of one picture ``[1, 3, H, W]``, however it is given."""
    picture = as_picture(source, name)
    check_single(picture)
    return picture.visible().pixels


def _rebuild(
    name: str,
    picture: Tensor,
    styles: Sequence[Tensor],
    loss: LossSettings,
    search: OptimizeSettings,
    observe: Callable[[str], None] | None,
) -> Tensor:
    if observe:
        observe(name)
    return optimize_pixels(picture, styles, loss, search).picture
