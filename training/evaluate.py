"""Measures embedders side by side, the first beside the new one and beside baselines, and a detector with them.

On the sample shop, on the shared photos of groceries and of clothing, and on held-out rendered goods; each figure says
on what. Prints a table and, as the last line, one JSON object. Never used to choose what to train: it is test data.
"""

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt
from PIL import Image

from lookalike_server.train.composites import Stock, photo
from lookalike_server.train.crops import hue_turned, studio_crop
from lookalike_server.train.pictures import Picture
from training.arguments import existing_folder, existing_path
from training.baselines import Colours, Teacher
from training.pictures import (
    PACK,
    Product,
    backgrounds,
    clothes,
    garments,
    groceries,
    labelled,
    packages,
    products,
    turns_of,
    unseen_groceries,
)
from training.serving import (
    IOU_MIN,
    SURE_SCORE_MIN,
    Boxes,
    Embedder,
    Gallery,
    Model,
    Vectors,
    chosen,
    cut,
    detected,
    overlap,
)

CATALOGUE_PX = 192
# Of the sizes that phones give, scaled down as an app does.
PHOTO_PX = (480, 360)
DISTRACTORS_MAX = 2000
# A rendered product has so many in a catalogue at most.
PICTURES_MAX = 3
CLOTHES_MAX = 10_000


