"""Rebalances as operators ask for them, over real gRPC: planned, started, steered, watched, taken back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import cast

import grpc
import pytest

from lookalike.v1 import admin_pb2, search_pb2
from lookalike_router.errors import MapConflict, ShardUnreachable
from lookalike_router.jobs import Job, JobKind, JobState
from lookalike_router.memory import MemoryShard
from lookalike_router.router import Router
from lookalike_router.shard import Shard
from lookalike_router.slots import SLOTS
from lookalike_server.rebalancing import Rebalancing
from tests.parts.service import (
    CALL_S,
    RED,
    Shop,
    Told,
    address_of,
    eventually,
    memory_shards,
    open_shop,
    product,
    told_by,
)
from tests.parts.shop import row
from tests.server.photos import jpeg, plain

J = admin_pb2.RebalanceJob
PRODUCTS = [f"p{n}" for n in range(40)]
# So slow that a job with these products does not end by itself while a test looks at it.
CRAWL = 0.001


@pytest.fixture
def shards() -> list[Shard]:
    return memory_shards("a/1", "b/1", "c/1")


@pytest.fixture
async def shop(tmp_path: Path, shards: list[Shard]) -> AsyncIterator[Shop]:
    """Return a shop with products on a, b and c, and an empty shard d."""
    async with open_shop(tmp_path, shards=shards) as running:
        await asyncio.gather(*(running.put(product(name, RED)) for name in PRODUCTS))
        await running.admin.AddShard(admin_pb2.AddShardRequest(name="d", uris=[address_of("d/1")]), timeout=CALL_S)
        yield running


async def slots(shop: Shop) -> dict[str, int]:
    answer = await shop.admin.GetTopology(admin_pb2.GetTopologyRequest(), timeout=CALL_S)
    return {one.name: one.slots for one in answer.shards}


async def draining(shop: Shop) -> list[str]:
    topology = await shop.admin.GetTopology(admin_pb2.GetTopologyRequest(), timeout=CALL_S)
    return [one.name for one in topology.shards if one.draining]


async def drains(shop: Shop, *shards: str) -> bool:
    """Say whether just these are drained; a router hears of it within a moment."""
    listed = await shop.admin.ListShards(admin_pb2.ListShardsRequest(), timeout=CALL_S)
    return await draining(shop) == [one.shard.name for one in listed.shards if one.shard.draining] == list(shards)


async def start(shop: Shop, rows_per_s: float = 0.0, batch_slots: int = 0) -> admin_pb2.RebalanceJob:
    request = admin_pb2.StartRebalanceRequest(rows_per_s=rows_per_s, batch_slots=batch_slots)
    return (await shop.admin.StartRebalance(request, timeout=CALL_S)).job


async def drain(shop: Shop, shard: str, **asked: bool) -> admin_pb2.DrainShardResponse:
    return await shop.admin.DrainShard(admin_pb2.DrainShardRequest(shard=shard, **asked), timeout=CALL_S)


async def watch(shop: Shop) -> list[admin_pb2.RebalanceJob]:
    """Watch the newest job to its end."""
    return [one.job async for one in shop.admin.WatchRebalance(admin_pb2.WatchRebalanceRequest(), timeout=CALL_S)]


async def newest(shop: Shop) -> admin_pb2.RebalanceJob:
    return (await shop.admin.GetRebalance(admin_pb2.GetRebalanceRequest(), timeout=CALL_S)).job


async def strays(shop: Shop, repair: bool = False) -> dict[str, tuple[int, int]]:
    request = admin_pb2.VerifyRebalanceRequest(repair=repair)
    told = [one async for one in shop.admin.VerifyRebalance(request, timeout=CALL_S)]
    return {each.replica: (each.rows, each.deleted) for one in told for each in one.found}


async def found(shop: Shop) -> int:
    answer = await shop.search.Search(
        search_pb2.SearchRequest(image=jpeg(plain(RED)), limit=200, coverage_min=1), timeout=CALL_S
    )
    return len(answer.hits)


async def refused(call: Awaitable[object]) -> Told:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return told_by(error.value)


async def test_a_plan_changes_nothing(shop: Shop) -> None:
    before = await slots(shop)
    plan = (await shop.admin.PlanRebalance(admin_pb2.PlanRebalanceRequest(rows_per_s=10), timeout=CALL_S)).plan
    assert [(one.source, one.target) for one in plan.routes] == [("a", "d"), ("b", "d"), ("c", "d")]
    assert {one.shard: one.slots_before for one in plan.shares} == before == await slots(shop)
    assert {one.slots_after for one in plan.shares} == {SLOTS // 4}
    assert (plan.slots, plan.moved_fraction) == (SLOTS // 4, 0.25)
    assert plan.seconds == pytest.approx(plan.rows / 10, abs=0.5)
    assert not (await shop.admin.GetRebalance(admin_pb2.GetRebalanceRequest(), timeout=CALL_S)).HasField("job")
    assert await watch(shop) == []


async def test_a_plan_keeps_pins_and_may_empty_a_shard(shop: Shop) -> None:
    pin = admin_pb2.RebalancePin(shard="d", slots=admin_pb2.SlotRange(first=0, last=9_999))
    plan = (await shop.admin.PlanRebalance(admin_pb2.PlanRebalanceRequest(pins=[pin]), timeout=CALL_S)).plan
    assert {one.shard: one.slots_after for one in plan.shares}["d"] == 10_000
    plan = (await shop.admin.PlanRebalance(admin_pb2.PlanRebalanceRequest(drain="a"), timeout=CALL_S)).plan
    share = {one.shard: one for one in plan.shares}["a"]
    assert (share.draining, share.slots_after) == (True, 0)
    assert await draining(shop) == []


async def test_a_rebalance_gives_every_shard_its_share_and_loses_nothing(shop: Shop) -> None:
    job = await start(shop)
    assert (job.number, job.kind, job.state, job.slots) == (1, J.KIND_BALANCE, J.STATE_RUNNING, SLOTS // 4)
    told = await watch(shop)
    last = told[-1]
    assert last == await newest(shop)
    assert (last.state, last.slots_moved, last.batches_done) == (J.STATE_DONE, last.slots, last.batches)
    assert last.rows_moved == last.rows > 0
    assert (last.pauses >= last.batches, last.longest_pause_ms >= last.pause_p99_ms > 0) == (True, True)
    assert (last.HasField("ended_at"), last.router, len(last.moves)) == (True, shop.router.id, 0)
    assert set((await slots(shop)).values()) == {SLOTS // 4}
    assert await found(shop) == len(PRODUCTS)
    assert await strays(shop) == {f"{name}/1": (0, 0) for name in "abcd"}
    again = await shop.admin.StartRebalance(admin_pb2.StartRebalanceRequest(), timeout=CALL_S)
    assert not again.HasField("job")


async def test_a_shard_is_drained_and_only_then_removed(shop: Shop) -> None:
    removal = admin_pb2.RemoveShardRequest(shard="a")
    told = await refused(shop.admin.RemoveShard(removal, timeout=CALL_S))
    assert (told.code, told.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MAP_CONFLICT")
    assert "lookalike shards drain a" in told.message
    job = (await drain(shop, "a")).job
    assert (job.kind, job.shard) == (J.KIND_DRAIN, "a")
    await eventually(lambda: drains(shop, "a"))
    assert (await watch(shop))[-1].state == J.STATE_DONE
    assert (await slots(shop))["a"] == 0
    assert not (await drain(shop, "a")).HasField("job")
    await shop.admin.RemoveShard(removal, timeout=CALL_S)
    assert list(await slots(shop)) == ["b", "c", "d"]
    told = await refused(shop.admin.ReverseRebalance(admin_pb2.ReverseRebalanceRequest(), timeout=CALL_S))
    assert (told.code, told.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MAP_CONFLICT")
    assert "took slots from a, removed since" in told.message
    assert await found(shop) == len(PRODUCTS)


async def test_a_drain_is_undone_for_plans_to_come(shop: Shop) -> None:
    assert not (await drain(shop, "d")).HasField("job")
    await eventually(lambda: drains(shop, "d"))
    assert not (await shop.admin.StartRebalance(admin_pb2.StartRebalanceRequest(), timeout=CALL_S)).HasField("job")
    assert not (await drain(shop, "d", undo=True)).HasField("job")
    await eventually(lambda: drains(shop))
    assert (await start(shop)).slots == SLOTS // 4


async def test_a_job_is_paused_throttled_resumed_and_cancelled(shop: Shop) -> None:
    job = await start(shop, rows_per_s=CRAWL, batch_slots=512)
    assert job.rows_per_s_limit == CRAWL
    paused = (await shop.admin.PauseRebalance(admin_pb2.PauseRebalanceRequest(), timeout=CALL_S)).job
    assert paused.state == J.STATE_PAUSED
    slower = admin_pb2.ThrottleRebalanceRequest(rows_per_s=2 * CRAWL)
    throttled = (await shop.admin.ThrottleRebalance(slower, timeout=CALL_S)).job
    assert (throttled.state, throttled.rows_per_s_limit) == (J.STATE_PAUSED, 2 * CRAWL)
    resumed = (await shop.admin.ResumeRebalance(admin_pb2.ResumeRebalanceRequest(), timeout=CALL_S)).job
    assert (resumed.state, resumed.rows_per_s_limit) == (J.STATE_RUNNING, 2 * CRAWL)
    cancelled = (await shop.admin.CancelRebalance(admin_pb2.CancelRebalanceRequest(), timeout=CALL_S)).job
    assert cancelled.state == J.STATE_CANCELLING
    assert (await watch(shop))[-1].state == J.STATE_CANCELLED
    assert await found(shop) == len(PRODUCTS)
    assert await strays(shop) == {f"{name}/1": (0, 0) for name in "abcd"}


async def crawls(shop: Shop) -> bool:
    """Say whether a batch has moved, after which the next ones wait for their rate."""
    return (await newest(shop)).slots_moved > 0


async def test_a_job_whose_copies_wait_for_their_rate_is_cancelled_all_the_same(shop: Shop) -> None:
    await start(shop, rows_per_s=CRAWL)
    await eventually(lambda: crawls(shop))
    await shop.admin.CancelRebalance(admin_pb2.CancelRebalanceRequest(), timeout=CALL_S)
    last = (await watch(shop))[-1]
    assert (last.state, 0 < last.slots_moved < last.slots) == (J.STATE_CANCELLED, True)
    assert await found(shop) == len(PRODUCTS)
    assert await strays(shop) == {f"{name}/1": (0, 0) for name in "abcd"}


async def test_a_job_whose_copies_wait_for_their_rate_hears_of_a_new_one(shop: Shop) -> None:
    await start(shop, rows_per_s=CRAWL)
    await eventually(lambda: crawls(shop))
    await shop.admin.ThrottleRebalance(admin_pb2.ThrottleRebalanceRequest(rows_per_s=0), timeout=CALL_S)
    assert (await watch(shop))[-1].state == J.STATE_DONE
    assert await found(shop) == len(PRODUCTS)


async def test_there_is_one_job_at_a_time(shop: Shop) -> None:
    await start(shop, rows_per_s=CRAWL)

    async def runs() -> bool:
        return (await newest(shop)).router == shop.router.id

    await eventually(runs)
    for call in (
        shop.admin.StartRebalance(admin_pb2.StartRebalanceRequest(), timeout=CALL_S),
        shop.admin.DrainShard(admin_pb2.DrainShardRequest(shard="a"), timeout=CALL_S),
    ):
        told = await refused(call)
        assert (told.code, told.reason) == (grpc.StatusCode.ABORTED, "REBALANCE_ACTIVE")
        assert f"job 1 (balance) is running, run by {shop.router.id}" in told.message
    assert (await newest(shop)).number == 1
    assert await draining(shop) == []


async def test_a_job_is_taken_back(shop: Shop) -> None:
    before = await slots(shop)
    await drain(shop, "a")
    assert (await watch(shop))[-1].state == J.STATE_DONE
    job = (await shop.admin.ReverseRebalance(admin_pb2.ReverseRebalanceRequest(), timeout=CALL_S)).job
    assert (job.number, job.kind) == (2, J.KIND_REVERSE)
    assert (await watch(shop))[-1].state == J.STATE_DONE
    assert await slots(shop) == before
    await eventually(lambda: drains(shop))
    assert await found(shop) == len(PRODUCTS)


@pytest.mark.parametrize("steer", ["Pause", "Resume", "Throttle", "Cancel", "Reverse"])
async def test_without_a_job_there_is_nothing_to_steer(shop: Shop, steer: str) -> None:
    request = getattr(admin_pb2, f"{steer}RebalanceRequest")()
    told = await refused(getattr(shop.admin, f"{steer}Rebalance")(request, timeout=CALL_S))
    assert (told.code, told.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MAP_CONFLICT")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"drain": "z"}, "there is no shard z"),
        ({"pins": [admin_pb2.RebalancePin(shard="z")]}, "z"),
    ],
)
async def test_a_plan_that_cannot_be_says_why(shop: Shop, call: dict[str, object], said: str) -> None:
    request = admin_pb2.PlanRebalanceRequest(**call)  # type: ignore[arg-type]
    told = await refused(shop.admin.PlanRebalance(request, timeout=CALL_S))
    assert (told.code, told.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MAP_CONFLICT")
    assert said in told.message


async def test_the_last_shard_is_neither_drained_nor_removed(tmp_path: Path) -> None:
    async with open_shop(tmp_path, shards=memory_shards("a/1")) as shop:
        told = await refused(drain(shop, "a"))
        assert (told.code, told.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MAP_CONFLICT")
        assert "add one first" in told.message
        told = await refused(shop.admin.RemoveShard(admin_pb2.RemoveShardRequest(shard="a"), timeout=CALL_S))
        assert "only shard" in told.message
        assert await draining(shop) == []


async def test_an_empty_shop_is_rebalanced_like_any_other(tmp_path: Path) -> None:
    async with open_shop(tmp_path, shards=memory_shards("a/1")) as shop:
        await shop.admin.AddShard(admin_pb2.AddShardRequest(name="b", uris=[address_of("b/1")]), timeout=CALL_S)
        plan = (await shop.admin.PlanRebalance(admin_pb2.PlanRebalanceRequest(), timeout=CALL_S)).plan
        assert (plan.slots, plan.rows, plan.bytes, plan.seconds) == (SLOTS // 2, 0, 0, 0)
        await start(shop)
        last = (await watch(shop))[-1]
        assert (last.state, last.rows, last.eta_seconds) == (J.STATE_DONE, 0, 0)
        assert await slots(shop) == {"a": SLOTS // 2, "b": SLOTS // 2}


async def test_a_wrong_field_is_named_and_nothing_begins(shop: Shop) -> None:
    told = await refused(
        shop.admin.StartRebalance(admin_pb2.StartRebalanceRequest(rows_per_s=-1, batch_slots=-1), timeout=CALL_S)
    )
    assert (told.code, list(told.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["batch_slots", "rows_per_s"])
    assert (await newest(shop)).number == 0


async def test_rows_in_wrong_places_are_found_and_deleted_when_asked(shop: Shop, shards: list[Shard]) -> None:
    owned = await slots(shop)
    assert owned["d"] == 0
    stray = next(r for r in map(row, map(str, range(99))) if not any(r.slot in s for s in _ranges(shop, "a")))
    await shards[0].write([stray], [], CALL_S)
    assert (await strays(shop))["a/1"] == (1, 0)
    assert (await strays(shop, repair=True))["a/1"] == (1, 1)
    assert (await strays(shop))["a/1"] == (0, 0)
    assert await found(shop) == len(PRODUCTS)


async def test_rows_are_not_judged_while_a_job_moves_them(shop: Shop) -> None:
    await start(shop, rows_per_s=CRAWL)
    told = await refused(strays(shop))
    assert (told.code, told.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MAP_CONFLICT")


async def test_a_replica_that_does_not_answer_is_told_and_keeps_its_shard_from_going(tmp_path: Path) -> None:
    class Dying(MemoryShard):
        dead = False

        async def count(self, *args: object) -> int:
            if self.dead:
                raise ShardUnreachable(self.name, "connection refused")
            return await super().count(*args)  # type: ignore[arg-type]

    spare = Dying("d/1", address_of("d/1"))
    async with open_shop(tmp_path, shards=memory_shards("a/1"), spare=[spare]) as shop:
        await shop.admin.AddShard(admin_pb2.AddShardRequest(name="d", uris=[spare.uri]), timeout=CALL_S)
        spare.dead = True
        request = admin_pb2.VerifyRebalanceRequest()
        told = [one async for one in shop.admin.VerifyRebalance(request, timeout=CALL_S)]
        assert [(each.replica, each.message) for one in told for each in one.found if each.message] == [
            ("d/1", "connection refused")
        ]
        refusal = await refused(shop.admin.RemoveShard(admin_pb2.RemoveShardRequest(shard="d"), timeout=CALL_S))
        assert (refusal.code, "--force" in refusal.message) == (grpc.StatusCode.FAILED_PRECONDITION, True)
        await shop.admin.RemoveShard(admin_pb2.RemoveShardRequest(shard="d", force=True), timeout=CALL_S)
        assert list(await slots(shop)) == ["a"]


async def test_whoever_watches_is_told_that_the_server_stops(shop: Shop) -> None:
    await start(shop, rows_per_s=CRAWL)
    told = shop.admin.WatchRebalance(admin_pb2.WatchRebalanceRequest()).__aiter__()
    assert (await anext(told)).job.number == 1
    shop.serving._edge.stopping.set()

    async def rest() -> None:
        async for one in told:
            assert one.job.number == 1

    refusal = await refused(rest())
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "STOPPING")


class Jobs:
    """A router that says of each look what a test told it."""

    def __init__(self, *numbers: int) -> None:
        self._numbers = iter(numbers)

    async def job(self) -> Job:
        number = next(self._numbers)
        return Job(number, JobKind.BALANCE, "", JobState.RUNNING, 0.0, 0.0, 0.0, "r1", 0.0, "", (), 0.0)


async def test_whoever_watches_is_not_shown_another_job_instead() -> None:
    watched = Rebalancing(cast("Router", Jobs(1, 1, 2)), asyncio.Event()).watched()
    assert [(await anext(watched)).number, (await anext(watched)).number] == [1, 1]
    with pytest.raises(MapConflict, match="job 1 has ended, and job 2 has begun"):
        await anext(watched)


def _ranges(shop: Shop, shard: str) -> list[range]:
    place = next(one for one in shop.router.topology().shards if one.name == shard)
    return [range(run.first, run.last + 1) for run in place.ranges]
