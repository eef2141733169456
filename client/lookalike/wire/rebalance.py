"""Turns rebalances into messages of admin.proto and back."""

from collections.abc import Iterable
from datetime import UTC

from lookalike.rebalance import (
    RebalanceJob,
    RebalanceKind,
    RebalanceMove,
    RebalancePin,
    RebalancePlan,
    RebalanceRoute,
    RebalanceState,
    RebalanceStep,
    ShardShare,
    StrayRows,
)
from lookalike.v1 import admin_pb2 as pb
from lookalike.wire.catalog import sendable

_KINDS = {
    pb.RebalanceJob.KIND_BALANCE: RebalanceKind.BALANCE,
    pb.RebalanceJob.KIND_DRAIN: RebalanceKind.DRAIN,
    pb.RebalanceJob.KIND_REVERSE: RebalanceKind.REVERSE,
}
_STATES = {
    pb.RebalanceJob.STATE_RUNNING: RebalanceState.RUNNING,
    pb.RebalanceJob.STATE_PAUSED: RebalanceState.PAUSED,
    pb.RebalanceJob.STATE_STOPPED: RebalanceState.STOPPED,
    pb.RebalanceJob.STATE_CANCELLING: RebalanceState.CANCELLING,
    pb.RebalanceJob.STATE_CANCELLED: RebalanceState.CANCELLED,
    pb.RebalanceJob.STATE_DONE: RebalanceState.DONE,
}
_STEPS = {
    pb.RebalanceMove.STEP_COPY: RebalanceStep.COPY,
    pb.RebalanceMove.STEP_CATCH_UP: RebalanceStep.CATCH_UP,
    pb.RebalanceMove.STEP_PAUSE: RebalanceStep.PAUSE,
    pb.RebalanceMove.STEP_FLIP: RebalanceStep.FLIP,
    pb.RebalanceMove.STEP_CLEAN: RebalanceStep.CLEAN,
    pb.RebalanceMove.STEP_UNDO: RebalanceStep.UNDO,
}


def plan_request(
    pins: Iterable[RebalancePin], batch_slots: int, rows_per_s: float, drain: str
) -> pb.PlanRebalanceRequest:
    """Build the request that plans a rebalance."""
    with sendable():
        return pb.PlanRebalanceRequest(
            pins=map(_pin, pins), batch_slots=batch_slots, rows_per_s=rows_per_s, drain=drain
        )


def start_request(pins: Iterable[RebalancePin], batch_slots: int, rows_per_s: float) -> pb.StartRebalanceRequest:
    """Build the request that starts a rebalance."""
    with sendable():
        return pb.StartRebalanceRequest(pins=map(_pin, pins), batch_slots=batch_slots, rows_per_s=rows_per_s)


def drain_request(shard: str, undo: bool, batch_slots: int, rows_per_s: float) -> pb.DrainShardRequest:
    """Build the request that empties a shard, or undoes that."""
    with sendable():
        return pb.DrainShardRequest(shard=shard, undo=undo, batch_slots=batch_slots, rows_per_s=rows_per_s)


def remove_shard_request(shard: str, force: bool) -> pb.RemoveShardRequest:
    """Build the request that takes a shard out."""
    with sendable():
        return pb.RemoveShardRequest(shard=shard, force=force)


def reverse_request(rows_per_s: float) -> pb.ReverseRebalanceRequest:
    """Build the request that takes the last job back."""
    with sendable():
        return pb.ReverseRebalanceRequest(rows_per_s=rows_per_s)


def throttle_request(rows_per_s: float) -> pb.ThrottleRebalanceRequest:
    """Build the request that makes the active job faster or slower."""
    with sendable():
        return pb.ThrottleRebalanceRequest(rows_per_s=rows_per_s)


def plan(message: pb.RebalancePlan) -> RebalancePlan:
    """Read what a rebalance would do."""
    return RebalancePlan(
        epoch=message.epoch,
        routes=tuple(
            RebalanceRoute(one.source, one.target, one.slots, one.rows, one.bytes, one.seconds)
            for one in message.routes
        ),
        shares=tuple(
            ShardShare(one.shard, one.weight, one.draining, one.slots_before, one.slots_after) for one in message.shares
        ),
        batches=message.batches,
        slots=message.slots,
        moved_fraction=message.moved_fraction,
        rows=message.rows,
        bytes=message.bytes,
        seconds=message.seconds,
    )


def job(message: pb.RebalanceJob) -> RebalanceJob:
    """Read how far a job is."""
    return RebalanceJob(
        number=message.number,
        kind=_KINDS.get(message.kind, RebalanceKind.UNKNOWN),
        shard=message.shard,
        state=_STATES.get(message.state, RebalanceState.UNKNOWN),
        message=message.message,
        router=message.router,
        rows_per_s_limit=message.rows_per_s_limit,
        slots=message.slots,
        slots_moved=message.slots_moved,
        rows=message.rows,
        rows_moved=message.rows_moved,
        rows_per_s=message.rows_per_s,
        eta_s=message.eta_seconds if message.HasField("eta_seconds") else None,
        started_at=message.started_at.ToDatetime(UTC),
        ended_at=message.ended_at.ToDatetime(UTC) if message.HasField("ended_at") else None,
        elapsed_s=message.elapsed_seconds,
        batches=message.batches,
        batches_done=message.batches_done,
        pauses=message.pauses,
        longest_pause_ms=message.longest_pause_ms,
        pause_p99_ms=message.pause_p99_ms,
        moves=tuple(map(_move, message.moves)),
    )


def job_of(message: pb.StartRebalanceResponse | pb.DrainShardResponse | pb.GetRebalanceResponse) -> RebalanceJob | None:
    """Read the job of an answer that may have none."""
    return job(message.job) if message.HasField("job") else None


def strays(message: pb.StrayRows) -> StrayRows:
    """Read what was found on one replica."""
    return StrayRows(message.replica, message.rows, message.deleted, message.message)


def _pin(one: RebalancePin) -> pb.RebalancePin:
    return pb.RebalancePin(shard=one.shard, slots=pb.SlotRange(first=one.slots.first, last=one.slots.last))


def _move(message: pb.RebalanceMove) -> RebalanceMove:
    return RebalanceMove(
        number=message.number,
        step=_STEPS.get(message.step, RebalanceStep.UNKNOWN),
        source=message.source,
        target=message.target,
        slots=message.slots,
        rows=message.rows,
        pauses=message.pauses,
    )