def gallery_of(shop: Path, embedder: Embedder, detector: Model | None) -> Gallery:
    """Embed the catalogue: whole pictures, or, with a detector, the best box of each."""
    with (shop / "catalog.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    pictures = []
    for row in rows:
        picture = Image.open(shop / row["image"]).convert("RGB")
        boxes = detected(detector, picture, SURE_SCORE_MIN)[:1] if detector else np.zeros((0, 4), np.float32)
        pictures.append(cut(picture, boxes, embedder.margin)[0] if len(boxes) else picture)
    return Gallery(embedder.vectors(pictures), [row["product_id"] for row in rows])


def truth_of(shop: Path) -> dict[str, list[tuple[str, list[float]]]]:
    """Read the shop's ground truth: per photo the products and their boxes in fractions."""
    truth: dict[str, list[tuple[str, list[float]]]] = defaultdict(list)
    for line in (shop / "truth.jsonl").read_text().splitlines():
        row = json.loads(line)
        truth[row["photo"]].append((row["product_id"], row["box"]))
    return truth


def tapped(boxes: Boxes, box: Boxes) -> int:
    """Return which of `boxes` a shopper gets who taps the middle of `box`: the smallest around it, or -1."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    around = [i for i, b in enumerate(boxes) if b[0] <= x <= b[2] and b[1] <= y <= b[3]]
    return min(around, key=lambda i: float((boxes[i, 2:] - boxes[i, :2]).prod()), default=-1)


def measure_shop(shop: Path, detector: Model, embedder: Embedder, score_min: float, cropped: bool) -> dict[str, float]:
    """Return recall through detection and of whole pictures, and the share of boxes found."""
    gallery = gallery_of(shop, embedder, detector if cropped else None)
    told: dict[str, list[float]] = defaultdict(list)
    for taken, shown in truth_of(shop).items():
        picture = Image.open(shop / taken).convert("RGB")
        size = np.array([picture.width, picture.height] * 2, np.float32)
        truth = np.array([box for _, box in shown], np.float32) * size
        boxes = detected(detector, picture, score_min)
        found = [gallery.search(v) for v in embedder.vectors([*cut(picture, boxes, embedder.margin), picture])]
        exact = [gallery.search(v)[0] for v in embedder.vectors(cut(picture, truth, embedder.margin))]
        told["untapped_any_at_1"].append(chosen(boxes, found, picture)[0] in {name for name, _ in shown})
        ious = overlap(boxes, truth) if len(boxes) else np.zeros((1, len(truth)), np.float32)
        told["box_precision"].extend(float(of_box.max()) >= IOU_MIN for of_box in ious[: len(boxes)])
        for j, (name, _) in enumerate(shown):
            told["boxes_found_multi" if len(shown) > 1 else "boxes_found_single"].append(ious[:, j].max() >= IOU_MIN)
            answers = {"": found[tapped(boxes, truth[j])][0], "whole_": found[-1][0], "exact_box_": exact[j]}
            for kind, names in answers.items():
                told[f"{kind}recall_at_1"].append(name == names[0])
                told[f"{kind}recall_at_5"].append(name in names)
    shares = {key: round(float(np.mean(values)), 4) for key, values in told.items()}
    return shares | {"photos": len(truth_of(shop)), "products_shown": len(told["recall_at_1"])}


def measure_packages(data: Path, detector: Model, score_min: float) -> dict[str, float]:
    """Return in how many labelled photos of packages a box covers one."""
    told = []
    for picture, truth in labelled(data, validation=True):
        boxes = detected(detector, Image.fromarray(picture), score_min)
        told.append(len(boxes) > 0 and float(overlap(boxes, truth).max()) >= IOU_MIN)
    return {"photos": len(told), "found": share(told)}


def measure_groceries(data: Path, embedder: Embedder, detector: Model, score_min: float) -> dict[str, float]:
    """Return recall@1 of the validation photos against iconic pictures (A) and training photos (B)."""
    with (data / "grocery" / "grocery.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    def read(split: str) -> tuple[list[Image.Image], npt.NDArray[np.str_], npt.NDArray[np.bool_]]:
        chosen = [row for row in rows if row["split"] == split]
        pictures = [Image.open(data / "grocery" / row["path"]).convert("RGB") for row in chosen]
        packages = np.array([row["is_package"] == "1" for row in chosen])
        return pictures, np.array([row["class"] for row in chosen]), packages

    asked, wanted, packages = read("val")
    figures: dict[str, float] = {"n": len(wanted), "n_packages": int(packages.sum())}
    queries = embedder.vectors(asked)
    for name, split in (("A", "iconic"), ("B", "train")):
        pictures, owners, _ = read(split)
        vectors = embedder.vectors(pictures)
        right = owners[(queries @ vectors.T).argmax(1)] == wanted
        figures |= {f"{name}_all": share(right), f"{name}_packages": share(right[packages])}
        if split == "iconic":
            gallery = Gallery(vectors, list(owners))
            found = [untapped(one, [gallery], embedder, detector, score_min)[0][0] for one in asked]
            figures["A_all_with_detector"] = share(np.array(found) == wanted)
    return figures


def measure_unseen(data: Path, embedder: Embedder) -> dict[str, float]:
    """Return recall@1 of all photos of the 16 held-out classes against the 81 iconic pictures: for --hold-out runs."""
    unseen = unseen_groceries(data)
    iconic = groceries(data, "iconic")
    gallery = embedder.vectors([Image.fromarray(few[0]) for few in iconic.values()])
    asked = [(name, one) for split in ("train", "val") for name, few in groceries(data, split).items() for one in few]
    asked = [(name, one) for name, one in asked if name in unseen]
    wanted = np.array([name for name, _ in asked])
    found = np.array(list(iconic))[(embedder.vectors([Image.fromarray(one) for _, one in asked]) @ gallery.T).argmax(1)]
    packed = np.isin(wanted, list(packages(data)))
    right = found == wanted
    return {
        "n": len(wanted),
        "n_packages": int(packed.sum()),
        "A_all": share(right),
        "A_packages": share(right[packed]),
    }


def measure_clothing(data: Path, embedder: Embedder) -> dict[str, float]:
    """Return how often the nearest photo by another sender shows the same kind of garment."""

    def read(split: str) -> tuple[Vectors, npt.NDArray[np.str_]]:
        kinds = np.array(garments(data, split, CLOTHES_MAX))
        vectors = embedder.vectors([Image.fromarray(one) for one in clothes(data, split, CLOTHES_MAX)])
        return vectors[kinds != ""], kinds[kinds != ""]

    (gallery, kinds), (asked, wanted) = read("train"), read("val")
    return {"n": len(wanted), "kind_of_nearest": share(kinds[(asked @ gallery.T).argmax(1)] == wanted)}


def measure_renders(
    data: Path, renders: Path, embedder: Embedder, detector: Model, score_min: float
) -> dict[str, float]:
    """Return recall@1 of goods never learned, before clutter; each has one, two or three catalogue pictures."""
    rng = np.random.default_rng(29)
    # The last view is asked for, the first ones are the catalogue's.
    asked, others = (
        varieties(one for one in products(renders, validation) if len(one.views) > PICTURES_MAX)
        for validation in (True, False)
    )
    others = sorted(others, key=lambda one: crc32(one.name.encode()))[:DISTRACTORS_MAX]
    owners = [one.name for one in (*asked, *others)]
    several = [
        embedder.vectors([Image.fromarray(studio_crop(one.view(at), CATALOGUE_PX, rng)) for one in (*asked, *others)])
        for at in range(PICTURES_MAX)
    ]
    galleries = [Gallery(np.concatenate(several[:count]), owners * count) for count in range(1, PICTURES_MAX + 1)]
    clutter = [one for few in groceries(data, "val").values() for one in few]
    places = backgrounds(renders, validation=True)
    told: dict[str, list[bool]] = defaultdict(list)
    for one in asked:
        picture, boxes = photo(Stock([one.view(-1)], places, clutter), PHOTO_PX, 1, rng, mirrored=0)
        taken = Image.fromarray(picture)
        one_picture, two_pictures, three_pictures = untapped(taken, galleries, embedder, detector, score_min)
        exact = [galleries[0].search(v)[0] for v in embedder.vectors([*cut(taken, boxes, embedder.margin), taken])]
        answers = {
            "": one_picture,
            "whole_": exact[-1],
            "exact_box_": exact[0] if len(boxes) else [""],
            "two_pictures_": two_pictures,
            "three_pictures_": three_pictures,
        }
        for kind, names in answers.items():
            told[f"{kind}recall_at_1"].append(names[0] == one.name)
            if not one.product.category.startswith(PACK):
                told[f"goods_{kind}recall_at_1"].append(names[0] == one.name)
    return {key: share(right) for key, right in told.items()} | {
        "n": len(asked),
        "n_goods": len(told["goods_recall_at_1"]),
        "distractors": len(others),
    }


class Variety(NamedTuple):
    """A product with its hues turned, which is another product; turned only where it is looked at."""

    product: Product
    turn_deg: float

    @property
    def name(self) -> str:
        """Return the product's name and the turn."""
        return f"{self.product.name}:{self.turn_deg:.0f}"

    def view(self, at: int) -> Picture:
        """Return one view as a cut-out."""
        return hue_turned(self.product.views[at], self.turn_deg)


def varieties(found: Iterable[Product]) -> list[Variety]:
    """Return all that products make with their hues turned."""
    return [Variety(one, turn) for one in found for turn in turns_of(one)]


def untapped(
    picture: Image.Image, galleries: Sequence[Gallery], embedder: Embedder, detector: Model, score_min: float
) -> list[list[str]]:
    """Return the best products of each gallery for a photo in which nobody pointed at anything."""
    boxes = detected(detector, picture, score_min)
    vectors = embedder.vectors([*cut(picture, boxes, embedder.margin), picture])
    return [chosen(boxes, [gallery.search(vector) for vector in vectors], picture) for gallery in galleries]


def share(right: Sequence[bool] | npt.NDArray[np.bool_]) -> float:
    """Return the part that is right, to four places."""
    return round(float(np.mean(right)), 4) if len(right) else float("nan")


def measure(embedder: Embedder, told: argparse.Namespace, detector: Model) -> dict[str, float]:
    """Return all figures of one embedder, each named by its set."""
    figures: dict[str, float] = {}
    if told.shop:
        for name, cropped in (("shop", False), ("shop_cropped", True)):
            shares = measure_shop(told.shop, detector, embedder, told.score_min, cropped)
            figures |= {f"{name}.{key}": value for key, value in shares.items()}
    if told.data:
        sets: dict[str, Mapping[str, float]] = {
            "groceries": measure_groceries(told.data, embedder, detector, told.score_min),
            "clothing": measure_clothing(told.data, embedder),
            "packages": measure_packages(told.data, detector, told.score_min),
        }
        if told.hold_out:
            sets["unseen groceries"] = measure_unseen(told.data, embedder)
        if told.renders:
            sets["renders"] = measure_renders(told.data, told.renders, embedder, detector, told.score_min)
        figures |= {f"{name}.{key}": value for name, few in sets.items() for key, value in few.items()}
    return figures


def main() -> None:
    """Measure and print, one column for each embedder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detector", type=existing_path, required=True)
    parser.add_argument("--embedder", type=existing_path, required=True, nargs="+", help="archives, side by side")
    parser.add_argument("--teacher", type=existing_path, help="a TensorFlow Lite classifier, a baseline")
    parser.add_argument("--shop", type=existing_folder, help="folder with catalog.csv, truth.jsonl and the pictures")
    parser.add_argument("--data", type=existing_folder, help="folder with grocery/ and clothing/")
    parser.add_argument("--renders", type=existing_folder, help="holds train/ and backgrounds_train/")
    parser.add_argument("--hold-out", action="store_true", help="also on what such a run left out")
    parser.add_argument("--score-min", type=float, default=0.25)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if (args.renders or args.hold_out) and not args.data:
        parser.error("--renders and --hold-out need --data")
    detector = Model(args.detector, args.threads)
    columns: dict[str, Embedder] = {str(archive): Model(archive, args.threads) for archive in args.embedder}
    columns["colours alone"] = Colours()
    if args.teacher:
        columns[str(args.teacher)] = Teacher(args.teacher, args.threads)
    told = {name: measure(embedder, args, detector) for name, embedder in columns.items()}
    for number, name in enumerate(told, start=1):
        print(f"({number}) {name}")
    for key in next(iter(told.values())):
        print(f"  {key:<36}" + "".join(f"{figures[key]:>10.4g}" for figures in told.values()))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
