"""Says what the router takes and gives, as frozen values. Knows no wire, no shard and no store."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lookalike_router.filter import Json
from lookalike_router.shard import Stored
from lookalike_router.slots import SlotRange
from lookalike_router.store import ReplicaPlace, Sync


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
    missing: tuple[Missing, ...] = ()
    behind: tuple[str, ...] = ()
    """Shards for which a replica answered that may lack acknowledged writes, as no other was left."""
    stale: bool = False
    """Whether the map may have changed meanwhile: the router could not renew its lease."""


@dataclass(frozen=True)
class Explained:
    """How one shard came to its part of an answer."""

    shard: str
    replica: str
    """Whose answer was used; empty where none came."""
    ms: float
    rows: int
    """Rows that the shard returned, over all queries."""
    not_owner: int
    """... of which dropped: their slot belongs to another shard."""
    older: int
    """... of which dropped: a newer version of the product is there, or they are dead."""
    same_product: int
    """... of which merged into a better picture of the same product."""
    hedge: str
    """The replica that was asked as well because the first was slow; empty where none was."""
    retry: str
    """The replica that was asked because the first failed; empty where none was."""
    rounds: int
    """How often the shard was asked; more than once where drops left too few rows."""
    message: str
    """Why there is no answer; empty where there is one."""


@dataclass(frozen=True)
class Found:
    """The answers of one search: a list for each query, best first, each product at most once."""

    answers: list[list[ProductHit]]
    coverage: Coverage
    explain: Callable[[], tuple[Explained, ...]] = tuple
    """Returns one for each shard asked, by name; worked out when it is called, as few ask."""


@dataclass(frozen=True)
class Request:
    """A write's own name: sent twice it takes effect once, and the second gets the first one's answer."""

    request_id: str
    digest: str
    """Of the payload: another payload under the same id is a RequestConflict."""
    answer: str
    """What to answer those who send it again; Router.delete writes how many pictures went."""


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
    request: Request | None = None


@dataclass(frozen=True)
class Page:
    """Some products in the order (slot, product_id), each as its rows; `next` is None after the last page."""

    products: list[list[Stored]]
    next: tuple[int, str] | None


@dataclass(frozen=True)
class ShardSpec:
    """A shard as an operator names it; `uris` are its replicas, at least one, without credentials."""

    name: str
    uris: tuple[str, ...]
    weight: float = 1.0


@dataclass(frozen=True)
class ShardPlace:
    """One shard of the placement map."""

    name: str
    weight: float
    replicas: tuple[ReplicaPlace, ...]
    ranges: tuple[SlotRange, ...]
    draining: bool = False
    """Whether it is to own no slots, in plans to come."""


@dataclass(frozen=True)
class Topology:
    """The placement map."""

    epoch: int
    slots: int
    shards: tuple[ShardPlace, ...]


class State(enum.Enum):
    """Whether a replica answers."""

    HEALTHY = "healthy"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"


@dataclass(frozen=True)
class ReplicaReport:
    """How one replica is now."""

    name: str
    uri: str
    sync: Sync
    state: State
    message: str
    """What is wrong and what to do; empty when nothing is."""
    hints: int
    """Products whose writes it lacks."""
    oldest_hint_s: float
    """For how long it has lacked the first of them; 0 where it lacks none."""
    filled: float
    """How much of it is filled, 0 to 1; 1 unless it is FILLING."""
    rows: int
    """Pictures in the slots that the shard owns; 0 where it does not answer."""
    p50_ms: float
    """Of its recent searches as this router saw them; 0 before the first."""
    p95_ms: float
    server_version: str


@dataclass(frozen=True)
class ShardReport:
    """How one shard is now."""

    name: str
    weight: float
    ranges: tuple[SlotRange, ...]
    replicas: tuple[ReplicaReport, ...]
    draining: bool = False
    """Whether it is to own no slots, in plans to come."""


@dataclass(frozen=True)
class Verified:
    """How far a comparison of replicas has come; the last one has `done`."""

    shard: str
    slots_done: int
    slots: int
    """To compare in all, over all shards asked for."""
    next_slot: int
    """Where to go on after a stop."""
    rows: int
    """Compared so far, on every replica."""
    differing: tuple[str, ...]
    """Products found since the last report that some replica lacks, or holds in another version: at most 100 names."""
    differing_total: int
    repaired_total: int
    skipped: tuple[str, ...]
    """Replicas that could not be asked, and so were not compared."""
    done: bool


@dataclass(frozen=True)
class Route:
    """What moves from one shard to another; rows, bytes and seconds are estimates."""

    source: str
    target: str
    slots: int
    rows: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class ShardShare:
    """How many slots a shard owns before and after a rebalance."""

    shard: str
    weight: float
    draining: bool
    """Whether it is to own none."""
    slots_before: int
    slots_after: int


@dataclass(frozen=True)
class RebalancePlan:
    """What a rebalance would do."""

    epoch: int
    """Of the map that it starts from."""
    routes: tuple[Route, ...]
    """One for each pair of shards between which slots move."""
    shares: tuple[ShardShare, ...]
    """One for each shard, by name."""
    batches: int
    """Each pauses writes to its slots once, or a few times."""


@dataclass(frozen=True)
class Strays:
    """Rows of one replica in slots that its shard does not own: no one reads them."""

    replica: str
    rows: int
    deleted: int
    message: str
    """Why nothing is known of the replica; empty otherwise."""
