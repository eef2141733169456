"""Trains a YOLO by ultralytics, from composites made here and from labelled photos. Knows YOLO's folders.

Composites put cut-out products before clutter, so that their boxes are exact and cost nobody any labelling.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lookalike_server.train.composites import Boxes, Rng, Stock, photo, pick, studio_picture
from lookalike_server.train.pictures import Picture
from lookalike_server.train.run import TrainError

ONE_CLASS = "product"
SIZES = ((640, 480), (480, 640), (512, 512))
COUNTS, COUNT_ODDS = (0, 1, 2, 3, 4), (0.04, 0.46, 0.18, 0.16, 0.16)
STUDIO_SHARE = 0.2
# One composite in ten is kept for validation.
VALIDATION = 10
JPEG_QUALITY = 92


@dataclass(frozen=True)
class DetectorPlan:
    """How a run goes."""

    weights: str
    """A YOLO that ultralytics knows: yolo26n.yaml for random weights, or a .pt."""
    out: Path
    epochs: int = 50
    size_px: int = 320
    batch: int = 16
    seed: int = 0
    threads: int = 2


def write_composites(stock: Stock, out: Path, count: int, seed: int) -> Path:
    """Write composites in YOLO's format, those that are there already left as they are; return their data.yaml."""
    if not stock.cutouts:
        raise TrainError(
            "no product has a picture with a white ground: nothing can be cut out; give labelled photos with --labels"
        )
    for number in range(count):
        split = "val" if number % VALIDATION == 0 else "train"
        label = out / "labels" / split / f"{number:06d}.txt"
        if label.exists():
            continue
        picture, boxes = composite(stock, np.random.default_rng((seed, number)))
        image = out / "images" / split / f"{number:06d}.jpg"
        for folder in (image.parent, label.parent):
            folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(image), picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        # Last: it says that the picture is whole.
        label.write_text(labels_of(boxes, picture.shape[1], picture.shape[0]))
    return data_yaml(out / "data.yaml", [out / "images" / "train"], [out / "images" / "val"], [ONE_CLASS])


def composite(stock: Stock, rng: Rng) -> tuple[Picture, Boxes]:
    """Return one picture and the boxes of its products."""
    size = SIZES[int(rng.integers(len(SIZES)))]
    if rng.random() < STUDIO_SHARE:
        return studio_picture(pick(stock.cutouts, rng), size, rng)
    return photo(stock, size, int(rng.choice(COUNTS, p=COUNT_ODDS)), rng)


def labels_of(boxes: Boxes, width: int, height: int) -> str:
    """Write boxes as YOLO has them: class, then centre and size in fractions."""
    lines = []
    for left, top, right, bottom in boxes.tolist():
        centre = ((left + right) / 2 / width, (top + bottom) / 2 / height)
        lines.append(f"0 {centre[0]:.6f} {centre[1]:.6f} {(right - left) / width:.6f} {(bottom - top) / height:.6f}\n")
    return "".join(lines)


def data_yaml(path: Path, train: Sequence[Path], val: Sequence[Path], names: Sequence[str]) -> Path:
    """Write what ultralytics reads a data set by; JSON is YAML too."""
    told = {
        "train": [str(one.resolve()) for one in train],
        "val": [str(one.resolve()) for one in val],
        "names": dict(enumerate(names)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, indent=2) + "\n")
    return path


def train(plan: DetectorPlan, data: Path, *, resume: bool, say: Callable[[str], None] = print) -> Path:
    """Train, and return the best weights; `resume` takes a stopped run up again."""
    import torch
    from ultralytics import YOLO

    torch.set_num_threads(plan.threads)
    last = plan.out / "run" / "weights" / "last.pt"
    resumes = resume and last.is_file()
    try:
        model: Any = YOLO(str(last) if resumes else plan.weights, task="detect")
    except Exception as error:  # whatever unpickling a stranger's file may raise
        raise TrainError(f"{plan.weights} is not a YOLO that ultralytics reads: {error}") from error
    if getattr(model, "task", "") != "detect":
        raise TrainError(f"{plan.weights} is a YOLO for the task {model.task!r}, not one that detects")
    say(f"training {plan.weights} on {data}" + (", taken up again" if resumes else ""))
    try:
        if resumes:
            model.train(resume=True)
        else:
            model.train(
                data=str(data),
                epochs=plan.epochs,
                imgsz=plan.size_px,
                batch=plan.batch,
                seed=plan.seed,
                project=str(plan.out.resolve()),
                name="run",
                exist_ok=True,
                deterministic=True,
                plots=False,
                workers=0 if plan.threads < 2 else 1,
            )
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise TrainError(f"ultralytics could not train on {data}: {error}") from error
    best = plan.out / "run" / "weights" / "best.pt"
    return best if best.is_file() else last
