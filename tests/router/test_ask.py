"""One shard asked over replicas that fail, hang and are behind, on virtual time."""

import asyncio
from dataclasses import replace

import pytest

from lookalike_router.ask import SILENT_READ_S
from lookalike_router.errors import ShardFailed, ShardRefused, ShardTimedOut, ShardUnreachable
from lookalike_router.replica import Away, InUse
from lookalike_router.shard import Shard
from lookalike_router.store import Sync
from tests.router.scripted import USUAL_S, S, Stage, now_s, play, searched, until
from tests.simulation.loop import START_S


def test_one_replica_is_asked_and_what_it_says_is_returned() -> None:
    async def scene(stage: Stage) -> None:
        answer = await stage.search()
        assert (answer.value, answer.replica, answer.hedge, answer.retry, answer.behind) == (
            "a/1",
            "a/1",
            "",
            "",
            False,
        )
        assert answer.ms == pytest.approx(USUAL_S * 1000)
        assert sum(stage.asked().values()) == 1

    play(1, scene)


def test_a_replica_gets_a_little_less_time_than_the_caller_gave() -> None:
    async def scene(stage: Stage) -> None:
        await stage.search(deadline_s=10.0)
        await stage.search(deadline_s=0.1)
        assert stage.endpoints["a/1"].deadlines_s[-2:] == pytest.approx([9.98, 0.095])

    play(1, scene)


def test_a_failure_of_one_replica_is_tried_once_on_another_and_not_on_a_third() -> None:
    async def scene(stage: Stage) -> None:
        for name, one in stage.endpoints.items():
            one.error = ShardFailed(name, "is broken")
        with pytest.raises(ShardFailed, match=r"shard a: a/\d is broken") as raised:
            await stage.read()
        assert raised.value.shard == "a"
        assert sorted(stage.asked().values()) == [0, 1, 1]

    play(3, scene)


def test_one_that_is_behind_answers_only_if_no_other_can_and_says_so() -> None:
    async def scene(stage: Stage) -> None:
        stage.replicas["a/1"].sync = Sync.BEHIND
        answer = await stage.search()
        assert (answer.replica, answer.behind) == ("a/2", False)
        stage.endpoints["a/2"].error = ShardUnreachable("a/2", "is down")
        answer = await stage.search()
        assert (answer.replica, answer.retry, answer.behind) == ("a/1", "a/1", True)
        answer = await stage.search()
        assert (answer.replica, answer.retry, answer.behind) == ("a/1", "", True)
        with pytest.raises(ShardUnreachable, match="a/2 is down"):
            await stage.read(exact=True)

    play(2, scene)


def test_one_that_is_behind_is_no_hedge_and_answers_late_where_the_other_hangs() -> None:
    async def scene(stage: Stage) -> None:
        stage.replicas["a/1"].sync = Sync.BEHIND
        stage.endpoints["a/2"].takes_s = 1.0
        answer = await stage.search(deadline_s=4.0)
        assert (answer.replica, answer.behind) == ("a/2", False)
        stage.endpoints["a/2"].paused = True
        answer = await stage.search(deadline_s=4.0)
        assert (answer.replica, answer.behind) == ("a/1", True)
        assert stage.asked() == {"a/1": 1, "a/2": 2}

    play(2, scene)


def test_one_that_is_being_filled_is_never_asked() -> None:
    async def scene(stage: Stage) -> None:
        stage.replicas["a/1"].sync = Sync.FILLING
        stage.endpoints["a/2"].error = ShardUnreachable("a/2", "is down")
        with pytest.raises(ShardUnreachable, match="shard a: a/2 is down"):
            await stage.search()
        with pytest.raises(ShardUnreachable, match="shard a: a/2 is down"):
            await stage.search()
        stage.replicas["a/2"].sync = Sync.FILLING
        with pytest.raises(ShardUnreachable, match="lookalike shards"):
            await stage.search()
        assert stage.asked() == {"a/1": 0, "a/2": 1}

    play(2, scene)


def test_a_shard_whose_only_replica_is_away_says_so_at_once() -> None:
    async def scene(stage: Stage) -> None:
        stage.endpoints["a/1"].error = ShardRefused("a/1", "was emptied")
        with pytest.raises(ShardRefused):
            await stage.search()
        began = now_s()
        with pytest.raises(ShardRefused, match="shard a: a/1 was emptied"):
            await stage.search()
        assert now_s() == began
        assert stage.asked() == {"a/1": 1}

    play(1, scene)


def test_a_shard_that_hangs_ends_at_the_deadline_and_is_checked() -> None:
    async def scene(stage: Stage) -> None:
        stage.endpoints["a/1"].paused = True
        with pytest.raises(ShardTimedOut, match="shard a: a/1 did not answer"):
            await stage.search(deadline_s=1.0)
        assert now_s() <= START_S + 1.1
        await until(lambda: isinstance(stage.replicas["a/1"].state, Away))

    play(1, scene)


