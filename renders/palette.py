"""Names the colours that goods come in, and picks some that go together. Knows no pictures and no Blender."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

Rgb = tuple[int, int, int]


@dataclass(frozen=True)
class Colour:
    """A colour as a shop would call it; `family` is what a shopper would filter by."""

    name: str
    family: str
    rgb: Rgb


COLOURS: tuple[Colour, ...] = (
    Colour("brick red", "red", (176, 44, 38)),
    Colour("ocean blue", "blue", (28, 88, 150)),
    Colour("sunflower yellow", "yellow", (240, 184, 32)),
    Colour("forest green", "green", (30, 92, 58)),
    Colour("oat white", "white", (240, 234, 220)),
    Colour("charcoal", "black", (44, 44, 48)),
    Colour("blush pink", "pink", (232, 164, 172)),
    Colour("teal", "blue", (20, 122, 128)),
    Colour("terracotta", "orange", (196, 98, 62)),
    Colour("plum", "purple", (98, 42, 92)),
    Colour("sand", "beige", (214, 190, 150)),
    Colour("sky blue", "blue", (126, 182, 220)),
    Colour("tangerine", "orange", (238, 124, 34)),
    Colour("sage", "green", (152, 172, 138)),
    Colour("raspberry", "pink", (200, 32, 90)),
    Colour("chocolate", "brown", (86, 52, 34)),
    Colour("lilac", "purple", (178, 158, 212)),
    Colour("midnight navy", "blue", (24, 34, 72)),
    Colour("mint", "green", (150, 218, 188)),
    Colour("tomato red", "red", (222, 62, 46)),
    Colour("stone grey", "grey", (150, 150, 146)),
    Colour("mustard", "yellow", (202, 150, 36)),
    Colour("lime", "green", (158, 196, 44)),
    Colour("snow white", "white", (248, 248, 246)),
    Colour("coral", "pink", (244, 118, 100)),
    Colour("caramel", "brown", (176, 116, 60)),
    Colour("ink black", "black", (22, 22, 24)),
    Colour("violet", "purple", (106, 66, 170)),
)

STEEL: Rgb = (190, 192, 196)
BRASS: Rgb = (204, 160, 84)
COPPER: Rgb = (200, 118, 84)
WOODS: dict[str, Rgb] = {
    "oak": (196, 150, 96),
    "walnut": (104, 66, 40),
    "pine": (222, 186, 130),
    "cherry": (156, 84, 50),
}
# Steps through the list that share no factor with its length, so that neighbouring seeds look unlike.
MAIN_STEP = 5


def contrast(one: Rgb, other: Rgb) -> float:
    """Return how far apart two colours look, 0 (the same) to about 1."""
    weights = (0.30, 0.50, 0.20)
    return sum(w * abs(a - b) / 255 for w, a, b in zip(weights, one, other, strict=True))


def pick(rng: Random, seed: int) -> tuple[Colour, Colour, Colour]:
    """Return a main, a second and an accent colour; the main one walks through the list with `seed`."""
    main = COLOURS[(seed * MAIN_STEP + seed // len(COLOURS)) % len(COLOURS)]
    others = [c for c in COLOURS if contrast(c.rgb, main.rgb) > 0.22]
    # Half of all goods pair their colour with a light or a dark neutral, as real ones do.
    neutral = [c for c in others if c.family in {"white", "black", "beige", "grey"}]
    second = rng.choice(neutral if neutral and rng.random() < 0.5 else others)
    rest = [c for c in others if contrast(c.rgb, second.rgb) > 0.18] or others
    return main, second, rng.choice(rest)


def linear(rgb: Rgb) -> tuple[float, float, float, float]:
    """Return sRGB bytes as the linear RGBA in 0..1 that a shader wants."""

    def channel(value: int) -> float:
        x = value / 255
        return x / 12.92 if x <= 0.04045 else float(((x + 0.055) / 1.055) ** 2.4)

    return channel(rgb[0]), channel(rgb[1]), channel(rgb[2]), 1.0
