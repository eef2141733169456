"""What routers share and must not lose: the map, who writes what, hints, tombstones, answers given. Knows no vectors.

The store is small and transactional; each method here is one transaction. Its clock rules every lease, and it stamps
every version, so that what one router wrote later is newer than what another wrote before, whatever their clocks say.
Raises StoreFailed where the database cannot be reached; then nothing was changed, or nobody knows.
"""

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lookalike_router.errors import ShardUnreachable
from lookalike_router.jobs import JobStore
from lookalike_router.placement import Placement

# Longer than a write that is under way can take to arrive: deadlines are seconds, and a paused server works off its
# queue at once when it goes on.
RECHECK_AFTER_S = 15.0
# Those who send a request again do so within minutes.
ANSWERS_KEPT_S = 3_600.0
# A dead router is still shown for so long, so that an operator sees that it has gone.
ROUTERS_KEPT_S = 3_600.0
# A replica that was away for less comes back by its hints; a backup that is older is not one to bring back.
TOMBSTONES_KEPT_S = 7 * 86_400.0
# ... and those of rows that newer ones have replaced, which win anyway wherever both are listed.
REPLACED_KEPT_S = 3_600.0
# Tries of one product that came to nothing, one after the other, with nobody who settled it in between.
UNFINISHED_MAX = 8
# Below the milliseconds, so that 65,536 writes in one need not run ahead of the clock.
VERSION_BITS = 16


class Sync(enum.Enum):
    """What a replica holds, compared with what was acknowledged."""

    FILLING = "filling"
    """It is new and being filled; nobody reads from it."""
    IN_SYNC = "in_sync"
    """Everything."""
    BEHIND = "behind"
    """All but what its hints name."""


@dataclass(frozen=True)
class ReplicaPlace:
    """One endpoint of a shard. `name` is "shard/number"; the number is never given to another."""

    name: str
    uri: str
    sync: Sync

    @property
    def shard(self) -> str:
        """The shard that it belongs to."""
        return self.name.rpartition("/")[0]


@dataclass(frozen=True)
class ShopMap:
    """Which shard owns which slots, and where its replicas are. Any change of either makes a new epoch."""

    placement: Placement
    """Its weights name every shard, also one that owns no slots yet."""
    replicas: Mapping[str, tuple[ReplicaPlace, ...]]
    """By shard, each in the order of their numbers; at least one."""
    draining: frozenset[str] = frozenset()
    """Shards that are to own no slots, for plans to come."""

    @property
    def epoch(self) -> int:
        """Grows by one with every change."""
        return self.placement.epoch


@dataclass(frozen=True)
class Beat:
    """What a router learns when it renews its lease."""

    epoch: int
    tombstones: int
    """The newest tombstone's number; see Store.tombstones."""
    moving: bool = False
    """Whether a rebalance is active: then the map may change at any moment."""


@dataclass(frozen=True)
class RouterLease:
    """One router that has not left."""

    router: str
    live: bool
    """Whether its lease still runs, by the store's clock."""
    epoch: int
    """The map that it works with: everything that it began under an older one has ended, reads too."""
    seen: int
    """The newest map that it has: what it begins, it begins under this one."""


@dataclass(frozen=True)
class Answer:
    """The first answer to a request, for those who send it again."""

    request_id: str
    digest: str
    """Of the payload, so that another one under the same id is noticed."""
    text: str


@dataclass(frozen=True)
class Unfinished:
    """A write under a request that did not finish: if rows of its `version` are there, it took effect nevertheless."""

    version: int
    answer: Answer


@dataclass(frozen=True)
class Begun:
    """A product that one router alone may write now, until it finishes, lets go, or its lease ends."""

    product_id: str
    version: int
    """Newer than every version that was ever stamped for any product."""
    deleted: int
    """Every row of the product up to this version is dead; 0 where no tombstone says so."""
    suspect: bool
    """Whether a write of this product whose outcome nobody knows may still reach a replica."""
    left: bool = False
    """Whether it is suspect because somebody left it: it was let go, or its router died. Not yet in any hint."""
    unfinished: tuple[Unfinished, ...] = ()
    """What those who left it were writing under requests, the oldest first."""