def test_an_endpoint_that_ignores_its_deadline_is_left_behind_at_the_callers() -> None:
    async def scene(stage: Stage) -> None:
        async def deaf(shard: Shard, deadline_s: float) -> str:
            await asyncio.sleep(60)
            return "late"

        began = now_s()
        with pytest.raises(ShardTimedOut):
            await stage.asker.ask(stage.group, deaf, began + 1.0, measured=True)
        assert now_s() == began + 1.0
        assert stage.replicas["a/1"].health.in_flight == 0
        await asyncio.sleep(100)
        assert stage.replicas["a/1"].health.in_flight == 0

    play(1, scene)


def test_a_replica_that_lives_but_ignores_a_deadline_is_left_behind_with_nobody_else_asked() -> None:
    async def scene(stage: Stage) -> None:
        calls: list[str] = []

        async def deaf(shard: Shard, deadline_s: float) -> str:
            calls.append(shard.name)
            await asyncio.sleep(60)
            return "late"

        began = now_s()
        call = asyncio.ensure_future(stage.asker.ask(stage.group, deaf, began + S))
        await asyncio.sleep(USUAL_S)
        alone = replace(stage.group, replicas=(stage.replicas[calls[0]],))
        await stage.asker.ask(alone, searched, began + S, measured=True)
        with pytest.raises(ShardTimedOut):
            await call
        assert now_s() == began + S
        assert len(calls) == 1

    play(2, scene)


def test_a_read_is_tried_again_where_a_replica_fails_or_says_nothing_and_is_no_hedge() -> None:
    async def scene(stage: Stage) -> None:
        first = (await stage.read()).value
        stage.endpoints[first].error = ShardFailed(first, "is broken")
        answer = await stage.read()
        assert (answer.retry, answer.hedge) == (answer.replica, "")
        stage.endpoints[first].error = None
        await until(lambda: isinstance(stage.replicas[first].state, InUse))
        stage.endpoints[first].paused = True
        answer = await stage.read()
        assert (answer.retry, answer.hedge) == (answer.replica, "")
        assert answer.ms == pytest.approx((SILENT_READ_S + USUAL_S) * 1000)
        await until(lambda: isinstance(stage.replicas[first].state, Away))

    play(2, scene)


def test_a_read_that_is_only_slow_is_not_sent_twice() -> None:
    async def scene(stage: Stage) -> None:
        slow = stage.endpoints["a/1"]
        slow.takes_s = 3 * SILENT_READ_S
        read = asyncio.ensure_future(stage.read())
        await asyncio.sleep(SILENT_READ_S / 2)
        slow.takes_s = USUAL_S
        # Somebody hears of it meanwhile: it lives.
        alone = replace(stage.group, replicas=(stage.replicas["a/1"],))
        await stage.asker.ask(alone, searched, now_s() + S, measured=True)
        answer = await read
        assert (answer.replica, answer.retry) == ("a/1", "")
        assert stage.endpoints["a/2"].asked == 0

    play(2, scene)


def test_a_search_with_little_time_puts_no_replica_aside() -> None:
    async def scene(stage: Stage) -> None:
        await stage.search_often(40)
        for _ in range(20):
            with pytest.raises(ShardTimedOut):
                await stage.search(deadline_s=0.003)
        assert not any(one.health.open for one in stage.replicas.values())
        assert all(isinstance(one.state, InUse) for one in stage.replicas.values())
        with pytest.raises(ShardTimedOut, match="no time was left"):
            await stage.search(deadline_s=0.0)

    play(2, scene)


def test_what_a_bug_raises_is_not_taken_for_a_lost_shard() -> None:
    async def scene(stage: Stage) -> None:
        async def buggy(shard: Shard, deadline_s: float) -> str:
            raise KeyError("a bug")

        with pytest.raises(KeyError):
            await stage.asker.ask(stage.group, buggy, now_s() + S)
        assert stage.replicas["a/1"].health.in_flight == 0

    play(2, scene)


def test_a_caller_that_goes_leaves_the_call_to_end_by_itself() -> None:
    async def scene(stage: Stage) -> None:
        stage.endpoints["a/1"].takes_s = 1.0
        search = asyncio.ensure_future(stage.search())
        await asyncio.sleep(0.5)
        search.cancel()
        await asyncio.wait([search])
        assert search.cancelled()
        assert stage.replicas["a/1"].health.in_flight == 1
        await asyncio.sleep(1)
        assert stage.replicas["a/1"].health.in_flight == 0
        assert stage.replicas["a/1"].health.p50_ms == pytest.approx(1000)

    play(1, scene)


def test_errors_that_come_after_the_answer_are_remembered_and_hurt_nobody() -> None:
    async def scene(stage: Stage) -> None:
        await stage.search_often(40)
        first = stage.endpoints[(await stage.search()).value]
        first.takes_s, first.error = 0.2, ShardUnreachable(first.name, "was reset")
        answer = await stage.search()
        assert answer.hedge == answer.replica != first.name
        assert isinstance(stage.replicas[first.name].state, InUse)
        await asyncio.sleep(0.2)
        state = stage.replicas[first.name].state
        assert isinstance(state, Away)
        assert state.error is first.error

    play(2, scene)
