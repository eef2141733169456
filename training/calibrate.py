"""Fits what the bundled embedder's cosines mean, on goods that it was not trained on, and writes it into the archive.

Grocery validation photos ask the iconic pictures; held-out rendered goods, before clutter, ask the catalogue pictures
of all rendered goods. Clothing photos of unseen senders, which no gallery here has, are asked for as what a shop does
not have. All of it is learned from; what is printed is of two halves, by product: what one teaches is judged by the
other. The sample shop is not looked at.
"""

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from lookalike_server.models import calibrate
from lookalike_server.models.calibrate import Pairs
from lookalike_server.train.composites import Stock
from lookalike_server.train.crops import photo_crop, studio_crop
from lookalike_server.train.pictures import Picture
from training.arguments import existing_folder, existing_path
from training.pictures import PACK, backgrounds, clothes, groceries, products
from training.serving import Model, Vectors

SIDE_PX = 192
# Photos of what no gallery here has.
ABSENT_MAX = 300
OTHERS_MAX = 400


def half_of(name: str) -> int:
    """Return in which half a product is, 0 or 1; by another hash than held_out's, whose bits would come along."""
    return hashlib.sha256(name.encode()).digest()[0] % 2


def vectors(embedder: Model, pictures: Sequence[Picture]) -> Vectors:
    """Return the vectors of RGB arrays."""
    return embedder.vectors([Image.fromarray(picture) for picture in pictures])


def grocery_pairs(data: Path, embedder: Model) -> tuple[list[Pairs], Vectors]:
    """Return the pairs of each half, and the gallery."""
    iconic = {name: pictures[0] for name, pictures in groceries(data, "iconic").items()}
    gallery, owners = vectors(embedder, list(iconic.values())), list(iconic)
    halves = []
    for half in (0, 1):
        photos = [(name, photo) for name, few in groceries(data, "val").items() for photo in few]
        photos = [(name, photo) for name, photo in photos if half_of(name) == half]
        queries = vectors(embedder, [photo for _, photo in photos])
        halves.append(calibrate.pairs_of(queries, [name for name, _ in photos], gallery, owners))
    return halves, gallery


def render_pairs(data: Path, renders: Path, embedder: Model) -> tuple[list[Pairs], Vectors]:
    """Return the same for rendered goods: two catalogue pictures each, and queries in clutter from other sides.

    Without drawn packages: their varieties are made to be hardly told apart, as those of few shops are.
    """
    rng = np.random.default_rng(23)
    asked = [one for one in products(renders, validation=True) if not one.category.startswith(PACK)]
    clutter = [photo for photos in groceries(data, "val").values() for photo in photos]
    stock = Stock([view for one in asked for view in one.views], backgrounds(renders, True), clutter)
    shop = [*asked, *islice(products(renders, validation=False), OTHERS_MAX)]
    gallery = vectors(embedder, [studio_crop(view, SIDE_PX, rng) for one in shop for view in one.views[:2]])
    owners = [one.name for one in shop for _ in one.views[:2]]
    halves = []
    for half in (0, 1):
        some = [one for one in asked if half_of(one.name) == half]
        crops = [photo_crop(view, stock, SIDE_PX, rng) for one in some for view in one.views[2:] for _ in range(2)]
        wanted = [one.name for one in some for _ in one.views[2:] for _ in range(2)]
        halves.append(calibrate.pairs_of(vectors(embedder, crops), wanted, gallery, owners))
    return halves, gallery


def main() -> None:
    """Fit, judge, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embedder", type=existing_path, required=True)
    parser.add_argument("--data", type=existing_folder, required=True, help="folder with grocery/ and clothing/")
    parser.add_argument("--renders", type=existing_folder, required=True, help="holds train/ and backgrounds_train/")
    parser.add_argument("--out", type=Path, help="the archive to write; else it is only printed")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    embedder = Model(args.embedder, args.threads)
    sets = {"groceries": grocery_pairs(args.data, embedder), "renders": render_pairs(args.data, args.renders, embedder)}
    absent = vectors(embedder, clothes(args.data, "val", ABSENT_MAX))
    best_absent = np.max([(gallery @ absent.T).max(0) for _, gallery in sets.values()], axis=0).astype(np.float64)
    halves = {name: few for name, (few, _) in sets.items()}
    halves["clothing, absent"] = [Pairs(np.empty(0), np.empty(0, bool), few) for few in np.array_split(best_absent, 2)]
    fitted = calibrate.fit(calibrate.joined([one for few in halves.values() for one in few]))
    by_half = [calibrate.fit(calibrate.joined([few[half] for few in halves.values()])) for half in (0, 1)]
    told = {"fitted": asdict(fitted)} | {
        name: [asdict(calibrate.quality(by_half[1 - half], few[half])) for half in (0, 1)]
        for name, few in halves.items()
    }
    if args.out:
        calibrate.write(args.embedder, fitted, args.out)
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
