"""Judges searches over photos whose products are known. Knows no client and no terminal."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from lookalike_server.regions import Box, Point

# The overlap from which a box counts as found: the usual one.
FOUND_IOU = 0.5


class BadTruth(Exception):
    """The file of known products cannot be read."""


@dataclass(frozen=True)
class Known:
    """One product that a photo shows, and where."""

    product_id: str
    box: Box

    @property
    def middle(self) -> Point:
        """Where a shopper would tap."""
        return Point((self.box.left + self.box.right) / 2, (self.box.top + self.box.bottom) / 2)


@dataclass(frozen=True)
class KnownPhoto:
    """One photo and all the products that it shows."""

    photo: str
    products: tuple[Known, ...]


@dataclass(frozen=True)
class Tapped:
    """What a shopper gets who taps on one known product."""

    known: Known
    searched: Box
    found: tuple[str, ...]
    """The ids of the products answered, best first."""
    found_whole: tuple[str, ...]
    """Those that the whole photo finds."""


@dataclass(frozen=True)
class Tried:
    """One photo, searched."""

    photo: str
    detections: tuple[Box, ...]
    taps: tuple[Tapped, ...]
    search_ms: float
    """From sending the photo to its answer, as the caller sees it."""
    coverage: float
    """The least of the fractions of the shop that answered."""


@dataclass(frozen=True)
class Verdict:
    """What all photos together say; fractions are 0 to 1."""

    photos: int
    products_shown: int
    recall_at_1: float
    recall_at_5: float
    whole_recall_at_1: float
    whole_recall_at_5: float
    boxes_found: float
    """Of the products on photos that show several."""
    search_p50_ms: float
    search_p95_ms: float
    coverage: float


def read_truth(path: Path) -> tuple[KnownPhoto, ...]:
    """Read lines of {"photo", "product_id", "box": [left, top, right, bottom]}, in the order of their photos."""
    return tuple(
        KnownPhoto(photo, tuple(known for _, known in lines))
        for photo, lines in groupby(sorted(known_lines(path), key=lambda line: line[0]), key=lambda line: line[0])
    )


def known_lines(path: Path) -> Iterator[tuple[str, Known]]:
    """Yield each line's photo and product, or raise BadTruth."""
    try:
        for line in path.read_text().splitlines():
            said = json.loads(line)
            yield said["photo"], Known(said["product_id"], Box(*map(float, said["box"])))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadTruth(f"{path} cannot be read: {error}") from error


def judged(tried: Sequence[Tried]) -> Verdict:
    """Count what was found."""
    taps = [tap for one in tried for tap in one.taps]
    several = [(tap, one) for one in tried if len(one.taps) > 1 for tap in one.taps]
    spent_ms = [one.search_ms for one in tried]
    return Verdict(
        photos=len(tried),
        products_shown=len(taps),
        recall_at_1=share([tap.known.product_id in tap.found[:1] for tap in taps]),
        recall_at_5=share([tap.known.product_id in tap.found[:5] for tap in taps]),
        whole_recall_at_1=share([tap.known.product_id in tap.found_whole[:1] for tap in taps]),
        whole_recall_at_5=share([tap.known.product_id in tap.found_whole[:5] for tap in taps]),
        boxes_found=share([is_found(tap.known.box, one.detections) for tap, one in several]),
        search_p50_ms=float(np.percentile(spent_ms, 50)) if spent_ms else 0.0,
        search_p95_ms=float(np.percentile(spent_ms, 95)) if spent_ms else 0.0,
        coverage=min((one.coverage for one in tried), default=0.0),
    )


def is_found(box: Box, detections: Sequence[Box]) -> bool:
    """Say whether some detection is this box, as far as boxes agree."""
    return any(box.iou(seen) >= FOUND_IOU for seen in detections)


def share(hits: Sequence[bool]) -> float:
    """Return the share of true ones; of none, 0."""
    return sum(hits) / len(hits) if hits else 0.0
