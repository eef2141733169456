"""Opens a shop: founds it on the first start, and later holds what an operator says against the map. Knows no reads."""

import asyncio
from collections.abc import Iterable, Sequence

from lookalike_router.answer import ShardSpec
from lookalike_router.atlas import Connect
from lookalike_router.errors import PlacementConflict, ShardError, ShardRefused
from lookalike_router.placement import plan
from lookalike_router.replica import RECHECK_S, Replica
from lookalike_router.store import ReplicaPlace, ShopMap, Store, Sync


async def opened_map(
    store: Store, specs: Sequence[ShardSpec], connect: Connect, deadline_s: float
) -> tuple[str, ShopMap, list[Replica]]:
    """Return the shop's identity, its map, and its replicas, which have joined or are looked for in the background.

    On the first start all endpoints must be reachable and empty. Raises PlacementConflict, ShardError, StoreFailed.
    """
    shop = await store.shop()
    found = await store.load()
    _check_specs(specs)
    if found is None:
        return shop, *await _found(store, shop, specs, connect, deadline_s)
    found = await _moved(store, specs, found, connect)
    places = [place for replicas in found.replicas.values() for place in replicas]
    replicas = [Replica(connect(place.name, place.uri), place.sync, shop) for place in places]
    outcomes = await asyncio.gather(*(one.join(False, deadline_s) for one in replicas), return_exceptions=True)
    for replica, outcome in zip(replicas, outcomes, strict=True):
        if isinstance(outcome, ShardError):
            replica.report(outcome)
        elif isinstance(outcome, BaseException):
            await close_all(replicas)
            raise outcome
    return shop, found, replicas


async def close_all(replicas: Iterable[Replica]) -> None:
    """Let go of replicas that are not used after all."""
    await asyncio.gather(*(replica.close() for replica in replicas))


async def join_new(replica: Replica, deadline_s: float) -> None:
    """Join an endpoint that must be empty; its server may be starting still, and says it is ready before it is."""
    loop = asyncio.get_running_loop()
    until = loop.time() + deadline_s
    while True:
        try:
            return await replica.join(True, max(until - loop.time(), 0))
        except ShardRefused:
            raise
        except ShardError:
            if loop.time() + RECHECK_S > until:
                raise
            await asyncio.sleep(RECHECK_S)


async def _found(
    store: Store, shop: str, specs: Sequence[ShardSpec], connect: Connect, deadline_s: float
) -> tuple[ShopMap, list[Replica]]:
    if not specs:
        raise PlacementConflict("the shop is new and has no shards yet; name at least one")
    endpoints = [connect(f"{one.name}/{i}", uri) for one in specs for i, uri in enumerate(one.uris, 1)]
    replicas = [Replica(endpoint, Sync.IN_SYNC, shop) for endpoint in endpoints]
    try:
        outcomes = await asyncio.gather(*(join_new(one, deadline_s) for one in replicas), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        uris: dict[str, list[str]] = {one.name: [] for one in specs}
        for endpoint in endpoints:
            uris[endpoint.name.rpartition("/")[0]].append(endpoint.uri)
        found = await store.found(plan({one.name: one.weight for one in specs}), uris)
        # Another router may have founded it in the same moment: then its map stands.
        _check_known(specs, found)
    except BaseException:
        await close_all(replicas)
        raise
    return found, replicas


async def _moved(store: Store, specs: Sequence[ShardSpec], found: ShopMap, connect: Connect) -> ShopMap:
    """Write the addresses that an operator gives for the shards of the map, where they are others."""
    _check_known(specs, found)
    for one in specs:
        places = found.replicas[one.name]
        told = [connect(place.name, uri).uri for place, uri in zip(places, one.uris, strict=False)]
        if set(told) <= {place.uri for place in places}:
            continue
        if len(told) != len(places) or len(one.uris) != len(places):
            raise PlacementConflict(
                f"shard {one.name} has the replicas {_listed(places)}, but {', '.join(one.uris)} was given; "
                "give all their addresses, or none, and use `lookalike replicas add` for a new one"
            )
        for place, uri in zip(places, told, strict=True):
            if place.uri != uri:
                found = await store.move_replica(place.name, uri)
    return found


def _check_specs(specs: Sequence[ShardSpec]) -> None:
    names = [one.name for one in specs]
    if len(set(names)) < len(names):
        raise PlacementConflict("give every shard a name of its own")
    if any(not one.weight > 0 for one in specs):
        raise PlacementConflict(f"every weight must be greater than 0; got {[one.weight for one in specs]}")
    uris = [uri for one in specs for uri in one.uris]
    if any(not one.uris for one in specs) or len(set(uris)) < len(uris):
        raise PlacementConflict("give every shard at least one address, and none to two replicas")


def _check_known(specs: Sequence[ShardSpec], found: ShopMap) -> None:
    weights = found.placement.weights
    for one in specs:
        if weights.get(one.name) != one.weight:
            raise PlacementConflict(
                f"the placement map has the shards {dict(weights)} (name: weight), but {one.name} with weight "
                f"{one.weight:g} was given; start with those of the map, and use `lookalike shards add` for a new one"
            )


def _listed(places: Sequence[ReplicaPlace]) -> str:
    return ", ".join(f"{place.name} at {place.uri}" for place in places)
