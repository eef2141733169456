"""Plans and renders shopper photos: some products in a place full of other things, and the box of each."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import bpy
import numpy as np
from PIL import Image

from renders import compose, goods, scenes, stage
from renders.compose import Box
from renders.shapes import Points

SAMPLES = 4
# A product smaller than this share of the picture's side is no fair question to a detector.
SIDE_MIN = 0.1


@dataclass(frozen=True)
class Item:
    """One product to be photographed."""

    category: str
    seed: int

    @property
    def product_id(self) -> str:
        """Return the product's id."""
        return goods.product_id(self.category, self.seed)


@dataclass(frozen=True)
class Photo:
    """A photo to be taken; its name is its dice."""

    name: str
    items: tuple[Item, ...]
    width_px: int
    height_px: int


# The longest side of each kind in a photo, and whether it stands on tables, floors or both: true sizes
# would make a mug beside a chair too small to see, so kinds that differ too much are not shown together.
SIZES: dict[str, tuple[float, str]] = {
    "mug": (0.6, "t"), "teapot": (0.8, "t"), "vase": (0.9, "t"), "bowl": (0.7, "t"), "pan": (1.0, "t"),
    "bottle": (0.95, "t"), "carton": (0.95, "t"), "milk": (0.9, "t"), "can": (0.62, "t"), "jar": (0.62, "t"),
    "soap": (0.8, "t"), "perfume": (0.62, "t"), "candle": (0.62, "t"), "lamp": (1.15, "tf"), "clock": (0.72, "t"),
    "cushion": (0.9, "f"), "plant": (0.95, "tf"), "chair": (1.3, "f"), "stool": (1.0, "f"), "shoe": (0.85, "tf"),
    "hat": (0.8, "tf"), "handbag": (0.95, "tf"), "backpack": (1.05, "f"), "suitcase": (1.15, "f"),
    "sunglasses": (0.7, "t"), "headphones": (0.78, "t"), "book": (0.85, "t"), "plush": (0.9, "tf"),
    "car": (0.75, "tf"), "drum": (0.85, "f"), "ukulele": (1.25, "f"), "speaker": (0.85, "tf"),
}  # fmt: skip


def groups(rng: Random, items: Sequence[Item], counts: Sequence[int]) -> list[tuple[Item, ...]]:
    """Return that many items for each photo; every item is used once before any is used again."""
    waiting: list[Item] = []
    out = []
    for count in counts:
        if len(waiting) < count * 4:
            waiting += rng.sample(list(items), len(items))
        place = rng.choice(SIZES[waiting[0].category][1])
        chosen: list[Item] = []
        for item in list(waiting):
            if (
                len(chosen) < count
                and place in SIZES[item.category][1]
                and item.category not in {c.category for c in chosen}
            ):
                chosen.append(item)
                waiting.remove(item)
        out.append(tuple(chosen))
    return out


def plan(rng: Random, items: Sequence[Item], counts: Sequence[int], first: int = 1) -> list[Photo]:
    """Return the photos to take, wide or upright."""
    photos = []
    for k, group in enumerate(groups(rng, items, counts), start=first):
        upright = len(group) <= 2 and rng.random() < 0.5
        photos.append(Photo(f"photo-{k:03d}", group, *((480, 640) if upright else (640, 480))))
    return photos


def render(photo: Photo, dice: str, folder: Path, scale: float) -> None:
    """Render a photo as `folder`/name.png and its boxes as name.json; both are there, or will be made anew."""
    truth = folder / f"{photo.name}.json"
    if truth.exists():
        return
    rng = Random(f"{dice}/{photo.name}")
    scenes.open_room(SAMPLES, int(photo.width_px * scale), int(photo.height_px * scale))
    products = [goods.build(item.category, item.seed, SIZES[item.category][0]) for item in photo.items]
    spots, points = _arrange(rng, products, photo.items)
    _look(rng, points)
    scenes.furnish(rng, spots, rng.randint(6, 14))
    stage.light(scenes.lit(rng), rng, (0, 0, 0.4))
    stage.shoot(folder / f"{photo.name}.png")
    boxes = _boxes(products, folder / f"{photo.name}.mask.png")
    found = [{"product_id": i.product_id, "box": b} for i, b in zip(photo.items, boxes, strict=True) if b]
    truth.write_text(json.dumps(found))


def _arrange(rng: Random, products: Sequence[goods.Product], items: Sequence[Item]) -> tuple[list[scenes.Spot], Points]:
    """Stand the products side by side, each turned its own way; returns their places and all their points."""
    widths, clouds = [], []
    for product, item in zip(products, items, strict=True):
        turn = min(goods.reach_deg(item.category), 180.0) * 0.8
        product.handle.rotation_euler = (0, 0, math.radians(rng.uniform(-turn, turn)))
        product.handle.scale *= rng.uniform(0.9, 1.1)
        bpy.context.view_layer.update()
        cloud = stage.corners(stage.family(product.handle))
        clouds.append(cloud)
        widths.append(float(np.ptp(cloud[:, 0])))
    gaps = [rng.uniform(0.12, 0.4) for _ in products]
    x = -(sum(widths) + sum(gaps[1:])) / 2
    spots = []
    for k, (product, cloud) in enumerate(zip(products, clouds, strict=True)):
        x += gaps[k] if k else 0.0
        y = rng.uniform(-0.25, 0.25) if len(products) > 1 else 0.0
        shift = np.asarray([x - cloud[:, 0].min(), y, 0.0])
        cloud += shift
        product.handle.location = tuple(shift)
        middle = (cloud.min(axis=0) + cloud.max(axis=0)) / 2
        radius = float(np.ptp(cloud[:, :2], axis=0).max()) / 2
        spots.append(scenes.Spot(float(middle[0]), float(middle[1]), radius, float(cloud[:, 2].max())))
        x += widths[k]
    bpy.context.view_layer.update()
    return spots, np.vstack(clouds)


def _look(rng: Random, points: Points) -> None:
    """Aim the camera at the products, and step back until all of them are in the picture."""
    extent = np.ptp(points, axis=0)
    render = bpy.context.scene.render
    aspect = render.resolution_x / render.resolution_y
    width = max(float(extent[0]), float(extent[2]) * aspect) * rng.uniform(1.1, 1.7)
    dice = rng.getrandbits(32)
    for _ in range(12):
        scenes.aim(Random(dice), width, float(extent[2]) * 0.45)
        bpy.context.view_layer.update()
        seen = stage.project(points)
        if seen.min() > 0.015 and seen.max() < 0.985:
            return
        width *= 1.1


def _boxes(products: Sequence[goods.Product], mask: Path) -> list[Box | None]:
    """Return the box of what is seen of each product: everything else cuts a hole."""
    scene = bpy.context.scene
    scene.render.film_transparent = True
    scene.render.resolution_percentage = 50
    scene.cycles.samples, scene.cycles.use_denoising = 2, False
    stage.camera().data.dof.use_dof = False
    boxes = []
    for product in products:
        mine = {o.name for o in stage.family(product.handle)}
        for other in scene.objects:
            other.is_holdout = other.type == "MESH" and other.name not in mine
        stage.shoot(mask)
        boxes.append(_large(compose.alpha_box(np.asarray(Image.open(mask))[..., 3])))
    mask.unlink()
    return boxes


def _large(box: Any) -> Box | None:
    """Return a box that is large enough to count, else None."""
    if box is None or max(box[2] - box[0], box[3] - box[1]) < SIDE_MIN:
        return None
    return (round(box[0], 4), round(box[1], 4), round(box[2], 4), round(box[3], 4))
