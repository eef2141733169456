"""Reads what the models learn from: cut-outs of rendered products, photos, backgrounds.

Knows folders and files, not how pictures are put together (composites.py), nor any model.
All pictures are RGB or RGBA uint8; the colours of a cut-out are premultiplied by its alpha.
"""

import csv
import zlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]  # (height, width, 3 or 4)

# One product in ten is never trained on, so that validation asks about unseen goods.
HELD_OUT_SHARE = 10

# Cut-outs are kept no larger than this: the embedder sees 128 px, the detector 320 px.
CUTOUT_SIDE_PX = 224

# A photo is kept with this shorter side: enough for a crop of 128 px.
PHOTO_SIDE_PX = 160


@dataclass(frozen=True)
class Product:
    """One rendered product: its category and its views, each a premultiplied RGBA cut-out."""

    name: str
    category: str
    views: tuple[Picture, ...]


def held_out(name: str) -> bool:
    """Tell whether the product or file `name` belongs to validation."""
    return zlib.crc32(name.encode()) % HELD_OUT_SHARE == 0


def read_rgb(path: Path) -> Picture:
    """Read a picture as RGB."""
    picture: Any = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{path} is not a picture that can be read")
    return np.ascontiguousarray(picture[:, :, ::-1])


def shrink(picture: Picture, side_px: int, shorter: bool = False) -> Picture:
    """Return `picture` with its longer (or shorter) side at most `side_px`."""
    height, width = picture.shape[:2]
    scale = side_px / (min(height, width) if shorter else max(height, width))
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def trimmed(rgba: Picture) -> Picture:
    """Return a straight RGBA picture premultiplied and cut to what is visible."""
    rows, columns = np.nonzero(rgba[:, :, 3] > 16)
    if len(rows) == 0:
        raise ValueError("the cut-out is empty")
    rgba = rgba[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    alpha = rgba[:, :, 3:].astype(np.uint16)
    colours = (rgba[:, :, :3] * alpha + 127) // 255
    return np.concatenate([colours, alpha], axis=2).astype(np.uint8)


def cutout(path: Path) -> Picture:
    """Read one transparent PNG as a trimmed, premultiplied cut-out."""
    picture: Any = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.ndim != 3 or picture.shape[2] != 4:
        raise ValueError(f"{path} is not a picture with transparency")
    return shrink(trimmed(cv2.cvtColor(picture, cv2.COLOR_BGRA2RGBA)), CUTOUT_SIDE_PX)


def products(renders: Path, validation: bool) -> list[Product]:
    """Read `renders`/train/<category>-<seed>/<view>.png; skip views that are still being written."""
    found = []
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
            found.append(Product(folder.name, folder.name.rsplit("-", 1)[0], tuple(views)))
    return found


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


def clothes(data: Path, split: str, photos_max: int) -> list[Picture]:
    """Read up to `photos_max` clothing photos of `split`."""
    rows = rows_of(data / "clothing" / "clothing.csv", split=split)[:photos_max]
    return [shrink(read_rgb(data / "clothing" / row["path"]), PHOTO_SIDE_PX, shorter=True) for row in rows]


def iconic_cutouts(data: Path) -> dict[str, Picture]:
    """Cut the grocery catalogue pictures out of their white ground, by class."""
    found = {}
    for name, pictures in groceries(data, "iconic").items():
        picture = pictures[0]
        height, width = picture.shape[:2]
        mask = np.zeros((height + 2, width + 2), np.uint8)
        framed = cv2.copyMakeBorder(picture, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        mask = np.zeros((height + 4, width + 4), np.uint8)
        cv2.floodFill(framed, mask, (0, 0), (0, 0, 0), (6, 6, 6), (6, 6, 6), cv2.FLOODFILL_MASK_ONLY | 4)
        solid = (1 - mask[2:-2, 2:-2]).astype(np.uint8)
        # White cartons leak into the white ground: their hull closes the leaks.
        if solid.mean() < 0.5:
            contours, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            points = np.concatenate([contour for contour in contours if len(contour) > 8] or contours)
            cv2.fillConvexPoly(solid, cv2.convexHull(points), (1,))
        alpha = cv2.GaussianBlur(cv2.erode(solid, np.ones((3, 3), np.uint8)) * 255, (3, 3), 0)
        found[name] = trimmed(np.dstack([picture, alpha]).astype(np.uint8))
    return found
