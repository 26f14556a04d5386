"""Paint the style pictures that ship in ``examples/styles``, from nothing but arithmetic.

A style picture gives a network its colours, its marks and the sizes at which those marks repeat. So each of the four here
imitates a medium by following how the medium is made (glass is cut and leaded, ink is dropped and combed, paint is laid
down stroke by stroke, a block is carved) and has marks of a few pixels inside shapes of a hundred. Everything is drawn at
twice the final size and reduced at the end, and all lengths are in pixels of the finished picture.

The seeds are fixed: running the script again gives the same pixels. The pictures are dedicated to the public domain (CC0 1.0).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float64]
Labels = NDArray[np.intp]

WIDTH, HEIGHT = 640, 480
OVERSAMPLE = 2
SHAPE = (HEIGHT * OVERSAMPLE, WIDTH * OVERSAMPLE)
QUALITY = 80
OUTPUT = Path(__file__).resolve().parent.parent / "examples" / "styles"


# ---------------------------------------------------------------------------------------------------------------------
# Shared helpers
# ---------------------------------------------------------------------------------------------------------------------


def grid() -> tuple[Array, Array]:
    """Return the y and x of every working pixel."""
    y, x = np.indices(SHAPE, dtype=np.float64)
    return y / OVERSAMPLE, x / OVERSAMPLE


def colours(*codes: str) -> Array:
    """Turn hex codes into an ``[N, 3]`` array in 0..1."""
    return np.array([list(bytes.fromhex(code)) for code in codes]) / 255


def filtered(image: Array, response: Callable[[Array, Array], Array]) -> Array:
    """Filter an image by a response to the frequencies fy and fx, in cycles per pixel; edges wrap around."""
    fy: Array = np.fft.fftfreq(SHAPE[0], 1 / OVERSAMPLE).astype(np.float64)[:, None]
    fx: Array = np.fft.rfftfreq(SHAPE[1], 1 / OVERSAMPLE).astype(np.float64)[None, :]
    return np.fft.irfft2(np.fft.rfft2(image) * response(fy, fx), s=SHAPE)


def blur(image: Array, sigma: float) -> Array:
    """Blur an image with a Gaussian."""
    return filtered(image, lambda fy, fx: np.exp(-2 * (np.pi * sigma) ** 2 * (fy**2 + fx**2)))


def noise(rng: Generator, size: float, slope: float = 4.0, stretch: float = 1.0) -> Array:
    """Return fractal noise of unit variance, with its largest features near ``size``, ``stretch`` times longer along x.

    Above the frequency of ``size`` the amplitude falls with the power ``slope``: 2 is rough as stone, 4 smooth as silk.
    """
    field = filtered(rng.standard_normal(SHAPE), lambda fy, fx: (1 + size**2 * (fy**2 + (stretch * fx) ** 2)) ** (-slope / 2))
    return np.asarray((field - field.mean()) / field.std())


def sample(image: Array, y: Array, x: Array) -> Array:
    """Read an image at fractional positions, bilinearly; positions outside wrap around, as the noise does."""
    y, x = y * OVERSAMPLE, x * OVERSAMPLE
    top, left = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
    down, right = y - top, x - left
    if image.ndim == 3:
        down, right = down[..., None], right[..., None]
    rows, columns = (top % SHAPE[0], (top + 1) % SHAPE[0]), (left % SHAPE[1], (left + 1) % SHAPE[1])
    upper = image[rows[0], columns[0]] * (1 - right) + image[rows[0], columns[1]] * right
    lower = image[rows[1], columns[0]] * (1 - right) + image[rows[1], columns[1]] * right
    return np.asarray(upper * (1 - down) + lower * down)


def smoothstep(low: float, high: float, value: Array) -> Array:
    """Rise smoothly from 0 at ``low`` to 1 at ``high``."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def mix(below: Array, above: Array, cover: Array) -> Array:
    """Lay one colour over another where ``cover`` is 1."""
    return np.asarray(below + (above - below) * cover[..., None])


def fill(depth: Array) -> Array:
    """Cover everything whose depth inside a shape's outline, in pixels, is positive."""
    return np.clip(0.5 + depth * OVERSAMPLE, 0, 1)


def gradient(stops: Array, position: Array) -> Array:
    """Read a colour ramp at positions 0..1."""
    at = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(position, at, stops[:, channel]) for channel in range(3)], axis=-1)


def relief(height: Array) -> tuple[Array, Array]:
    """Light a surface from the upper left: return its diffuse light (1 where flat) and its gloss."""
    down, right = np.gradient(height, 1 / OVERSAMPLE)
    length = np.sqrt(1 + down**2 + right**2)
    facing = (1.0 + 0.62 * down + 0.48 * right) / length
    return np.asarray(facing), smoothstep(1.05, 1.27, facing)


def finish(picture: Array) -> Image.Image:
    """Reduce a working picture to its final size."""
    pixels = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(pixels).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


# ---------------------------------------------------------------------------------------------------------------------
# Stained glass
# ---------------------------------------------------------------------------------------------------------------------

GLASS = colours("f6c445", "c2182b", "1d4fb8", "0f8f63", "e8861c", "6a2a9c", "18a0c4", "e9e2b0")
GOLD, RUBY, COBALT, EMERALD, AMBER, VIOLET, AZURE, CLEAR = range(8)
# The rose from the middle outwards: each ring's outer radius, its panes, the lobes of its outer edge, and its colours.
ROSE_CENTRE = (236.0, 262.0)
ROSE_RADII = (30.0, 74.0, 124.0, 160.0, 206.0)
ROSE_PANES = (1, 8, 16, 32, 24)
ROSE_LOBES = (8, 8, 16, 0, 0)
ROSE_GLASS = ((GOLD,), (RUBY, COBALT), (AZURE, COBALT), (RUBY, GOLD, VIOLET, AMBER), (COBALT, EMERALD))
AROUND_ROSE = (GOLD, AMBER, RUBY, VIOLET, COBALT, COBALT, AZURE, COBALT, EMERALD, EMERALD, CLEAR)
PANE_REACH = 90  # no point of a pane lies farther than this from its seed


def rose_bands(y: Array, x: Array) -> tuple[Labels, Array]:
    """Divide the plane into the rings of a rose window: return each point's ring and its distance to the ring's edge."""
    dy, dx = y - ROSE_CENTRE[0], x - ROSE_CENTRE[1]
    radius, angle = np.hypot(dy, dx), np.arctan2(dy, dx)
    ring, edge = np.zeros(radius.shape, dtype=np.intp), np.full(radius.shape, np.inf)
    for limit, lobes in zip(ROSE_RADII, ROSE_LOBES, strict=True):
        scallop = limit * (1 - 0.11 * (1 - np.abs(np.cos(lobes * angle / 2))))
        ring += radius > scallop
        edge = np.minimum(edge, np.abs(radius - scallop))
    return ring, edge


def rose_seeds(rng: Generator) -> tuple[Array, Labels]:
    """Place one seed for every pane of the rose, ring by ring, each a little out of true; return places and colours."""
    places, glass = [], []
    for ring, panes in enumerate(ROSE_PANES):
        radius = (ROSE_RADII[ring - 1] + ROSE_RADII[ring]) / 2 if ring else 0.0
        angle = 2 * np.pi * (np.arange(panes) + rng.uniform(-0.08, 0.08, panes)) / panes
        places.append(np.stack([ROSE_CENTRE[0] + radius * np.sin(angle), ROSE_CENTRE[1] + radius * np.cos(angle)], axis=-1))
        glass.append(np.resize(ROSE_GLASS[ring], panes))
    return np.concatenate(places), np.concatenate(glass)


def scattered_seeds(rng: Generator, spacing: Array) -> Array:
    """Throw seeds over the whole picture and keep those farther from all others than the spacing wanted there."""
    kept = np.empty((0, 2))
    for place in rng.uniform((-40, -40), (HEIGHT + 40, WIDTH + 40), (6000, 2)):
        if (np.hypot(*(kept - place).T) > sample(spacing, *place)).all():
            kept = np.vstack([kept, place])
    return kept


