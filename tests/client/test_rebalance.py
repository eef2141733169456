"""Rebalances from Python: planned, started, steered, watched, by a blocking client and one for asyncio."""

from datetime import UTC, datetime

import pytest
from google.rpc import code_pb2

import lookalike
from lookalike import RebalanceKind, RebalancePin, RebalanceState, RebalanceStep, SlotRange
from lookalike.v1 import admin_pb2
from tests.client.both import Shop
from tests.client.script import AWAY, Refusal
from tests.client.scripted import ScriptedShop
from tests.client.scripted_rebalance import JOBS, STEPS, job, plan


def test_a_plan_says_what_would_move(shop: Shop, server: ScriptedShop) -> None:
    server.map.plan = plan()
    found = shop.rebalance.plan(pins=[RebalancePin("b", SlotRange(0, 9))], batch_slots=64, rows_per_s=5, drain="a")
    assert found.routes == (lookalike.RebalanceRoute("a", "b", 4096, 400, 500_000, 90.0),)
    assert found.shares[0] == lookalike.ShardShare("a", 3.0, False, 16384, 12288)
    assert (found.epoch, found.slots, found.moved_fraction, found.batches) == (3, 4096, 0.25, 4)
    assert (found.rows, found.bytes, found.seconds) == (400, 500_000, 90)
    asked = server.script.requests[-1]
    assert [(one.shard, one.slots.first, one.slots.last) for one in asked.pins] == [("b", 0, 9)]
    assert (asked.batch_slots, asked.rows_per_s, asked.drain) == (64, 5, "a")


def test_a_job_says_how_far_it_is(shop: Shop, server: ScriptedShop) -> None:
    told = job(1024, rows_per_s_limit=100, rows_per_s=50, eta_seconds=6, message="why", shard="a", pauses=3)
    told.kind, told.longest_pause_ms, told.pause_p99_ms = JOBS.KIND_DRAIN, 250, 200
    told.started_at.FromSeconds(1000)
    told.moves.add(number=1, step=STEPS.STEP_CATCH_UP, source="a", target="b", slots=1024, rows=100, pauses=1)
    server.map.job = told
    found = shop.rebalance.job()
    assert (found.number, found.kind, found.shard, found.state) == (3, RebalanceKind.DRAIN, "a", RebalanceState.RUNNING)
    assert (found.message, found.router, found.rows_per_s_limit, found.rows_per_s) == ("why", "r1", 100, 50)
    assert (found.slots, found.slots_moved, found.rows, found.rows_moved) == (4096, 1024, 400, 100)
    assert (found.eta_s, found.elapsed_s, found.batches, found.batches_done) == (6, 12.5, 4, 1)
    assert (found.pauses, found.longest_pause_ms, found.pause_p99_ms) == (3, 250, 200)
    assert (found.started_at, found.ended_at) == (datetime.fromtimestamp(1000, UTC), None)
    assert found.moves == (lookalike.RebalanceMove(1, RebalanceStep.CATCH_UP, "a", "b", 1024, 100, 1),)
    assert found.active


def test_before_the_first_job_there_is_none(shop: Shop) -> None:
    assert shop.rebalance.job() is None
    assert list(shop.rebalance.watch()) == []


def test_what_is_not_known_is_none(shop: Shop, server: ScriptedShop) -> None:
    server.map.job = job()
    assert shop.rebalance.job().eta_s is None
    server.map.job.ended_at.FromSeconds(2000)
    assert shop.rebalance.job().ended_at == datetime.fromtimestamp(2000, UTC)


def test_what_a_newer_server_says_is_unknown_and_no_error(shop: Shop, server: ScriptedShop) -> None:
    server.map.job = job()
    server.map.job.moves.add()
    server.map.job.MergeFromString(b"\x10\x4d\x20\x4d")  # kind 77, state 77
    found = shop.rebalance.job()
    assert (found.kind, found.state, found.moves[0].step) == (
        RebalanceKind.UNKNOWN,
        RebalanceState.UNKNOWN,
        RebalanceStep.UNKNOWN,
    )


def test_a_job_is_started_or_nothing_has_to_move(shop: Shop, server: ScriptedShop) -> None:
    assert shop.rebalance.start() is None
    assert server.script.requests[-1].ListFields() == []
    server.map.begins = job()
    started = shop.rebalance.start(pins=[RebalancePin("b", SlotRange(7, 7))], batch_slots=8, rows_per_s=1000)
    assert (started.number, started.state) == (3, RebalanceState.RUNNING)
    asked = server.script.requests[-1]
    assert (asked.pins[0].shard, asked.batch_slots, asked.rows_per_s) == ("b", 8, 1000)


def test_a_second_job_is_a_conflict(shop: Shop, server: ScriptedShop) -> None:
    server.map.job = job()
    for call in (shop.rebalance.start, shop.rebalance.reverse, lambda: shop.drain_shard("a")):
        with pytest.raises(lookalike.Conflict, match="job 3") as conflict:
            call()
        assert conflict.value.reason == "REBALANCE_ACTIVE"


