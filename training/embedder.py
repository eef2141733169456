"""Trains the bundled embedder, a half-width ResNet-18 with a 256-d head, from random initialisation.

The recipe alone: what a batch holds, and how unseen goods are asked about; its steps are those of `train embedder`.
Views of one product belong together: rendered products (also with their hues turned, as further products), grocery
classes, and clothing photos, each an instance of its own. The schedule runs over minutes of computing; --resume goes
on, also with more products than before.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from lookalike_server.train.batch import UNCLASSED, Batch, Rng
from lookalike_server.train.composites import Stock
from lookalike_server.train.crops import HUE_TURNS_DEG, hue_turned, is_colourful, photo_crop, scene_crop, studio_crop
from lookalike_server.train.embedder import NO_RECALL, train
from lookalike_server.train.pictures import Picture
from lookalike_server.train.run import Plan, Run, embedded
from training.pictures import Product, backgrounds, clothes, groceries, iconic_cutouts, products

# A batch: categories x products each x two crops, grocery classes x two or three, clothing photos x two.
CATEGORIES = 7
PRODUCTS_EACH = 3
GROCERIES = 10
CLOTHES = 4
CLOTHES_MAX = 4000
# Of grocery classes in a batch so many also bring their catalogue picture, and so many of those as a shop shows it.
WITH_ICONIC, AS_SHOWN = 0.6, 0.6
# Rows for classes to come: products times hue turns, and the groceries.
CLASSES_MAX = 8192
RESCAN_S = 420.0
# Goods that were learnt, mixed into the gallery of the validation.
OTHERS_MAX = 60

Labelled = tuple[list[Picture], list[str]]


class Goods:
    """Everything there is to learn from by now, and how a batch is drawn from it."""

    classes = (CLASSES_MAX,)

    def __init__(self, data: Path, renders: Path, names: Path) -> None:
        self._names_file = names
        self._names: dict[str, int] = json.loads(names.read_text()) if names.exists() else {}
        self.groceries = groceries(data, "train")
        self.iconic = iconic_cutouts(data)
        self.clothes = clothes(data, "train", CLOTHES_MAX)
        self._clutter = [photo for photos in self.groceries.values() for photo in photos] + self.clothes
        self.rescan(renders)

    def rescan(self, renders: Path) -> None:
        """Read the rendered products that are there by now."""
        self.by_category: dict[str, list[tuple[Product, bool]]] = {}
        found = products(renders, validation=False)
        for product in found:
            entry = (product, is_colourful(product.views[0]))
            self.by_category.setdefault(product.category, []).append(entry)
        self.count = len(found)
        cutouts = [view for product in found for view in product.views] or list(self.iconic.values())
        self.stock = Stock(cutouts, backgrounds(renders, validation=False), self._clutter)

    def batch(self, side_px: int, rng: Rng) -> Batch:
        """Draw one batch; a class gets its number when it is first seen."""
        pictures, names = self._drawn(side_px, rng)
        before = len(self._names)
        labels = [
            UNCLASSED if name.startswith("clothes:") else self._names.setdefault(name, len(self._names))
            for name in names
        ]
        if len(self._names) > before:  # a run that is resumed must number them alike
            self._names_file.write_text(json.dumps(self._names))
        instances = {name: number for number, name in enumerate(dict.fromkeys(names))}
        return Batch(pictures, [instances[name] for name in names], [0] * len(names), labels)

    def _drawn(self, side_px: int, rng: Rng) -> Labelled:
        """Return pictures and the names of what they show, two or three pictures a name."""
        pictures: list[Picture] = []
        names: list[str] = []
        categories = list(self.by_category)
        few = min(CATEGORIES, len(categories))
        for index in rng.choice(len(categories), few, replace=False) if few else []:
            self._add_products(self.by_category[categories[index]], side_px, rng, pictures, names)
        classes = list(self.groceries)
        for index in rng.choice(len(classes), GROCERIES + 2 * (CATEGORIES - few), replace=False):
            self._add_grocery(classes[index], side_px, rng, pictures, names)
        for index in rng.choice(len(self.clothes), CLOTHES, replace=False):
            pictures += [scene_crop(self.clothes[index], side_px, rng) for _ in range(2)]
            names += [f"clothes:{index}"] * 2
        return pictures, names

    def _add_products(
        self, group: list[tuple[Product, bool]], side_px: int, rng: Rng, pictures: list[Picture], names: list[str]
    ) -> None:
        """Add products of one category, alike but not the same: the hard part of the batch."""
        seen = set()
        for _ in range(PRODUCTS_EACH):
            product, colourful = group[rng.integers(len(group))]
            turn = HUE_TURNS_DEG[rng.integers(len(HUE_TURNS_DEG))] if colourful and rng.random() < 0.6 else 0.0
            name = f"render:{product.name}:{turn:.0f}"
            if name in seen:
                continue
            seen.add(name)
            first, second = rng.choice(len(product.views), 2, replace=False)
            shown = [hue_turned(product.views[index], turn) for index in (first, second)]
            in_studio = rng.random() < 0.7
            pictures.append(
                studio_crop(shown[0], side_px, rng) if in_studio else photo_crop(shown[0], self.stock, side_px, rng)
            )
            pictures.append(photo_crop(shown[1], self.stock, side_px, rng))
            names += [name] * 2

    def _add_grocery(self, name: str, side_px: int, rng: Rng, pictures: list[Picture], names: list[str]) -> None:
        """Add two photos of a grocery class, and most times its catalogue picture, as it is or put elsewhere."""
        photos = self.groceries[name]
        chosen = rng.choice(len(photos), min(2, len(photos)), replace=False)
        added = [scene_crop(photos[at], side_px, rng) for at in chosen]
        if rng.random() < WITH_ICONIC:
            rgba = self.iconic[name]
            shown = rng.random() < AS_SHOWN
            added.append(studio_crop(rgba, side_px, rng) if shown else photo_crop(rgba, self.stock, side_px, rng))
        pictures += added
        names += [f"grocery:{name}"] * len(added)


def unseen_recall(model: Any, data: Path, renders: Path, side_px: int) -> float:
    """Return recall@1 of held-out rendered products: photo crops against two studio views each."""
    rng = np.random.default_rng(11)
    clutter = [photo for photos in groceries(data, "val").values() for photo in photos]
    asked = products(renders, validation=True)
    stock = Stock([view for product in asked for view in product.views], backgrounds(renders, True), clutter)
    gallery, owners, queries, wanted = [], [], [], []
    for product in [*asked, *products(renders, validation=False)[:OTHERS_MAX]]:
        for turn in HUE_TURNS_DEG if is_colourful(product.views[0]) else HUE_TURNS_DEG[:1]:
            name = f"{product.name}:{turn:.0f}"
            views = [hue_turned(view, turn) for view in product.views]
            gallery += [studio_crop(view, side_px, rng) for view in views[:2]]
            owners += [name] * 2
            if product in asked:
                queries += [photo_crop(view, stock, side_px, rng) for view in views[2:] for _ in range(2)]
                wanted += [name] * 2 * len(views[2:])
    if not queries:
        return NO_RECALL
    nearest = (embedded(model, queries) @ embedded(model, gallery).T).argmax(1).tolist()
    return float(np.mean([owners[at] == name for at, name in zip(nearest, wanted, strict=True)]))


def main() -> None:
    """Train until the minutes are used up; print the losses and the validation figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with grocery/ and clothing/")
    parser.add_argument("--renders", type=Path, required=True, help="folder with train/ and backgrounds_train/")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--weights", type=Path, help="an earlier run's .pt to begin with")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    goods = Goods(args.data, args.renders, args.out / "names.json")
    plan = Plan(minutes=args.minutes, rate=args.rate, seed=args.seed)
    run = Run(plan, goods, args.out, resume=args.resume)
    if args.weights and not run.step:
        run.start_from(args.weights)

    def validate(model: Any) -> float:
        goods.rescan(args.renders)
        return unseen_recall(model, args.data, args.renders, plan.side_px(run.progress))

    train(run, validate=validate, save_every_s=RESCAN_S)


if __name__ == "__main__":
    main()
