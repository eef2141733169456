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


def lessons(teacher: Path, pictures: Sequence[Picture], kept: Path, threads: int) -> Vectors:
    """Return the teacher's unit vectors of pictures (n, 256), from the file `kept` where they are there already."""
    if not kept.exists():
        features = Teacher(teacher, threads).vectors([Image.fromarray(picture) for picture in pictures])
        unit = normalised(features.astype(np.float64))
        written = kept.with_suffix(f".{os.getpid()}.npy")  # several processes may begin at once
        np.save(written, principal(unit).project(unit, WHITENING).astype(np.float32))
        written.replace(kept)
    found: Vectors = np.load(kept)
    if len(found) != len(pictures):
        raise ValueError(f"{kept} is of {len(found)} pictures and there are {len(pictures)}: delete it")
    return found
