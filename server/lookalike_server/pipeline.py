"""Answers searches: a photo becomes candidates, the candidates vectors, the vectors products; the better match wins.

Knows no wire: it takes what was checked and returns values.
"""

import math
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np
import numpy.typing as npt

from lookalike_router.answer import Coverage, Explained, Found, ProductHit
from lookalike_router.router import Router
from lookalike_server.deadline import Deadline
from lookalike_server.errors import ModelMismatch, NotThere, TooLittleCoverage
from lookalike_server.facets import FACETED_MAX, Facets, counted
from lookalike_server.models.detector import DETECTIONS_MAX, SCORE_MIN
from lookalike_server.models.match import Calibration, Level, Match
from lookalike_server.query import PhotoQuery, ProductQuery, Search, VectorQuery
from lookalike_server.regions import WHOLE_BOX, Box, Detection, Point, Whole, at_point
from lookalike_server.timings import Timings
from lookalike_server.vision import Photo, Seen, Vision

# Detections that are tried as the query, the surest first, beside the whole photo. Every one costs an embedding and a
# query to every shard; a shopper's photo rarely shows more things than this that are meant.
CANDIDATES_MAX = 4
# A detection is shown from this score on. A tap is evidence of its own: it may mean one of which the detector is less
# sure (on the sample's photos this finds 4 in 100 more of the tapped products; below 0.1 no more).
SHOWN_SCORE_MIN = SCORE_MIN
TAPPED_SCORE_MIN = 0.1
SHOWN_MAX = DETECTIONS_MAX
TAPPED_MAX = 2 * DETECTIONS_MAX
# Kept back from the caller's time for merging, writing and sending, so that a slow shard never costs the answer.
RESERVE_FRACTION = 0.1
RESERVE_MAX_S = 0.25
# Fractions of slots are sums of float32 on the wire: 2/3 asked and 2/3 answered must not differ by rounding.
COVERAGE_SLACK = 1e-6
# Of the parts of a photo a small one finds something alike by chance more often, and the best of several matches is one
# of these. So a part costs this much of cosine for every e-fold by which it is smaller than the photo. On 296 photos of
# groceries the right product came first for 37.8 % without it and 40.5 % with it (the whole photo alone: 40.2 %), on
# the sample's 48 for 89.6 % and 93.8 %; from 0.03 to 0.08 the figures differ little.
SMALLNESS_COST = 0.05
# From this score on it costs less, and nothing at 1: nobody finds the very same picture by chance.
SURE_FROM = 0.95
# Of two exact matches the one that float32 puts ahead by its last bit is not the better one.
SCORE_DIGITS = 5
# A box has some area, however small.
AREA_MIN = 1e-6
# Less than any hit of any part.
NOTHING_WORTH = -math.inf


class Source(Enum):
    """Why a part of a photo was used."""

    BOX = "box"
    POINT = "point"
    WHOLE_IMAGE = "whole_image"
    DETECTION = "detection"
    WHOLE_IMAGE_MATCHED_BETTER = "whole_image_matched_better"
    NOTHING_DETECTED = "nothing_detected"


@dataclass(frozen=True)
class Searched:
    """The part of a photo that was used, and why."""

    box: Box
    source: Source


@dataclass(frozen=True)
class Answer:
    """What one search found."""

    search_id: str
    detections: tuple[Detection, ...]
    searched: Searched | None
    """None where the query was no photo."""
    hits: tuple[ProductHit, ...]
    matches: tuple[Match, ...]
    """What the score of each hit means; empty where the embedder does not say."""
    nothing_alike: bool
    """Whether even the best hit of all is no match, as far as the embedder can say."""
    coverage: Coverage
    timings: Timings
    search_ms: float
    total_ms: float
    token: str = field(repr=False)
    """Names the photo; empty where the query was none."""
    model: str
    explained: tuple[Explained, ...] | None
    """How each shard came to its part; None where nobody asked."""
    facets: Facets | None = None
    """What it may be narrowed by; None where nobody asked."""


@dataclass(frozen=True, eq=False)
class Embedded:
    """One part of a photo as a vector."""

    vector: npt.NDArray[np.float32] = field(repr=False)  # (256,), unit length
    part: Searched
    seen: Seen
    model: str
    total_ms: float


@dataclass(frozen=True, eq=False)
class Detected:
    """The products seen in a photo, best first."""

    seen: Seen
    detections: tuple[Detection, ...]
    model: str
    total_ms: float


@dataclass(frozen=True, eq=False)
class Asked:
    """What the shards are asked, and what the photo showed."""

    queries: npt.NDArray[np.float32]  # (n, 256)
    parts: tuple[Searched, ...] = ()
    """What each of the queries is; none where the query was no photo."""
    seen: Seen | None = None
    leave_out: str | None = None
    """The product that is the query itself."""


class Pipeline:
    """Searches, detects and embeds for one shop."""

    def __init__(self, vision: Vision, router: Router, *, shard_deadline_s: float) -> None:
        self._vision = vision
        self._router = router
        self._shard_deadline_s = shard_deadline_s

    async def search(self, search: Search, deadline: Deadline) -> Answer:
        """Answer one search."""
        begun = time.perf_counter()
        asked = await self._asked(search, deadline)
        deadline.check("ask the shards")
        asking = time.perf_counter()
        found = await self._router.search(
            asked.queries,
            # The product that is the query is its own best match: one more is asked for in its place.
            needed(search) + (1 if asked.leave_out else 0),
            where=search.where,
            score_min=search.score_min,
            deadline_s=shard_deadline_s(deadline, self._shard_deadline_s),
        )
        search_ms = since_ms(asking)
        demand_coverage(found.coverage, search.coverage_min)
        hits, part = best_match(found, asked)
        matches = judged(hits, self._vision.calibration, contested(asked, part))
        nothing = self._vision.calibration is not None and nothing_alike(matches)
        hits, matches = good_enough(hits, matches, search.match_min)
        return Answer(
            search_id=uuid.uuid4().hex,
            detections=shown(asked.seen.detections) if asked.seen else (),
            searched=part,
            hits=hits[search.offset : search.offset + search.limit],
            matches=matches[search.offset : search.offset + search.limit],
            nothing_alike=nothing,
            coverage=found.coverage,
            timings=asked.seen.timings if asked.seen else Timings(),
            search_ms=search_ms,
            total_ms=since_ms(begun),
            token=asked.seen.token if asked.seen else "",
            model=self._vision.embedder_id,
            explained=found.explain() if search.explain else None,
            facets=counted(hit.attributes for hit in hits[:FACETED_MAX]) if search.facets else None,
        )

    async def detect(self, photo: Photo, deadline: Deadline) -> Detected:
        """Find the products in a photo."""
        begun = time.perf_counter()
        seen = await self._vision.see(photo, deadline, detect=True)
        return Detected(seen, shown(seen.detections), self._vision.detector_id, since_ms(begun))

    async def embed(self, query: PhotoQuery, deadline: Deadline) -> Embedded:
        """Embed one part of a photo: the one asked for, else the best detection, else the whole."""
        begun = time.perf_counter()
        seen = await self._see(query, deadline)
        part = candidates(query, seen.detections)[0]
        vectors = await self._vision.embed(seen, [part.box], deadline)
        return Embedded(vectors[0], part, seen, self._vision.embedder_id, since_ms(begun))

    @property
    def detector_id(self) -> str:
        """The detector as "name@version+digest"."""
        return self._vision.detector_id

    @property
    def embedder_id(self) -> str:
        """The embedder as "name@version+digest"."""
        return self._vision.embedder_id

    async def _asked(self, search: Search, deadline: Deadline) -> Asked:
        match search.query:
            case PhotoQuery() as query:
                seen = await self._see(query, deadline)
                parts = candidates(query, seen.detections)
                vectors = await self._vision.embed(seen, [part.box for part in parts], deadline)
                return Asked(vectors, parts, seen)
            case ProductQuery(product_id):
                rows = (await self._router.get([product_id], deadline.remaining_s())).get(product_id)
                if not rows:
                    raise NotThere(product_id)
                return Asked(np.stack([row.vector for row in rows]), leave_out=product_id)
            case VectorQuery() as query:
                if query.model and query.model != self._vision.embedder_id:
                    raise ModelMismatch(query.model, self._vision.embedder_id)
                return Asked(query.vector[np.newaxis])

    async def _see(self, query: PhotoQuery, deadline: Deadline) -> Seen:
        detect = query.region is None or isinstance(query.region, Point)
        return await self._vision.see(query.photo, deadline, detect=detect)


def candidates(query: PhotoQuery, detections: Sequence[Detection]) -> tuple[Searched, ...]:
    """Return the parts of a photo to try, the one to prefer among equals first."""
    whole = Searched(WHOLE_BOX, Source.NOTHING_DETECTED)
    match query.region:
        case Box() as box:
            return (Searched(box, Source.BOX),)
        case Whole():
            return (replace(whole, source=Source.WHOLE_IMAGE),)
        case Point() as point:
            there = at_point(shown(detections), point) or at_point(detections, point)
            return (Searched(there.box, Source.POINT) if there else whole,)
    if not shown(detections):
        return (whole,)
    tried = (Searched(seen.box, Source.DETECTION) for seen in shown(detections)[:CANDIDATES_MAX])
    return (*tried, replace(whole, source=Source.WHOLE_IMAGE_MATCHED_BETTER))


