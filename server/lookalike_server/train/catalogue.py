"""What a shop has to learn from: its products' pictures, and what shoppers clicked. Knows files, no networks.

Pictures are decoded once and kept as small arrays; each batch crops, turns, lights and hides them anew.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lookalike_server.models.shop import BadShop, catalogue
from lookalike_server.train.batch import UNCLASSED, Batch, Rng
from lookalike_server.train.composites import Stock
from lookalike_server.train.crops import photo_crop, scene_crop, studio_crop
from lookalike_server.train.pictures import (
    PHOTO_SIDE_PX,
    Picture,
    cut_where_white,
    held_out,
    read_rgb,
    shrink,
)

# Of products that a batch draws, each with two pictures; and of clicks, each with three.
PRODUCTS, CLICKS = 24, 6
# Pictures that others are put before: a few hundred are all the clutter that counts.
CLUTTER_MAX = 400
# Of a cut-out product's pictures so many are put before clutter, so many before a studio's ground; the rest stay.
CLUTTERED, STUDIO = 0.5, 0.2


@dataclass(frozen=True, eq=False)
class Shot:
    """One picture, and its cut-out where it has a white ground."""

    picture: Picture
    cutout: Picture | None


@dataclass(frozen=True, eq=False)
class Source:
    """One data set: the pictures of each product; its classes are its own."""

    name: str
    products: dict[str, list[Shot]]


@dataclass(frozen=True, eq=False)
class Click:
    """A shopper's photo, the product's picture that they chose, and one that they passed over."""

    query: Picture
    clicked: Picture
    skipped: Picture


class Shop:
    """All that a run learns from; held-out products are kept for validation."""

    def __init__(self, sources: Sequence[Source], clicks: Sequence[Click] = ()) -> None:
        self._learned = [
            {name: shots for name, shots in source.products.items() if not held_out(f"{source.name}/{name}")}
            for source in sources
        ]
        self.held_out = {
            f"{source.name}/{name}": [shot.picture for shot in shots]
            for source in sources
            for name, shots in source.products.items()
            if held_out(f"{source.name}/{name}")
        }
        self._names = [list(products) for products in self._learned]
        self._clicks = clicks
        self.others = [shots[0].picture for products in self._learned for shots in products.values()]
        """A picture of each product that is learned from, for the gallery of the validation."""
        self.classes = [len(names) for names in self._names]
        shots = [shot for products in self._learned for few in products.values() for shot in few]
        clutter = [shot.picture for shot in shots[:: max(1, len(shots) // CLUTTER_MAX)]]
        self.stock = Stock([shot.cutout for shot in shots if shot.cutout is not None], [], clutter)
        if sum(self.classes) < 2 and not clicks:
            raise BadShop("there are fewer than two products to learn from: give more with --data")

    def batch(self, side_px: int, rng: Rng) -> Batch:
        """Draw products, each as often as any other of any source, two views each; and clicks."""
        pictures: list[Picture] = []
        instances: list[int] = []
        spaces: list[int] = []
        labels: list[int] = []
        total = sum(self.classes)
        for instance, place in enumerate(rng.choice(total, min(PRODUCTS, total), replace=False)):
            space, label = self._place(int(place))
            for shot in self._two(self._learned[space][self._names[space][label]], rng):
                pictures.append(self._view(shot, side_px, rng))
                instances.append(instance)
                spaces.append(space)
                labels.append(label)
        for number in rng.integers(len(self._clicks), size=CLICKS) if self._clicks else ():
            click, first = self._clicks[number], 1000 + 2 * len(instances)
            pictures += [scene_crop(one, side_px, rng) for one in (click.query, click.clicked, click.skipped)]
            instances += [first, first, first + 1]
            spaces += [0] * 3
            labels += [UNCLASSED] * 3
        return Batch(pictures, instances, spaces, labels)

    def _place(self, place: int) -> tuple[int, int]:
        """Return the space and the label of a product by its number among all."""
        for space, count in enumerate(self.classes):
            if place < count:
                return space, place
            place -= count
        raise AssertionError("there are as many places as products")

    @staticmethod
    def _two(shots: list[Shot], rng: Rng) -> list[Shot]:
        """Return two shots of a product: different ones where it has several."""
        return [shots[at] for at in rng.choice(len(shots), 2, replace=len(shots) < 2)]

    def _view(self, shot: Shot, side_px: int, rng: Rng) -> Picture:
        """Return a shot as a detector might cut it from a photo, or as another shop might show it."""
        dice = rng.random()
        if shot.cutout is not None and dice < CLUTTERED:
            return photo_crop(shot.cutout, self.stock, side_px, rng)
        if shot.cutout is not None and dice < CLUTTERED + STUDIO:
            return studio_crop(shot.cutout, side_px, rng)
        return scene_crop(shot.picture, side_px, rng)


def source_of(path: Path) -> Source:
    """Read a feed as `lookalike import` takes it: a CSV or JSONL file, or a folder of folders."""
    products: dict[str, list[Shot]] = {}
    for known in catalogue(path):
        picture = shrink(np.ascontiguousarray(known.picture.pixels()), PHOTO_SIDE_PX, shorter=True)
        products.setdefault(known.product_id, []).append(Shot(picture, cut_where_white(picture)))
    return Source(path.stem, products)


def clicks_of(path: Path) -> list[Click]:
    """Read lines of {"query", "clicked", "skipped"}: paths of pictures, relative to the file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadShop(f"{path} cannot be read: {error}") from error
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                said = json.loads(line)
                pictures = (read_rgb(path.parent / said[name]) for name in ("query", "clicked", "skipped"))
                found.append(Click(*(shrink(one, PHOTO_SIDE_PX, shorter=True) for one in pictures)))
            except (ValueError, KeyError, TypeError) as error:
                wanted = "give query, clicked and skipped, each the path of a picture"
                raise BadShop(f"{path}, line {number}: {wanted} ({error})") from error
    return found
