"""Measures two archives on the sample shop, and the embedder on the grocery photos; onnxruntime only.

A small serving path of its own (brute force instead of shards), so that the figures are the models'
and not the server's. Prints a table and, as the last line, one JSON object. Never used to choose
what to train: the sample shop is test data.
"""

import argparse
import csv
import json
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image

Vectors = npt.NDArray[np.float32]  # (n, 256), unit length
Boxes = npt.NDArray[np.float32]  # (n, 4) left top right bottom, pixels

LETTERBOX_GREY = (114, 114, 114)
# Boxes of a photo that are looked at, best first, and those that are tried as the query beside the whole picture.
BOXES_MAX = 20
CANDIDATES_MAX = 4
# The server embeds the best box of a catalogue picture from this score on, else the whole picture.
SURE_SCORE_MIN = 0.9
# A box is right from this overlap with the truth on.
IOU_MIN = 0.5


class Model:
    """One archive: its manifest and a session on the CPU."""

    def __init__(self, archive: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        with zipfile.ZipFile(archive) as file:
            self.manifest: dict[str, Any] = json.loads(file.read("manifest.json"))
            content = file.read(self.manifest["file"])
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(self, pictures: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
        """Return the output for letterboxed pictures, batched."""
        given = self.manifest["input"]
        mean, std = (np.array(given[key], np.float32) for key in ("mean", "std"))
        pixels = np.stack([np.asarray(picture, np.float32) for picture in pictures])
        x = ((pixels / 255 * given["range"] - mean) / std).transpose(0, 3, 1, 2)
        return np.asarray(self._session.run([self.manifest["output"]], {given["name"]: np.ascontiguousarray(x)})[0])

    def framed(self, picture: Image.Image) -> tuple[Image.Image, float, tuple[int, int]]:
        """Return a picture letterboxed for the input, the scale, and the grey's width at left and top."""
        width, height = self.manifest["input"]["width"], self.manifest["input"]["height"]
        scale = min(width / picture.width, height / picture.height)
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        offset = ((width - size[0]) // 2, (height - size[1]) // 2)
        frame = Image.new("RGB", (width, height), LETTERBOX_GREY)
        frame.paste(picture.resize(size, Image.Resampling.BILINEAR), offset)
        return frame, scale, offset


def detected(detector: Model, picture: Image.Image, score_min: float) -> Boxes:
    """Return the boxes of a picture that score at least `score_min`, best first."""
    frame, scale, offset = detector.framed(picture)
    rows = detector.run([frame])[0]
    rows = rows[rows[:, 4] >= score_min][:BOXES_MAX]
    boxes = (rows[:, :4] - np.array([*offset, *offset], np.float32)) / scale
    limits = np.array([picture.width, picture.height] * 2, np.float32)
    boxes = np.clip(boxes, 0, limits)
    return boxes[((boxes[:, 2:] - boxes[:, :2]) >= 2).all(1)]


def embedded(embedder: Model, pictures: Sequence[Image.Image]) -> Vectors:
    """Return the vectors of pictures."""
    frames = [embedder.framed(picture)[0] for picture in pictures]
    return np.concatenate([embedder.run(frames[i : i + 16]) for i in range(0, len(frames), 16)])


def cut(picture: Image.Image, boxes: Boxes) -> list[Image.Image]:
    """Return the parts of a picture in `boxes`."""
    return [picture.crop((int(b[0]), int(b[1]), int(np.ceil(b[2])), int(np.ceil(b[3])))) for b in boxes]


def overlap(first: Boxes, second: Boxes) -> npt.NDArray[np.float32]:
    """Return the intersection over union of (n, 4) and (m, 4) boxes as (n, m)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (first, second)]
    return np.asarray(shared / (areas[0][:, None] + areas[1][None] - shared + 1e-9), np.float32)


class Gallery:
    """All catalogue pictures of the shop as vectors."""

    def __init__(self, vectors: Vectors, owners: Sequence[str]) -> None:
        self._vectors, self._owners = vectors, owners

    def search(self, vector: Vectors) -> tuple[list[str], float]:
        """Return the five best products, one entry each, and the best score."""
        scores = self._vectors @ vector
        order = np.argsort(-scores)[:50]
        return list(dict.fromkeys(self._owners[i] for i in order))[:5], float(scores[order[0]])


def gallery_of(shop: Path, embedder: Model, detector: Model | None) -> Gallery:
    """Embed the catalogue: whole pictures, or, with a detector, the best box of each."""
    with (shop / "catalog.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    pictures = []
    for row in rows:
        picture = Image.open(shop / row["image"]).convert("RGB")
        boxes = detected(detector, picture, SURE_SCORE_MIN)[:1] if detector else np.zeros((0, 4), np.float32)
        pictures.append(cut(picture, boxes)[0] if len(boxes) else picture)
    return Gallery(embedded(embedder, pictures), [row["product_id"] for row in rows])


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


def measure_shop(shop: Path, detector: Model, embedder: Model, score_min: float, cropped: bool) -> dict[str, float]:
    """Return recall through detection and of whole pictures, and the share of boxes found."""
    gallery = gallery_of(shop, embedder, detector if cropped else None)
    told: dict[str, list[float]] = defaultdict(list)
    for photo, products in truth_of(shop).items():
        picture = Image.open(shop / photo).convert("RGB")
        size = np.array([picture.width, picture.height] * 2, np.float32)
        truth = np.array([box for _, box in products], np.float32) * size
        boxes = detected(detector, picture, score_min)
        found = [gallery.search(v) for v in embedded(embedder, [*cut(picture, boxes), picture])]
        exact = [gallery.search(v)[0] for v in embedded(embedder, cut(picture, truth))]
        untapped = max([*found[:-1][:CANDIDATES_MAX], found[-1]], key=lambda answer: answer[1])[0]
        wanted = {name for name, _ in products}
        told["untapped_any_at_1"].append(untapped[0] in wanted)
        ious = overlap(boxes, truth) if len(boxes) else np.zeros((1, len(truth)), np.float32)
        told["box_precision"].extend(float(of_box.max()) >= IOU_MIN for of_box in ious[: len(boxes)])
        for j, (name, _) in enumerate(products):
            told["boxes_found_multi" if len(products) > 1 else "boxes_found_single"].append(ious[:, j].max() >= IOU_MIN)
            answers = {"": found[tapped(boxes, truth[j])][0], "whole_": found[-1][0], "exact_box_": exact[j]}
            for kind, names in answers.items():
                told[f"{kind}recall_at_1"].append(name == names[0])
                told[f"{kind}recall_at_5"].append(name in names)
    shares = {key: round(float(np.mean(values)), 4) for key, values in told.items()}
    return shares | {"photos": len(truth_of(shop)), "products_shown": len(told["recall_at_1"])}


def measure_groceries(data: Path, embedder: Model) -> dict[str, float]:
    """Return recall@1 of the validation photos against iconic pictures (A) and training photos (B)."""
    with (data / "grocery" / "grocery.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    def vectors(split: str) -> tuple[Vectors, npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        chosen = [row for row in rows if row["split"] == split]
        pictures = [Image.open(data / "grocery" / row["path"]).convert("RGB") for row in chosen]
        labels = np.array([int(row["class_id"]) for row in chosen])
        return embedded(embedder, pictures), labels, np.array([row["is_package"] == "1" for row in chosen])

    asked, wanted, packages = vectors("val")
    figures = {"n": float(len(wanted)), "n_packages": float(packages.sum())}
    for name, split in (("A", "iconic"), ("B", "train")):
        gallery, labels, _ = vectors(split)
        right = labels[(asked @ gallery.T).argmax(1)] == wanted
        figures |= {
            f"{name}_all": round(float(right.mean()), 4),
            f"{name}_packages": round(float(right[packages].mean()), 4),
        }
    return figures


def measure(archive: Path, told: argparse.Namespace, detector: Model) -> dict[str, float]:
    """Return all figures of one embedder, each named by its set."""
    embedder = Model(archive, told.threads)
    figures: dict[str, float] = {}
    if told.shop:
        for name, cropped in (("shop", False), ("shop_cropped", True)):
            shares = measure_shop(told.shop, detector, embedder, told.score_min, cropped)
            figures |= {f"{name}.{key}": value for key, value in shares.items()}
    if told.data:
        figures |= {f"groceries.{key}": value for key, value in measure_groceries(told.data, embedder).items()}
    return figures


def main() -> None:
    """Measure and print, one column for each embedder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detector", type=Path, required=True)
    parser.add_argument("--embedder", type=Path, required=True, nargs="+", help="one or more archives, side by side")
    parser.add_argument("--shop", type=Path, help="folder with catalog.csv, truth.jsonl and the pictures")
    parser.add_argument("--data", type=Path, help="folder with grocery/")
    parser.add_argument("--score-min", type=float, default=0.25)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    detector = Model(args.detector, args.threads)
    told = {str(archive): measure(archive, args, detector) for archive in args.embedder}
    for number, archive in enumerate(told, start=1):
        print(f"({number}) {archive}")
    for key in next(iter(told.values())):
        print(f"  {key:<36}" + "".join(f"{figures[key]:>10.4g}" for figures in told.values()))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