@dataclass(frozen=True)
class Busy:
    """A product that another writer holds, or whose slot is paused by a rebalance."""

    product_id: str


@dataclass(frozen=True)
class Hint:
    """One product that a replica may lack, or hold in an old version."""

    replica: str
    product_id: str
    unknown: bool
    """Whether a write was under way to the replica whose outcome nobody knows: it may come late."""
    recheck: bool
    """The replica has caught up with it; it is looked at once more, in case a late write has come."""
    age_s: float
    number: int = 0
    """Tells this hint from a newer one of the same replica and product."""


@dataclass(frozen=True)
class HintCount:
    """Hints that keep a replica behind; rechecks do not count."""

    pending: int
    oldest_s: float


@dataclass(frozen=True)
class Tombstone:
    """Every row of a product up to `version` is dead: it was deleted, or replaced."""

    number: int
    product_id: str
    version: int
    age_s: float


@dataclass(frozen=True)
class News:
    """What has changed since a router looked last, as of one moment."""

    map: ShopMap | None
    """None where the router has the newest."""
    tombstones: Sequence[Tombstone]


@dataclass(frozen=True)
class Finish:
    """What a batch of writes left behind, written in one transaction before it is acknowledged."""

    begun: Sequence[Begun]
    hints: Sequence[tuple[str, str, bool]] = ()
    """(replica, product_id, unknown): replicas that lack a write. A replica in sync is behind from here on."""
    caught_up: Sequence[Hint] = ()
    """Hints that are no more true; those with `unknown` become rechecks, due after RECHECK_AFTER_S."""
    tombstones: Mapping[str, int] = field(default_factory=dict)
    """By product: every row up to this version is dead, for good."""
    replaced: Mapping[str, int] = field(default_factory=dict)
    """The same where newer rows took their place: a tombstone that is kept for REPLACED_KEPT_S alone."""
    answers: Sequence[Answer] = ()
    rechecks: Sequence[tuple[str, str]] = ()
    """(replica, product_id): to be looked at once more after RECHECK_AFTER_S, as a late write may still come."""
    announce: bool = False
    """Whether to raise the epoch though no replica's sync changes: so that every router loads the tombstones."""


def keep_one_in_sync(syncs: Mapping[str, Sync], hinted: Collection[str]) -> None:
    """Raise ShardUnreachable if hints for these replicas would leave a shard with none in sync.

    Then nobody could say any more what is right; and what the batch wrote is on no replica that is in sync now, though
    it was in sync when the batch began.
    """
    for shard in {name.rpartition("/")[0] for name in hinted if syncs.get(name) is Sync.IN_SYNC}:
        siblings = {name for name, sync in syncs.items() if name.rpartition("/")[0] == shard and sync is Sync.IN_SYNC}
        if siblings <= set(hinted):
            raise ShardUnreachable(
                shard, "no replica in sync has the write; whether it wrote is unknown, and it may be sent again"
            )


