"""Writes the map, its shards and their replicas as messages. Pure: checks nothing, asks nobody."""

from collections.abc import Sequence

from lookalike.v1 import admin_pb2
from lookalike_router.answer import ReplicaReport, ShardPlace, ShardReport, State, Topology, Verified
from lookalike_router.slots import SlotRange
from lookalike_router.store import ReplicaPlace, Sync

S = admin_pb2.ShardStatus
STATES = {
    State.HEALTHY: S.STATE_HEALTHY,
    State.UNREACHABLE: S.STATE_UNREACHABLE,
    State.REFUSED: S.STATE_REFUSED,
}
SYNCS = {
    Sync.FILLING: admin_pb2.Replica.SYNC_FILLING,
    Sync.IN_SYNC: admin_pb2.Replica.SYNC_IN_SYNC,
    Sync.BEHIND: admin_pb2.Replica.SYNC_BEHIND,
}


def topology_response(
    topology: Topology, *, embedder: str, detector: str, dim: int, version: str
) -> admin_pb2.GetTopologyResponse:
    """Write the placement map."""
    return admin_pb2.GetTopologyResponse(
        epoch=topology.epoch,
        slots=topology.slots,
        shards=[shard(one) for one in sorted(topology.shards, key=lambda one: one.name)],
        embedder=embedder,
        detector=detector,
        dim=dim,
        server_version=version,
    )


def shards_response(reports: Sequence[ShardReport], epoch: int) -> admin_pb2.ListShardsResponse:
    """Write how the shards are."""
    ordered = sorted(reports, key=lambda one: one.name)
    return admin_pb2.ListShardsResponse(shards=[shard_status(one) for one in ordered], epoch=epoch)


def shard_status(one: ShardReport) -> admin_pb2.ShardStatus:
    """Write how one shard is: as its replica that searches would ask first."""
    best = spokesman(one.replicas)
    return admin_pb2.ShardStatus(
        shard=shard(one),
        state=shard_state(one.replicas),
        message="; ".join(f"{each.name}: {each.message}" for each in one.replicas if each.message),
        rows=best.rows if best else 0,
        latency_ms=best.p50_ms if best else 0,
        server_version=best.server_version if best else "",
        replicas=[replica_status(each) for each in one.replicas],
    )


def spokesman(replicas: Sequence[ReplicaReport]) -> ReplicaReport | None:
    """Return the replica that speaks for its shard, None where none that may be read from answers."""
    answering = [one for one in replicas if one.state is State.HEALTHY and one.sync is not Sync.FILLING]
    # min() keeps the first of equals.
    return min(answering, key=lambda one: one.sync is not Sync.IN_SYNC, default=None)


def shard_state(replicas: Sequence[ReplicaReport]) -> admin_pb2.ShardStatus.State.ValueType:
    """Say whether a shard answers, and how well."""
    best = spokesman(replicas)
    if best is not None:
        return S.STATE_HEALTHY if best.sync is Sync.IN_SYNC else S.STATE_BEHIND
    readable = [one.state for one in replicas if one.sync is not Sync.FILLING]
    refused = bool(readable) and all(state is State.REFUSED for state in readable)
    return S.STATE_REFUSED if refused else S.STATE_UNREACHABLE


def replica_status(one: ReplicaReport) -> admin_pb2.ReplicaStatus:
    """Write how one replica is."""
    return admin_pb2.ReplicaStatus(
        replica=replica(one),
        state=STATES[one.state],
        message=one.message,
        hints_pending=one.hints,
        oldest_hint_seconds=one.oldest_hint_s,
        filled=one.filled,
        rows=one.rows,
        p50_ms=one.p50_ms,
        p95_ms=one.p95_ms,
        server_version=one.server_version,
    )


def shard(one: ShardPlace | ShardReport) -> admin_pb2.Shard:
    """Write one shard's place in the map."""
    return admin_pb2.Shard(
        name=one.name,
        weight=one.weight,
        uri=one.replicas[0].uri,
        slots=sum(len(slots) for slots in one.ranges),
        slot_ranges=[slot_range(slots) for slots in sorted(one.ranges)],
        replicas=[replica(each) for each in one.replicas],
        draining=one.draining,
    )


def replica(one: ReplicaPlace | ReplicaReport) -> admin_pb2.Replica:
    """Write one replica's place in the map."""
    return admin_pb2.Replica(name=one.name, uri=one.uri, sync=SYNCS[one.sync])


def slot_range(one: SlotRange) -> admin_pb2.SlotRange:
    """Write consecutive slots."""
    return admin_pb2.SlotRange(first=one.first, last=one.last)


def verify_progress(one: Verified) -> admin_pb2.VerifyProgress:
    """Write how far a comparison has come."""
    return admin_pb2.VerifyProgress(
        shard=one.shard,
        slots_done=one.slots_done,
        slots=one.slots,
        next_slot=one.next_slot,
        rows=one.rows,
        differing_product_ids=one.differing,
        differing_total=one.differing_total,
        repaired_total=one.repaired_total,
        skipped_replicas=one.skipped,
        done=one.done,
    )
