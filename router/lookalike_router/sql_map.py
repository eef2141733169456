"""Reads and changes the map in one transaction each. Knows no holds and no hints but that a removed replica's go."""

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, insert, select, update

from lookalike_router.errors import MapConflict, StoreFailed
from lookalike_router.placement import Placement, owners_of, ranges_of
from lookalike_router.slots import SlotRange
from lookalike_router.sql_database import Transaction
from lookalike_router.sql_schema import COUNTERS, HINTS, OWNERS, REPLICAS, SHARDS
from lookalike_router.store import ReplicaPlace, ShopMap, Sync

EPOCH = "epoch"
# The epoch since which the map is what it is; newer ones only announce tombstones.
MAPPED = "mapped"


def counters(tx: Transaction) -> dict[str, int]:
    """Return every counter that was ever changed."""
    return {row.name: row.value for row in tx.connection.execute(select(COUNTERS))}


def counter(tx: Transaction, name: str) -> int:
    """Return a counter, 0 before its first change."""
    found = tx.connection.execute(select(COUNTERS.c.value).where(COUNTERS.c.name == name)).scalar_one_or_none()
    return found or 0


def set_counter(tx: Transaction, name: str, value: int) -> None:
    """Write a counter."""
    changed = tx.connection.execute(update(COUNTERS).where(COUNTERS.c.name == name).values(value=value))
    if not changed.rowcount:
        tx.connection.execute(insert(COUNTERS).values(name=name, value=value))


def raise_epoch(tx: Transaction, *, mapped: bool = True) -> int:
    """Say that the map has changed, or (`mapped` False) that there are tombstones to know; return the new epoch."""
    epoch = counter(tx, EPOCH) + 1
    set_counter(tx, EPOCH, epoch)
    if mapped:
        set_counter(tx, MAPPED, epoch)
    return epoch


def load(tx: Transaction) -> ShopMap | None:
    """Return the map; None before the first. Raises StoreFailed if it is damaged."""
    epoch = counter(tx, EPOCH)
    if not epoch:
        return None
    shards = list(tx.connection.execute(select(SHARDS).order_by(SHARDS.c.name)))
    weights = {row.name: row.weight for row in shards}
    places: dict[str, list[ReplicaPlace]] = {name: [] for name in weights}
    ranges: dict[str, list[SlotRange]] = {name: [] for name in weights}
    try:
        for row in tx.connection.execute(select(REPLICAS).order_by(REPLICAS.c.number)):
            places[row.shard].append(ReplicaPlace(row.name, row.uri, Sync(row.sync)))
        for row in tx.connection.execute(select(OWNERS)):
            ranges[row.shard].append(SlotRange(row.first_slot, row.last_slot))
        placement = Placement(epoch, weights, owners_of(ranges))
    except (KeyError, ValueError) as error:
        raise StoreFailed(f"the placement map is damaged: {error}; restore a backup of the store") from error
    draining = frozenset(row.name for row in shards if row.draining)
    return ShopMap(placement, {name: tuple(of_shard) for name, of_shard in places.items()}, draining)


def found(tx: Transaction, placement: Placement, uris: Mapping[str, Sequence[str]]) -> ShopMap:
    """Write the first map; if there is one already, return that."""
    standing = load(tx)
    if standing is not None:
        return standing
    for name, weight in placement.weights.items():
        _insert_shard(tx, name, weight, uris[name])
    write_owners(tx, placement.owners)
    set_counter(tx, EPOCH, placement.epoch)
    set_counter(tx, MAPPED, placement.epoch)
    return the_map(tx)


def write_owners(tx: Transaction, owners: Sequence[str], before: Sequence[str] = ()) -> None:
    """Write who owns each slot, where nobody did or as `before`; the caller raises the epoch.

    Only what differs is written: writes to the slots wait meanwhile, and a map of many shards is thousands of runs.
    """
    was, now = ({(run, of[run.first]) for run in ranges_of(of)} for of in (before, owners))
    gone = [run.first for run, _ in was - now]
    tx.connection.execute(delete(OWNERS).where(OWNERS.c.first_slot.in_(gone)))
    new = [{"first_slot": run.first, "last_slot": run.last, "shard": shard} for run, shard in sorted(now - was)]
    if new:
        tx.connection.execute(insert(OWNERS), new)


def the_map(tx: Transaction) -> ShopMap:
    """Return the map; raise MapConflict before the first."""
    standing = load(tx)
    if standing is None:
        raise MapConflict("the shop has no map yet")
    return standing


def add_shard(tx: Transaction, name: str, weight: float, uris: Sequence[str]) -> ShopMap:
    """Add a shard that owns no slots."""
    if name in the_map(tx).replicas:
        raise MapConflict(f"there is a shard {name} already; choose another name")
    _insert_shard(tx, name, weight, uris)
    raise_epoch(tx)
    return the_map(tx)


