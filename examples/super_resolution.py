"""Train a small super-resolution network with a perceptual loss, in about a minute (Johnson et al., ECCV 2016, section 4.2).

    python examples/super_resolution.py examples/browser/example.jpg --output larger.png

The network learns from crops of one picture to bring back what a reduction to half the size took away. It begins as plain
bicubic interpolation and adds to that. The picture that it writes is twice as large as the one that was given.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import stylenet


class Enlarger(nn.Module):
    """Doubles pictures ``[B, 3, H, W]`` in 0..1: bicubic interpolation, and what five convolutions add to it."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 5, padding=2, padding_mode="reflect"), nn.ReLU()]
        for _ in range(3):
            layers += [nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect"), nn.ReLU()]
        last = nn.Conv2d(width, 12, 3, padding=1, padding_mode="reflect")
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.detail = nn.Sequential(*layers, last, nn.PixelShuffle(2))

    def forward(self, small: Tensor) -> Tensor:
        """Return the pictures at twice the size."""
        plain = F.interpolate(small, scale_factor=2, mode="bicubic", align_corners=False)
        return plain + self.detail(small)


def halved(pictures: Tensor) -> Tensor:
    """Return pictures at half the size, as a careful program makes them."""
    return F.interpolate(pictures, scale_factor=0.5, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def crops(picture: Tensor, count: int, side: int) -> Tensor:
    """Return square crops ``[count, 3, side, side]`` from random places of ``[1, 3, H, W]``."""
    height, width = picture.shape[-2:]
    tops = torch.randint(0, height - side + 1, (count,)).tolist()
    lefts = torch.randint(0, width - side + 1, (count,)).tolist()
    return torch.cat([picture[..., top : top + side, left : left + side] for top, left in zip(tops, lefts, strict=True)])


def train(picture: Tensor, seconds: float, steps: int, side: int = 96) -> tuple[Enlarger, list[float]]:
    """Return a network that has learnt from crops of a picture, and the loss after every step."""
    side = min(side, *(length // 2 * 2 for length in picture.shape[-2:]))
    network, loss = Enlarger(), stylenet.ContentLoss({"relu1_2": 0.5, "relu2_2": 0.5})
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    began, losses = time.monotonic(), []
    while len(losses) < steps and time.monotonic() - began < seconds:
        wanted = crops(picture, 4, side)
        value = loss(network(halved(wanted)), wanted)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(float(value.detach()))
    return network, losses


def main(arguments: list[str] | None = None) -> None:
    """Train, say how the loss fell, and write the larger picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photo")
    parser.add_argument("--output", default="larger.png")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--steps", type=int, default=10_000)
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    picture = stylenet.read_image(options.photo, 1024)
    network, losses = train(picture.pixels, options.seconds, options.steps)
    first, last = (sum(part) / len(part) for part in (losses[:10], losses[-10:]))
    print(f"{len(losses)} steps: content loss {first:.4f} -> {last:.4f}")
    with torch.no_grad():
        print(stylenet.write_image(network(picture.pixels).clamp(0, 1), options.output))


if __name__ == "__main__":
    main()
