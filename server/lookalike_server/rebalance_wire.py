"""Writes rebalances as messages: plans, jobs and rows in wrong places. Pure: checks nothing, asks nobody."""

import math
from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from lookalike.v1 import admin_pb2
from lookalike_router.answer import RebalancePlan, Route, ShardShare, Strays
from lookalike_router.jobs import Job, JobKind, JobState, Move, Step, eta_s, pace
from lookalike_router.slots import SLOTS

J, M = admin_pb2.RebalanceJob, admin_pb2.RebalanceMove
KINDS = {
    JobKind.BALANCE: J.KIND_BALANCE,
    JobKind.DRAIN: J.KIND_DRAIN,
    JobKind.REVERSE: J.KIND_REVERSE,
}
STATES = {
    JobState.RUNNING: J.STATE_RUNNING,
    JobState.PAUSED: J.STATE_PAUSED,
    JobState.STOPPED: J.STATE_STOPPED,
    JobState.CANCELLING: J.STATE_CANCELLING,
    JobState.CANCELLED: J.STATE_CANCELLED,
    JobState.DONE: J.STATE_DONE,
}
# The steps of a move that is under way.
STEPS = {
    Step.COPY: M.STEP_COPY,
    Step.CATCH_UP: M.STEP_CATCH_UP,
    Step.PAUSE: M.STEP_PAUSE,
    Step.FLIP: M.STEP_FLIP,
    Step.CLEAN: M.STEP_CLEAN,
    Step.UNDO: M.STEP_UNDO,
}


def plan(one: RebalancePlan) -> admin_pb2.RebalancePlan:
    """Write what a rebalance would do."""
    slots = sum(each.slots for each in one.routes)
    return admin_pb2.RebalancePlan(
        epoch=one.epoch,
        routes=[route(each) for each in one.routes],
        shares=[share(each) for each in one.shares],
        batches=one.batches,
        slots=slots,
        moved_fraction=slots / SLOTS,
        rows=sum(each.rows for each in one.routes),
        bytes=sum(each.bytes for each in one.routes),
        seconds=sum(each.seconds for each in one.routes),
    )


def route(one: Route) -> admin_pb2.RebalanceRoute:
    """Write what moves from one shard to another."""
    return admin_pb2.RebalanceRoute(
        source=one.source, target=one.target, slots=one.slots, rows=one.rows, bytes=one.bytes, seconds=one.seconds
    )


def share(one: ShardShare) -> admin_pb2.ShardShare:
    """Write what a shard owns before and after."""
    return admin_pb2.ShardShare(
        shard=one.shard,
        weight=one.weight,
        draining=one.draining,
        slots_before=one.slots_before,
        slots_after=one.slots_after,
    )


def job(one: Job) -> admin_pb2.RebalanceJob:
    """Write how far a job is."""
    pauses = [each.paused_s * 1000 for each in one.moves if each.pauses]
    return admin_pb2.RebalanceJob(
        number=one.number,
        kind=KINDS[one.kind],
        shard=one.shard,
        state=STATES[one.state],
        message=one.message,
        router=one.router,
        rows_per_s_limit=one.rows_per_s,
        slots=one.slots,
        slots_moved=one.slots_moved,
        rows=one.rows,
        rows_moved=one.rows_moved,
        rows_per_s=pace(one),
        eta_seconds=eta_s(one),
        started_at=timestamp(one.started_at),
        ended_at=timestamp(one.ended_at) if one.ended_at else None,
        elapsed_seconds=max((one.ended_at or one.now) - one.started_at, 0.0),
        batches=len(one.moves),
        batches_done=sum(each.step.ended for each in one.moves),
        pauses=sum(each.pauses for each in one.moves),
        longest_pause_ms=max(pauses, default=0.0),
        pause_p99_ms=percentile(pauses, 0.99),
        moves=[move(each) for each in one.moves if each.step in STEPS],
    )


def move(one: Move) -> admin_pb2.RebalanceMove:
    """Write one batch that is under way."""
    return admin_pb2.RebalanceMove(
        number=one.number,
        step=STEPS[one.step],
        source=one.batch.source,
        target=one.batch.target,
        slots=len(one.batch),
        rows=one.rows,
        pauses=one.pauses,
    )


def verify_progress(found: Sequence[Strays]) -> admin_pb2.VerifyRebalanceProgress:
    """Write which replicas were looked at for rows in wrong places."""
    return admin_pb2.VerifyRebalanceProgress(found=[strays(one) for one in found])


def strays(one: Strays) -> admin_pb2.StrayRows:
    """Write what was found on one replica."""
    return admin_pb2.StrayRows(replica=one.replica, rows=one.rows, deleted=one.deleted, message=one.message)


def timestamp(seconds: float) -> Timestamp:
    """Write a time of the store's clock."""
    written = Timestamp()
    written.FromMilliseconds(round(seconds * 1000))
    return written


def percentile(values: Sequence[float], fraction: float) -> float:
    """Return the smallest value that `fraction` of them do not exceed; 0 of none."""
    return sorted(values)[math.ceil(fraction * len(values)) - 1] if values else 0.0
