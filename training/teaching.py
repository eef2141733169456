"""What another classifier says of photos, as vectors to follow. Knows no labels.

The embedder follows only how alike it finds different things, so its numbers need not be the embedder's.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from lookalike_server.models.pca import normalised, principal
from lookalike_server.train.batch import Vectors
from lookalike_server.train.pictures import Picture
from training.baselines import Teacher

# Raw features of photos are all alike; with half of their spread evened out, they find more products.
WHITENING = 0.5
# It sees each photo so often: the whole, then parts of so much of its sides.
PARTS = 3
PART_MIN, PART_MAX = 0.4, 0.9
# Pictures that are copied for it at a time; all of them at once take gigabytes.
AT_ONCE = 256


def parts_of(number: int, picture: Picture) -> tuple[Picture, ...]:
    """Return the whole picture and parts of it, which lie elsewhere for each `number`: every day the same."""
    rng = np.random.default_rng(number)
    rows, columns = picture.shape[:2]
    parts = [picture]
    for _ in range(PARTS - 1):
        height, width = (max(1, round(side * rng.uniform(PART_MIN, PART_MAX))) for side in (rows, columns))
        top, left = rng.integers(rows - height + 1), rng.integers(columns - width + 1)
        parts.append(picture[top : top + height, left : left + width])
    return tuple(parts)


def lessons(teacher: Path, pictures: Sequence[Picture], kept: Path, threads: int) -> Vectors:
    """Return the teacher's unit vectors of pictures (n, 256), from the file `kept` where they are there already."""
    if not kept.exists():
        asked = Teacher(teacher, threads)
        features = np.concatenate(
            [
                asked.vectors([Image.fromarray(picture) for picture in pictures[at : at + AT_ONCE]])
                for at in range(0, len(pictures), AT_ONCE)
            ]
        )
        unit = normalised(features.astype(np.float64))
        written = kept.with_suffix(f".{os.getpid()}.npy")  # several processes may begin at once
        np.save(written, principal(unit).project(unit, WHITENING).astype(np.float32))
        written.replace(kept)
    found: Vectors = np.load(kept)
    if len(found) != len(pictures):
        raise ValueError(f"{kept} is of {len(found)} pictures and there are {len(pictures)}: delete it")
    return found
