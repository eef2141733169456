"""Says what a caller can ask the service for, once checked. Knows no wire, no models and no shards."""

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from lookalike_router.filter import Filter
from lookalike_router.rebalance import Goal
from lookalike_server.models.match import Level
from lookalike_server.regions import Region
from lookalike_server.vision import Photo


@dataclass(frozen=True)
class PhotoQuery:
    """Products like what a photo, or a region of it, shows."""

    photo: Photo
    region: Region


@dataclass(frozen=True)
class ProductQuery:
    """Products like one of the shop's own."""

    product_id: str


@dataclass(frozen=True, eq=False)
class VectorQuery:
    """Products near an embedding; `model` is who made it, empty for the server's own."""

    vector: npt.NDArray[np.float32]  # (256,), unit length
    model: str


Query: TypeAlias = PhotoQuery | ProductQuery | VectorQuery


@dataclass(frozen=True)
class Search:
    """One search: what for, which page of the answer, and what may be in it."""

    query: Query = field(repr=False)
    limit: int
    offset: int
    where: Filter | None
    score_min: float | None
    coverage_min: float
    """Fraction of the shop's slots that must answer, 0 to 1."""
    explain: bool = False
    """Whether to say how each shard came to its part of the answer."""
    facets: bool = False
    """Whether to count what the answer may be narrowed by."""
    match_min: Level | None = None
    """Only hits of this match or better, where the embedder says what its scores mean."""


@dataclass(frozen=True)
class Listing:
    """One page of the shop's products: those that follow `after` in the order (slot, product_id)."""

    limit: int
    after: tuple[int, str] | None
    where: Filter | None


@dataclass(frozen=True)
class Comparison:
    """Replicas to compare: those of one shard, or of all where `shard` is None."""

    shard: str | None
    repair: bool
    from_slot: int


@dataclass(frozen=True)
class Rebalance:
    """A rebalance to plan or to start; `rows_per_s` is how fast it may copy, 0: as fast as it can."""

    goal: Goal
    rows_per_s: float


@dataclass(frozen=True)
class Drain:
    """A shard to empty, or with `undo` one that may own slots again."""

    shard: str
    undo: bool
    batch_slots: int
    rows_per_s: float