def glaze(y: Array, x: Array, ring: Labels, seeds: Array, seed_ring: Labels) -> tuple[Labels, Array]:
    """Give every point to the nearest seed of its own ring: return the seed's number and the distance to the pane's edge."""
    first, second = np.full(SHAPE, np.inf), np.full(SHAPE, np.inf)
    pane, neighbour = np.zeros(SHAPE, dtype=np.intp), np.zeros(SHAPE, dtype=np.intp)
    for number, (place, own) in enumerate(zip(seeds, seed_ring, strict=True)):
        near = tuple(slice(max(0, int(at - PANE_REACH) * OVERSAMPLE), int(at + PANE_REACH) * OVERSAMPLE) for at in place)
        distance = (y[near] - place[0]) ** 2 + (x[near] - place[1]) ** 2 + 1e9 * (ring[near] != own)
        nearest, next_nearest = distance < first[near], distance < second[near]
        neighbour[near] = np.where(nearest, pane[near], np.where(next_nearest, number, neighbour[near]))
        second[near] = np.where(nearest, first[near], np.where(next_nearest, distance, second[near]))
        pane[near] = np.where(nearest, number, pane[near])
        first[near] = np.where(nearest, distance, first[near])
    apart = np.hypot(*np.moveaxis(seeds[pane] - seeds[neighbour], -1, 0))
    return pane, (second - first) / (2 * np.maximum(apart, 1))


