"""What a builder of goods draws from: one product's dice, colours and patterns. Knows no Blender."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from random import Random

from PIL import Image

from renders import labels, palette, patterns
from renders.palette import Colour, Rgb

# The patterns of pottery and of cloth, by their names in patterns.py.
POTTERY = (
    "plain stripes dots bands petals dipped speckle chevron waves leaves clouds pinstripes triangles gradient "
    "terrazzo checks stars diagonal"
)
TEXTILES = "stripes dots chevron petals plaid leaves triangles checks waves stars blocks pinstripes diagonal plain"


@dataclass(frozen=True)
class Facts:
    """What a shop would say of a product: "striped stoneware mug" is its `noun`, with `look` in front."""

    noun: str
    material: str
    look: str = ""


@dataclass
class Kit:
    """The dice, the colours and the brand of one product; the same category and seed give the same product."""

    category: str
    seed: int
    rng: Random = field(init=False)
    main: Colour = field(init=False)
    second: Colour = field(init=False)
    accent: Colour = field(init=False)
    brand: str = field(init=False)

    def __post_init__(self) -> None:
        self.rng = Random(f"{self.category}/{self.seed}")
        # Each category starts elsewhere in the colours; crc32 because hash() is salted per process.
        start = zlib.crc32(self.category.encode()) % 1000
        self.main, self.second, self.accent = palette.pick(self.rng, self.seed + start)
        self.brand = self.rng.choice(labels.BRANDS)

    @property
    def paints(self) -> tuple[Rgb, Rgb, Rgb]:
        """Return the three colours as sRGB bytes."""
        return self.main.rgb, self.second.rgb, self.accent.rgb

    def between(self, low: float, high: float) -> float:
        """Return a number in low..high."""
        return self.rng.uniform(low, high)

    def one(self, *choices: str) -> str:
        """Return one of the words; neighbouring seeds rarely get the same."""
        return self.rng.choice(choices)

    def chance(self, share: float) -> bool:
        """Return True in that share of products."""
        return self.rng.random() < share

    def pattern(self, kinds: str, width: int = 512, height: int = 256) -> tuple[Image.Image, str]:
        """Return a pattern of one of these kinds, parted by blanks, in this product's colours, and the word for it."""
        names = kinds.split()
        kind = names[(self.seed + self.rng.randrange(2)) % len(names)]
        return patterns.paint(kind, self.rng, self.paints, width, height), patterns.WORDS[kind]
