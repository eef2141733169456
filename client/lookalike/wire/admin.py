"""Turns messages of admin.proto and of grpc.health.v1 into values."""

from lookalike.types import Health, Shard, ShardState, ShardStatus, SlotRange, Topology
from lookalike.v1 import admin_pb2 as pb

_STATES = {
    pb.ShardStatus.STATE_HEALTHY: ShardState.HEALTHY,
    pb.ShardStatus.STATE_UNREACHABLE: ShardState.UNREACHABLE,
    pb.ShardStatus.STATE_REFUSED: ShardState.REFUSED,
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
        shards=tuple(map(_shard, message.shards)),
        embedder=message.embedder,
        detector=message.detector,
        dim=message.dim,
        server_version=message.server_version,
    )


def shard_statuses(message: pb.ListShardsResponse) -> tuple[ShardStatus, ...]:
    """Read how the shards are."""
    return tuple(map(_status, message.shards))


def health_request(_: None) -> bytes:
    """Serialise the question how the whole server is."""
    return b""


def health(message: bytes) -> Health:
    """Read what the server says of itself."""
    return {_SERVING: Health.SERVING, _NOT_SERVING: Health.NOT_SERVING}.get(message[:2], Health.UNKNOWN)


def _shard(message: pb.Shard) -> Shard:
    return Shard(
        name=message.name,
        weight=message.weight,
        uri=message.uri,
        slots=message.slots,
        slot_ranges=tuple(SlotRange(slots.first, slots.last) for slots in message.slot_ranges),
    )


def _status(message: pb.ShardStatus) -> ShardStatus:
    return ShardStatus(
        shard=_shard(message.shard),
        state=_STATES.get(message.state, ShardState.UNKNOWN),
        message=message.message,
        rows=message.rows,
        latency_ms=message.latency_ms,
        server_version=message.server_version,
    )
