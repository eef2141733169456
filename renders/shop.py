"""Makes the sample shop: its products, catalogue pictures, shopper photos and truth."""

from __future__ import annotations

import csv
import json
import zlib
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from renders import compose, goods, photos, stage
from renders.photos import Item, Photo

# Kinds that show best; the others are for training alone. Seeds far below the training's first.
CATEGORIES: tuple[str, ...] = (
    "mug", "teapot", "vase", "bowl", "bottle", "carton", "can", "jar", "candle", "lamp", "clock", "cushion", "plant",
    "chair", "shoe", "hat", "handbag", "backpack", "suitcase", "headphones", "book", "plush", "car", "drum",
    "ukulele", "speaker", "perfume", "milk",
)  # fmt: skip
PER_CATEGORY = 6
# How many products each photo shows.
COUNTS: tuple[int, ...] = (1,) * 20 + (2,) * 12 + (3,) * 10 + (4,) * 6
CATALOGUE_PX, CATALOGUE_SAMPLES = 320, 6
# Rendered a little smaller than shown: a telephone's picture is soft, and time goes with the pixels.
PHOTO_SCALE = 0.875
JPEG_QUALITY = 90
PHOTO_QUALITY = 85
COLUMNS = (
    "product_id",
    "image",
    "title",
    "category",
    "brand",
    "price",
    "currency",
    "url",
    "in_stock",
    "color",
    "material",
)
PACKAGED = frozenset({"carton", "milk", "can", "jar", "soap", "perfume", "candle"})
PRICES: dict[str, tuple[int, int]] = {
    "mug": (9, 28), "teapot": (24, 70), "vase": (15, 80), "bowl": (9, 40), "bottle": (14, 40), "carton": (2, 7),
    "can": (1, 14), "jar": (2, 9), "candle": (9, 36), "lamp": (35, 140), "clock": (18, 75), "cushion": (14, 55),
    "plant": (12, 48), "chair": (69, 240), "shoe": (49, 160), "hat": (15, 60), "handbag": (45, 220),
    "backpack": (39, 140), "suitcase": (79, 260), "headphones": (49, 280), "book": (9, 32), "plush": (12, 40),
    "car": (9, 35), "drum": (49, 190), "ukulele": (45, 180), "speaker": (59, 320), "perfume": (29, 120), "milk": (1, 4),
}  # fmt: skip
WHOLE_NAMES = {
    "car": "toy vehicles",
    "plush": "soft toys",
    "milk": "drinks",
    "carton": "groceries",
    "can": "tins",
    "headphones": "headphones",
}


def items() -> list[Item]:
    """Return the shop's products, the categories taking turns."""
    return [Item(category, seed) for seed in range(1, PER_CATEGORY + 1) for category in CATEGORIES]


def album() -> list[Photo]:
    """Return the photos to take."""
    return photos.plan(Random("sample photos"), items(), COUNTS)


def render(cache: Path, worker: int, workers: int) -> None:
    """Render this worker's share of the catalogue and of the photos into `cache`; what is there stays."""
    for item in items()[worker::workers]:
        _catalogue(item, cache / "catalogue" / item.product_id)
    for photo in album()[worker::workers]:
        photos.render(photo, "sample", cache / "photos", PHOTO_SCALE)
        print(photo.name, flush=True)


def _catalogue(item: Item, folder: Path) -> None:
    """Render a product from the front and from another side, and write down what it is."""
    facts = folder / "facts.json"
    if facts.exists():
        return
    stage.reset(CATALOGUE_SAMPLES, CATALOGUE_PX, CATALOGUE_PX)
    product = goods.build(item.category, item.seed)
    points = stage.corners(stage.family(product.handle))
    rng = Random(f"catalogue/{item.product_id}")
    other_side = 150.0 if goods.reach_deg(item.category) > 90 else -42.0
    for k, (azimuth, elevation) in enumerate(((28.0, 16.0), (other_side, 30.0)), start=1):
        stage.frame(points, stage.View(azimuth + rng.uniform(-8, 8), elevation + rng.uniform(-4, 4)), margin=0.09)
        stage.light(stage.Light(azimuth - 50, 55, 0.05, 0.75, 0.7, 2.6), rng)
        stage.shoot(folder / f"{k}.png")
    facts.write_text(json.dumps(_row(product)))
    print(item.product_id, flush=True)


def _row(product: goods.Product) -> dict[str, str]:
    """Return what the catalogue says of a product."""
    kit, facts = product.kit, product.facts
    rng = Random(f"row/{kit.category}/{kit.seed}")
    if kit.category in PACKAGED:
        title = f"{kit.brand} {facts.noun}"
    elif kit.category == "book":
        title = facts.noun[0].upper() + facts.noun[1:]
    else:
        words = f"{facts.look} {facts.noun}, {kit.main.name}".strip()
        title = words[0].upper() + words[1:]
    low, high = PRICES[kit.category]
    product_id = goods.product_id(kit.category, kit.seed)
    return {
        "product_id": product_id,
        "title": title,
        "category": WHOLE_NAMES.get(kit.category, f"{kit.category}s"),
        "brand": kit.brand,
        "price": f"{rng.randint(low, high)}.{rng.choice(('90', '50', '95', '00'))}",
        "currency": "EUR",
        "url": f"https://shop.example/p/{product_id}",
        "in_stock": "true" if rng.random() < 0.9 else "false",
        "color": kit.main.family,
        "material": facts.material,
    }


def assemble(cache: Path, out: Path) -> None:
    """Write the shop from a full cache: JPEGs, catalog.csv, truth.jsonl."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    (out / "photos").mkdir(exist_ok=True)
    with (out / "catalog.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        for item in sorted(items(), key=lambda item: item.product_id):
            folder = cache / "catalogue" / item.product_id
            row = json.loads((folder / "facts.json").read_text())
            for k in (1, 2):
                name = f"images/{item.product_id}-{k}.jpg"
                compose.studio(Image.open(folder / f"{k}.png")).save(out / name, quality=JPEG_QUALITY, optimize=True)
                table.writerow({**row, "image": name})
    lines = [line for photo in album() for line in _photo(photo, cache / "photos", out)]
    (out / "truth.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _photo(photo: Photo, folder: Path, out: Path) -> list[dict[str, Any]]:
    """Write one photo as a telephone would, and return its lines of truth."""
    name = f"photos/{photo.name}.jpg"
    numbers = np.random.default_rng(zlib.crc32(photo.name.encode()))
    size = (photo.width_px, photo.height_px)
    raw = Image.open(folder / f"{photo.name}.png").convert("RGB").resize(size, Image.Resampling.LANCZOS)
    taken = compose.phone(raw, numbers)
    taken.save(out / name, quality=PHOTO_QUALITY, optimize=True)
    return [{"photo": name, **found} for found in json.loads((folder / f"{photo.name}.json").read_text())]