def drifting_glass(rng: Generator, places: Array) -> Labels:
    """Choose glass for irregular panes so that the colour drifts across the window, with some strays."""
    drift = sample(noise(rng, 200), *places.T) + 0.45 * rng.standard_normal(len(places))
    rank = np.argsort(np.argsort(drift))
    return np.array(AROUND_ROSE)[rank * len(AROUND_ROSE) // len(places)]


def shine(rng: Generator, pane: Labels, glass: Labels, edge: Array) -> Array:
    """Let daylight through the panes: streaked, bubbled, hammered glass, each pane cut from its sheet at its own angle.

    Light is absorbed as in real glass (the colour to the power of the thickness), so thick places turn deeper, not greyer.
    """
    y, x = grid()
    panes = len(glass)
    turn = rng.uniform(0, np.pi, panes)[pane]
    sheet_y, sheet_x = x * np.sin(turn) + y * np.cos(turn), x * np.cos(turn) - y * np.sin(turn)
    streaks = sample(noise(rng, 60, 2.2, stretch=0.12), sheet_y, sheet_x)
    bubbles = smoothstep(1.9, 2.4, noise(rng, 7))
    hammered, _ = relief(1.1 * noise(rng, 9) + 4.0 * bubbles)
    thickness = rng.uniform(0.75, 1.35, panes)[pane] * (1 + 0.22 * streaks + 0.55 * np.exp(-edge / 7))
    tint = np.clip(GLASS[glass] * rng.uniform(0.88, 1.08, (panes, 3)), 0.02, 1)
    daylight = np.exp(-np.hypot(y - ROSE_CENTRE[0], x - ROSE_CENTRE[1]) / 700) * (1.02 + 0.23 * hammered)
    window = tint[pane] ** np.clip(thickness, 0.3, 3)[..., None] * daylight[..., None]
    glow = np.stack([blur(window[..., channel], 9) for channel in range(3)], axis=-1)
    return np.asarray(window + 0.25 * glow - 0.05)


def lead(rng: Generator, window: Array, edge: Array) -> Array:
    """Lay rounded lead cames along the edges of the panes, with a highlight on the side towards the light."""
    width = 2.3 + 0.25 * noise(rng, 30)
    came = np.sqrt(np.clip(1 - (edge / width) ** 2, 0, 1))
    facing, gloss = relief(1.6 * came + 0.05 * noise(rng, 9, 2.5))
    metal = (0.05 + 0.09 * came * facing + 0.28 * gloss)[..., None] * np.array([0.95, 1.0, 1.08])
    return mix(window, metal, smoothstep(0.4, -0.4, edge - width))


def stained_glass() -> Image.Image:
    """Draw a rose window among irregular panes.

    The rose gives shapes of a hundred pixels, the panes of twenty to sixty, and the glass itself the small marks.
    """
    rng = np.random.default_rng(11)
    y, x = grid()
    ring, ring_edge = rose_bands(y, x)
    places, glass = rose_seeds(rng)
    around = scattered_seeds(rng, np.clip(29 + 9 * noise(rng, 120), 16, 46))
    seeds = np.concatenate([places, around])
    seed_ring = np.repeat(range(len(ROSE_PANES) + 1), [*ROSE_PANES, len(around)])
    glass = np.concatenate([glass, drifting_glass(rng, around)])
    pane, pane_edge = glaze(y, x, ring, seeds, seed_ring)
    window = shine(rng, pane, glass, np.minimum(pane_edge, ring_edge))
    return finish(lead(rng, window, np.minimum(pane_edge, ring_edge - 1.2)))


# ---------------------------------------------------------------------------------------------------------------------
# Marbled paper
# ---------------------------------------------------------------------------------------------------------------------

INKS = colours("14213d", "b3202a", "f1e3c0", "e0a526", "2b7a78", "f7f1e1", "7fb2c9")
INK_SHARES = (0.12, 0.2, 0.2, 0.15, 0.17, 0.04, 0.12)
# Stirrings of the stylus: centre, reach, turn in radians.
WHIRLS = (((150.0, 190.0), 60.0, 3.2), ((330.0, 470.0), 75.0, -3.4), ((400.0, 110.0), 45.0, 2.6), ((90.0, 540.0), 45.0, -2.4))
# Where inside a working pixel the bath is looked at, so that veins thinner than a pixel fade instead of breaking up.
BATH_SAMPLES = ((0.0, 0.125), (0.125, 0.375), (0.25, 0.0), (0.375, 0.25))
STRIPS = 120  # the bath is worked on in strips small enough for a processor's cache


@dataclass(frozen=True)
class Drop:
    """One drop of ink let fall on the bath; it pushes aside all ink already there."""

    y: float
    x: float
    radius: float
    ink: int


def rain(rng: Generator, count: int, small: float, large: float) -> list[Drop]:
    """Let drops of every size between two radii fall over the bath."""
    y, x = rng.uniform(-60, HEIGHT + 60, count), rng.uniform(-60, WIDTH + 60, count)
    radius = small * (large / small) ** rng.random(count)
    ink = rng.choice(len(INKS), count, p=INK_SHARES)
    return [Drop(*drop) for drop in zip(y.tolist(), x.tolist(), radius.tolist(), ink.tolist(), strict=True)]


def before_drops(y: Array, x: Array, drops: Sequence[Drop]) -> Labels:
    """Find the ink at every point, as a flat list, by following it back in time to the drop it came from.

    A drop of radius r moves the ink at distance d to sqrt(d^2 + r^2), which keeps areas; the bare bath is ink 0.
    """
    y, x = y.ravel(), x.ravel()
    ink, adrift = np.zeros(y.size, dtype=np.intp), np.arange(y.size)
    for drop in reversed(drops):
        dy, dx = y - drop.y, x - drop.x
        square = dy**2 + dx**2
        outside = square >= drop.radius**2
        ink[adrift[~outside]] = drop.ink
        adrift, dy, dx = adrift[outside], dy[outside], dx[outside]
        back = np.sqrt(1 - drop.radius**2 / square[outside])
        y, x = drop.y + dy * back, drop.x + dx * back
    return ink


def comb(along: Array, across: Array, spacing: float, pull: float, sharpness: float) -> Array:
    """Pull a comb through the bath: return how far back the ink at ``across`` lay along the comb's way."""
    tine = np.abs((across / spacing) % 1 - 0.5) * spacing
    return along - pull * sharpness / (tine + sharpness)


def whirl(y: Array, x: Array, centre: tuple[float, float], reach: float, turn: float) -> tuple[Array, Array]:
    """Undo a stylus stirred around a centre: turn each point back by an angle that fades with its distance."""
    dy, dx = y - centre[0], x - centre[1]
    angle = turn * np.exp(-np.hypot(dy, dx) / reach)
    return centre[0] + dy * np.cos(angle) - dx * np.sin(angle), centre[1] + dy * np.sin(angle) + dx * np.cos(angle)


def marbling() -> Image.Image:
    """Make a sheet of marbled paper the way it is made: drops of ink on a bath, combed, stirred, and lifted on paper.

    Everything is computed backwards, last movement first, from each pixel to the drop its ink came from, so edges stay
    crisp however thin the veins are drawn out.
    """
    rng = np.random.default_rng(5)
    drops = [*rain(rng, 240, 17.0, 48.0), *rain(rng, 40, 4.0, 9.0)]
    drift = 2.0 * noise(rng, 90), 2.0 * noise(rng, 90)
    sheet = np.zeros((*SHAPE, 3))
    for dy, dx in BATH_SAMPLES:
        y, x = (place + offset + shift for place, offset, shift in zip(grid(), (dy, dx), drift, strict=True))
        for centre, reach, turn in WHIRLS:
            y, x = whirl(y, x, centre, reach, turn)
        x = comb(x, y + 9 * np.sin(x / 41), 46.0, 60.0, 7.0)
        y = comb(y, x, 30.0, 110.0, 6.0)
        strips = zip(np.array_split(y, STRIPS), np.array_split(x, STRIPS), strict=True)
        ink = np.concatenate([before_drops(*strip, drops) for strip in strips])
        sheet += INKS[ink.reshape(SHAPE)] / len(BATH_SAMPLES)
    pigment = 1 + 0.05 * noise(rng, 24, 2.5)
    fibre = noise(rng, 9, 2.5, stretch=3.0) + noise(rng, 9, 2.5, stretch=0.3)
    return finish(sheet * pigment[..., None] + 0.005 * fibre[..., None])


# ---------------------------------------------------------------------------------------------------------------------
# Brush strokes
# ---------------------------------------------------------------------------------------------------------------------

# Colours along the streams of the sky and the furrows of the land, and from the middle of a spiral outwards.
NIGHT = colours("0b1a3f", "12306e", "1f57a4", "2c7fb8", "6fb3c8", "bcd9cf", "1a3f8a", "0f2454")
FIELD = colours("12301f", "2f5a2a", "6f8f2f", "c9a227", "e6c65a", "3f7a4a", "16402f")
LAMP = colours("fffbe0", "fbe58a", "f3bd35", "d98f1f", "8db48e", "3f86a8")
WIND = colours("f4f6e4", "cfe3da", "5fa3c4", "1f57a4", "e8efd8", "3f86b8", "16387f")
PATH_POINTS = 14  # that a stroke is bent along


@dataclass(frozen=True)
class Spiral:
    """A spiral in the sky, turning one way (1) or the other (-1)."""

    y: float
    x: float
    radius: float
    sense: int
    palette: Array


SPIRALS = (
    Spiral(150, 250, 92, 1, WIND),
    Spiral(232, 424, 66, -1, WIND),
    Spiral(82, 542, 62, 1, LAMP),
    Spiral(72, 84, 46, -1, LAMP),
    Spiral(262, 100, 36, 1, LAMP),
    Spiral(318, 580, 32, -1, LAMP),
    Spiral(46, 400, 26, 1, LAMP),
)


@dataclass(frozen=True)
class Brush:
    """A brush, how often it touches the canvas, and whether it is kept for places with detail."""

    strokes: int
    length: float
    width: float
    fine: bool = False


BRUSHES = (Brush(1500, 84, 14), Brush(3600, 46, 8), Brush(3200, 26, 5, fine=True))


@dataclass(frozen=True)
class Scene:
    """A description of what the painter looks at: colours, the direction strokes follow (dy, dx), and where to use the small
    brush."""

    colour: Array
    flow: Array
    detail: Array


def add_spiral(scene: Scene, spiral: Spiral) -> Scene:
    """Wind a two-armed spiral into the scene, and bend the flow around it slightly inwards."""
    y, x = grid()
    dy, dx = y - spiral.y, x - spiral.x
    distance = np.hypot(dy, dx)
    reach = distance / spiral.radius
    pull = np.exp(-((reach / 1.25) ** 4))
    turning = spiral.sense * np.stack([dx, -dy], axis=-1) - 0.22 * np.stack([dy, dx], axis=-1)
    flow = mix(scene.flow, turning / np.maximum(distance, 1)[..., None], pull)
    arm = np.cos(2 * (np.arctan2(dy, dx) + spiral.sense * 4.5 * np.log(reach + 0.15)))
    glow = gradient(spiral.palette, np.clip(0.85 * reach - 0.15 * arm, 0, 1))
    colour = mix(scene.colour, glow, smoothstep(1.15, 0.55, reach - 0.28 * arm))
    return Scene(colour, flow, np.maximum(scene.detail, pull))


def add_land(rng: Generator, scene: Scene) -> Scene:
    """Roll fields of furrows in front of the sky."""
    y, x = grid()
    depth = y - (362 + 26 * np.sin(x / 97 + 0.6) + 12 * np.sin(x / 41) + 0.05 * x)
    land = (depth > 0)[..., None]
    furrow = depth / 26 + 0.7 * np.sin(x / 63 + y / 40) + 0.25 * noise(rng, 60)
    flow = np.stack([0.3 * np.cos(x / 63 + y / 40) + 0.27 * np.cos(x / 97 + 0.6), np.ones(SHAPE)], axis=-1)
    colour = gradient(FIELD, (furrow / 3.2) % 1)
    return Scene(np.where(land, colour, scene.colour), np.where(land, flow, scene.flow), scene.detail)


def night_scene(rng: Generator) -> Scene:
    """Compose bright spirals in a streaming night sky over rolling fields, every part with a direction of its own."""
    y, x = grid()
    stream = y + 34 * np.sin(x / 104 + 0.4) + 15 * noise(rng, 110)
    flow = np.stack([0.45 * np.cos(x / 104 + 0.4) + 0.2 * noise(rng, 110), np.ones(SHAPE)], axis=-1)
    scene = Scene(gradient(NIGHT, (stream / 68) % 1), flow, np.zeros(SHAPE))
    for spiral in SPIRALS:
        scene = add_spiral(scene, spiral)
    return add_land(rng, scene)


def on_canvas(places: Array) -> Array:
    """Move places beyond the canvas to its border."""
    return np.clip(places, 0, (HEIGHT - 1, WIDTH - 1))


def trace(scene: Scene, places: Array, length: Array) -> Array:
    """Follow the flow from each place for a given length; return paths ``[N, points, 2]``."""
    path = [places]
    for _ in range(PATH_POINTS - 1):
        step = sample(scene.flow, *on_canvas(path[-1]).T)
        step /= np.maximum(np.hypot(step[:, 0], step[:, 1]), 1e-6)[:, None]
        path.append(path[-1] + step * length[:, None] / (PATH_POINTS - 1))
    return np.stack(path, axis=1)


def ribbon(path: Array, width: float, along: Array, across: Array) -> tuple[Array, Array]:
    """Return the y and x of points along (0..1) and across (-1..1) a path, on a ribbon with rounded, tapering ends."""
    at = np.linspace(0, 1, len(path))
    y, x = np.interp(along, at, path[:, 0]), np.interp(along, at, path[:, 1])
    dy, dx = np.gradient(y), np.gradient(x)
    half = width / 2 * (1 - 0.25 * along) * np.sqrt(1 - np.abs(2 * along - 1) ** 5)
    half /= np.maximum(np.hypot(dy, dx), 1e-9)
    return y[:, None] + np.outer(dx * half, across), x[:, None] - np.outer(dy * half, across)


def lay_stroke(rng: Generator, canvas: Array, height: Array, path: Array, width: float, paint: Array) -> None:
    """Draw a loaded brush along a path: bristle streaks of unevenly mixed paint, ridges at the sides, a dry end.

    The stroke is computed on its own ribbon, more finely than the canvas, and each point put on the nearest pixel.
    """
    length = float(np.hypot(*np.diff(path, axis=0).T).sum())
    along = np.linspace(0, 1, max(int(length * OVERSAMPLE * 1.5), 8))
    across = np.linspace(-1, 1, max(int(width * OVERSAMPLE * 1.5), 6))
    bristles = rng.standard_normal(int(width * 0.9) + 3)
    bristle = np.interp(across, np.linspace(-1, 1, len(bristles)), bristles)
    colour = paint * (1 + 0.09 * bristle[:, None]) + 0.02 * bristle[::-1, None]
    ridge = np.add.outer(0.9 * np.exp(-(((along - 0.05) / 0.07) ** 2)), 1 + 0.5 * across**4 + 0.35 * bristle)

    y, x = ribbon(path, width, along, across)
    row, column = np.rint(y * OVERSAMPLE).astype(np.intp), np.rint(x * OVERSAMPLE).astype(np.intp)
    wet = np.add.outer(along, 0.28 * np.abs(bristle)) < 1.02
    wet &= (row >= 0) & (row < SHAPE[0]) & (column >= 0) & (column < SHAPE[1])
    row, column = row[wet], column[wet]
    canvas[row, column] = np.broadcast_to(colour, (*wet.shape, 3))[wet]
    height[row, column] = 0.35 * height[row, column] + ridge[wet]


def use_brush(rng: Generator, scene: Scene, brush: Brush, canvas: Array, height: Array) -> None:
    """Cover the canvas with one brush, each stroke in the scene's colour at its middle, shifted a little."""
    places = rng.uniform((-10, -30), (HEIGHT + 10, WIDTH + 10), (brush.strokes, 2))
    if brush.fine:
        places = places[rng.random(len(places)) < sample(scene.detail, *on_canvas(places).T)]
    count = len(places)
    paths = trace(scene, places, brush.length * rng.uniform(0.6, 1.3, count))
    paints = sample(scene.colour, *on_canvas(paths[:, PATH_POINTS // 2]).T)
    paints = paints * rng.uniform(0.82, 1.18, (count, 1)) + rng.normal(0, 0.035, (count, 3))
    widths = brush.width * rng.uniform(0.65, 1.3, count)
    for path, width, paint in zip(paths, widths.tolist(), paints, strict=True):
        lay_stroke(rng, canvas, height, path, width, paint)


def brush_strokes() -> Image.Image:
    """Paint a night sky of spirals over fields in thick strokes.

    Three brushes go over the canvas, from broad to fine. Each stroke follows the flow of the scene and leaves its relief
    in the paint, which is lit from the side at the end.
    """
    rng = np.random.default_rng(4)
    scene = night_scene(rng)
    canvas, height = scene.colour.copy(), np.zeros(SHAPE)
    for brush in BRUSHES:
        use_brush(rng, scene, brush, canvas, height)
    facing, gloss = relief(0.9 * blur(height, 0.5))
    return finish(canvas * (0.3 + 0.7 * facing)[..., None] + 0.14 * gloss[..., None])


# ---------------------------------------------------------------------------------------------------------------------
# Woodcut
# ---------------------------------------------------------------------------------------------------------------------

PAPER, RED, OCHRE, INDIGO, BLACK = colours("f0e2c4", "bf3a26", "d9a441", "2b3f72", "17151c")
SUN_CENTRE, SUN_RADIUS = (150.0, 430.0), 66.0


def hatch(phase: Array, along: Array, tone: Array, grain: Array) -> Array:
    """Carve lines where ``phase`` is whole, as wide as ``tone`` (0 paper, 1 solid): return the cover of ink.

    The width of each line swells and thins with a grain of its own along its length, as a gouge does in wood.
    """
    line = np.round(phase)
    swell = sample(grain, 37.7 * line, along)
    thickness = np.clip(tone + 0.13 * swell, 0, 1)
    down, right = np.gradient(phase, 1 / OVERSAMPLE)
    soft = np.maximum(np.hypot(down, right), 1e-6) / OVERSAMPLE
    edge = thickness / 2 - np.abs(phase - line)
    return np.asarray(np.clip(0.5 + edge / soft, 0, 1) * (thickness > 0.02))


def carve_sky(rng: Generator, picture: Array, grain: Array) -> Array:
    """Carve a red sun with rays, and rings around it that grow heavier with the distance."""
    y, x = grid()
    dy, dx = y - SUN_CENTRE[0], x - SUN_CENTRE[1]
    distance, angle = np.hypot(dy, dx), np.arctan2(dy, dx)
    away = distance - SUN_RADIUS
    beam = np.cos(22 * angle)
    picture = mix(picture, OCHRE, 0.85 * smoothstep(0, 0.4, beam) * smoothstep(130, 60, away))
    ring = (distance + 5 * noise(rng, 110)) / 8
    around = angle * WIDTH / (2 * np.pi)  # as long as the grain, so that the rings close
    rings = hatch(ring, around, 0.22 + 0.5 * smoothstep(10, 420, away) - 0.14 * beam, grain)
    picture = mix(picture, INDIGO, rings * fill(away - 5))
    bars = hatch(y / 8.5 + 0.12 * noise(rng, 60), x, 0.62 * smoothstep(0.1, 1, dy / SUN_RADIUS) - 0.05, grain)
    return mix(picture, RED, fill(-away) * (1 - bars))


def carve_mountains(rng: Generator, picture: Array, grain: Array) -> Array:
    """Carve two ranges with lines running down their slopes: snow on one side of each peak, shadow on the other."""
    y, x = grid()
    peak = np.arange(24) % 2 == 1
    for base, rise, ink in ((268.0, 130.0, INDIGO), (292.0, 84.0, BLACK)):
        knots = np.cumsum(rng.uniform(26, 74, len(peak))) - 80
        tops = base - rise * np.where(peak, rng.uniform(0.45, 1, len(peak)), rng.uniform(0, 0.3, len(peak)))
        ridge = np.interp(x, knots, tops)
        depth = y - ridge - 2.5 * noise(rng, 18, 2.5)[0]
        shadow = blur((np.gradient(ridge, axis=1) > 0).astype(np.float64), 2)
        tone = (0.16 + 0.62 * shadow + 0.2 * smoothstep(20, 110, depth)) * smoothstep(-4, 30, depth + 10 * shadow)
        lines = hatch((x + 0.55 * depth + 4 * noise(rng, 50)) / 7, y, tone, grain)
        outline = fill(1.6 - np.abs(depth))
        picture = mix(picture, mix(PAPER, ink, np.maximum(lines, outline)), fill(depth))
    return picture


def carve_hills(rng: Generator, picture: Array, grain: Array) -> Array:
    """Carve fields whose furrows follow the hills, in ochre and red under black."""
    y, x = grid()
    for base, swell, length, block in ((286.0, 16.0, 120.0, OCHRE), (316.0, 20.0, 88.0, RED), (346.0, 15.0, 140.0, OCHRE)):
        first, second = rng.uniform(0, 6, 2)
        crest = base + swell * (np.sin(x / length * 2 + first) + 0.4 * np.sin(x / length * 5 + second))
        depth = y - crest + 1.5 * noise(rng, 60)
        furrows = hatch(depth / 7.5 + 0.004 * depth * np.sin(x / 50), x, 0.2 + 0.6 * smoothstep(0, 45, depth), grain)
        picture = mix(picture, mix(block, BLACK, furrows), fill(depth))
    return picture


def carve_waves(rng: Generator, picture: Array, grain: Array) -> Array:
    """Carve leaning waves, one row before the other, with white crests and lines that follow the swell."""
    y, x = grid()
    for row, base in enumerate((372.0, 402.0, 434.0, 470.0)):
        size = 20 + 7.0 * row
        lean = 0.84 * size * np.clip((base - y) / size + 0.6, 0, 3) ** 2
        swell = np.abs(np.sin((x + lean) / (2.1 * size) + rng.uniform(0, 3)))
        depth = y - base + size * (1 - 1.5 * swell**0.75) + noise(rng, 50)
        lines = hatch(depth / (6 + 0.6 * row), x, 0.1 + 0.65 * smoothstep(4, 60, depth), grain)
        water = mix(PAPER, INDIGO, smoothstep(7, 8, depth + 2 * noise(rng, 14)))
        outline = fill(1.5 - np.abs(depth))
        picture = mix(picture, mix(water, BLACK, np.maximum(lines * fill(depth - 3), outline)), fill(depth))
    return picture


def woodcut() -> Image.Image:
    """Print a landscape from carved blocks: red, ochre and indigo under black, on cream paper.

    The lines follow the shapes and carry the tone by their width alone. The wood's grain shows where the ink is thin.
    """
    rng = np.random.default_rng(7)
    grain = noise(rng, 40, 2.5)
    picture = np.tile(PAPER, (*SHAPE, 1))
    for carve in (carve_sky, carve_mountains, carve_hills, carve_waves):
        picture = carve(rng, picture, grain)
    bare = smoothstep(2.2, 2.4, noise(rng, 10, 2.0, stretch=7.0))
    return finish(mix(picture, PAPER, 0.8 * bare) + 0.012 * noise(rng, 12, 2.5)[..., None])


# ---------------------------------------------------------------------------------------------------------------------

STYLES: dict[str, Callable[[], Image.Image]] = {
    "stained_glass": stained_glass,
    "marbling": marbling,
    "brush_strokes": brush_strokes,
    "woodcut": woodcut,
}


def main() -> None:
    """Paint every style and save it."""
    parser = argparse.ArgumentParser(description="Paint the style pictures of examples/styles.")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder to write to (default: %(default)s)")
    output: Path = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    for name, paint in STYLES.items():
        paint().save(output / f"{name}.jpg", quality=QUALITY, subsampling=0, optimize=True, progressive=True)


if __name__ == "__main__":
    main()
