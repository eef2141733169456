"""Counts how good answers were whose right products are known. Pure: knows no server and no files."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lookalike.types import Box, Hit, Match, Timings

# The depth of every search and of every figure.
DEPTH = 10
STAGES = ("queue_ms", "decode_ms", "detect_ms", "embed_ms", "search_ms", "total_ms")


class Mode(StrEnum):
    """How a photo was asked about."""

    DETECTED = "detected"
    """The photo alone: the server detects and takes the best match. Any product shown is right."""
    WHOLE = "whole"
    """The whole photo. Any product shown is right."""
    TAPPED = "tapped"
    """The middle of a product's true box: the detector's box there."""
    BOXED = "boxed"
    """A product's true box: what a perfect detector would give."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer, judged; `right` has a place for each hit, best first."""

    mode: Mode
    photo: Path
    wanted: str
    category: str
    searched: Box | None
    hits: tuple[Hit, ...]
    right: tuple[bool, ...]
    relevant: int
    """How many products of the shop are right; at least 1 where the photo shows anything of the shop."""
    nothing_alike: bool
    timings: Timings

    @property
    def absent(self) -> bool:
        """Whether the shop has nothing of what the photo shows."""
        return self.relevant == 0

    def found_within(self, depth: int) -> bool:
        """Say whether a right product is among the first."""
        return any(self.right[:depth])

    @property
    def average_precision(self) -> float:
        """The mean, over the right products, of the precision down to each; within DEPTH."""
        found, total = 0, 0.0
        for rank, right in enumerate(self.right[:DEPTH], start=1):
            if right:
                found += 1
                total += found / rank
        return total / min(self.relevant, DEPTH)

    @property
    def margin(self) -> float:
        """How much better the best wrong product scored than the best right one; a right one not found counts as -1."""
        scores = {True: -1.0, False: -1.0}
        for hit, right in zip(self.hits, self.right, strict=True):
            scores[right] = max(scores[right], hit.score)
        return scores[False] - scores[True]


@dataclass(frozen=True, slots=True)
class Figures:
    """Shares of `n` answers, 0 to 1."""

    n: int
    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    map_at_10: float


@dataclass(frozen=True, slots=True)
class Matches:
    """What the words for scores are worth; shares are 0 where n is 0, and photos are asked about without a region."""

    absent: int
    """Photos of things that are not in the shop."""
    absent_called_same: float
    """The false-match rate."""
    absent_nothing_alike: float
    """Of which the answer said that the shop has nothing like it."""
    true_pairs: int
    """Answers, to taps where there are boxes, with a right product among them."""
    true_called_same: float
    called_same: int
    """Answers, as above, whose best hit is called the same."""
    called_same_right: float


@dataclass(frozen=True, slots=True)
class Spent:
    """Milliseconds on the server."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Report:
    """What all answers together say."""

    photos: int
    model: str
    modes: Mapping[str, Figures]
    detection_gains: float
    """recall@1 of `detected` less that of `whole`: below 0, detection costs."""
    categories: Mapping[str, Mapping[str, Figures]]
    matches: Matches
    timings_ms: Mapping[str, Spent]
    """By stage, of searches by photo without a region."""
    unknown_products: tuple[str, ...]
    """Products of the ground truth that the shop does not have: every answer about them is a miss."""
    failed: Mapping[str, str]
    """Photos that were refused, and why."""


def report(
    answers: Sequence[Judged], *, model: str, unknown: Iterable[str] = (), failed: Mapping[str, str] | None = None
) -> Report:
    """Sum up what was judged."""
    modes = by_mode(answers)
    by_category: dict[str, list[Judged]] = defaultdict(list)
    for one in answers:
        by_category[one.category].append(one)
    detected, whole = (modes.get(mode) for mode in (Mode.DETECTED, Mode.WHOLE))
    plain = [one.timings for one in answers if one.mode is Mode.DETECTED]
    return Report(
        photos=len({one.photo for one in answers}),
        model=model,
        modes=modes,
        detection_gains=detected.recall_at_1 - whole.recall_at_1 if detected and whole else 0.0,
        categories={name: by_mode(few) for name, few in sorted(by_category.items()) if name},
        matches=matches(answers),
        timings_ms={stage: spent([getattr(one, stage) for one in plain]) for stage in STAGES},
        unknown_products=tuple(sorted(unknown)),
        failed=failed or {},
    )


def by_mode(answers: Iterable[Judged]) -> dict[str, Figures]:
    """Return the figures of each mode that was asked about something the shop has."""
    grouped: dict[Mode, list[Judged]] = defaultdict(list)
    for one in answers:
        if not one.absent:
            grouped[one.mode].append(one)
    return {mode: figures(grouped[mode]) for mode in Mode if mode in grouped}


def figures(answers: Sequence[Judged]) -> Figures:
    """Return the figures of answers about things that the shop has."""
    at = {depth: share(one.found_within(depth) for one in answers) for depth in (1, 5, 10)}
    precision = sum(one.average_precision for one in answers) / max(1, len(answers))
    return Figures(len(answers), at[1], at[5], at[10], precision)


def matches(answers: Sequence[Judged]) -> Matches:
    """Return what the words for scores are worth."""
    absent = [one for one in answers if one.absent and one.mode is Mode.DETECTED]
    shown = [one for one in as_shoppers_ask(answers) if not one.absent]
    pairs = [hit.match for one in shown for hit in _first_right(one)]
    same = [one for one in shown if called_same(one)]
    return Matches(
        absent=len(absent),
        absent_called_same=share(called_same(one) for one in absent),
        absent_nothing_alike=share(one.nothing_alike for one in absent),
        true_pairs=len(pairs),
        true_called_same=share(match is Match.SAME for match in pairs),
        called_same=len(same),
        called_same_right=share(one.found_within(1) for one in same),
    )


def as_shoppers_ask(answers: Sequence[Judged]) -> list[Judged]:
    """Return the answers that a shopper would get: to taps where products have boxes, else to the photo alone."""
    tapped = {one.photo for one in answers if one.mode is Mode.TAPPED}
    return [one for one in answers if one.mode is (Mode.TAPPED if one.photo in tapped else Mode.DETECTED)]


def worst(answers: Sequence[Judged], count: int) -> list[Judged]:
    """Return the worst misses as a shopper has them: things that are not in the shop taken for it, and wrong bests."""
    missed = [one for one in as_shoppers_ask(answers) if (called_same(one) if one.absent else not one.found_within(1))]
    return sorted(missed, key=lambda one: -one.margin)[:count]


def called_same(one: Judged) -> bool:
    """Say whether an answer calls its best hit the same."""
    return bool(one.hits) and one.hits[0].match is Match.SAME


def _first_right(one: Judged) -> Iterable[Hit]:
    return [hit for hit, right in zip(one.hits, one.right, strict=True) if right][:1]


def share(those: Iterable[bool]) -> float:
    """Return the share of true ones; of none, 0."""
    told = list(those)
    return sum(told) / len(told) if told else 0.0


def spent(ms: Sequence[float]) -> Spent:
    """Return percentiles: the least value that so many percent do not exceed."""
    ordered = sorted(ms) or [0.0]
    p50, p95, p99 = (ordered[max(0, math.ceil(part * len(ordered)) - 1)] for part in (0.5, 0.95, 0.99))
    return Spent(p50, p95, p99)
