"""Reads what the bundled models learn from: rendered products, groceries, clothing, backgrounds.

Knows folders and tables. All pictures are as lookalike_server.train.pictures has them.
"""

import csv
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
import numpy.typing as npt

from lookalike_server.train.crops import HUE_TURNS_DEG, is_colourful
from lookalike_server.train.pictures import (
    Picture,
    cut_from_white,
    cutout,
    held_out,
    read_rgb,
    shrink,
)

# Boxes that people drew, in fractions of the picture: of packages in groceries' photos, and of garments.
PHOTO_BOXES = Path(__file__).parent / "photo_boxes.csv"
# A photo is kept with this shorter side at most: enough for half of it to fill the network's input with little blur.
PHOTO_SIDE_PX = 352
# What the clothing table says of photos that it knows no garment for.
NO_GARMENTS = ("Not sure", "Other", "Skip")
# Tells the boxes in a photo: left, top, right and bottom in fractions.
Find = Callable[[Picture], list[list[float]]]

# Drawn packages: families of one brand, which are categories of their own.
PACK = "pack"


@dataclass(frozen=True)
class Product:
    """One rendered product: its category and its views, each a premultiplied RGBA cut-out."""

    name: str
    category: str
    views: tuple[Picture, ...]


def products(renders: Path, validation: bool) -> Iterator[Product]:
    """Read `renders`/train/<category>-<seed>/<view>.png as they are asked for; skip views that are being written."""
    for folder in sorted((renders / "train").glob("*/")):
        if held_out(folder.name) != validation:
            continue
        views = []
        for path in sorted(folder.glob("[!.]*.png")):  # a renderer's unfinished files begin with a dot
            try:
                views.append(cutout(path))
            except ValueError as error:
                print(f"skipped: {error}")
        if len(views) >= 2:
            yield Product(folder.name, folder.name.rsplit("-", 1)[0], tuple(views))


def turns_of(product: Product) -> tuple[float, ...]:
    """Return the turns in hue, in degrees, that make products of one; packages come in many colours as they are."""
    turns = not product.category.startswith(PACK) and is_colourful(product.views[0])
    return HUE_TURNS_DEG if turns else HUE_TURNS_DEG[:1]


def backgrounds(renders: Path, validation: bool, side_px: int = 480) -> list[Picture]:
    """Read `renders`/backgrounds_train/*.jpg."""
    paths = sorted((renders / "backgrounds_train").glob("*.jpg"))
    return [shrink(read_rgb(path), side_px, shorter=True) for path in paths if held_out(path.name) == validation]


def rows_of(table: Path, **wanted: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file whose columns equal `wanted`."""
    with table.open(newline="") as file:
        return [row for row in csv.DictReader(file) if all(row[key] == value for key, value in wanted.items())]


def groceries(data: Path, split: str) -> dict[str, list[Picture]]:
    """Read the grocery photos of `split` ('train', 'val' or 'iconic') by class."""
    by_class: dict[str, list[Picture]] = defaultdict(list)
    for row in rows_of(data / "grocery" / "grocery.csv", split=split):
        photo = read_rgb(data / "grocery" / row["path"])
        by_class[row["class"]].append(photo if split == "iconic" else shrink(photo, PHOTO_SIDE_PX, shorter=True))
    return dict(by_class)


def unseen_groceries(data: Path) -> set[str]:
    """Return the 16 grocery classes, 8 of them packages, that a run with --hold-out never sees: every day the same."""
    kinds: dict[str, set[str]] = {"0": set(), "1": set()}
    for row in rows_of(data / "grocery" / "grocery.csv", split="iconic"):
        kinds[row["is_package"]].add(row["class"])
    return {name for names in kinds.values() for name in sorted(names, key=lambda name: crc32(name.encode()))[:8]}


def clothes(data: Path, split: str, photos_max: int) -> list[Picture]:
    """Read up to `photos_max` clothing photos of `split`."""
    rows = rows_of(data / "clothing" / "clothing.csv", split=split)[:photos_max]
    return [shrink(read_rgb(data / "clothing" / row["path"]), PHOTO_SIDE_PX, shorter=True) for row in rows]


def garments(data: Path, split: str, photos_max: int) -> list[str]:
    """Return what kind of garment each of `clothes` shows, or '' where the table is unsure."""
    rows = rows_of(data / "clothing" / "clothing.csv", split=split)[:photos_max]
    return ["" if row["label"] in NO_GARMENTS else row["label"] for row in rows]


def labelled(data: Path, validation: bool) -> list[tuple[Picture, npt.NDArray[np.float32]]]:
    """Read the photos that photo_boxes.csv has boxes for, each with its (n, 4) boxes in pixels."""
    found = []
    for path, shares in _photo_boxes().items():
        if path.startswith("grocery/val/") is validation:
            photo = read_rgb(data / path)
            size = np.array([photo.shape[1], photo.shape[0]] * 2, np.float32)
            found.append((photo, np.array(shares, np.float32) * size))
    return found


def packages(data: Path) -> set[str]:
    """Return the grocery classes that are packages: each is one product."""
    return {row["class"] for row in rows_of(data / "grocery" / "grocery.csv", split="iconic", is_package="1")}


def held(
    data: Path, split: str, photos: Mapping[str, Sequence[Picture]], find: Find | None = None
) -> dict[str, list[Picture | None]]:
    """Return what is in the box of each of the photos of `groceries`, as an opaque cut-out; None where there is none.

    Exactly one box must be drawn there; of a photo of a package that nobody drew in, `find` may tell the box.
    """
    boxes = _photo_boxes()
    by_class: dict[str, list[Picture | None]] = {name: [] for name in photos}
    for row in rows_of(data / "grocery" / "grocery.csv", split=split):
        if (few := by_class.get(row["class"])) is not None:
            photo, drawn = photos[row["class"]][len(few)], boxes.get(f"grocery/{row['path']}", [])
            if find and not drawn and row["is_package"] == "1":
                drawn = find(photo)
            few.append(_opaque(photo, drawn[0]) if len(drawn) == 1 else None)
    return by_class


def _photo_boxes() -> dict[str, list[list[float]]]:
    """Return the boxes of each labelled photo: left, top, right and bottom in fractions."""
    boxes: dict[str, list[list[float]]] = defaultdict(list)
    with PHOTO_BOXES.open(newline="") as file:
        for row in csv.DictReader(file):
            boxes[row["path"]].append([float(row[side]) for side in ("left", "top", "right", "bottom")])
    return boxes


def _opaque(photo: Picture, share: list[float]) -> Picture:
    """Return a part of a photo as a cut-out that hides whatever is behind it."""
    rows, columns = photo.shape[:2]
    left, top, right, bottom = np.round(np.multiply(share, [columns, rows, columns, rows])).astype(int)
    part = photo[top:bottom, left:right]
    return np.dstack([part, np.full(part.shape[:2], 255, np.uint8)])


def iconic_cutouts(data: Path) -> dict[str, Picture]:
    """Cut the grocery catalogue pictures out of their white ground, by class."""
    return {name: cut_from_white(pictures[0]) for name, pictures in groceries(data, "iconic").items()}