class Store(JobStore, Protocol):
    """The store, as every router of a shop uses it."""

    async def shop(self) -> str:
        """Return the shop's identity; the first call makes it."""
        ...

    async def claim(self, model: str, dim: int) -> tuple[str, int]:
        """Write which model makes the vectors unless that is known; return the one that stands."""
        ...

    async def load(self) -> ShopMap | None:
        """Return the map; None before the first."""
        ...

    async def found(self, placement: Placement, uris: Mapping[str, Sequence[str]]) -> ShopMap:
        """Write the first map with each shard's endpoints, in sync; if there is one already, return that."""
        ...

    async def add_shard(self, name: str, weight: float, uris: Sequence[str]) -> ShopMap:
        """Add a shard that owns no slots, its endpoints in sync; raise MapConflict if name or address is taken."""
        ...

    async def next_replica(self, shard: str) -> str:
        """Return the name that the shard's next replica will have; raise MapConflict if there is no such shard."""
        ...

    async def add_replica(self, name: str, uri: str) -> ShopMap:
        """Add an endpoint to a shard under the name that next_replica gave, FILLING; raise MapConflict if taken."""
        ...

    async def remove_replica(self, name: str) -> ShopMap:
        """Take an endpoint out, with its hints; raise MapConflict if no other replica of the shard is IN_SYNC."""
        ...

    async def move_replica(self, name: str, uri: str) -> ShopMap:
        """Write an endpoint's new address; raise MapConflict if another has it."""
        ...

    async def mark_in_sync(self, name: str) -> bool:
        """Say that a replica has everything, unless hints say otherwise; return whether it is in sync now."""
        ...

    async def beat(self, router: str, lease_s: float, epoch: int, seen: int | None = None) -> Beat:
        """Renew a router's lease and say which map it works with, and which it has; the first beat makes it known."""
        ...

    async def look(self) -> Beat:
        """Return what a beat would, without renewing anything; cheap, as every router asks many times a second."""
        ...

    async def leave(self, router: str) -> None:
        """Take a router out; what it still holds is left for others."""
        ...

    async def routers(self) -> list[RouterLease]:
        """Return every router that has not left."""
        ...

    async def begin(
        self, router: str, product_ids: Sequence[str], epoch: int, answers: Mapping[str, Answer] | None = None
    ) -> list[Begun | Busy]:
        """Take hold of products, in order, each once; durable, so that whoever comes after a crash finds them.

        `answers`, by product, is what the writes under requests will be answered with when they are finished.

        A product that a dead router held, or that was let go, is taken over and is suspect; one that a live router
        holds (this one too), or that must not be written while its slot changes its owner, is Busy. Raises LeaseLost if
        this router's lease has ended, StaleMap if `epoch` is of another map; one that only announced something is not.
        """
        ...

    async def finish(self, router: str, finish: Finish) -> int:
        """Write what a batch left and let go of its products; return the epoch, which new hints may have raised.

        Writes nothing and raises LeaseLost if any of them was taken over, ShardUnreachable if a shard would be left
        with no replica in sync.
        """
        ...

    async def let_go(self, router: str, product_ids: Sequence[str]) -> None:
        """Let go of those of these products that the router holds; whoever holds them next knows them suspect."""
        ...

    async def unsettled(self, product_ids: Sequence[str]) -> set[str]:
        """Return those of these products that somebody holds or let go, or that are suspect.

        What a read shows of another product was acknowledged, or is on every replica.
        """
        ...

    async def orphans(self, limit: int) -> list[str]:
        """Return products that were let go, or that dead routers hold, the oldest first."""
        ...

    async def hints(self, replica: str, limit: int) -> list[Hint]:
        """Return hints of a replica that are due, the oldest first; rechecks after all others."""
        ...

    async def hint_counts(self) -> Mapping[str, HintCount]:
        """Return how far each replica is behind; those with no hints are left out."""
        ...

    async def tombstones(self, after: int, age_s: float, limit: int) -> list[Tombstone]:
        """Return tombstones with a number above `after` and not older than `age_s`, in order."""
        ...

    async def news(self, epoch: int, after: int, age_s: float, limit: int) -> News:
        """Return the map if it is newer than `epoch`, and `tombstones(after, age_s, limit)`."""
        ...

    async def deaths(self, product_ids: Sequence[str]) -> Mapping[str, int]:
        """Return for each of these products that has a tombstone up to which version its rows are dead."""
        ...

    async def answers(self, request_ids: Sequence[str]) -> Mapping[str, Answer]:
        """Return the first answers to these requests, as far as there are any (still)."""
        ...

    async def record(self, answer: Answer) -> None:
        """Keep the first answer to a request that wrote nothing; a second for the same request changes nothing."""
        ...

    async def take_duty(self, duty: str, router: str, lease_s: float) -> bool:
        """Say whether this router alone does a background duty for the next `lease_s`."""
        ...

    async def progress(self, duty: str) -> str:
        """Return how far a duty has come, as it was written; empty before the first."""
        ...

    async def set_progress(self, duty: str, text: str) -> None:
        """Write how far a duty has come."""
        ...

    async def prune(self) -> None:
        """Forget what no one can need any more: old answers, dead routers, tombstones past their retention.

        Tombstones stay while any hint, suspect, replica behind or rebalance could bring an old row back.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
