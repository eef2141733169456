"""The scripted shop's rebalances: a job that is as a test says it is, and nothing moves."""

import threading
from collections.abc import Iterator
from typing import Any

from google.rpc import code_pb2

from lookalike.v1 import admin_pb2, admin_pb2_grpc
from tests.client.script import Refusal, Script

JOBS = admin_pb2.RebalanceJob
STEPS = admin_pb2.RebalanceMove


class ScriptedRebalance(admin_pb2_grpc.AdminServiceServicer):
    """One job, or none, and what a plan and a look at stray rows find."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.plan = admin_pb2.RebalancePlan(epoch=3)
        self.job: admin_pb2.RebalanceJob | None = None
        self.begins: admin_pb2.RebalanceJob | None = None  # the job that the next start, drain or reverse begins
        self.watched: list[admin_pb2.RebalanceJob] = []  # what whoever watches is shown
        self.watch_ends: Refusal | None = None  # after the last of them
        self.watch_waits = False  # after the last of them, until the caller leaves
        self.unwatched = threading.Event()  # set when a caller's watching is over
        self.strays: list[list[admin_pb2.StrayRows]] = []  # message by message

    def PlanRebalance(self, request: admin_pb2.PlanRebalanceRequest, context: Any) -> admin_pb2.PlanRebalanceResponse:
        self.script.meet(request, context)
        return admin_pb2.PlanRebalanceResponse(plan=self.plan)

    def StartRebalance(
        self, request: admin_pb2.StartRebalanceRequest, context: Any
    ) -> admin_pb2.StartRebalanceResponse:
        return admin_pb2.StartRebalanceResponse(job=self._begun(request, context))

    def DrainShard(self, request: admin_pb2.DrainShardRequest, context: Any) -> admin_pb2.DrainShardResponse:
        if request.undo:
            self.script.meet(request, context)
            return admin_pb2.DrainShardResponse()
        return admin_pb2.DrainShardResponse(job=self._begun(request, context))

    def ReverseRebalance(
        self, request: admin_pb2.ReverseRebalanceRequest, context: Any
    ) -> admin_pb2.ReverseRebalanceResponse:
        return admin_pb2.ReverseRebalanceResponse(job=self._begun(request, context))

    def GetRebalance(self, request: admin_pb2.GetRebalanceRequest, context: Any) -> admin_pb2.GetRebalanceResponse:
        self.script.meet(request, context)
        return admin_pb2.GetRebalanceResponse(job=self.job)

    def WatchRebalance(
        self, request: admin_pb2.WatchRebalanceRequest, context: Any
    ) -> Iterator[admin_pb2.WatchRebalanceResponse]:
        self.unwatched.clear()
        context.add_callback(self.unwatched.set)
        self.script.meet(request, context)
        for job in self.watched:
            yield admin_pb2.WatchRebalanceResponse(job=job)
        if self.watch_ends is not None:
            context.abort_with_status(self.watch_ends.status())
        if self.watch_waits:
            self.unwatched.wait()

    def PauseRebalance(
        self, request: admin_pb2.PauseRebalanceRequest, context: Any
    ) -> admin_pb2.PauseRebalanceResponse:
        return admin_pb2.PauseRebalanceResponse(job=self._steered(request, context, state=JOBS.STATE_PAUSED))

    def ResumeRebalance(
        self, request: admin_pb2.ResumeRebalanceRequest, context: Any
    ) -> admin_pb2.ResumeRebalanceResponse:
        return admin_pb2.ResumeRebalanceResponse(job=self._steered(request, context, state=JOBS.STATE_RUNNING))

    def ThrottleRebalance(
        self, request: admin_pb2.ThrottleRebalanceRequest, context: Any
    ) -> admin_pb2.ThrottleRebalanceResponse:
        job = self._steered(request, context, rows_per_s_limit=request.rows_per_s)
        return admin_pb2.ThrottleRebalanceResponse(job=job)

    def CancelRebalance(
        self, request: admin_pb2.CancelRebalanceRequest, context: Any
    ) -> admin_pb2.CancelRebalanceResponse:
        return admin_pb2.CancelRebalanceResponse(job=self._steered(request, context, state=JOBS.STATE_CANCELLING))

    def VerifyRebalance(
        self, request: admin_pb2.VerifyRebalanceRequest, context: Any
    ) -> Iterator[admin_pb2.VerifyRebalanceProgress]:
        self.script.meet(request, context)
        for found in self.strays:
            yield admin_pb2.VerifyRebalanceProgress(found=found)

    def _begun(self, request: Any, context: Any) -> admin_pb2.RebalanceJob | None:
        self.script.meet(request, context)
        if self.job is not None:
            message = f"job {self.job.number} (balance) is running, run by r1"
            context.abort_with_status(Refusal(code_pb2.ABORTED, message, "REBALANCE_ACTIVE").status())
        self.job = self.begins
        self.script.lose(context)
        return self.job

    def _steered(self, request: Any, context: Any, **changes: Any) -> admin_pb2.RebalanceJob:
        self.script.meet(request, context)
        if self.job is None:
            context.abort_with_status(Refusal(code_pb2.FAILED_PRECONDITION, "no job", "MAP_CONFLICT").status())
        assert self.job is not None
        self.job.MergeFrom(admin_pb2.RebalanceJob(**changes))
        self.script.lose(context)
        return self.job


def job(slots_moved: int = 0, **facts: Any) -> admin_pb2.RebalanceJob:
    """Return a job of 4,096 slots and 400 rows, a tenth of them a slot's worth, as far as `slots_moved`."""
    usual: dict[str, Any] = {
        "number": 3,
        "kind": JOBS.KIND_BALANCE,
        "state": JOBS.STATE_DONE if slots_moved == 4096 else JOBS.STATE_RUNNING,
        "router": "r1",
        "slots": 4096,
        "slots_moved": slots_moved,
        "rows": 400,
        "rows_moved": slots_moved * 400 // 4096,
        "elapsed_seconds": 12.5,
        "batches": 4,
        "batches_done": slots_moved // 1024,
    }
    return admin_pb2.RebalanceJob(**(usual | facts))


def plan() -> admin_pb2.RebalancePlan:
    """Return a plan that gives a quarter of shard a's slots to b."""
    route = admin_pb2.RebalanceRoute(source="a", target="b", slots=4096, rows=400, bytes=500_000, seconds=90)
    shares = [
        admin_pb2.ShardShare(shard="a", weight=3, slots_before=16384, slots_after=12288),
        admin_pb2.ShardShare(shard="b", weight=1, slots_before=0, slots_after=4096),
    ]
    return admin_pb2.RebalancePlan(
        epoch=3,
        routes=[route],
        shares=shares,
        batches=4,
        slots=4096,
        moved_fraction=0.25,
        rows=400,
        bytes=500_000,
        seconds=90,
    )
