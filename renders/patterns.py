"""Paints patterns that wrap round a product without a seam. Pillow and numpy only; knows no Blender."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from renders.palette import Rgb

Paint = tuple[Rgb, Rgb, Rgb]
Painter = Callable[[Random, Paint, int, int], Image.Image]
# Drawn twice as large and shrunk: Pillow draws no soft edges.
OVERSAMPLE = 2


def paint(kind: str, rng: Random, colours: Paint, width: int = 512, height: int = 256) -> Image.Image:
    """Return one pattern of `width` x `height` pixels that continues over its left and right edge."""
    big = PAINTERS[kind](rng, colours, width * OVERSAMPLE, height * OVERSAMPLE)
    return big.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)


def _sheet(colour: Rgb, width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture = Image.new("RGB", (width, height), colour)
    return picture, ImageDraw.Draw(picture)


def _plain(rng: Random, colours: Paint, width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), colours[0])


def _bands(rng: Random, colours: Paint, width: int, height: int) -> Image.Image:
    """A few rings of uneven width, as on stoneware."""
    picture, draw = _sheet(colours[0], width, height)
    y = height * rng.uniform(0.05, 0.3)
    for k in range(rng.randint(2, 4)):
        thick = height * rng.uniform(0.04, 0.18)
        draw.rectangle((0, y, width, y + thick), fill=colours[1 + k % 2])
        y += thick + height * rng.uniform(0.04, 0.2)
    return picture


def _stripes(rng: Random, colours: Paint, width: int, height: int) -> Image.Image:
    """Even rings."""
    picture, draw = _sheet(colours[0], width, height)
    count, share = rng.randint(4, 10), rng.uniform(0.3, 0.55)
    for k in range(count):
        y = height * k / count
        draw.rectangle((0, y, width, y + height / count * share), fill=colours[1])
    return picture


def _pinstripes(rng: Random, colours: Paint, width: int, height: int) -> Image.Image:
    """Even upright stripes."""
    picture, draw = _sheet(colours[0], width, height)
    count, share = rng.choice((8, 12, 16, 24)), rng.uniform(0.2, 0.55)
    for k in range(count):
        x = width * k / count
        colour = colours[2] if rng.random() < 0.0 or (k % 4 == 3 and count > 8) else colours[1]
        draw.rectangle((x, 0, x + width / count * share, height), fill=colour)
    return picture


def _diagonal(rng: Random, colours: Paint, width: int, height: int) -> Image.Image:
    x, y = _grid(width, height)
    count = rng.choice((6, 8, 12))
    wave = (x * count + y * count * rng.choice((-1, 1)) * height / width) % 1.0
    return _choose(wave < rng.uniform(0.3, 0.6), colours[1], colours[0])


def _chevron(rng: Random, colours: Paint, width: int, height: int) -> Image.Image:
    x, y = _grid(width, height)
    count, rows = rng.choice((4, 6, 8)), rng.randint(3, 6)
    wave = (y * rows + np.abs((x * count) % 1 - 0.5) * rng.uniform(0.8, 1.6)) % 1.0
    return _choose(wave < 0.33, colours[1], colours[0], (wave > 0.8) & (rng.random() < 0.6), colours[2])


def _waves(rng: Random, colours: Paint, width: int, height: int) -> Image.Image:
    x, y = _grid(width, height)
    count, rows = rng.choice((3, 5, 7)), rng.randint(3, 6)
    wave = (y * rows + np.sin(x * count * 2 * math.pi) * rng.uniform(0.1, 0.3)) % 1.0
    return _choose(wave < rng.uniform(0.3, 0.55), colours[1], colours[0])


def _checks(rng: Random, colours: Paint, width: int, height: int) -> Image.Image:
    x, y = _grid(width, height)
    count = rng.choice((6, 8, 12, 16))
    cell = (np.floor(x * count) + np.floor(y * count * height / width)) % 2 == 0
    return _choose(cell, colours[1], colours[0])


def _plaid(rng: Random, colours: Paint, width: int, height: int) -> Image.Image:
    """Crossing bands that mix where they meet."""
    x, y = _grid(width, height)
    base = np.ones((height, width, 3)) * np.asarray(colours[0], dtype=float)
    count = rng.choice((4, 6, 8))
    for along, times in ((x, count), (y, count * height / width)):
        phase = (along * times) % 1
        for low, high, colour, weight in ((0.1, 0.45, colours[1], 0.5), (0.68, 0.76, colours[2], 0.7)):
            mask = ((phase > low) & (phase < high))[..., None] * weight
            base = base * (1 - mask) + np.asarray(colour) * mask
    return Image.fromarray(base.astype(np.uint8))


def _dots(rng: Random, colours: Paint, width: int, height: int) -> Image.Image:
    picture, draw = _sheet(colours[0], width, height)
    count = rng.choice((6, 8, 12, 16))
    step = width / count
    radius = step * rng.uniform(0.18, 0.36)
    for row in range(-1, int(height / step) + 2):
        for k in range(-1, count + 1):
            x, y = (k + 0.5 * (row % 2)) * step, (row + 0.5) * step
            colour = colours[1 + (k + row) % 2] if count == 8 else colours[1]
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return picture


def _triangles(rng: Random, colours: Paint, width: int, height: int) -> Image.Image:
    picture, draw = _sheet(colours[0], width, height)
    count = rng.choice((6, 8, 10))
    step = width / count
    for row in range(int(height / step) + 1):
        for k in range(count):
            x, y = k * step, row * step
            corners = [(x, y + step), (x + step, y + step), (x + step * rng.choice((0.0, 0.5, 1.0)), y)]
            draw.polygon(corners, fill=rng.choice((colours[1], colours[2], colours[0])))
    return picture


def _gradient(rng: Random, colours: Paint, width: int, height: int) -> Image.Image:
    _, y = _grid(width, height)
    middle = rng.uniform(0.3, 0.7)
    share = 1 / (1 + np.exp(-(y - middle) * rng.uniform(5, 12)))[..., None]
    mixed = np.asarray(colours[0]) * (1 - share) + np.asarray(colours[1]) * share
    return Image.fromarray(mixed.astype(np.uint8))


def _dipped(rng: Random, colours: Paint, width: int, height: int) -> Image.Image:
    """A glaze that stops at an uneven line."""
    x, y = _grid(width, height)
    line = rng.uniform(0.35, 0.7) + sum(
        rng.uniform(0, 0.04) * np.sin((x * k + rng.random()) * 2 * math.pi) for k in range(1, 6)
    )
    return _choose(y > line, colours[1], colours[0])


def _petals(rng: Random, colours: Paint, width: int, height: int) -> Image.Image:
    """Scattered flowers with leaves."""
    picture, draw = _sheet(colours[0], width, height)
    size = width * rng.uniform(0.03, 0.06)
    count = rng.choice((5, 6, 8))
    for x, y in _scatter(rng, width, height, size * 2.6):
        turn = rng.random() * 7
        for dx in (-width, 0, width):
            for k in range(count):
                angle = turn + k * 2 * math.pi / count
                px, py = x + dx + math.cos(angle) * size * 0.75, y + math.sin(angle) * size * 0.75
                draw.ellipse((px - size / 2, py - size / 2, px + size / 2, py + size / 2), fill=colours[1])
            core = size * 0.42
            draw.ellipse((x + dx - core, y - core, x + dx + core, y + core), fill=colours[2])
    return picture


def _leaves(rng: Random, colours: Paint, width: int, height: int) -> Image.Image:
    picture, draw = _sheet(colours[0], width, height)
    size = width * rng.uniform(0.05, 0.09)
    for x, y in _scatter(rng, width, height, size * 1.25):
        angle = rng.random() * 2 * math.pi
        colour = rng.choice(colours[1:])
        for dx in (-width, 0, width):
            draw.polygon(_leaf(x + dx, y, size, angle), fill=colour)
    return picture


def _leaf(x: float, y: float, size: float, angle: float) -> list[tuple[float, float]]:
    outline = []
    for t in np.linspace(0, 2 * math.pi, 24):
        along, over = math.cos(t) * size, math.sin(t) * abs(math.sin(t)) * size * 0.4
        outline.append(
            (x + along * math.cos(angle) - over * math.sin(angle), y + along * math.sin(angle) + over * math.cos(angle))
        )
    return outline


def _terrazzo(rng: Random, colours: Paint, width: int, height: int) -> Image.Image:
    picture, draw = _sheet(colours[0], width, height)
    size = width * rng.uniform(0.015, 0.035)
    for x, y in _scatter(rng, width, height, size * 1.5):
        chip = [
            (math.cos(a) * size * rng.uniform(0.4, 1.1), math.sin(a) * size * rng.uniform(0.4, 1.1))
            for a in np.linspace(0, 2 * math.pi, 6)[:-1]
        ]
        colour = rng.choice(colours[1:])
        for shift in (-width, 0, width):
            draw.polygon([(x + shift + dx, y + dy) for dx, dy in chip], fill=colour)
    return picture


def _speckle(rng: Random, colours: Paint, width: int, height: int) -> Image.Image:
    picture, draw = _sheet(colours[0], width, height)
    for _ in range(rng.randint(300, 1200)):
        x, y, r = rng.random() * width, rng.random() * height, width * rng.uniform(0.001, 0.006)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colours[1])
    return picture


def _stars(rng: Random, colours: Paint, width: int, height: int) -> Image.Image:
    picture, draw = _sheet(colours[0], width, height)
    size, points = width * rng.uniform(0.03, 0.05), rng.choice((4, 5, 6))
    for x, y in _scatter(rng, width, height, size * 2.4):
        turn = rng.random() * 6
        for dx in (-width, 0, width):
            outline = []
            for k in range(2 * points):
                reach, angle = size * (1 if k % 2 == 0 else 0.42), turn + k * math.pi / points
                outline.append((x + dx + reach * math.cos(angle), y + reach * math.sin(angle)))
            draw.polygon(outline, fill=colours[1])
    return picture


def _marble(rng: Random, colours: Paint, width: int, height: int) -> Image.Image:
    x, y = _grid(width, height)
    warp = _noise(rng, width, height, 4) * 2.2
    vein = np.abs(np.sin((x * 3 + y * 2 * rng.choice((-1, 1))) * 2 * math.pi + warp * 4))
    share = np.clip(1 - vein / rng.uniform(0.15, 0.3), 0, 1)[..., None] * 0.85
    mixed = np.asarray(colours[0]) * (1 - share) + np.asarray(colours[1]) * share
    return Image.fromarray(mixed.astype(np.uint8))


def _clouds(rng: Random, colours: Paint, width: int, height: int) -> Image.Image:
    """Reactive glaze: two colours that run into each other."""
    share = np.clip(_noise(rng, width, height, 5) * 0.9 + 0.5, 0, 1)[..., None]
    mixed = np.asarray(colours[0]) * (1 - share) + np.asarray(colours[1]) * share
    return Image.fromarray(mixed.astype(np.uint8))


def _blocks(rng: Random, colours: Paint, width: int, height: int) -> Image.Image:
    """Large fields of colour with half circles, as on posters."""
    picture, draw = _sheet(colours[0], width, height)
    count = rng.choice((4, 6))
    step = width / count
    for row in range(int(height / step) + 1):
        for k in range(count):
            x, y, colour = k * step, row * step, rng.choice(colours)
            draw.rectangle((x, y, x + step, y + step), fill=colour)
            start = rng.choice((0, 90, 180, 270))
            draw.pieslice((x, y, x + step, y + step), start, start + 180, fill=rng.choice(colours))
    return picture


def wood(rng: Random, rgb: Rgb, width: int = 512, height: int = 256) -> Image.Image:
    """Return the grain of a plank in about that colour."""
    _, y = _grid(width, height)
    warp = _noise(rng, width, height, 3)
    rings = 0.5 + 0.5 * np.sin((y * rng.uniform(9, 16) + warp * 1.4) * 2 * math.pi)
    fibre = np.random.default_rng(rng.getrandbits(32)).normal(0, 1, (height, 1)) * 0.06
    shade = np.clip(0.78 + 0.22 * rings + fibre, 0.4, 1.15)[..., None]
    return Image.fromarray(np.clip(np.asarray(rgb) * shade, 0, 255).astype(np.uint8)).filter(ImageFilter.SMOOTH)


def _grid(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:height, 0:width]
    return x / width, y / height


def _choose(mask: np.ndarray, yes: Rgb, no: Rgb, also: np.ndarray | None = None, third: Rgb = (0, 0, 0)) -> Image.Image:
    out = np.where(mask[..., None], np.asarray(yes), np.asarray(no))
    if also is not None:
        out = np.where(also[..., None], np.asarray(third), out)
    return Image.fromarray(out.astype(np.uint8))


def _scatter(rng: Random, width: int, height: int, apart: float) -> list[tuple[float, float]]:
    """Return random places that keep `apart`, also over the left and right edge."""
    kept: list[tuple[float, float]] = []
    for _ in range(400):
        x, y = rng.random() * width, rng.random() * height
        if all(min(abs(x - a), width - abs(x - a)) ** 2 + (y - b) ** 2 > apart**2 for a, b in kept):
            kept.append((x, y))
    return kept


def _noise(rng: Random, width: int, height: int, octaves: int) -> np.ndarray:
    """Return smooth noise of about -1..1 that continues over the left and right edge."""
    numbers = np.random.default_rng(rng.getrandbits(32))
    total = np.zeros((height, width))
    for k in range(octaves):
        cells = 3 * 2**k
        small = numbers.normal(0, 1, (cells, cells))
        wrapped = np.hstack([small, small, small]).astype(np.float32)
        grown = Image.fromarray(wrapped).resize((3 * width, height), Image.Resampling.BICUBIC)
        total += np.asarray(grown)[:, width : 2 * width] / 2**k
    return np.asarray(np.clip(total / 2, -1, 1))


PAINTERS: dict[str, Painter] = {
    "plain": _plain, "bands": _bands, "stripes": _stripes, "pinstripes": _pinstripes, "diagonal": _diagonal,
    "chevron": _chevron, "waves": _waves, "checks": _checks, "plaid": _plaid, "dots": _dots,
    "triangles": _triangles, "gradient": _gradient, "dipped": _dipped, "petals": _petals, "leaves": _leaves,
    "terrazzo": _terrazzo, "speckle": _speckle, "stars": _stars, "marble": _marble, "clouds": _clouds,
    "blocks": _blocks,
}  # fmt: skip

# How a shop's title says it.
WORDS: dict[str, str] = {
    "plain": "", "bands": "banded", "stripes": "striped", "pinstripes": "pinstriped", "diagonal": "diagonal-striped",
    "chevron": "chevron", "waves": "wave-patterned", "checks": "checked", "plaid": "plaid", "dots": "dotted",
    "triangles": "geometric", "gradient": "two-tone", "dipped": "dip-glazed", "petals": "floral", "leaves": "leafy",
    "terrazzo": "terrazzo", "speckle": "speckled", "stars": "starry", "marble": "marbled", "clouds": "reactive",
    "blocks": "colour-block",
}  # fmt: skip
