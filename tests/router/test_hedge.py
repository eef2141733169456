"""A dead, slow or paused replica costs nobody an answer, and extra calls keep to their share; on virtual time."""

import asyncio

import pytest

from lookalike_router.ask import SILENT_SEARCH_S, Answered
from lookalike_router.choice import EXTRA_MAX, EXTRA_SHARE, HEDGE_UNKNOWN_S, choose
from lookalike_router.errors import ShardFailed, ShardUnreachable
from lookalike_router.health import OPEN_S, SAMPLE_OLD_S
from lookalike_router.replica import CHECK_DEADLINE_S, Away, InUse
from lookalike_router.store import Sync
from tests.router.scripted import USUAL_S, Stage, now_s, play, until


def test_one_replica_killed_costs_no_answer() -> None:
    async def scene(stage: Stage) -> None:
        await stage.search_often(20)
        [victim] = {(await stage.search()).value}
        stage.endpoints[victim].error = ShardUnreachable(victim, "is down")
        answer = await stage.search()
        assert (answer.retry, answer.value) == (answer.replica, answer.replica)
        assert answer.replica != victim
        assert isinstance(stage.replicas[victim].state, Away)
        asked = stage.asked()[victim]
        answers = await stage.search_often(20)
        assert {one.retry for one in answers} == {""}
        assert stage.asked()[victim] == asked, "one that is away is not asked"
        stage.endpoints[victim].error = None
        await until(lambda: isinstance(stage.replicas[victim].state, InUse))

    play(2, scene)


def test_one_replica_paused_costs_no_answer_and_it_is_away_once_its_check_fails() -> None:
    async def scene(stage: Stage) -> None:
        await stage.search_often(40)
        victim = stage.endpoints[(await stage.search()).value]
        under_way = asyncio.ensure_future(stage.search())
        await asyncio.sleep(USUAL_S / 2)
        victim.paused = True
        answers = await stage.search_often(200)
        first = await under_way
        assert first.hedge == first.replica != victim.name
        assert {one.replica for one in answers} == {first.replica}
        assert max(one.ms for one in answers) < 20
        assert isinstance(stage.replicas[victim.name].state, Away)
        assert victim.timed_out >= 1
        victim.paused = False
        await until(lambda: isinstance(stage.replicas[victim.name].state, InUse))
        await stage.search_often(20)
        assert stage.replicas[victim.name].health.p95_ms < 20

    play(2, scene)


def test_a_crowd_that_a_paused_replica_holds_is_answered_though_the_budget_is_too_small() -> None:
    async def scene(stage: Stage) -> None:
        await stage.search_often(40)
        crowd = [asyncio.ensure_future(stage.search()) for _ in range(100)]
        await asyncio.sleep(USUAL_S / 2)
        victim = stage.endpoints["a/1"]
        victim.paused = True
        answers = await asyncio.gather(*crowd)
        assert {one.replica for one in answers} == {"a/2"}
        hedges = sum(one.hedge != "" for one in answers)
        retries = sum(one.retry != "" for one in answers)
        assert 0 < hedges <= EXTRA_MAX + 100 * EXTRA_SHARE
        assert retries > EXTRA_MAX, "the budget was too small indeed"
        assert not any(one.hedge and one.retry for one in answers)
        assert max(one.ms for one in answers) < SILENT_SEARCH_S * 1000 + 20

    play(2, scene)


def test_with_one_replica_300_ms_slower_searches_are_as_fast_as_before_two_seconds_later() -> None:
    async def scene(stage: Stage) -> None:
        before = sorted(one.ms for one in await stage.search_often(400))
        slow = stage.endpoints["a/1"]
        slow.takes_s += 0.3
        await stage.search_often(40)
        asked = slow.asked
        answers = await stage.search_often(1200)
        after = sorted(one.ms for one in answers)
        assert after[int(0.99 * len(after))] <= 1.5 * before[int(0.99 * len(before))]
        looked = slow.asked - asked
        assert looked >= 60 / SAMPLE_OLD_S - 1, "it was looked at now and then"
        assert looked <= 1200 * EXTRA_SHARE
        slow.takes_s = USUAL_S
        asked = slow.asked
        stage.endpoints["a/2"].takes_s = 0.05
        await stage.search_often(800)
        assert slow.asked - asked > 400, "it is chosen again once it is fast"

    play(2, scene)


@pytest.mark.parametrize("replicas", [2, 3])
def test_hedges_and_looks_never_go_beyond_their_share_however_slow_all_are(replicas: int) -> None:
    async def scene(stage: Stage) -> None:
        answers: list[Answered[str]] = []
        for takes_s in (0.004, 0.02, 0.1, 0.5, 0.004, 1.0):
            for one in stage.endpoints.values():
                one.takes_s = takes_s
            answers += await stage.search_often(300, pause_s=0.03)
        extra = sum(stage.asked().values()) - len(answers) - sum(one.retry != "" for one in answers)
        assert sum(one.hedge != "" for one in answers) > 0
        assert extra <= EXTRA_MAX + EXTRA_SHARE * len(answers)

    play(replicas, scene)


