"""The parts of one router over endpoints in memory, without its background work: a test takes the steps itself."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, cast

from lookalike_router.atlas import Atlas
from lookalike_router.core import Core
from lookalike_router.holds import Holds
from lookalike_router.lease import Lease
from lookalike_router.memory_store import MemoryStore
from lookalike_router.placement import Placement, plan
from lookalike_router.reconcile import Reconciler
from lookalike_router.replica import Replica
from lookalike_router.safeguards import ALL
from lookalike_router.shard import Head, Row, Shard
from lookalike_router.store import Finish, Sync
from lookalike_router.timing import Timing
from lookalike_router.tombstones import Tombstones
from tests.parts.shop import row
from tests.router.breakable import BreakableShard

S = 5.0
# Nobody renews a lease here; a router that is to die says so.
FOREVER_S = 1e6


class Fate:
    """Lets a router live for so many calls to its store and its endpoints, and then stand still for ever."""

    def __init__(self, calls: int, *, last_is_done: bool) -> None:
        self._left = calls
        self._last_is_done = last_is_done
        self.met = asyncio.Event()
        self.begun = False

    def over(self, inner: object) -> Any:
        """Return `inner` as the router sees it."""
        return _Mortal(inner, self)

    async def call(self, method: Callable[..., Any], *args: object, **named: object) -> Any:
        """Make one call, unless it is the last."""
        self._left -= self.begun
        if self._left > 0:
            return await method(*args, **named)
        if self._left == 0 and self._last_is_done:
            await method(*args, **named)
        self.met.set()
        return await asyncio.Event().wait()


class _Mortal:
    def __init__(self, inner: object, fate: Fate) -> None:
        self._inner, self._fate = inner, fate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name == "close" or not asyncio.iscoroutinefunction(found):
            return found

        async def call(*args: object, **named: object) -> Any:
            return await self._fate.call(found, *args, **named)

        return call


@dataclass
class Stage:
    """A store, and endpoints by the names of their replicas."""

    store: MemoryStore
    shop: str
    endpoint: Callable[[str, str], BreakableShard]
    shards: dict[str, BreakableShard] = field(default_factory=dict)
    cores: list[Core] = field(default_factory=list)

    async def router(
        self, name: str, *, lease_s: float = FOREVER_S, fate: Fate | None = None
    ) -> tuple[Core, Reconciler]:
        """Open the parts of a router; its fate begins once it is open."""
        found = await self.store.load()
        assert found is not None
        places = [place for replicas in found.replicas.values() for place in replicas]
        replicas = [Replica(self.shards[place.name], place.sync, self.shop) for place in places]
        for one in replicas:
            await one.join(founding=False, deadline_s=S)
        store = self.store
        if fate is not None:
            store = cast(MemoryStore, fate.over(store))
            for one in replicas:
                one.shard = fate.over(one.shard)
        tombstones = Tombstones(asyncio.get_running_loop().time)
        atlas = Atlas(store, self._connect, self.shop, tombstones, found, replicas)
        holds = Holds(store, name, lambda: atlas.view.epoch)
        timing = Timing(lease_s=lease_s)
        lease = Lease(store, name, atlas, holds.reached, timing)
        core = Core(name, store, atlas, holds, lease, tombstones, ALL, timing)
        await lease.renew()
        if fate is not None:
            fate.begun = True
        self.cores.append(core)
        return core, Reconciler(core)

    async def add(self, shard: str) -> str:
        """Add an empty replica, FILLING; return its name."""
        name = await self.store.next_replica(shard)
        self.shards[name] = self.endpoint(name, f"memory:{name}")
        await self.shards[name].join(self.shop, True, S)
        await self.store.add_replica(name, f"memory:{name}")
        return name

    async def hold(self, name: str, rows: Sequence[Row]) -> None:
        """Put rows on one replica, behind the routers' backs."""
        await self.shards[name].rows.write(rows, (), S)

    def held(self, name: str) -> set[Head]:
        """Return the rows that a replica holds."""
        return set(self.shards[name].rows._rows)

    async def bury(self, core: Core, dead: Mapping[str, int]) -> None:
        """Write tombstones."""
        begun, _, epoch = await core.take(sorted(dead))
        await core.holds.finish(Finish(begun, tombstones=dict(dead)), epoch)

    async def sync(self, name: str) -> Sync:
        """Return what the store says of a replica."""
        found = await self.store.load()
        assert found is not None
        return next(one.sync for places in found.replicas.values() for one in places if one.name == name)

    async def close(self) -> None:
        """Let go of everything."""
        for core in self.cores:
            await core.atlas.close()

    def _connect(self, name: str, uri: str) -> Shard:
        return self.shards[name]


async def stage(shards: Mapping[str, int], endpoint: Callable[[str, str], BreakableShard] = BreakableShard) -> Stage:
    """Found a shop with so many replicas of each shard."""
    store = MemoryStore(asyncio.get_running_loop().time)
    made = Stage(store, await store.shop(), endpoint)
    for shard, replicas in shards.items():
        for number in range(1, replicas + 1):
            name = f"{shard}/{number}"
            made.shards[name] = endpoint(name, f"memory:{name}")
            await made.shards[name].join(made.shop, True, S)
    uris = {shard: [f"memory:{shard}/{i}" for i in range(1, replicas + 1)] for shard, replicas in shards.items()}
    await store.found(_planned(tuple(shards)), uris)
    return made


def rows(count: int, version: int = 1) -> list[Row]:
    """Return rows of `count` products that share a vector: a thousand random ones would take a second to draw."""
    first = row("product 0", version=version)
    return [first, *(_named(first, f"product {i}") for i in range(1, count))]


def head(one: Row) -> Head:
    """Return what names a row."""
    return Head(one.product_id, one.image_id, one.version)


@cache
def _planned(shards: tuple[str, ...]) -> Placement:
    return plan(dict.fromkeys(shards, 1.0))


def _named(one: Row, product_id: str) -> Row:
    return replace(one, product_id=product_id, slot=row(product_id, vector=one.vector).slot)
