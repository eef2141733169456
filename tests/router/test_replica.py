"""How a replica comes and goes, on virtual time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from lookalike_router.errors import ShardRefused, ShardTimedOut, ShardUnreachable
from lookalike_router.replica import Away, InUse, Replica
from lookalike_router.store import Sync
from tests.router.conftest import SHOP
from tests.router.scripted import S, ScriptedShard, until
from tests.simulation.loop import run


def play(scene: Callable[[ScriptedShard, Replica], Awaitable[None]]) -> None:
    """Play a scene with a replica that has joined."""

    async def whole() -> None:
        shard = ScriptedShard("a/1")
        replica = Replica(shard, Sync.IN_SYNC, SHOP)
        await replica.join(founding=True, deadline_s=S)
        await scene(shard, replica)
        await replica.close()

    run(whole())


def test_a_replica_that_cannot_be_reached_is_away_at_once_and_back_once_it_joins() -> None:
    async def scene(shard: ScriptedShard, replica: Replica) -> None:
        shard.error = ShardUnreachable("a/1", "is down")
        replica.report(shard.error)
        assert isinstance(replica.state, Away)
        await until(lambda: shard.joins > 2)
        assert isinstance(replica.state, Away)
        shard.error = None
        await until(lambda: isinstance(replica.state, InUse))

    play(scene)


def test_one_late_call_puts_no_replica_aside() -> None:
    async def scene(shard: ScriptedShard, replica: Replica) -> None:
        replica.report(ShardTimedOut("a/1", "was late"))
        assert isinstance(replica.state, InUse)
        await until(lambda: shard.joins == 2)
        assert isinstance(replica.state, InUse)

    play(scene)


def test_many_reports_make_one_check() -> None:
    async def scene(shard: ScriptedShard, replica: Replica) -> None:
        shard.paused = True
        for _ in range(100):
            replica.report(ShardTimedOut("a/1", "was late"))
        await until(lambda: shard.joins == 2)
        shard.paused = False
        await asyncio.sleep(10)
        assert shard.joins == 2

    play(scene)


def test_a_late_replica_whose_check_fails_is_away() -> None:
    async def scene(shard: ScriptedShard, replica: Replica) -> None:
        shard.paused = True
        replica.report(ShardTimedOut("a/1", "was late"))
        await until(lambda: isinstance(replica.state, Away))

    play(scene)


def test_a_replica_that_returns_as_another_stays_away() -> None:
    async def scene(shard: ScriptedShard, replica: Replica) -> None:
        shard.error = ShardRefused("a/1", "is another")
        replica.report(ShardUnreachable("a/1", "is down"))
        await until(lambda: shard.joins > 2)
        assert isinstance(replica.state, Away)
        assert isinstance(replica.state.error, ShardRefused)

    play(scene)


def test_the_health_of_a_replica_that_is_back_starts_anew_and_that_of_one_that_was_only_checked_does_not() -> None:
    async def scene(shard: ScriptedShard, replica: Replica) -> None:
        replica.health.answered(replica.health.begin(1.0, measured=True), 2.0)
        replica.report(ShardTimedOut("a/1", "was late"))
        await until(lambda: shard.joins == 2)
        assert replica.health.p50_ms == 1000
        replica.report(ShardUnreachable("a/1", "is down"))
        await until(lambda: isinstance(replica.state, InUse))
        assert replica.health.p50_ms == 0

    play(scene)


def test_joining_an_endpoint_that_hangs_ends() -> None:
    async def whole() -> None:
        shard = ScriptedShard("a/1")
        shard.paused = True
        with pytest.raises(ShardTimedOut):
            await Replica(shard, Sync.IN_SYNC, SHOP).join(founding=True, deadline_s=1.0)
        assert shard.timed_out == 1

    run(whole())
