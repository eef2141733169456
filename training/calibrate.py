"""Fits what the bundled embedder's cosines mean, on goods that it was not trained on, and writes it into the archive.

Grocery validation photos ask the iconic pictures; held-out rendered goods, before clutter, ask the catalogue pictures
of all rendered goods. One half of each, by product, is learned from; the other says how well it holds. Clothing photos
of unseen senders, which no gallery here has, are counted as false matches. The sample shop is not looked at.
"""

import argparse
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from lookalike_server.models import calibrate
from lookalike_server.models.calibrate import Pairs
from lookalike_server.train.composites import Stock
from lookalike_server.train.crops import photo_crop, studio_crop
from lookalike_server.train.pictures import Picture
from training.pictures import backgrounds, clothes, groceries, products
from training.serving import Model, Vectors

SIDE_PX = 192
# Photos of what no gallery here has: so many are learned from, the others say how well it holds.
ABSENT_LEARNED, ABSENT_MAX = 200, 600
OTHERS_MAX = 400


def asked_of(name: str) -> bool:
    """Tell whether a product is learned from, or else says how well that holds."""
    return zlib.crc32(f"calibrate {name}".encode()) % 2 == 0


def vectors(embedder: Model, pictures: Sequence[Picture]) -> Vectors:
    """Return the vectors of RGB arrays."""
    return embedder.vectors([Image.fromarray(picture) for picture in pictures])


def grocery_pairs(data: Path, embedder: Model) -> tuple[Pairs, Pairs, Vectors]:
    """Return the pairs to learn from, those to judge by, and the gallery."""
    iconic = {name: pictures[0] for name, pictures in groceries(data, "iconic").items()}
    gallery, owners = vectors(embedder, list(iconic.values())), list(iconic)
    halves = []
    for learned in (True, False):
        photos = [(name, photo) for name, few in groceries(data, "val").items() for photo in few]
        photos = [(name, photo) for name, photo in photos if asked_of(name) == learned]
        queries = vectors(embedder, [photo for _, photo in photos])
        halves.append(calibrate.pairs_of(queries, [name for name, _ in photos], gallery, owners))
    return halves[0], halves[1], gallery


def render_pairs(data: Path, renders: Path, embedder: Model) -> tuple[Pairs, Pairs, Vectors]:
    """Return the same for rendered goods: two catalogue pictures each, and queries in clutter from other sides."""
    rng = np.random.default_rng(23)
    asked = products(renders, validation=True)
    clutter = [photo for photos in groceries(data, "val").values() for photo in photos]
    stock = Stock([view for one in asked for view in one.views], backgrounds(renders, True), clutter)
    shop = [*asked, *products(renders, validation=False)[:OTHERS_MAX]]
    gallery = vectors(embedder, [studio_crop(view, SIDE_PX, rng) for one in shop for view in one.views[:2]])
    owners = [one.name for one in shop for _ in one.views[:2]]
    halves = []
    for learned in (True, False):
        some = [one for one in asked if asked_of(one.name) == learned]
        crops = [photo_crop(view, stock, SIDE_PX, rng) for one in some for view in one.views[2:] for _ in range(2)]
        wanted = [one.name for one in some for _ in one.views[2:] for _ in range(2)]
        halves.append(calibrate.pairs_of(vectors(embedder, crops), wanted, gallery, owners))
    return halves[0], halves[1], gallery


def main() -> None:
    """Fit, judge, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embedder", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder with grocery/ and clothing/")
    parser.add_argument("--renders", type=Path, required=True, help="folder with train/ and backgrounds_train/")
    parser.add_argument("--out", type=Path, help="the archive to write; else it is only printed")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    embedder = Model(args.embedder, args.threads)
    sets = {"groceries": grocery_pairs(args.data, embedder), "renders": render_pairs(args.data, args.renders, embedder)}
    absent = vectors(embedder, clothes(args.data, "val", ABSENT_MAX))
    best_absent = np.max([(gallery @ absent.T).max(0) for _, _, gallery in sets.values()], axis=0).astype(np.float64)
    absent_learned, absent_judged = best_absent[:ABSENT_LEARNED], best_absent[ABSENT_LEARNED:]
    learned = calibrate.joined([one for one, _, _ in sets.values()])
    learned = Pairs(learned.cosines, learned.same, np.concatenate([learned.best_wrong, absent_learned]))
    fitted = calibrate.fit(learned)
    told = {"fitted": asdict(fitted)}
    for name, (_, judged, _) in sets.items():
        told[name] = asdict(calibrate.quality(fitted, judged))
    told["clothing, absent"] = {
        "queries": len(absent_judged),
        "false_same": float(np.mean([fitted.probability(c) >= fitted.same_min for c in absent_judged])),
        "nothing_alike": float(np.mean([fitted.probability(c) < fitted.weak_min for c in absent_judged])),
    }
    if args.out:
        calibrate.write(args.embedder, fitted, args.out)
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
