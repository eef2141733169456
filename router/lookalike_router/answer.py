"""Says what the router takes and gives, as frozen values. Knows no wire, no shard and no store."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lookalike_router.filter import Json
from lookalike_router.shard import Stored
from lookalike_router.slots import SlotRange


@dataclass(frozen=True)
class ProductHit:
    """One product found, with the facts of its best picture; `score` is a cosine in [-1, 1]."""

    product_id: str
    image_id: str
    score: float
    images_matched: int
    """The product's pictures among the nearest rows that were looked at; at least 1."""
    attributes: Mapping[str, Json]
    picture: Mapping[str, Json]


class Trouble(enum.Enum):
    """Why a shard gave no answer."""

    TIMED_OUT = "timed_out"
    UNREACHABLE = "unreachable"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(frozen=True)
class Missing:
    """One shard that gave no answer, and why."""

    shard: str
    kind: Trouble
    message: str


@dataclass(frozen=True)
class Coverage:
    """How much of the shop an answer covers; `slots_fraction` is 0 to 1."""

    shards_asked: int
    shards_answered: int
    slots_fraction: float
    missing: tuple[Missing, ...]


@dataclass(frozen=True)
class Found:
    """The answers of one search: a list for each query, best first, each product at most once."""

    answers: list[list[ProductHit]]
    coverage: Coverage


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture to store."""

    image_id: str
    vector: npt.NDArray[np.float32]
    """(256,), unit length."""
    facts: Mapping[str, Json]


@dataclass(frozen=True, eq=False)
class ProductWrite:
    """One product to store whole: whatever it had before and is not named here is gone afterwards."""

    product_id: str
    model: str
    attributes: Mapping[str, Json]
    pictures: tuple[Picture, ...]
    """At least one, each with an image_id of its own."""


@dataclass(frozen=True)
class Page:
    """Some products in the order (slot, product_id), each as its rows; `next` is None after the last page."""

    products: list[list[Stored]]
    next: tuple[int, str] | None


@dataclass(frozen=True)
class ShardPlace:
    """One shard of the placement map; `uri` holds no credentials."""

    name: str
    weight: float
    uri: str
    ranges: tuple[SlotRange, ...]


@dataclass(frozen=True)
class Topology:
    """The placement map."""

    epoch: int
    slots: int
    shards: tuple[ShardPlace, ...]


class State(enum.Enum):
    """Whether a shard answers."""

    HEALTHY = "healthy"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"


@dataclass(frozen=True)
class ShardReport:
    """How one shard is now."""

    name: str
    weight: float
    uri: str
    ranges: tuple[SlotRange, ...]
    state: State
    message: str
    """What is wrong and what to do; empty when nothing is."""
    rows: int
    """Pictures in the slots that the shard owns; 0 where it does not answer."""
    latency_ms: float
    server_version: str
