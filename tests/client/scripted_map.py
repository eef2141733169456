"""The scripted shop's shards and replicas, in a dict; it fills and compares them as a test told it."""

import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

from google.rpc import code_pb2

from lookalike.v1 import admin_pb2
from tests.client.script import Refusal, Script
from tests.client.scripted_rebalance import ScriptedRebalance

MODEL = "tiny@1"
SLOTS = 16384
STATES = admin_pb2.ShardStatus
SYNCS = admin_pb2.Replica


class ScriptedMap(ScriptedRebalance):
    """One shard "a" with one replica, unless a test adds more."""

    def __init__(self, script: Script, dim: int) -> None:
        super().__init__(script)
        self.dim = dim
        self.shards = {"a": _shard("a", ["http://127.0.0.1:19530"], SLOTS)}
        self.fills: deque[float] = deque()  # how far new replicas are, look by look; then they are in sync
        self.refuses_fills = ""  # why new replicas are refused
        self.reports: list[admin_pb2.VerifyProgress] = []
        self.verify_ends: Refusal | None = None  # after the last report
        self.verify_waits = False  # after the last report, until the caller leaves
        self.left = threading.Event()  # set when a caller's comparison is over

    def replica(self, name: str) -> admin_pb2.ReplicaStatus:
        """Return one replica, to be changed by the test."""
        return next(one for status in self.shards.values() for one in status.replicas if one.replica.name == name)

    def GetTopology(self, request: admin_pb2.GetTopologyRequest, context: Any) -> admin_pb2.GetTopologyResponse:
        self.script.meet(request, context)
        shards = [status.shard for status in self.shards.values()]
        return admin_pb2.GetTopologyResponse(
            epoch=1, slots=SLOTS, shards=shards, embedder=MODEL, detector="boxes@1", dim=self.dim
        )

    def ListShards(self, request: admin_pb2.ListShardsRequest, context: Any) -> admin_pb2.ListShardsResponse:
        self.script.meet(request, context)
        filling = (one for status in self.shards.values() for one in status.replicas if one.filled < 1)
        for one in filling:
            if self.refuses_fills:
                one.state, one.message = STATES.STATE_REFUSED, self.refuses_fills
                continue
            one.filled = self.fills.popleft() if self.fills else 1.0
            if one.filled == 1:
                one.replica.sync, one.rows = SYNCS.SYNC_IN_SYNC, 7
        return admin_pb2.ListShardsResponse(shards=self.shards.values(), epoch=1)

    def AddShard(self, request: admin_pb2.AddShardRequest, context: Any) -> admin_pb2.AddShardResponse:
        self.script.meet(request, context)
        if request.name in self.shards:
            self._conflict(f"there is a shard {request.name!r} already: choose another name", context)
        self.shards[request.name] = _shard(request.name, request.uris, 0)
        self.shards[request.name].shard.weight = request.weight
        self.script.lose(context)
        return admin_pb2.AddShardResponse(shard=self.shards[request.name].shard)

    def AddReplica(self, request: admin_pb2.AddReplicaRequest, context: Any) -> admin_pb2.AddReplicaResponse:
        self.script.meet(request, context)
        if request.shard not in self.shards:
            self._conflict(f"there is no shard {request.shard!r}", context)
        replicas = self.shards[request.shard].replicas
        added = _replica(f"{request.shard}/{len(replicas) + 1}", request.uri)
        added.replica.sync, added.filled, added.rows = SYNCS.SYNC_FILLING, 0.0, 0
        replicas.append(added)
        self.script.lose(context)
        return admin_pb2.AddReplicaResponse(replica=added.replica.name)

    def RemoveReplica(self, request: admin_pb2.RemoveReplicaRequest, context: Any) -> admin_pb2.RemoveReplicaResponse:
        self.script.meet(request, context)
        replicas = self.shards[request.replica.partition("/")[0]].replicas
        if len(replicas) < 2:
            self._conflict(f"{request.replica} is the shard's last replica in sync: add another first", context)
        replicas.remove(self.replica(request.replica))
        self.script.lose(context)
        return admin_pb2.RemoveReplicaResponse()

    def RemoveShard(self, request: admin_pb2.RemoveShardRequest, context: Any) -> admin_pb2.RemoveShardResponse:
        self.script.meet(request, context)
        if request.shard not in self.shards or self.shards[request.shard].shard.slots:
            self._conflict(f"shard {request.shard} owns slots; `lookalike shards drain {request.shard}`", context)
        del self.shards[request.shard]
        self.script.lose(context)
        return admin_pb2.RemoveShardResponse()

    def Verify(self, request: admin_pb2.VerifyRequest, context: Any) -> Iterator[admin_pb2.VerifyProgress]:
        self.left.clear()
        context.add_callback(self.left.set)
        self.script.meet(request, context)
        yield from self.reports
        if self.verify_ends is not None:
            context.abort_with_status(self.verify_ends.status())
        if self.verify_waits:
            self.left.wait()

    def _conflict(self, message: str, context: Any) -> None:
        context.abort_with_status(Refusal(code_pb2.FAILED_PRECONDITION, message, "MAP_CONFLICT").status())


def report(
    slots_done: int, *differing: str, differing_before: int = 0, repaired: int = 0, **more: Any
) -> admin_pb2.VerifyProgress:
    """Return a report of a comparison of shard "a" that has found `differing` since the report before."""
    return admin_pb2.VerifyProgress(
        shard="a",
        slots_done=slots_done,
        slots=SLOTS,
        next_slot=slots_done,
        rows=2 * slots_done,
        differing_product_ids=differing,
        differing_total=differing_before + len(differing),
        repaired_total=repaired,
        done=slots_done == SLOTS,
        **more,
    )


def _shard(name: str, uris: Any, slots: int) -> admin_pb2.ShardStatus:
    replicas = [_replica(f"{name}/{number}", uri) for number, uri in enumerate(uris, start=1)]
    ranges = [admin_pb2.SlotRange(first=0, last=slots - 1)] if slots else []
    shard = admin_pb2.Shard(name=name, weight=1.0, uri=uris[0], slots=slots, slot_ranges=ranges)
    shard.replicas.extend(one.replica for one in replicas)
    return admin_pb2.ShardStatus(
        shard=shard,
        state=STATES.STATE_HEALTHY,
        rows=7,
        latency_ms=1.5,
        server_version="2.3.5",
        replicas=replicas,
    )


def _replica(name: str, uri: str) -> admin_pb2.ReplicaStatus:
    return admin_pb2.ReplicaStatus(
        replica=admin_pb2.Replica(name=name, uri=uri, sync=SYNCS.SYNC_IN_SYNC),
        state=STATES.STATE_HEALTHY,
        filled=1.0,
        rows=7,
        p50_ms=1.5,
        p95_ms=4.0,
        server_version="2.3.5",
    )
