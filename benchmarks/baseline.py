"""Train a style, and search a picture, as the field writes them: float32, eager, channels first, ``nn.InstanceNorm2d``, the
loss network run in full on photos and on their styled selves. Stylenet is measured against this; nothing in it is stylenet's
but the VGG weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylenet.losses.vgg import INPUT_SPACES, load_weights

_WIDTHS = {1: (64, 2), 2: (128, 2), 3: (256, 4), 4: (512, 4), 5: (512, 4)}


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, relu: bool = True) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.ReflectionPad2d(kernel // 2), nn.Conv2d(inputs, outputs, kernel, stride)]
    layers.append(nn.InstanceNorm2d(outputs, affine=True))
    return [*layers, nn.ReLU()] if relu else layers


class Residual(nn.Module):
    """Two convolutions and the way around them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(*_conv(channels, channels), *_conv(channels, channels, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.inner(x)
        return result


def network() -> nn.Sequential:
    """Return the field's network of 1,679,235 parameters, on 0..1."""
    up = nn.Upsample(scale_factor=2)
    return nn.Sequential(
        *_conv(3, 32, 9), *_conv(32, 64, 3, 2), *_conv(64, 128, 3, 2), *[Residual(128) for _ in range(5)],
        up, *_conv(128, 64), up, *_conv(64, 32), nn.ReflectionPad2d(4), nn.Conv2d(32, 3, 9),
    )  # fmt: skip


class Vgg(nn.Module):
    """VGG-19 up to the deepest of the layers named, which returns their activations."""

    def __init__(self, layers: list[str]) -> None:
        super().__init__()
        self.layers, state, channels = layers, load_weights("caffe"), 3
        self.names: list[str] = []
        self.body = nn.ModuleList()
        for block, (width, count) in _WIDTHS.items():
            for index in range(1, count + 1):
                conv = nn.Conv2d(channels, width, 3, padding=1)
                conv.weight.data, conv.bias.data = state[f"conv{block}_{index}.weight"], state[f"conv{block}_{index}.bias"]  # type: ignore[union-attr]
                self.body += [conv, nn.ReLU()]
                self.names += [f"conv{block}_{index}", f"relu{block}_{index}"]
                channels = width
            self.body.append(nn.MaxPool2d(2))
            self.names.append(f"pool{block}")
        deepest = max(self.names.index(name) for name in layers)
        self.body, self.names = self.body[: deepest + 1], self.names[: deepest + 1]
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return activations by layer."""
        x = INPUT_SPACES["caffe"].preprocess(x)
        result = {}
        for name, layer in zip(self.names, self.body, strict=True):
            x = layer(x)
            if name in self.layers:
                result[name] = x
        return result


def gram(features: Tensor) -> Tensor:
    """Return Gram matrices ``[B, C, C]``, divided by the positions."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


class Step:
    """One training step of the same objective as stylenet's, in the field's way."""

    def __init__(self, content: dict[str, float], style: dict[str, float], painting: Tensor) -> None:
        self.net, self.content, self.style = network(), content, style
        self.vgg = Vgg([*content, *style])
        with torch.no_grad():
            self.grams = {name: gram(features) for name, features in self.vgg(painting).items() if name in style}
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3)

    def __call__(self, photos: Tensor) -> float:
        """Return the loss of a batch ``[B, 3, S, S]``, after one step."""
        self.optimizer.zero_grad()
        styled = self.net(photos)
        ours, theirs = self.vgg(styled), self.vgg(photos)
        loss = sum(
            (weight * F.mse_loss(ours[name], theirs[name]) for name, weight in self.content.items()), start=photos.new_zeros(())
        )
        for name, weight in self.style.items():
            loss = loss + weight * F.mse_loss(gram(ours[name]), self.grams[name].expand(len(photos), -1, -1))
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return float(loss.detach())


class Search:
    """L-BFGS on the pixels of one photo, one evaluation a step, in the field's way."""

    def __init__(self, content: dict[str, float], style: dict[str, float], photo: Tensor, painting: Tensor) -> None:
        self.content, self.style = content, style
        self.vgg = Vgg([*content, *style]).to(photo.device)
        with torch.no_grad():
            self.grams = {name: gram(features) for name, features in self.vgg(painting).items() if name in style}
            self.photo = self.vgg(photo)
        self.picture = photo.clone().requires_grad_()
        self.optimizer = torch.optim.LBFGS([self.picture], max_iter=1, history_size=100)

    def __call__(self) -> float:
        """Return the loss before the step."""
        loss: Tensor = self.optimizer.step(self._closure)  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _closure(self) -> Tensor:
        self.optimizer.zero_grad()
        ours = self.vgg(self.picture)
        loss = self.picture.new_zeros(())
        for name, weight in self.content.items():
            loss = loss + weight * F.mse_loss(ours[name], self.photo[name])
        for name, weight in self.style.items():
            loss = loss + weight * F.mse_loss(gram(ours[name]), self.grams[name])
        loss.backward()  # type: ignore[no-untyped-call]
        return loss
