"""Rebalances: what moving products between shards would do, and how far it is. All are frozen."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from lookalike.shards import SlotRange


@dataclass(frozen=True, slots=True)
class RebalancePin:
    """Slots that are to be on one shard, whatever its share."""

    shard: str
    slots: SlotRange


@dataclass(frozen=True, slots=True)
class RebalanceRoute:
    """What would move from `source` to `target`; `rows`, `bytes` and `seconds` are estimates."""

    source: str
    target: str
    slots: int
    rows: int
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ShardShare:
    """How many slots a shard would own before and after; one that is `draining` is to own none."""

    shard: str
    weight: float
    draining: bool
    slots_before: int
    slots_after: int


@dataclass(frozen=True, slots=True)
class RebalancePlan:
    """What a rebalance would do; nothing has changed. `rows`, `bytes` and `seconds` are estimates.

    `moved_fraction` is the part of all slots that moves, 0 to 1. `epoch` is the map's that it starts from. Without
    `routes` nothing has to move.
    """

    epoch: int
    routes: tuple[RebalanceRoute, ...]
    shares: tuple[ShardShare, ...]
    batches: int
    slots: int
    moved_fraction: float
    rows: int
    bytes: int
    seconds: float


class RebalanceKind(StrEnum):
    """Why slots move: every shard gets its share, one is emptied, or the job before is taken back."""

    UNKNOWN = "unknown"
    BALANCE = "balance"
    DRAIN = "drain"
    REVERSE = "reverse"


class RebalanceState(StrEnum):
    """How a job is. One that is `STOPPED` cannot go on by itself, and says why; it may be resumed."""

    UNKNOWN = "unknown"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    DONE = "done"


class RebalanceStep(StrEnum):
    """How far a batch is: up to `PAUSE` its source owns the slots, and from `FLIP` on its target."""

    UNKNOWN = "unknown"
    COPY = "copy"
    CATCH_UP = "catch_up"
    PAUSE = "pause"
    FLIP = "flip"
    CLEAN = "clean"
    UNDO = "undo"


@dataclass(frozen=True, slots=True)
class RebalanceMove:
    """One batch of slots that is under way; writes to them were paused so many times."""

    number: int
    step: RebalanceStep
    source: str
    target: str
    slots: int
    rows: int
    pauses: int


@dataclass(frozen=True, slots=True)
class RebalanceJob:
    """How far a job is; `message` says why it stopped, or what it left, and what to do.

    `shard` is the one that a drain empties. `router` is the server that runs it, or did last. `rows_per_s` is measured
    over the last half minute; `rows_per_s_limit` is how fast it may be, 0 where it may be as fast as it can. `eta_s` is
    None where it is not known, `ended_at` while it is active. Writes to slots waited `pauses` times, for
    `longest_pause_ms` at most; of 99 % of the batches for no longer than `pause_p99_ms`. `moves` are under way.
    """

    number: int
    kind: RebalanceKind
    shard: str
    state: RebalanceState
    message: str
    router: str
    rows_per_s_limit: float
    slots: int
    slots_moved: int
    rows: int
    rows_moved: int
    rows_per_s: float
    eta_s: float | None
    started_at: datetime
    ended_at: datetime | None
    elapsed_s: float
    batches: int
    batches_done: int
    pauses: int
    longest_pause_ms: float
    pause_p99_ms: float
    moves: tuple[RebalanceMove, ...]

    @property
    def active(self) -> bool:
        """Return whether it still has something to do; there is at most one such job."""
        return self.state not in (RebalanceState.CANCELLED, RebalanceState.DONE)


@dataclass(frozen=True, slots=True)
class StrayRows:
    """Rows of one replica in slots that its shard does not own; `message` says why nothing is known of the replica."""

    replica: str
    rows: int
    deleted: int
    message: str
