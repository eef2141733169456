"""Renders goods to train on: cut-outs over nothing, each from its own side in its own light."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

from PIL import Image

from renders import goods, photos, scenes, stage

# Seeds from here on are for training; the sample shop's lie far below, so that no product is in both.
FIRST_SEED = 100_000
# Goods in training photos are others again than the cut-outs.
PHOTO_SEEDS = 50_000
VIEWS = 4
SIDE_PX = 208
SAMPLES = 8


def jobs(products: int, after: int = 0) -> list[tuple[str, int]]:
    """Return (category, seed) of that many products, the categories taking turns; the first `after` are left out."""
    names = list(goods.BUILDERS)
    return [(names[k % len(names)], FIRST_SEED + k // len(names)) for k in range(after, after + products)]


def render(out: Path, products: int, after: int, worker: int, workers: int) -> None:
    """Render this worker's share; products that are there already are passed over."""
    started, count = time.monotonic(), 0
    for category, seed in jobs(products, after)[worker::workers]:
        folder = out / goods.product_id(category, seed)
        missing = [k for k in range(VIEWS) if not (folder / f"{k}.png").exists()]
        if missing:
            render_product(category, seed, folder, missing)
            count += len(missing)
            print(f"{folder.name}: {(time.monotonic() - started) / count:.2f} s a picture", flush=True)


def render_product(category: str, seed: int, folder: Path, views: list[int]) -> None:
    """Render some views of one product."""
    stage.reset(SAMPLES, SIDE_PX, SIDE_PX)
    product = goods.build(category, seed)
    points = stage.corners(stage.family(product.handle))
    for view in views:
        rng = Random(f"train/{category}/{seed}/{view}")
        stage.frame(points, stage.any_view(rng, goods.reach_deg(category)))
        stage.light(stage.any_light(rng), rng)
        stage.shoot(folder / f"{view}.png")


def render_backgrounds(out: Path, count: int, worker: int, workers: int) -> None:
    """Render cluttered places without products; other seeds than the sample photos' places."""
    for k in range(count)[worker::workers]:
        picture = out / f"background-{k:03d}.jpg"
        if picture.exists():
            continue
        rng = Random(f"background/{FIRST_SEED + k}")
        size = (480, 360) if rng.random() < 0.6 else (360, 480)
        scenes.background(rng, *size, samples=8)
        raw = out / f".background-{k:03d}.png"
        stage.shoot(raw)
        half = out / f".background-{k:03d}.jpg"
        Image.open(raw).convert("RGB").save(half, quality=88)
        raw.unlink()
        half.replace(picture)
        print(picture.name, flush=True)


def render_photos(out: Path, count: int, worker: int, workers: int) -> None:
    """Render photos of training goods in cluttered places, each with a JSON file of its boxes."""
    names = sorted(photos.SIZES)
    items = [photos.Item(name, FIRST_SEED + PHOTO_SEEDS + k) for k in range(count // 8 + 1) for name in names]
    counts = [1 + k % 4 for k in range(count)]
    for photo in photos.plan(Random("training photos"), items, counts)[worker::workers]:
        photos.render(photo, "train", out, scale=0.75)
        print(photo.name, flush=True)
