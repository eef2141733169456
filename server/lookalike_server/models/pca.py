"""Learns how to bring a network's features to 256 numbers on a shop's own pictures. Knows numbers alone.

PCA keeps the directions in which the pictures differ most. Dividing each by its spread (whitening) lets the small
ones speak too; all of it drowns the large ones. How much of it is best is found on pictures held out.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lookalike_server.errors import ServerError

Floats = npt.NDArray[np.float64]

DIM = 256
# Spread to the power of so much is divided by: 0 is none, 1 is full whitening.
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
# Every fifth product with several pictures is held out to choose the strength.
HELD_OUT = 5
# Fewer pairs cannot tell one strength from another.
PAIRS_MIN = 10
# Directions in which pictures differ less than this share of the first are noise: whitening would blow it up.
SPREAD_MIN_SHARE = 1e-4


class TooFewPictures(ServerError):
    """There is too little to learn from."""


@dataclass(frozen=True, eq=False)
class Projection:
    """Brings features to 256 numbers: weight @ features + bias."""

    weight: npt.NDArray[np.float32]  # (256, features)
    bias: npt.NDArray[np.float32]  # (256,)
    whitening: float
    recall: dict[float, float]
    """recall@1 of the pictures held out, by whitening."""


def fit(features: npt.NDArray[np.float32], owners: Sequence[str]) -> Projection:
    """Learn a projection from pooled features (n, d) of pictures, and whose pictures they are."""
    unit = normalised(features.astype(np.float64))
    if len(unit) <= DIM:
        raise TooFewPictures(f"{len(unit)} pictures are too few: PCA to {DIM} numbers needs more than {DIM}")
    held = held_out(owners)
    if len(held) < PAIRS_MIN:
        raise TooFewPictures(
            f"{len(held)} products with two or more pictures can be held out, and {PAIRS_MIN} are needed to choose the "
            f"whitening: give a catalogue in which {PAIRS_MIN * HELD_OUT} or more products have several"
        )
    learned = np.array([name not in held for name in owners])
    part = principal(unit[learned])
    asked = [owner for owner in owners if owner in held]
    recall = {power: found_first(part.project(unit[~learned], power), asked) for power in STRENGTHS}
    # Of equals the least whitening: it is the most stable.
    best = max(STRENGTHS, key=lambda power: (round(recall[power], 6), -power))
    weight, bias = principal(unit).matrix(best)
    return Projection(weight.astype(np.float32), bias.astype(np.float32), best, recall)


@dataclass(frozen=True, eq=False)
class Principal:
    """The directions in which features differ most, and how far they do."""

    mean: Floats  # (d,)
    directions: Floats  # (256, d), orthonormal
    spread: Floats  # (256,), standard deviations

    def matrix(self, whitening: float) -> tuple[Floats, Floats]:
        """Return weight (256, d) and bias (256,)."""
        spread = np.maximum(self.spread, self.spread[0] * SPREAD_MIN_SHARE)
        weight = self.directions / (spread[:, None] / spread[0]) ** whitening
        return weight, -weight @ self.mean

    def project(self, unit: Floats, whitening: float) -> Floats:
        """Return unit vectors (n, 256)."""
        weight, bias = self.matrix(whitening)
        return normalised(unit @ weight.T + bias)


def principal(unit: Floats) -> Principal:
    """Find the directions of unit features (n, d)."""
    mean = unit.mean(0)
    centred = unit - mean
    # By the covariance: its size is that of the features, however many pictures there are.
    variances, directions = np.linalg.eigh(centred.T @ centred / max(1, len(unit) - 1))
    kept = min(DIM, len(variances))
    missing = (0, DIM - kept)
    spread = np.sqrt(np.maximum(variances[::-1][:kept], 0))
    return Principal(mean, np.pad(directions.T[::-1][:kept], (missing, (0, 0))), np.pad(spread, missing))


def held_out(owners: Sequence[str]) -> set[str]:
    """Return every fifth of the products with several pictures."""
    several = [name for name, count in Counter(owners).items() if count > 1]
    return set(several[::HELD_OUT])


def found_first(unit: Floats, owners: Sequence[str]) -> float:
    """Return the share of pictures whose nearest other one is of the same product."""
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -2)
    nearest = cosines.argmax(1)
    return float(np.mean([owners[at] == owners[near] for at, near in enumerate(nearest)])) if len(unit) else 0.0


def normalised(rows: Floats) -> Floats:
    """Return rows of unit length."""
    unit: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit
