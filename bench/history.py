"""Remembers what was written and what searches answered, and says afterwards which answers cannot be.

Knows no router. Times are of the machine's monotonic clock, which all of its processes share. A row *may* be seen from
the moment its write began until the write that replaces it was acknowledged; it *must* be seen from its own
acknowledgement until the next write of its product began.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

NEVER = float("inf")
# Scores of equal vectors differ this much between float32 sums of another order.
TIE = 1e-4


@dataclass
class Write:
    """One write of a product; without pictures a delete."""

    product: int
    serial: int
    """Names it among all writes of a shop; 0 for what the shop was stocked with."""
    pictures: Vectors
    """(n, 256), unit length."""
    begun_s: float
    ended_s: float = NEVER
    """When it was acknowledged; NEVER where its outcome is unknown."""
    error: str = ""


@dataclass(frozen=True)
class Hit:
    """A product as a search returned it."""

    product: int
    serial: int
    picture: int
    score: float


@dataclass(frozen=True)
class Asked:
    """One search: of a product's own picture, or of any vector where `product` is -1."""

    query: Vectors
    """(256,), unit length."""
    product: int
    begun_s: float
    ended_s: float
    hits: Sequence[Hit]
    error: str = ""
    """Why there is no whole answer."""

    @property
    def ms(self) -> float:
        """How long it took."""
        return (self.ended_s - self.begun_s) * 1000


@dataclass
class Log:
    """What one process did; all writes of a product are in one log, one after the other."""

    writes: list[Write] = field(default_factory=list)
    searches: list[Asked] = field(default_factory=list)


@dataclass(frozen=True)
class Judged:
    """What was wrong with answers."""

    stale: int = 0
    """Hits that an acknowledged write had replaced before the search began."""
    revived: int = 0
    """Hits of products whose delete had been acknowledged before the search began."""
    doubled: int = 0
    """Answers that named a product twice."""
    unknown: int = 0
    """Hits that nobody had written, or whose score is not that of the picture written."""
    unseen: int = 0
    """Searches of a product's own picture that did not find the product."""
    own: int = 0
    """Searches of a product's own picture."""
    found: int = 0
    """Of the rows that brute force says must be among the best, those that were."""
    due: int = 0

    @property
    def recall(self) -> float:
        """How many of the rows that must be among the best were found; HNSW does not find all."""
        return self.found / self.due if self.due else 1.0


class Rows:
    """Every row that ever was."""

    def __init__(self, lives: Mapping[int, Sequence[Write]]) -> None:
        """Take each product's writes in their order."""
        columns = list(_columns(lives.values()))
        self._row = {row[:3]: at for at, row in enumerate(columns)}
        self._of_product: dict[int, list[int]] = {}
        for at, row in enumerate(columns):
            self._of_product.setdefault(row[0], []).append(at)
        self._product = np.array([row[0] for row in columns])
        self._may_s, self._must_s, self._must_until_s, self._may_until_s = np.array([row[3:] for row in columns]).T
        self._vector: Vectors = np.concatenate([one.pictures for writes in lives.values() for one in writes])

    def judge(self, asked: Asked) -> Judged:
        """Say which hits cannot be."""
        wrong = Counter(self._wrong(hit, asked) for hit in asked.hits)
        hits = {hit.product for hit in asked.hits}
        return Judged(
            stale=wrong["stale"],
            revived=wrong["revived"],
            unknown=wrong["unknown"],
            doubled=len(asked.hits) - len(hits),
            unseen=self._known(asked) and asked.product not in hits,
            own=self._known(asked),
        )

    def compare(self, asked: Asked, limit: int) -> Judged:
        """Compare an answer with exact brute force over all rows."""
        scores = self._vector @ asked.query
        may = (self._may_s <= asked.ended_s) & (self._may_until_s >= asked.begun_s)
        must = (self._must_s <= asked.begun_s) & (self._must_until_s >= asked.ended_s)
        # Whatever may or may not be seen may take a place away from what must be.
        best = _first_products(self._product, scores, may, limit)
        hits = {hit.product for hit in asked.hits}
        # Of two that are equal either may be the last.
        least = min((hit.score for hit in asked.hits), default=-1.0) + TIE if len(hits) == limit else -1.0
        due = [(product in hits) or scores[row] <= least for product, row in best if must[row]]
        return Judged(found=sum(due), due=len(due))

    def _known(self, asked: Asked) -> bool:
        """Say whether a search is of a picture that is there all the while."""
        rows = self._of_product.get(asked.product, [])
        there = (self._must_s[rows] <= asked.begun_s) & (self._must_until_s[rows] >= asked.ended_s)
        return bool((there & (self._vector[rows] @ asked.query > 1 - TIE)).any())

    def _wrong(self, hit: Hit, asked: Asked) -> str:
        """Say what is wrong with a hit; nothing is an empty text."""
        row = self._row.get((hit.product, hit.serial, hit.picture))
        if row is None or abs(float(self._vector[row] @ asked.query) - hit.score) > TIE:
            return "unknown"
        if self._may_s[row] <= asked.ended_s and self._may_until_s[row] >= asked.begun_s:
            return ""
        others = self._of_product[hit.product]
        return "stale" if (self._must_until_s[others] >= asked.begun_s).any() else "revived"


def rows_of(logs: Iterable[Log], stock: Mapping[int, Vectors]) -> tuple[Rows, dict[int, Write]]:
    """Return every row that ever was, and for each product the write that must stand in the end.

    A product whose last write has an unknown outcome is left out of the latter.
    """
    lives = {product: [Write(product, 0, pictures, -NEVER, -NEVER)] for product, pictures in stock.items()}
    for write in (write for log in logs for write in log.writes):
        lives.setdefault(write.product, []).append(write)
    standing = {product: writes[-1] for product, writes in lives.items() if writes[-1].ended_s < NEVER}
    return Rows(lives), standing


def _columns(lives: Iterable[Sequence[Write]]) -> Iterator[tuple[int, int, int, float, float, float, float]]:
    for writes in lives:
        for at, write in enumerate(writes):
            later = writes[at + 1 :]
            must_until_s = later[0].begun_s if later else NEVER
            # One of unknown outcome may never have taken place.
            may_until_s = next((one.ended_s for one in later if one.ended_s < NEVER), NEVER)
            for picture in range(len(write.pictures)):
                yield write.product, write.serial, picture, write.begun_s, write.ended_s, must_until_s, may_until_s


def _first_products(
    product: npt.NDArray[np.int64], scores: Vectors, among: npt.NDArray[np.bool_], limit: int
) -> list[tuple[int, int]]:
    """Return the best products with their best rows."""
    rows = np.flatnonzero(among)
    # Several pictures and versions of a product take a place each.
    few = min(8 * limit, len(rows))
    best = rows[np.argpartition(-scores[rows], few - 1)[:few]]
    found: dict[int, int] = {}
    for row in best[np.argsort(-scores[best])]:
        found.setdefault(int(product[row]), int(row))
    return list(found.items())[:limit]


def added(judged: Iterable[Judged]) -> Judged:
    """Return the sum."""
    sums: Counter[str] = Counter()
    for one in judged:
        sums.update(vars(one))
    return Judged(**sums)