def next_replica(tx: Transaction, shard: str) -> str:
    """Return the name that the shard's next replica will have."""
    standing = the_map(tx)
    number = tx.connection.execute(select(SHARDS.c.next_replica).where(SHARDS.c.name == shard)).scalar_one_or_none()
    if number is None:
        raise MapConflict(f"there is no shard {shard}; there are {', '.join(sorted(standing.replicas))}")
    return f"{shard}/{number}"


def add_replica(tx: Transaction, name: str, uri: str) -> ShopMap:
    """Add an endpoint to a shard, FILLING."""
    shard, _, number = name.rpartition("/")
    if next_replica(tx, shard) != name:
        raise MapConflict(f"another replica {name} was added meanwhile; try again")
    _check_free(tx, uri)
    _insert_replica(tx, shard, int(number), uri, Sync.FILLING)
    tx.connection.execute(update(SHARDS).where(SHARDS.c.name == shard).values(next_replica=int(number) + 1))
    raise_epoch(tx)
    return the_map(tx)


def remove_replica(tx: Transaction, name: str) -> ShopMap:
    """Take an endpoint out, with its hints."""
    standing = _place(tx, name)
    if standing is None:
        raise MapConflict(f"there is no replica {name}; `lookalike shards` lists them")
    others = [one for one in the_map(tx).replicas[standing.shard] if one.name != name]
    if not any(one.sync is Sync.IN_SYNC for one in others):
        raise MapConflict(
            f"no other replica of shard {standing.shard} is in sync: add one first, and wait until it is filled"
        )
    tx.connection.execute(delete(REPLICAS).where(REPLICAS.c.name == name))
    tx.connection.execute(delete(HINTS).where(HINTS.c.replica == name))
    raise_epoch(tx)
    return the_map(tx)


def move_replica(tx: Transaction, name: str, uri: str) -> ShopMap:
    """Write an endpoint's new address."""
    standing = _place(tx, name)
    if standing is None:
        raise MapConflict(f"there is no replica {name}; `lookalike shards` lists them")
    if standing.uri == uri:
        return the_map(tx)
    _check_free(tx, uri)
    tx.connection.execute(update(REPLICAS).where(REPLICAS.c.name == name).values(uri=uri))
    raise_epoch(tx)
    return the_map(tx)


def mark_in_sync(tx: Transaction, name: str) -> bool:
    """Say that a replica has everything, unless hints say otherwise."""
    place = _place(tx, name)
    pending = select(HINTS.c.product_id).where(HINTS.c.replica == name, HINTS.c.recheck.is_(False)).limit(1)
    if place is None or tx.connection.execute(pending).first() is not None:
        return False
    if place.sync is not Sync.IN_SYNC:
        set_sync(tx, [name], Sync.IN_SYNC)
        raise_epoch(tx)
    return True


def set_sync(tx: Transaction, names: Sequence[str], sync: Sync) -> None:
    """Write what replicas hold; the caller raises the epoch."""
    tx.connection.execute(update(REPLICAS).where(REPLICAS.c.name.in_(names)).values(sync=sync.value))


def syncs(tx: Transaction) -> dict[str, Sync]:
    """Return what every replica holds."""
    return {row.name: Sync(row.sync) for row in tx.connection.execute(select(REPLICAS.c.name, REPLICAS.c.sync))}


def _place(tx: Transaction, name: str) -> ReplicaPlace | None:
    row = tx.connection.execute(select(REPLICAS).where(REPLICAS.c.name == name)).first()
    return None if row is None else ReplicaPlace(row.name, row.uri, Sync(row.sync))


def _check_free(tx: Transaction, uri: str) -> None:
    taken = tx.connection.execute(select(REPLICAS.c.name).where(REPLICAS.c.uri == uri)).scalar_one_or_none()
    if taken is not None:
        raise MapConflict(f"{uri} is replica {taken} already; give the address of another server")


def _insert_shard(tx: Transaction, name: str, weight: float, uris: Sequence[str]) -> None:
    if not uris:
        raise MapConflict(f"shard {name} needs at least one address")
    tx.connection.execute(insert(SHARDS).values(name=name, weight=weight, next_replica=len(uris) + 1))
    for number, uri in enumerate(uris, 1):
        _check_free(tx, uri)
        _insert_replica(tx, name, number, uri, Sync.IN_SYNC)


def _insert_replica(tx: Transaction, shard: str, number: int, uri: str, sync: Sync) -> None:
    row = {"name": f"{shard}/{number}", "shard": shard, "number": number, "uri": uri, "sync": sync.value}
    tx.connection.execute(insert(REPLICAS).values(row))