def shown(detections: Sequence[Detection]) -> tuple[Detection, ...]:
    """Return the detections that are sure enough to be shown."""
    return tuple(seen for seen in detections if seen.score >= SHOWN_SCORE_MIN)[:SHOWN_MAX]


def best_match(found: Found, asked: Asked) -> tuple[tuple[ProductHit, ...], Searched | None]:
    """Return the hits of the part of the photo that matched best; of a product's pictures, those of all together."""
    if asked.parts:
        # max() keeps the first of equals: the surer detection.
        best = max(range(len(asked.parts)), key=lambda i: worth(found.answers[i], asked.parts[i].box))
        return tuple(found.answers[best]), asked.parts[best]
    return tuple(hit for hit in joined(found.answers) if hit.product_id != asked.leave_out), None


def judged(hits: Sequence[ProductHit], calibration: Calibration | None, box: Box | None) -> tuple[Match, ...]:
    """Return what each hit's score means, less what a part at `box` costs; nothing where the embedder does not say."""
    costs = (smallness_cost(box, hit.score) if box else 0.0 for hit in hits)
    return (
        tuple(calibration.judge(hit.score - cost) for hit, cost in zip(hits, costs, strict=True)) if calibration else ()
    )


def good_enough(
    hits: tuple[ProductHit, ...], matches: tuple[Match, ...], least: Level | None
) -> tuple[tuple[ProductHit, ...], tuple[Match, ...]]:
    """Return the hits, best first, whose match is `least` or better, and their matches."""
    if least is None or not matches:
        return hits, matches
    count = sum(match.level.rank <= least.rank for match in matches)
    return hits[:count], matches[:count]


def nothing_alike(matches: Sequence[Match]) -> bool:
    """Say whether even the best of all hits is no match."""
    return not matches or matches[0].level is Level.NONE


def contested(asked: Asked, part: Searched | None) -> Box | None:
    """Return where the part is that won over others: it may have won by chance, and its scores count less.

    Without this, 4.4 % of the grocery photos had a wrong best hit that was called the same, with it 1.4 %.
    """
    return part.box if part and len(asked.parts) > 1 else None


def smallness_cost(box: Box, score: float) -> float:
    """Return how much better a part of a photo, whose best match has this score, must match than the whole."""
    doubt = min(max(1 - score, 0.0) / (1 - SURE_FROM), 1.0)
    return SMALLNESS_COST * doubt * -math.log(max(box.area, AREA_MIN))


def worth(hits: Sequence[ProductHit], box: Box) -> float:
    """Return what the best hit of a part of a photo is worth beside those of other parts."""
    if not hits:
        return NOTHING_WORTH
    return round(hits[0].score - smallness_cost(box, hits[0].score), SCORE_DIGITS)


def joined(answers: Sequence[Sequence[ProductHit]]) -> list[ProductHit]:
    """Join the answers to several pictures of one query: each product once, at its best score, best first."""
    best: dict[str, ProductHit] = {}
    for hit in (hit for answer in answers for hit in answer):
        known = best.get(hit.product_id)
        if known is None or hit.score > known.score:
            best[hit.product_id] = hit
    return sorted(best.values(), key=lambda hit: (-hit.score, hit.product_id))


def needed(search: Search) -> int:
    """Return how many products the shards are asked for: those of the page, and those to count."""
    page = search.offset + search.limit
    return max(page, FACETED_MAX) if search.facets else page


def demand_coverage(coverage: Coverage, wanted: float) -> None:
    """Raise TooLittleCoverage where less of the shop answered than is wanted."""
    if coverage.slots_fraction + COVERAGE_SLACK < wanted:
        missing = tuple(one.shard for one in coverage.missing)
        raise TooLittleCoverage(wanted, coverage.slots_fraction, missing)


def shard_deadline_s(deadline: Deadline, most_s: float) -> float:
    """Return how long the shards may take, so that a partial answer still reaches the caller in time."""
    left_s = deadline.remaining_s()
    return min(most_s, left_s - min(RESERVE_MAX_S, RESERVE_FRACTION * left_s))


def since_ms(begun_s: float) -> float:
    """Return the milliseconds since a time.perf_counter()."""
    return (time.perf_counter() - begun_s) * 1000
