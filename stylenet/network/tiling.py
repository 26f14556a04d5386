"""Take a picture of any size through the network, strip by strip, with the result of the whole picture.

Instance normalisation needs the mean and variance over the whole picture at every layer, so tiles cannot simply be styled one
by one. Here the *layers* are taken one by one: each is worked out in horizontal strips, whose statistics are merged, and the
next one begins when they are complete. A strip needs as many rows around it as its convolution reaches, and no more. Maps
between layers are kept at half and a quarter of the resolution, in memory or in a temporary file; those at full resolution are
worked out a second time instead.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from stylenet.choices import check_choice
from stylenet.deprecation import renamed
from stylenet.devices import check_memory, free_memory, give_back_memory
from stylenet.errors import InputError, RunError
from stylenet.files import scratch_folder
from stylenet.network.transform_net import (
    ConvLayer,
    InstanceNorm,
    ResidualBlock,
    Statistics,
    TransformNet,
    check_sides,
    instance_statistics,
    joined,
)

# Values of the widest layer in one strip: 64 MB in float32. Larger strips are no faster.
_STRIP_VALUES = 2**24

# Values of the maps for each pixel of the picture and channel of the first layer, w: at the peak there are three maps of 4 w
# channels at 1/16 of the positions (trunk, inside and end of a block), or one of them beside one of 2 w channels at 1/4.
_MAP_VALUES = 0.75

Rows = Callable[[int, int], Tensor]


# Measured at the peak of a whole pass: bytes for each pixel, channel of the first layer and byte of a value.
_WHOLE_VALUES = 8.0

# Maps beyond this go to a file, which is hardly slower as long as the system has memory to cache it.
_IN_MEMORY = 2**30

# Maps of a strip for which there should be room at the same time. It is an allowance, not a measurement: a convolution reads
# one, pads it, may unfold it nine times, and gives one.
_STRIP_MAPS = 16

# Rows of the lowest strip.
_LOWEST = 16

# Bytes for a pixel of a result: floats, and rounded ones on their way to a file.
_RESULT = 16

Tile = int | Literal["auto"]


def check_tile(tile: Tile) -> None:
    """Fail for a number of rows that makes no sense.

    Raises:
        InputError: for a negative one, or a word that is not ``auto``.
    """
    check_choice("tile", tile, Tile)
    if tile != "auto" and tile < 0:
        raise InputError(f"tile is {tile}: it is a number of rows, 0 for the whole picture, or auto")


class Pool(Protocol):
    """Statistics of other pictures that take part in a normalisation layer, such as those of the frames before."""

    def __call__(self, values: Tensor) -> Statistics:
        """Return statistics from the values ``[B, C, h, w]`` of a whole picture."""
        ...

    def pool(self, statistics: Statistics) -> Statistics:
        """Return statistics from those of a whole picture."""
        ...


@renamed(report="observe")
@torch.no_grad()
def style_picture(
    net: TransformNet,
    picture: Tensor,
    tile: Tile = "auto",
    dtype: torch.dtype = torch.float32,
    pools: Sequence[Pool] | None = None,
    observe: Callable[[float], None] | None = None,
) -> Tensor:
    """Return the styled picture, whole or in strips, which is the same but for rounding.

    Args:
        net: on the device to work on.
        picture: ``[B, 3, H, W]``, RGB, 0..1, on any device; the result lies on the same.
        tile: rows of the picture in a strip; 0 for the whole at once; ``auto`` for what fits into half of the free memory.
        dtype: type of the convolutions.
        pools: what has a say in the statistics of each normalisation, in order.
        observe: is told the share that is done, 0..1, if the picture is taken in strips.

    Returns:
        ``[B, 3, H, W]``, float32, 0..1.

    Raises:
        InputError: for a picture below 8 pixels a side, or a negative tile.
        RunError: if a temporary file outgrows the disk, or memory would not hold the result.
    """
    check_tile(tile)
    if tile == 0:
        return _whole(net, picture, dtype, pools)
    batch, _, height, width = picture.shape
    device = next(net.parameters()).device
    room = free_memory(device) // 2
    if tile == "auto" and batch * height * width * net.settings.width * _WHOLE_VALUES * dtype.itemsize < room:
        return _whole(net, picture, dtype, pools)
    if device.type == "cpu":  # the result, its bytes and what encodes them; the maps go to a file
        lowest = _LOWEST * _row_bytes(net, width, dtype)
        check_memory(f"{width} x {height} pixels", batch * height * width * _RESULT + lowest)
    folder = None if map_bytes(net, height, width, dtype) < min(_IN_MEMORY, room) else scratch_folder()
    strip = _fitting_strip(net, width, dtype, room) if tile == "auto" else tile
    results = [
        style_in_strips(net, single, strip, folder, dtype, pools, observe).clamp_(0, 1) for single in torch.split(picture, 1)
    ]
    return joined(results)


def _fitting_strip(net: TransformNet, width: int, dtype: torch.dtype, room: int) -> int | None:
    """Return the rows of a strip where memory is scarcer than strips of the usual size want; None where it is not."""
    rows = room // _row_bytes(net, width, dtype)
    usual = max(_LOWEST, _STRIP_VALUES // (net.settings.width * width))
    return None if rows >= usual else max(_LOWEST, rows)


def _row_bytes(net: TransformNet, width: int, dtype: torch.dtype) -> int:
    """Return the bytes for which there should be room for each row of a strip."""
    return _STRIP_MAPS * width * net.settings.width * dtype.itemsize


def _whole(net: TransformNet, picture: Tensor, dtype: torch.dtype, pools: Sequence[Pool] | None) -> Tensor:
    device = next(net.parameters()).device
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        styled: Tensor = net(picture.to(device).contiguous(memory_format=torch.channels_last), pools)
    return styled.clamp_(0, 1).to(picture.device)


def map_bytes(net: TransformNet, height: int, width: int, dtype: torch.dtype) -> int:
    """Estimate what the maps between layers take at most, in bytes."""
    return int(height * width * net.settings.width * _MAP_VALUES * dtype.itemsize)


@renamed(report="observe")
@torch.no_grad()
def style_in_strips(
    net: TransformNet,
    picture: Tensor,
    strip: int | None = None,
    folder: str | Path | None = None,
    dtype: torch.dtype = torch.float32,
    pools: Sequence[Pool] | None = None,
    observe: Callable[[float], None] | None = None,
) -> Tensor:
    """Compute ``net(picture)`` in little memory; equal to 1e-5 in float32.

    Args:
        net: on the device to work on.
        picture: ``[1, 3, H, W]``, RGB, 0..1, on any device; the result lies on the same.
        strip: rows of the picture in one strip; by default such that a strip takes about 64 MB a map.
        folder: keep the maps in an unnamed temporary file there instead of in memory; it is gone with the process.
        dtype: type of the convolutions and maps.
        pools: what has a say in the statistics of each normalisation, in order.
        observe: is told the share that is done, 0..1.

    Raises:
        RunError: if the temporary file outgrows the disk.
    """
    height, width = picture.shape[-2:]
    rows = strip or max(_LOWEST, _STRIP_VALUES // (net.settings.width * width))
    check_sides(height, width)
    work = _Work(net, picture, -(-rows // 4) * 4, dtype, None if folder is None else Path(folder), iter(pools or ()), observe)
    with torch.autocast(work.device.type, dtype, enabled=dtype != torch.float32):
        return work.run()[..., :height, :width]


@dataclass(eq=False)
class _Work:
    net: TransformNet
    picture: Tensor
    strip: int
    dtype: torch.dtype
    folder: Path | None
    pools: Iterator[Pool]
    observe: Callable[[float], None] | None
    passed: int = 0

    @property
    def passes(self) -> int:
        """How often rows are gone through: each layer once, the trunk a second time, and an addition for each block."""
        return len(self.net.down) + len(self.net.up) + 2 + 3 * len(self.net.blocks)

    def run(self) -> Tensor:
        net = self.net
        height, width = (-(-side // 4) * 4 for side in self.picture.shape[-2:])
        stem = net.settings.stem
        first = _Layer(net.down1, self._photo_rows, height // stem, width // stem)
        if net.down3 is None:
            trunk = self._trunk(_Layer(net.down2, self._kept(first), height // 4, width // 4))
        else:
            first.gather(self._strips(first), None, next(self.pools, None))
            half = self._kept(_Layer(net.down2, first.rows, height // 2, width // 2))
            trunk = self._trunk(_Layer(net.down3, half, height // 4, width // 4))
            del half
        for block in net.blocks:
            assert isinstance(block, ResidualBlock)
            self._residual(trunk, block)
        half = self._kept(_Layer(net.up1, trunk.read, height // 2, width // 2))
        del trunk
        before = half
        if net.up2 is not None:
            full = _Layer(net.up2, half, height, width)
            full.gather(self._strips(full), None, next(self.pools, None))
            before = full.rows
        last = _Layer(net.last, before, height // stem, width // stem)
        if self.folder is not None:
            give_back_memory()  # what the layers before have left: the result takes as much as the picture
        result = torch.empty(1, 3, height, width)
        for top, bottom in self._strips(last):
            # With a stem of 2 the pixels at a strip's edge take part of those beyond it.
            start, end = (top, bottom) if stem == 1 else (max(0, top - 1), min(last.height, bottom + 1))
            rows = net.leave(last.raw(start, end))[..., (top - start) * stem : (bottom - start) * stem, :]
            result[..., top * stem : bottom * stem, :] = rows.to(result.device)
        return result.to(self.picture.device)

    def _trunk(self, layer: _Layer) -> _Store:
        """Return what the residual blocks work on, in place of what the convolution gave."""
        store = self._new_store(layer)
        layer.gather(self._strips(store), store.write, next(self.pools, None))
        for top, bottom in self._strips(store):
            store.write(top, layer.activate(store.read(top, bottom)))
        return store

    def _residual(self, trunk: _Store, block: ResidualBlock) -> None:
        """Compute ``trunk + second(first(trunk))`` in place."""
        inner = self._kept(_Layer(block.first, trunk.read, trunk.height, trunk.width))
        outer = self._kept(_Layer(block.second, inner, trunk.height, trunk.width))
        for top, bottom in self._strips(trunk):
            trunk.write(top, trunk.read(top, bottom) + outer(top, bottom))

    def _kept(self, layer: _Layer) -> Rows:
        """Work a layer out once and keep what its convolution gave; reading applies normalisation and ReLU."""
        store = self._new_store(layer)
        layer.gather(self._strips(store), store.write, next(self.pools, None))
        return lambda top, bottom: layer.activate(store.read(top, bottom))

    def _new_store(self, layer: _Layer) -> _Store:
        shape = (layer.conv.out_channels, layer.height, layer.width)
        if self.folder is None:
            return _MemoryStore(*shape, self.dtype, self.device)
        return _FileStore(*shape, self.dtype, self.device, self.folder)

    @property
    def device(self) -> torch.device:
        return next(self.net.parameters()).device

    def _photo_rows(self, top: int, bottom: int) -> Tensor:
        """Return rows of what the first layer sees: the picture, brought to multiples of 4 by reflection, in the network's
        space."""
        height, width = self.picture.shape[-2:]
        stem = self.net.settings.stem
        index = torch.arange(top * stem, bottom * stem)
        index = torch.where(index < height, index, 2 * (height - 1) - index)
        rows = F.pad(self.picture[..., index, :].to(self.device), (0, -width % 4, 0, 0), mode="reflect")
        return self.net.enter(rows).contiguous(memory_format=torch.channels_last)

    def _strips(self, sized: _Layer | _Store) -> Iterator[tuple[int, int]]:
        """Yield rows from and to: the strips of the picture at the resolution of a layer."""
        padded = -(-self.picture.shape[-2] // 4) * 4
        strip = self.strip * sized.height // padded
        for top in range(0, sized.height, strip):
            yield top, min(top + strip, sized.height)
            if self.observe is not None:
                self.observe((self.passed + min(top + strip, sized.height) / sized.height) / self.passes)
        self.passed += 1


class _Layer:
    """One :class:`ConvLayer` over rows; ``source`` gives rows of what comes before, at that layer's resolution."""

    def __init__(self, layer: ConvLayer, source: Rows, height: int, width: int) -> None:
        self.layer, self.conv, self.source, self.height, self.width = layer, layer.conv, source, height, width
        self.statistics: Statistics | None = None

    def raw(self, top: int, bottom: int) -> Tensor:
        """Return rows of what the convolution gives, before normalisation."""
        if self.layer.upsample == "transposed":
            # Rows 2i and 2i + 1 come from rows i and i + 1; beyond the last there is nothing.
            before = self.source(top // 2, min((bottom + 1) // 2 + 1, self.height // 2))
            rows = self.layer.convolve(before, (0, 0, 0, 0))
            return rows[..., top % 2 : top % 2 + bottom - top, :]
        stride, reach = self.conv.stride[0], self.layer.padding
        first, last = top * stride - reach, (bottom - 1) * stride + reach + 1
        end = self.height * stride
        above, below = max(0, -first), max(0, last - end)
        rows = self._before(max(0, first), min(last, end))
        return self.layer.convolve(rows, (reach, reach, above, below))

    def _before(self, top: int, bottom: int) -> Tensor:
        if self.layer.upsample is None:
            return self.source(top, bottom)
        # Bilinear reaches one row further; at the picture's edge it repeats the last one, as it would without strips.
        start, end = max(0, top // 2 - 1), min(self.height // 2, (bottom + 1) // 2 + 1)
        return self.layer.enlarge(self.source(start, end))[..., top - 2 * start : bottom - 2 * start, :]

    def gather(self, strips: Iterable[tuple[int, int]], keep: Callable[[int, Tensor], None] | None, pool: Pool | None) -> None:
        """Work every strip out for the statistics of the whole."""
        merged = _Merged()
        normalised = isinstance(self.layer.norm, InstanceNorm)
        for top, bottom in strips:
            values = self.raw(top, bottom)
            if normalised:
                merged.add(values)
            if keep is not None:
                keep(top, values)
        if normalised:
            self.statistics = merged.statistics() if pool is None else pool.pool(merged.statistics())

    def activate(self, values: Tensor) -> Tensor:
        """Apply normalisation by the statistics of the whole, and ReLU."""
        if self.layer.norm is not None:
            values = self.layer.norm(values) if self.statistics is None else self.layer.norm(values, self.statistics)
        result: Tensor = F.relu(values) if self.layer.relu else values
        return result

    def rows(self, top: int, bottom: int) -> Tensor:
        """Return rows of the layer's output."""
        return self.activate(self.raw(top, bottom))


class _Merged:
    """Mean and variance of parts as those of the whole (Chan, Golub & LeVeque, 1983, eq. 2.1), in float64."""

    def __init__(self) -> None:
        self.count, self.device = 0, torch.device("cpu")
        self.mean: Tensor | None = None
        self.squares: Tensor | None = None

    def add(self, values: Tensor) -> None:
        count = values.shape[2] * values.shape[3]
        # On the processor: some devices have no float64.
        self.device = values.device
        mean, variance = (value.cpu().double() for value in instance_statistics(values))
        if self.mean is None or self.squares is None:
            self.count, self.mean, self.squares = count, mean, variance * count
            return
        total, apart = self.count + count, mean - self.mean
        self.mean = self.mean + apart * (count / total)
        self.squares = self.squares + variance * count + apart.square() * (self.count * count / total)
        self.count = total

    def statistics(self) -> Statistics:
        assert self.mean is not None
        assert self.squares is not None
        return self.mean.float().to(self.device), (self.squares / self.count).float().to(self.device)


class _Store(Protocol):
    """A map ``[1, C, H, W]`` that is read and written by rows."""

    height: int
    width: int

    def read(self, top: int, bottom: int) -> Tensor: ...

    def write(self, top: int, values: Tensor) -> None: ...


class _MemoryStore:
    def __init__(self, channels: int, height: int, width: int, dtype: torch.dtype, device: torch.device) -> None:
        self.height, self.width = height, width
        self.values = torch.empty(1, channels, height, width, dtype=dtype, device=device, memory_format=torch.channels_last)

    def read(self, top: int, bottom: int) -> Tensor:
        return self.values[..., top:bottom, :]

    def write(self, top: int, values: Tensor) -> None:
        self.values[..., top : top + values.shape[2], :] = values


class _FileStore:
    """A map kept in an unnamed temporary file: the system writes it out as memory gets scarce, and nothing of it stays
    behind."""

    def __init__(self, channels: int, height: int, width: int, dtype: torch.dtype, device: torch.device, folder: Path) -> None:
        self.channels, self.height, self.width, self.dtype, self.device = channels, height, width, dtype, device
        self.row_bytes = width * channels * dtype.itemsize
        self.file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 (closed when the map is no longer needed)

    def read(self, top: int, bottom: int) -> Tensor:
        data = bytearray((bottom - top) * self.row_bytes)
        self.file.seek(top * self.row_bytes)
        view = memoryview(data)
        while view:
            view = view[self.file.readinto(view) or len(view) :]
        rows = torch.frombuffer(data, dtype=self.dtype).view(1, bottom - top, self.width, self.channels)
        return rows.permute(0, 3, 1, 2).to(self.device)

    def write(self, top: int, values: Tensor) -> None:
        rows = values.to(self.dtype).cpu().permute(0, 2, 3, 1).contiguous().view(torch.uint8).numpy()
        self.file.seek(top * self.row_bytes)
        view = memoryview(rows.reshape(-1).data)
        try:
            while view:
                view = view[self.file.write(view) :]
        except OSError as error:
            size = f"{self.height * self.row_bytes / 1e9:.1f} GB of temporary data"
            raise RunError(f"no room for {size} ({error.strerror}): set TMPDIR to a folder with more") from error
