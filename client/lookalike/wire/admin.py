"""Turns an operator's calls into messages of admin.proto and back, and reads those of grpc.health.v1."""

from collections.abc import Iterable

from lookalike.errors import InvalidArgument
from lookalike.shards import (
    Health,
    Replica,
    ReplicaStatus,
    Shard,
    ShardState,
    ShardStatus,
    SlotRange,
    Sync,
    Topology,
    VerifyProgress,
)
from lookalike.v1 import admin_pb2 as pb
from lookalike.wire.catalog import sendable

_STATES = {
    pb.ShardStatus.STATE_HEALTHY: ShardState.HEALTHY,
    pb.ShardStatus.STATE_UNREACHABLE: ShardState.UNREACHABLE,
    pb.ShardStatus.STATE_REFUSED: ShardState.REFUSED,
    pb.ShardStatus.STATE_BEHIND: ShardState.BEHIND,
}
_SYNCS = {
    pb.Replica.SYNC_FILLING: Sync.FILLING,
    pb.Replica.SYNC_IN_SYNC: Sync.IN_SYNC,
    pb.Replica.SYNC_BEHIND: Sync.BEHIND,
}

# grpc.health.v1 by hand: its package would be one more dependency for a message of one field. The request for the
# whole server is empty; the answer is field 1, an enum, which proto3 leaves out when it is 0.
HEALTH_METHOD = "/grpc.health.v1.Health/Check"
_SERVING, _NOT_SERVING = b"\x08\x01", b"\x08\x02"


def topology(message: pb.GetTopologyResponse) -> Topology:
    """Read the placement map."""
    return Topology(
        epoch=message.epoch,
        slots=message.slots,
        shards=tuple(map(shard, message.shards)),
        embedder=message.embedder,
        detector=message.detector,
        dim=message.dim,
        server_version=message.server_version,
    )


def shard_statuses(message: pb.ListShardsResponse) -> tuple[ShardStatus, ...]:
    """Read how the shards are."""
    return tuple(map(_status, message.shards))


def add_shard_request(name: str, uris: Iterable[str], weight: float) -> pb.AddShardRequest:
    """Build the request that adds a shard."""
    if isinstance(uris, str):  # its letters would be taken for addresses
        raise InvalidArgument("uris is a list of addresses, one for each replica", reason="INVALID_FIELD")
    with sendable():
        return pb.AddShardRequest(name=name, uris=uris, weight=weight)


def add_replica_request(shard: str, uri: str) -> pb.AddReplicaRequest:
    """Build the request that adds a replica."""
    with sendable():
        return pb.AddReplicaRequest(shard=shard, uri=uri)


def remove_replica_request(name: str) -> pb.RemoveReplicaRequest:
    """Build the request that takes a replica out."""
    with sendable():
        return pb.RemoveReplicaRequest(replica=name)


def verify_request(shard: str | None, repair: bool, from_slot: int) -> pb.VerifyRequest:
    """Build the request that compares replicas."""
    with sendable():
        return pb.VerifyRequest(shard=shard or "", repair=repair, from_slot=from_slot)


def verify_progress(message: pb.VerifyProgress) -> VerifyProgress:
    """Read how far a comparison has come."""
    return VerifyProgress(
        shard=message.shard,
        slots_done=message.slots_done,
        slots=message.slots,
        next_slot=message.next_slot,
        rows=message.rows,
        differing_product_ids=tuple(message.differing_product_ids),
        differing_total=message.differing_total,
        repaired_total=message.repaired_total,
        skipped_replicas=tuple(message.skipped_replicas),
        done=message.done,
    )


def health_request(_: None) -> bytes:
    """Serialise the question how the whole server is."""
    return b""


def health(message: bytes) -> Health:
    """Read what the server says of itself."""
    return {_SERVING: Health.SERVING, _NOT_SERVING: Health.NOT_SERVING}.get(message[:2], Health.UNKNOWN)


def shard(message: pb.Shard) -> Shard:
    """Read one shard of the map."""
    return Shard(
        name=message.name,
        weight=message.weight,
        uri=message.uri,
        slots=message.slots,
        slot_ranges=tuple(SlotRange(slots.first, slots.last) for slots in message.slot_ranges),
        replicas=tuple(map(_replica, message.replicas)),
        draining=message.draining,
    )


def _replica(message: pb.Replica) -> Replica:
    return Replica(message.name, message.uri, _SYNCS.get(message.sync, Sync.UNKNOWN))


def _status(message: pb.ShardStatus) -> ShardStatus:
    return ShardStatus(
        shard=shard(message.shard),
        state=_STATES.get(message.state, ShardState.UNKNOWN),
        message=message.message,
        rows=message.rows,
        latency_ms=message.latency_ms,
        server_version=message.server_version,
        replicas=tuple(map(_replica_status, message.replicas)),
    )


def _replica_status(message: pb.ReplicaStatus) -> ReplicaStatus:
    return ReplicaStatus(
        replica=_replica(message.replica),
        state=_STATES.get(message.state, ShardState.UNKNOWN),
        message=message.message,
        hints_pending=message.hints_pending,
        oldest_hint_s=message.oldest_hint_seconds,
        filled=message.filled,
        rows=message.rows,
        p50_ms=message.p50_ms,
        p95_ms=message.p95_ms,
        server_version=message.server_version,
    )
