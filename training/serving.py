"""A small serving path of the trainers' own: archives run by onnxruntime, boxes, crops, brute force instead of shards.

So that figures are the models' and not the server's. Knows no data set.
"""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image

from lookalike_server.pipeline import CANDIDATES_MAX, smallness_cost
from lookalike_server.regions import WHOLE_BOX, Box

Vectors = npt.NDArray[np.float32]  # (n, dim), unit length
Boxes = npt.NDArray[np.float32]  # (n, 4) left top right bottom, pixels

LETTERBOX_GREY = (114, 114, 114)
# Boxes of a photo that are looked at, best first.
BOXES_MAX = 20
# The server embeds the best box of a catalogue picture from this score on, else the whole picture.
SURE_SCORE_MIN = 0.9
# What it sees is all there is from the first score on, if nothing else has the second: of 332 photos with one drawn
# box, it did so in 74 %, and was right in all.
ALONE_SCORE_MIN, OTHER_SCORE_MAX = 0.6, 0.3
# A box is right from this overlap with the truth on.
IOU_MIN = 0.5


class Embedder(Protocol):
    """Whatever turns pictures into vectors."""

    margin: float
    """So much of a box's side it is to be shown beyond each side."""

    def vectors(self, pictures: Sequence[Image.Image]) -> Vectors:
        """Return a unit vector for each picture."""
        ...


class Model:
    """One archive: its manifest and a session on the CPU."""

    def __init__(self, archive: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        with zipfile.ZipFile(archive) as file:
            self.manifest: dict[str, Any] = json.loads(file.read("manifest.json"))
            content = file.read(self.manifest["file"])
        self.margin = float(self.manifest.get("margin", 0.0))
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(self, pictures: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
        """Return the output for letterboxed pictures, batched."""
        given = self.manifest["input"]
        mean, std = (np.array(given[key], np.float32) for key in ("mean", "std"))
        pixels = np.stack([np.asarray(picture, np.float32) for picture in pictures])
        x = ((pixels / 255 * given["range"] - mean) / std).transpose(0, 3, 1, 2)
        return np.asarray(self._session.run([self.manifest["output"]], {given["name"]: np.ascontiguousarray(x)})[0])

    def vectors(self, pictures: Sequence[Image.Image]) -> Vectors:
        """Return the vectors of pictures, by an embedder."""
        frames = [self.framed(picture)[0] for picture in pictures]
        return np.concatenate([self.run(frames[i : i + 16]) for i in range(0, len(frames), 16)])

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


def alone(detector: Model, picture: Image.Image) -> list[list[float]]:
    """Return the box of the one thing that a detector sees, in fractions; none where it is unsure or sees more."""
    boxes = detected(detector, picture, OTHER_SCORE_MAX)
    if len(boxes) != 1 or not len(detected(detector, picture, ALONE_SCORE_MIN)):
        return []
    found: list[list[float]] = (boxes / np.array([picture.width, picture.height] * 2, np.float32)).tolist()
    return found


def cut(picture: Image.Image, boxes: Boxes, margin: float) -> list[Image.Image]:
    """Return the parts of a picture in `boxes`, with `margin` of a box's side more on each side where there is that."""
    more = margin * (boxes[:, 2:] - boxes[:, :2])
    low = np.maximum(np.floor(boxes[:, :2] - more), 0).astype(int)
    high = np.minimum(np.ceil(boxes[:, 2:] + more), picture.size).astype(int)
    return [picture.crop((*first, *last)) for first, last in zip(low.tolist(), high.tolist(), strict=True)]


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


def chosen(boxes: Boxes, found: Sequence[tuple[list[str], float]], picture: Image.Image) -> list[str]:
    """Return the answer that the server gives where nobody pointed: of the first boxes, or of the whole picture.

    `found` are the answers to the crops and, last, to the whole picture.
    """
    size = np.array([picture.width, picture.height] * 2, np.float32)
    shares = [Box(*(float(side) for side in np.clip(box / size, 0, 1))) for box in boxes[:CANDIDATES_MAX]]
    tried = [*zip(shares, found[:-1], strict=False), (WHOLE_BOX, found[-1])]
    return max(tried, key=lambda one: one[1][1] - smallness_cost(one[0], one[1][1]))[1][0]
