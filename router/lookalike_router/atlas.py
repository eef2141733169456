"""Holds the map that a router works with, and the replicas that it names. Knows no reads and no writes."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from lookalike_router.errors import ShardUnreachable
from lookalike_router.group import Group
from lookalike_router.placement import Placement
from lookalike_router.replica import Replica
from lookalike_router.shard import Shard
from lookalike_router.store import Beat, ReplicaPlace, ShopMap, Store, Tombstone
from lookalike_router.tombstones import RECENT_S, Tombstones

TOMBSTONES_AT_ONCE = 10_000

Connect = Callable[[str, str], Shard]
"""Makes the endpoint of a replica from its name and address; asks it nothing."""


@dataclass(frozen=True)
class View:
    """One epoch's map, and its shards' replicas."""

    map: ShopMap
    groups: Mapping[str, Group]
    """By name, every shard, also one that owns no slots."""

    @property
    def epoch(self) -> int:
        """The map's epoch."""
        return self.map.epoch

    @property
    def placement(self) -> Placement:
        """Which shard owns which slots."""
        return self.map.placement


class Atlas:
    """The newest map that this router has seen."""

    def __init__(
        self,
        store: Store,
        connect: Connect,
        shop: str,
        tombstones: Tombstones,
        first: ShopMap,
        known: Iterable[Replica],
    ) -> None:
        """Take the map that the store has, and the replicas that have joined, or tried to."""
        self._store = store
        self._connect = connect
        self._shop = shop
        self._tombstones = tombstones
        self._numbered = 0
        self._replicas = {replica.name: replica for replica in known}
        self._closing: set[asyncio.Task[None]] = set()
        self._refreshing = asyncio.Lock()
        self.view = self._viewed(first, None)

    def adopt(self, replica: Replica) -> None:
        """Take a replica that has joined before the map names it."""
        self._replicas[replica.name] = replica

    async def refresh(self, beat: Beat | None = None) -> None:
        """Bring the map and the tombstones up to date with the store. Raises StoreFailed.

        Both are of one moment. A read that knew of an update before it knew which replica lacks it would see neither
        version there; one that knew the map of a delete without its tombstone would show what was deleted.
        """
        async with self._refreshing:
            if beat is not None and beat.tombstones <= self._numbered and beat.epoch <= self.view.epoch:
                return
            dead: list[Tombstone] = []
            while True:
                after = dead[-1].number if dead else self._numbered
                news = await self._store.news(self.view.epoch, after, RECENT_S, TOMBSTONES_AT_ONCE)
                dead += news.tombstones
                if len(news.tombstones) < TOMBSTONES_AT_ONCE:
                    break
            for one in dead:
                self._tombstones.add(one.product_id, one.version)
                self._numbered = one.number
            if news.map is not None:
                self.view = self._viewed(news.map, self.view)

    async def close(self) -> None:
        """Let go of every replica."""
        await asyncio.gather(*self._closing, *(replica.close() for replica in self._replicas.values()))

    def _viewed(self, found: ShopMap, before: View | None) -> View:
        known, self._replicas = self._replicas, {}
        # A replica's sync changes often, owners seldom: to go through all slots costs milliseconds.
        same = before.groups if before is not None and before.placement.owners == found.placement.owners else {}
        groups = {}
        for shard, places in found.replicas.items():
            replicas = tuple(self._replica(place, known) for place in places)
            ranges = same[shard].ranges if shard in same else found.placement.ranges(shard)
            groups[shard] = Group(shard, ranges, replicas)
        for gone in known.values():
            task = asyncio.ensure_future(gone.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        return View(found, groups)

    def _replica(self, place: ReplicaPlace, known: dict[str, Replica]) -> Replica:
        """Return the replica of a place: the one that is known, or a new one that looks for its endpoint."""
        replica = known.pop(place.name, None)
        if replica is not None and replica.shard.uri != place.uri:
            known[place.name] = replica
            replica = None
        if replica is None:
            replica = Replica(self._connect(place.name, place.uri), place.sync, self._shop)
            replica.report(ShardUnreachable(place.name, "has not joined yet"))
        replica.sync = place.sync
        self._replicas[place.name] = replica
        return replica