def test_searches_that_fail_on_one_replica_though_it_joins_go_elsewhere_until_one_succeeds() -> None:
    async def scene(stage: Stage) -> None:
        await stage.search_often(400)
        broken = stage.endpoints[(await stage.search()).value]
        broken.search_error = ShardFailed(broken.name, "cannot search")
        answers = await stage.search_often(400)
        assert {one.replica for one in answers} == set(stage.endpoints) - {broken.name}
        assert isinstance(stage.replicas[broken.name].state, InUse), "its checks succeed"
        assert sum(one.retry != "" for one in answers) <= 3, "then its breaker is open"
        assert stage.replicas[broken.name].health.open
        broken.search_error = None
        await stage.search_often(100)
        assert not stage.replicas[broken.name].health.open

    play(2, scene)


def test_a_first_search_that_hangs_is_hedged_though_nothing_is_known_yet() -> None:
    async def scene(stage: Stage) -> None:
        stage.endpoints["a/1"].paused = True
        answer = await stage.search()
        assert answer.replica == "a/2"
        assert answer.ms <= HEDGE_UNKNOWN_S * 1000 + 20

    play(2, scene)


def test_a_shadow_that_hangs_hides_no_good_replica() -> None:
    async def scene(stage: Stage) -> None:
        await stage.search_often(40)
        stage.endpoints["a/3"].paused = True
        await asyncio.sleep(SAMPLE_OLD_S)
        asked = stage.endpoints["a/3"].asked
        stage.endpoints["a/1"].paused = True
        answers = await stage.search_often(5)
        assert stage.endpoints["a/3"].asked > asked, "it had its shadow"
        assert {one.replica for one in answers} == {"a/2"}

    play(3, scene)


def test_looks_at_a_broken_replica_count_as_extra_calls() -> None:
    async def scene(stage: Stage) -> None:
        await stage.search_often(40)
        broken = stage.endpoints["a/1"]
        broken.search_error = ShardFailed(broken.name, "cannot search")
        answers = await stage.search_often(400, pause_s=OPEN_S * 1.5)
        assert {one.replica for one in answers} == {"a/2"}
        retries = sum(one.retry != "" for one in answers)
        looks = sum(stage.asked().values()) - 440 - retries
        assert EXTRA_SHARE * 400 - 1 <= looks <= EXTRA_SHARE * 440 + EXTRA_MAX

    play(2, scene)


def test_a_look_that_fails_makes_no_retry() -> None:
    async def scene(stage: Stage) -> None:
        stage.replicas["a/3"].sync = Sync.FILLING
        await stage.search_often(100)
        stage.replicas["a/3"].sync = Sync.IN_SYNC
        stage.endpoints["a/3"].search_error = ShardFailed("a/3", "cannot search")
        stage.endpoints["a/3"].takes_s = USUAL_S / 2
        answers = await stage.search_often(20)
        assert stage.endpoints["a/3"].asked > 0, "it had its look"
        assert {one.retry for one in answers} == {""}

    play(3, scene)


def test_a_replica_that_says_nothing_is_checked_long_before_the_deadline() -> None:
    async def scene(stage: Stage) -> None:
        stage.endpoints["a/1"].paused = True
        began = now_s()
        answer = await stage.search(deadline_s=600.0)
        assert answer.replica == "a/2"
        await until(lambda: isinstance(stage.replicas["a/1"].state, Away))
        assert now_s() - began < SILENT_SEARCH_S + CHECK_DEADLINE_S + 0.5

    play(2, scene)


def test_under_load_that_slows_everyone_nobody_is_taken_for_paused() -> None:
    async def scene(stage: Stage) -> None:
        for one in stage.endpoints.values():
            one.takes_s = SILENT_SEARCH_S / 2
        await stage.search_often(40, pause_s=0.5)
        joins = {name: one.joins for name, one in stage.endpoints.items()}
        for one in stage.endpoints.values():
            one.takes_s = SILENT_SEARCH_S * 1.5
        answers = await stage.search_often(20, pause_s=1.0)
        assert min(one.ms for one in answers) > SILENT_SEARCH_S * 1000
        assert {one.retry for one in answers} == {""}
        assert joins == {name: one.joins for name, one in stage.endpoints.items()}

    play(2, scene)


@pytest.mark.parametrize("last", [Sync.IN_SYNC, Sync.BEHIND])
def test_one_that_went_away_meanwhile_is_no_hedge_and_one_that_is_behind_neither(last: Sync) -> None:
    async def scene(stage: Stage) -> None:
        await stage.search_often(100)
        stage.replicas["a/3"].sync = last
        order = choose(stage.group.replicas, now_s(), exact=False).order
        first, second = order[:2]
        stage.endpoints[first.name].paused = True
        search = asyncio.ensure_future(stage.search())
        await asyncio.sleep(0)
        second.report(ShardUnreachable(second.name, "is down"))
        stage.endpoints[second.name].error = ShardUnreachable(second.name, "is down")
        asked = stage.endpoints[second.name].asked
        answer = await search
        assert stage.endpoints[second.name].asked == asked
        assert answer.replica == order[2].name
        assert answer.behind == (last is Sync.BEHIND)
        assert (answer.hedge == "") == (last is Sync.BEHIND)

    play(3, scene)


def test_an_answered_search_leaves_nothing_to_wake_for() -> None:
    async def scene(stage: Stage) -> None:
        await stage.search(deadline_s=600.0)
        await asyncio.sleep(1)
        loop = asyncio.get_running_loop()
        left = [one for one in loop._scheduled if not one.cancelled()]  # type: ignore[attr-defined]
        assert left == []

    play(2, scene)