def test_a_job_is_steered(shop: Shop, server: ScriptedShop) -> None:
    server.map.job = job()
    assert shop.rebalance.pause().state is RebalanceState.PAUSED
    assert shop.rebalance.throttle(250).rows_per_s_limit == 250
    assert shop.rebalance.resume().state is RebalanceState.RUNNING
    assert shop.rebalance.cancel().state is RebalanceState.CANCELLING


def test_a_job_is_taken_back(shop: Shop, server: ScriptedShop) -> None:
    server.map.begins = job(kind=JOBS.KIND_REVERSE)
    assert shop.rebalance.reverse(rows_per_s=5).kind is RebalanceKind.REVERSE
    assert server.script.requests[-1].rows_per_s == 5


def test_a_shard_is_drained_and_removed(shop: Shop, server: ScriptedShop) -> None:
    server.map.begins = job(kind=JOBS.KIND_DRAIN, shard="a")
    assert shop.drain_shard("a", batch_slots=8, rows_per_s=5).shard == "a"
    asked = server.script.requests[-1]
    assert (asked.shard, asked.undo, asked.batch_slots, asked.rows_per_s) == ("a", False, 8, 5)
    assert shop.drain_shard("a", undo=True) is None
    assert server.script.requests[-1].undo
    with pytest.raises(lookalike.FailedPrecondition, match="owns slots"):
        shop.remove_shard("a")
    server.map.shards["a"].shard.slots = 0
    assert shop.remove_shard("a", force=True) is None
    assert server.script.requests[-1].force
    assert shop.shards() == ()


def test_a_shard_that_is_drained_says_so(shop: Shop, server: ScriptedShop) -> None:
    assert not shop.topology().shards[0].draining
    server.map.shards["a"].shard.draining = True
    assert shop.topology().shards[0].draining
    assert shop.shards()[0].shard.draining


def test_a_job_is_watched_to_its_end(shop: Shop, server: ScriptedShop) -> None:
    server.map.watched = [job(), job(1024), job(4096)]
    assert [one.slots_moved for one in shop.rebalance.watch()] == [0, 1024, 4096]


def test_watching_that_is_left_ends_on_the_server_too(shop: Shop, server: ScriptedShop) -> None:
    server.map.watched, server.map.watch_waits = [job()], True
    told = shop.rebalance.watch()
    assert next(told).active
    assert not server.map.unwatched.is_set()
    told.close()
    assert server.map.unwatched.wait(timeout=30)


def test_watching_that_breaks_gives_what_it_has_first(shop: Shop, server: ScriptedShop) -> None:
    server.map.watched, server.map.watch_ends = [job()], AWAY
    told = shop.rebalance.watch()
    assert next(told).number == 3
    with pytest.raises(lookalike.Unavailable):
        next(told)


def test_what_changes_something_is_sent_once(shop: Shop, server: ScriptedShop) -> None:
    calls = [
        shop.rebalance.start,
        shop.rebalance.pause,
        shop.rebalance.resume,
        lambda: shop.rebalance.throttle(1),
        shop.rebalance.cancel,
    ]
    server.map.begins = job()
    for call in calls:
        server.script.lost = 1
        with pytest.raises(lookalike.Unavailable):
            call()
        assert server.script.lost == 0  # it was done, and its answer was lost
    assert len(server.script.requests) == len(calls)


def test_a_look_is_tried_again(shop: Shop, server: ScriptedShop) -> None:
    server.map.job = job()
    server.script.calls.append(AWAY)
    assert shop.rebalance.job().number == 3
    server.script.calls.append(AWAY)
    assert shop.rebalance.plan().epoch == 3


def test_rows_in_wrong_places_are_told_replica_by_replica(shop: Shop, server: ScriptedShop) -> None:
    first, second = (
        admin_pb2.StrayRows(replica="a/1", rows=3, deleted=2),
        admin_pb2.StrayRows(replica="b/1", message="away"),
    )
    server.map.strays = [[], [first], [], [second]]
    assert list(shop.rebalance.verify(repair=True)) == [
        lookalike.StrayRows("a/1", 3, 2, ""),
        lookalike.StrayRows("b/1", 0, 0, "away"),
    ]
    assert server.script.requests[-1].repair


@pytest.mark.parametrize("code", [code_pb2.INVALID_ARGUMENT, code_pb2.FAILED_PRECONDITION])
def test_a_refusal_says_why(shop: Shop, server: ScriptedShop, code: int) -> None:
    server.script.calls.append(Refusal(code, "no", "WHY", fields=("rows_per_s",)))
    with pytest.raises(lookalike.LookalikeError) as refusal:
        shop.rebalance.start(rows_per_s=-1)
    assert refusal.value.reason == "WHY"


def test_a_value_that_cannot_be_sent_is_refused_before(shop: Shop, server: ScriptedShop) -> None:
    with pytest.raises(lookalike.InvalidArgument):
        shop.rebalance.start(batch_slots=2**40)
    with pytest.raises(lookalike.InvalidArgument):
        shop.rebalance.throttle("fast")
    assert server.script.requests == []
