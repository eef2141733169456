"""How the shop is spread over its shards and how they are: what an operator's calls return. All are frozen."""

from dataclasses import dataclass
from enum import StrEnum


class Sync(StrEnum):
    """What a replica holds, compared with what was acknowledged: nobody reads from one that is `FILLING`."""

    UNKNOWN = "unknown"
    FILLING = "filling"
    IN_SYNC = "in_sync"
    BEHIND = "behind"


@dataclass(frozen=True, slots=True)
class Replica:
    """One endpoint of a shard, named "shard/number"; `uri` has no credentials."""

    name: str
    uri: str
    sync: Sync


@dataclass(frozen=True, slots=True)
class SlotRange:
    """Consecutive slots, from `first` to `last`, which belongs to the range."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard of the map; each of its replicas holds all its rows, and `uri` is the first one's.

    One that is `draining` gets no slots in rebalances to come.
    """

    name: str
    weight: float
    uri: str
    slots: int
    slot_ranges: tuple[SlotRange, ...]
    replicas: tuple[Replica, ...] = ()
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Topology:
    """Which shard owns which slots, and the models in use as "name@version+digest"."""

    epoch: int
    slots: int
    shards: tuple[Shard, ...]
    embedder: str
    detector: str
    dim: int
    server_version: str


class ShardState(StrEnum):
    """Whether a shard or a replica answers; `BEHIND`: the shard answers, but may lack acknowledged writes."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    BEHIND = "behind"


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """How one replica is; `message` says what is wrong and what to do.

    It lacks the writes of `hints_pending` products, the first of them for `oldest_hint_s`. `filled` is 0 to 1, and 1
    unless it is new. `rows` counts its pictures; `p50_ms` and `p95_ms` are of its recent searches.
    """

    replica: Replica
    state: ShardState
    message: str
    hints_pending: int
    oldest_hint_s: float
    filled: float
    rows: int
    p50_ms: float
    p95_ms: float
    server_version: str


@dataclass(frozen=True, slots=True)
class ShardStatus:
    """How one shard is; `rows`, `latency_ms` and `server_version` are those of its most trustworthy replica."""

    shard: Shard
    state: ShardState
    message: str
    rows: int
    latency_ms: float
    server_version: str
    replicas: tuple[ReplicaStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class VerifyProgress:
    """How far a comparison of replicas has come; the last one is `done`.

    `next_slot` is where to go on after a stop. `differing_product_ids` names products found since the report before,
    at most 100; `differing_total`, `repaired_total` and `rows`, counted on every replica, are of all so far.
    `skipped_replicas` could not be asked, and so were not compared.
    """

    shard: str
    slots_done: int
    slots: int
    next_slot: int
    rows: int
    differing_product_ids: tuple[str, ...]
    differing_total: int
    repaired_total: int
    skipped_replicas: tuple[str, ...]
    done: bool


class Health(StrEnum):
    """What the server says of itself."""

    UNKNOWN = "unknown"
    SERVING = "serving"
    NOT_SERVING = "not_serving"
