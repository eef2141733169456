"""Turns requests of operators into what was asked, or says every field that is wrong. Knows no shop."""

from lookalike.v1 import admin_pb2
from lookalike_router.answer import ShardSpec
from lookalike_router.slots import SLOTS
from lookalike_server.address import REPLICA_NAME, REPLICAS_MAX, SHARD_NAME, WEIGHT_MAX, WEIGHT_MIN, endpoint
from lookalike_server.complaints import Complaints
from lookalike_server.query import Comparison

WEIGHT_DEFAULT = 1.0


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
