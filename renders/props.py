"""Models clutter that no shop here sells: fruit, pens, paper, stones, blocks, cutlery, cables, cloth."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import numpy as np

from renders import palette, parts, patterns, shapes
from renders.materials import coat
from renders.palette import Rgb

# A prop is made around the origin, standing on z = 0, and fits in a circle of about the radius it returns.
Prop = Callable[[Random], float]


def _colour(rng: Random) -> Rgb:
    return rng.choice(palette.COLOURS).rgb


def fruit(rng: Random) -> float:
    """Apples, oranges, lemons or plums in a heap."""
    rgb, r = rng.choice(
        (
            ((190, 40, 36), 0.16),
            ((236, 130, 30), 0.15),
            ((238, 206, 50), 0.13),
            ((96, 150, 50), 0.16),
            ((80, 40, 80), 0.11),
        )
    )
    skin, stem = coat("gloss" if r > 0.15 else "leather", rgb), coat("matte", (80, 56, 36))
    for k in range(rng.randint(1, 4)):
        x, y = (0.0, 0.0) if k == 0 else (math.cos(k * 2.1) * r * 2.05, math.sin(k * 2.1) * r * 2.05)
        parts.ball(r, skin, (x, y, r * 0.92), (1, 1, rng.uniform(0.88, 1.05)))
        parts.tube(np.asarray([(x, y, r * 1.7), (x + 0.01, y, r * 1.85), (x + 0.03, y, r * 2.0)]), 0.012, stem)
    return 3 * r


def pens(rng: Random) -> float:
    """A few pencils or markers lying about."""
    for _ in range(rng.randint(1, 4)):
        long, r = rng.uniform(0.6, 0.9), rng.uniform(0.02, 0.04)
        turn, x, y = rng.uniform(0, 180), rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2)
        path = np.linspace((-long / 2, 0, r), (long / 2, 0, r), 6)
        parts.place(parts.tube(path, r, coat("satin", _colour(rng))), (x, y, 0), (0, 0, turn))
        tip = np.linspace((long / 2, 0, r), (long / 2 + 0.09, 0, r), 4)
        parts.place(
            parts.tube(tip, r, coat("wood", (224, 190, 140)), sizes=np.linspace(1, 0.15, 4)), (x, y, 0), (0, 0, turn)
        )
    return 0.5


def papers(rng: Random) -> float:
    """Sheets with lines of print."""
    for k in range(rng.randint(1, 4)):
        sheet = patterns.paint("stripes", rng, ((248, 247, 243), (190, 190, 194), (120, 120, 130)), 256, 256)
        paper = coat("paper", sheet if rng.random() < 0.7 else _colour(rng))
        made = parts.slab(shapes.rounded_rect(0.75, 1.0, 0.01), 0.006, 0.002, paper, flat="xy")
        parts.place(made, (rng.uniform(-0.15, 0.15), rng.uniform(-0.15, 0.15), 0.008 * k), (0, 0, rng.uniform(0, 180)))
    return 0.6


def stones(rng: Random) -> float:
    """Pebbles."""
    for k in range(rng.randint(3, 7)):
        grey = rng.randint(90, 190)
        at = (math.cos(k * 2.4) * 0.09 * k, math.sin(k * 2.4) * 0.09 * k, 0.06)
        parts.ball(
            rng.uniform(0.07, 0.13), coat("clay", (grey, grey - 6, grey - 14)), at, (1.2, 0.9, rng.uniform(0.5, 0.7))
        )
    return 0.5


def blocks(rng: Random) -> float:
    """Wooden building blocks."""
    for k in range(rng.randint(2, 5)):
        side = rng.uniform(0.14, 0.24)
        at = (math.cos(k * 1.9) * 0.16 * k, math.sin(k * 1.9) * 0.16 * k, 0.0)
        made = parts.box((side * rng.choice((1, 2)), side, side), 0.012, coat("satin", _colour(rng)), at)
        parts.place(made, at, (0, 0, rng.uniform(0, 90)))
    return 0.55


def cutlery(rng: Random) -> float:
    """Spoons and knives side by side."""
    steel = coat("steel", rng.choice((palette.STEEL, palette.BRASS)))
    for k in range(rng.randint(1, 3)):
        x = (k - 1) * 0.14
        grip = shapes.smooth([(x, -0.45, 0.02), (x, 0, 0.03), (x, 0.3, 0.03)], 12)
        parts.tube(grip, 0.03, steel, flat=0.4, sizes=np.linspace(1.2, 0.5, 12))
        parts.ball(0.09, steel, (x, 0.4, 0.03), (0.75, 1.2, 0.22) if k % 2 == 0 else (0.3, 1.9, 0.08))
    return 0.5


def cable(rng: Random) -> float:
    """A cable with a plug."""
    knots = [(rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5), 0.025) for _ in range(7)]
    dark = coat("rubber", rng.choice(((30, 30, 32), (235, 235, 235), (120, 120, 124))))
    path = shapes.smooth(knots, 60)
    parts.tube(path, 0.022, dark)
    parts.box((0.14, 0.09, 0.07), 0.02, dark, tuple(path[-1] - (0, 0, 0.02)))
    return 0.6


def cloth(rng: Random) -> float:
    """A crumpled towel."""
    side = np.linspace(-0.5, 0.5, 36)
    x, y = np.meshgrid(side, side)
    z = np.zeros_like(x)
    z += sum(
        rng.uniform(0.01, 0.035) * np.sin(x * rng.uniform(4, 13) + y * rng.uniform(-12, 12) + rng.random() * 6)
        for _ in range(6)
    )
    z = (z - z.min()) * 0.8 + 0.006
    kind = rng.choice(("plaid", "stripes", "plain", "checks", "dots"))
    paint = patterns.paint(kind, rng, (_colour(rng), _colour(rng), _colour(rng)), 256, 256)
    rings = np.stack([x * rng.uniform(0.8, 1.2), y * rng.uniform(0.8, 1.2), z], axis=2)
    parts.loft(rings, coat("fabric", paint), flat="xy", sheet=True)
    return 0.65


def parcel(rng: Random) -> float:
    """A plain brown parcel with tape."""
    w, d, h = rng.uniform(0.4, 0.8), rng.uniform(0.3, 0.6), rng.uniform(0.2, 0.5)
    parts.box((w, d, h), 0.01, coat("paper", (180, 140, 96)))
    parts.box((0.08, d * 1.004, h * 1.004), 0.005, coat("gloss", (206, 176, 120)))
    return 0.5


def sprig(rng: Random) -> float:
    """A twig with leaves."""
    green = coat("satin", rng.choice(((70, 120, 60), (110, 140, 80), (150, 110, 60))))
    stem = shapes.smooth([(-0.5, 0, 0.03), (0, rng.uniform(-0.1, 0.1), 0.06), (0.5, 0, 0.04)], 16)
    parts.tube(stem, 0.012, green)
    for k in range(2, 16, 2):
        side = 1 if k % 4 else -1
        leaf = np.asarray([stem[k], stem[k] + (0.06, side * 0.1, 0.03), stem[k] + (0.1, side * 0.2, 0.0)])
        parts.tube(leaf, 0.05, green, flat=0.15, sizes=np.asarray([0.3, 1.0, 0.1]))
    return 0.55


def gadget(rng: Random) -> float:
    """A telephone or a remote control lying flat."""
    w, d = rng.choice(((0.32, 0.66), (0.2, 0.7), (0.7, 0.95)))
    dark = coat("gloss", rng.choice(((24, 24, 28), (230, 230, 232), (60, 70, 90))))
    parts.slab(shapes.rounded_rect(w, d, 0.05), 0.05, 0.02, dark)
    if w == 0.2:
        for k in range(10):
            at = (-0.04 + 0.08 * (k % 2), -0.25 + 0.11 * (k // 2), 0.045)
            parts.disc(0.025, 0.015, 0.006, coat("rubber", (140, 140, 144)), at)
    else:
        parts.slab(
            shapes.rounded_rect(w * 0.92, d * 0.9, 0.03), 0.004, 0.001, coat("gloss", (16, 18, 30)), at=(0, 0, 0.049)
        )
    return d * 0.55


def rope(rng: Random) -> float:
    """A coil of rope or a ball of wool."""
    wool = coat("fabric", _colour(rng))
    if rng.random() < 0.5:
        t = np.linspace(0, 8 * math.pi, 160)
        parts.tube(
            np.column_stack([np.cos(t) * (0.14 + t * 0.008), np.sin(t) * (0.14 + t * 0.008), 0.03 + 0.0 * t]),
            0.03,
            wool,
        )
        return 0.4
    for _ in range(9):
        loop = shapes.arc((0, 0, 0), 0.2, 0, 350, 24, "xy")
        parts.place(
            parts.tube(loop, 0.035, wool, loop=True), (0, 0, 0.22), (rng.uniform(0, 180), rng.uniform(0, 180), 0)
        )
    parts.ball(0.2, wool, (0, 0, 0.22))
    return 0.3


def planks(rng: Random) -> float:
    """Short boards in a stack."""
    for k in range(rng.randint(1, 4)):
        wood = coat("wood", patterns.wood(rng, rng.choice(((196, 150, 96), (104, 66, 40), (222, 186, 130)))))
        parts.place(
            parts.box((rng.uniform(0.5, 0.9), 0.16, 0.06), 0.008, wood), (0, 0, 0.062 * k), (0, 0, rng.uniform(-25, 25))
        )
    return 0.5


# The flat ones hide nothing: they may lie in front of a product.
FLAT: tuple[Prop, ...] = (pens, papers, cutlery, cable, cloth, sprig, gadget)
TALL: tuple[Prop, ...] = (fruit, stones, blocks, parcel, rope, planks)
