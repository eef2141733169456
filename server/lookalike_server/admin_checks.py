"""Turns requests of operators into what was asked, or says every field that is wrong. Knows no shop."""

from collections.abc import Sequence

from lookalike.v1 import admin_pb2
from lookalike_router.answer import ShardSpec
from lookalike_router.balance import Pin
from lookalike_router.rebalance import Goal
from lookalike_router.slots import SLOTS, SlotRange
from lookalike_server.address import REPLICA_NAME, REPLICAS_MAX, SHARD_NAME, WEIGHT_MAX, WEIGHT_MIN, endpoint
from lookalike_server.complaints import Complaints
from lookalike_server.query import Comparison, Drain, Rebalance

WEIGHT_DEFAULT = 1.0
# Enough to pin every slot of a few products, and few enough to be read by a person.
PINS_MAX = 1024
# More rows a second than any shop has is a typing error.
ROWS_PER_S_MAX = 1e9


def checked_shard(wire: admin_pb2.AddShardRequest) -> ShardSpec:
    """Check a shard to add."""
    complaints = Complaints()
    check_shard_name("name", wire.name, complaints)
    if not 1 <= len(wire.uris) <= REPLICAS_MAX:
        complaints.add("uris", f"holds {len(wire.uris)} addresses; 1 to {REPLICAS_MAX} replicas are needed")
    uris = tuple(checked_uri(uri, f"uris[{i}]", complaints) for i, uri in enumerate(wire.uris[:REPLICAS_MAX]))
    for i, uri in enumerate(uris):
        if uri and uri in uris[:i]:
            complaints.add(f"uris[{i}]", f"is {uri} once more; every replica has a server of its own")
    weight = wire.weight if wire.HasField("weight") else WEIGHT_DEFAULT
    # Written so that NaN, which compares false with everything, is outside.
    if not WEIGHT_MIN <= weight <= WEIGHT_MAX:
        complaints.add("weight", f"is {weight:g}; a weight is {WEIGHT_MIN:g} to {WEIGHT_MAX:g}")
    complaints.settle()
    return ShardSpec(wire.name, uris, weight)


def checked_replica(wire: admin_pb2.AddReplicaRequest) -> tuple[str, str]:
    """Check a replica to add; return its shard and its address."""
    complaints = Complaints()
    check_shard_name("shard", wire.shard, complaints)
    uri = checked_uri(wire.uri, "uri", complaints)
    complaints.settle()
    return wire.shard, uri


def checked_replica_name(value: str) -> str:
    """Check the name of a replica to remove."""
    complaints = Complaints()
    if not REPLICA_NAME.fullmatch(value):
        complaints.add(
            "replica", "is no replica's name, which is its shard's, a slash and a number, for example \"a/2\""
        )
    complaints.settle()
    return value


def checked_comparison(wire: admin_pb2.VerifyRequest) -> Comparison:
    """Check which replicas to compare."""
    complaints = Complaints()
    if wire.shard:
        check_shard_name("shard", wire.shard, complaints)
    if not 0 <= wire.from_slot < SLOTS:
        complaints.add("from_slot", f"is {wire.from_slot}; slots are 0 to {SLOTS - 1}")
    complaints.settle()
    return Comparison(wire.shard or None, wire.repair, wire.from_slot)


def checked_plan(wire: admin_pb2.PlanRebalanceRequest) -> Rebalance:
    """Check a rebalance to plan."""
    complaints = Complaints()
    if wire.drain:
        check_shard_name("drain", wire.drain, complaints)
    goal = Goal(wire.drain, checked_pins(wire.pins, complaints), wire.batch_slots)
    check_pace(wire.batch_slots, wire.rows_per_s, complaints)
    complaints.settle()
    return Rebalance(goal, wire.rows_per_s)


def checked_start(wire: admin_pb2.StartRebalanceRequest) -> Rebalance:
    """Check a rebalance to start."""
    return checked_plan(
        admin_pb2.PlanRebalanceRequest(pins=wire.pins, batch_slots=wire.batch_slots, rows_per_s=wire.rows_per_s)
    )


def checked_drain(wire: admin_pb2.DrainShardRequest) -> Drain:
    """Check a shard to empty."""
    complaints = Complaints()
    check_shard_name("shard", wire.shard, complaints)
    check_pace(wire.batch_slots, wire.rows_per_s, complaints)
    for field in ("batch_slots", "rows_per_s"):
        if wire.undo and getattr(wire, field):
            complaints.add(field, "means nothing with `undo`, which moves no slots; leave it out")
    complaints.settle()
    return Drain(wire.shard, wire.undo, wire.batch_slots, wire.rows_per_s)


def checked_rate(rows_per_s: float) -> float:
    """Check how fast rows may be copied."""
    complaints = Complaints()
    check_pace(0, rows_per_s, complaints)
    complaints.settle()
    return rows_per_s


def checked_removal(value: str) -> str:
    """Check the name of a shard to remove."""
    complaints = Complaints()
    check_shard_name("shard", value, complaints)
    complaints.settle()
    return value


def checked_pins(wire: Sequence[admin_pb2.RebalancePin], complaints: Complaints) -> tuple[Pin, ...]:
    """Check which slots are to be on which shards."""
    if len(wire) > PINS_MAX:
        complaints.add("pins", f"holds {len(wire)} pins; at most {PINS_MAX} are allowed")
    for i, one in enumerate(wire[:PINS_MAX]):
        check_shard_name(f"pins[{i}].shard", one.shard, complaints)
        if not 0 <= one.slots.first <= one.slots.last < SLOTS:
            described = (
                f"is {one.slots.first} to {one.slots.last}; slots are 0 to {SLOTS - 1}, the first before the last"
            )
            complaints.add(f"pins[{i}].slots", described)
    return tuple(Pin(one.shard, SlotRange(one.slots.first, one.slots.last)) for one in wire[:PINS_MAX])


def check_pace(batch_slots: int, rows_per_s: float, complaints: Complaints) -> None:
    """Check in which portions, and how fast, slots are to move."""
    if not 0 <= batch_slots <= SLOTS:
        complaints.add(
            "batch_slots", f"is {batch_slots}; a batch has 1 to {SLOTS} slots, and 0 leaves it to the server"
        )
    # Written so that NaN, which compares false with everything, is outside.
    if not 0 <= rows_per_s <= ROWS_PER_S_MAX:
        complaints.add("rows_per_s", f"is {rows_per_s:g}; it is 0, for as fast as it can, to {ROWS_PER_S_MAX:g}")


def check_shard_name(path: str, value: str, complaints: Complaints) -> None:
    """Check a shard's name."""
    if not SHARD_NAME.fullmatch(value):
        complaints.add(path, "is not 1 to 64 letters, digits, '.', '_' or '-', the first a letter or a digit")


def checked_uri(value: str, path: str, complaints: Complaints) -> str:
    """Return an address in the one way in which it is compared; empty where it is wrong."""
    try:
        return endpoint(value)
    except ValueError as error:
        complaints.add(path, str(error))
        return ""
