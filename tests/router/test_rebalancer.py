import asyncio

import pytest

from lookalike_router.answer import ShardSpec, State
from lookalike_router.balance import Pin
from lookalike_router.errors import JobActive, MapConflict, ShardFailed, ShardUnreachable
from lookalike_router.jobs import Job, JobKind, JobState, Step
from lookalike_router.mover import Mover
from lookalike_router.rebalance import Goal
from lookalike_router.rebalancer import HURT_WAIT_S
from lookalike_router.router import Router
from lookalike_router.shard import Head
from lookalike_router.slots import SLOTS, SlotRange, slot_of
from tests.parts.shop import product, products, vectors
from tests.router.breakable import S, Town, play, until

SHOP = products(60, pictures=1)
NEW = ShardSpec("c", ("memory:c1",))


async def stocked(town: Town) -> Router:
    router = await town.open()
    assert await router.upsert(SHOP, S) == [None] * len(SHOP)
    return router


async def job_of(router: Router) -> Job:
    found = await router.job()
    assert found is not None
    return found


async def ended(router: Router) -> Job:
    """Wait for the job's end, or until it stands still."""
    async with asyncio.timeout(600):
        while (job := await job_of(router)).state in (JobState.RUNNING, JobState.CANCELLING):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return job


async def whole(router: Router) -> None:
    """Check that every product is found, and each once."""
    names = {one.product_id for one in SHOP}
    assert (await router.get(sorted(names), S)).keys() == names
    [answer] = (await router.search(vectors(1), len(SHOP) + 5, deadline_s=S)).answers
    assert sorted(hit.product_id for hit in answer) == sorted(names)


def test_a_new_shard_gets_its_share_while_the_shop_is_open() -> None:
    async def scene(town: Town) -> None:
        router = await stocked(town)
        await router.add_shard(NEW, S)
        plan = await router.plan_rebalance(Goal(), S)
        assert {(route.source, route.target) for route in plan.routes} == {("a", "c"), ("b", "c")}
        assert sum(route.slots for route in plan.routes) == pytest.approx(SLOTS / 3, abs=1)
        assert {share.shard: share.slots_before for share in plan.shares}["c"] == 0
        job = await router.start_rebalance(Goal(batch_slots=1_000), S)
        assert job is not None
        assert len(job.moves) == 6
        await whole(router)
        done = await ended(router)
        assert (done.state, done.slots_moved, done.message) == (JobState.DONE, job.slots, "")
        assert done.rows_moved == len(town.held("c1")) > 0
        await whole(router)
        assert [one.rows async for one in router.strays(delete=False)] == [0, 0, 0]
        assert {hit.product_id for hit in SHOP} == {head.product_id for name in "abc" for head in town.held(f"{name}1")}

    play(scene, "ab", 1)


def test_two_routers_see_the_same_shop_all_the_while() -> None:
    async def scene(town: Town) -> None:
        router = await stocked(town)
        other = await town.open()
        await router.add_shard(NEW, S)
        await router.start_rebalance(Goal(batch_slots=500), S)
        count = 0
        while (await job_of(router)).state is JobState.RUNNING:
            count += 1
            through = (router, other)[count % 2]
            assert await through.upsert([product("product 7", list(vectors(1)), {"title": str(count)})], S) == [None]
            found = await (other, router)[count % 2].get(["product 7"], S)
            assert [row.attributes["title"] for row in found["product 7"]] == [str(count)]
            await whole(other)
            await asyncio.sleep(0.02)
        assert count > 3
        assert other.topology() == router.topology()

    play(scene, "ab", 2)


def test_nothing_to_move_starts_no_job() -> None:
    async def scene(town: Town) -> None:
        router = await stocked(town)
        assert await router.start_rebalance(Goal(), S) is None
        assert await router.job() is None
        assert (await router.plan_rebalance(Goal(), S)).routes == ()

    play(scene, "ab", 1)


def test_an_empty_shop_is_rebalanced_too() -> None:
    async def scene(town: Town) -> None:
        router = await town.open()
        await router.add_shard(NEW, S)
        await router.start_rebalance(Goal(), S)
        assert (await ended(router)).state is JobState.DONE
        assert sum(len(run) for place in router.topology().shards if place.name == "c" for run in place.ranges) > 5_000

    play(scene, "ab", 1)


def test_a_shard_is_drained_and_removed_and_no_plan_fills_it_again() -> None:
    async def scene(town: Town) -> None:
        router = await stocked(town)
        with pytest.raises(MapConflict, match="owns"):
            await router.remove_shard("a", S)
        job = await router.start_rebalance(Goal(drain="a"), S)
        assert job is not None
        assert (job.kind, job.shard) == (JobKind.DRAIN, "a")
        with pytest.raises(JobActive, match="job 1"):
            await router.start_rebalance(Goal(drain="a"), S)
        assert (await ended(router)).state is JobState.DONE
        await whole(router)
        assert await router.start_rebalance(Goal(), S) is None
        await router.remove_shard("a", S)
        assert [place.name for place in router.topology().shards] == ["b"]
        await whole(router)
        with pytest.raises(MapConflict, match="no shard would be left"):
            await router.start_rebalance(Goal(drain="b"), S)
        with pytest.raises(MapConflict, match="only shard"):
            await router.remove_shard("b", S)

    play(scene, "ab", 1)


def test_a_drained_shard_may_own_slots_again() -> None:
    async def scene(town: Town) -> None:
        router = await stocked(town)
        await router.start_rebalance(Goal(drain="a"), S)
        await ended(router)
        await router.undrain("a")
        await router.start_rebalance(Goal(), S)
        assert (await ended(router)).state is JobState.DONE
        await whole(router)
        assert town.held("a1")

    play(scene, "ab", 1)


def test_pinned_slots_go_where_they_are_pinned() -> None:
    async def scene(town: Town) -> None:
        router = await stocked(town)
        slot = slot_of("product 7")
        await router.start_rebalance(Goal(pins=(Pin("a", SlotRange(slot, slot)), Pin("b", SlotRange(0, 0)))), S)
        await ended(router)
        assert any(head.product_id == "product 7" for head in town.held("a1"))

    play(scene, "ab", 1)


def test_a_job_is_taken_back() -> None:
    async def scene(town: Town) -> None:
        router = await stocked(town)
        with pytest.raises(MapConflict, match="no rebalance has ended"):
            await router.reverse_rebalance()
        before = router.topology().shards
        await router.start_rebalance(Goal(drain="a"), S)
        with pytest.raises(MapConflict, match="no rebalance has ended"):
            await router.reverse_rebalance()
        await ended(router)
        job = await router.reverse_rebalance()
        assert job.kind is JobKind.REVERSE
        assert (await ended(router)).state is JobState.DONE
        await whole(router)
        assert router.topology().shards == before
        assert await router.start_rebalance(Goal(), S) is None  # what was drained may own slots again

    play(scene, "ab", 1)


def test_copies_keep_to_the_rate_that_an_operator_sets() -> None:
    async def scene(town: Town) -> None:
        router = await stocked(town)
        rows = len(town.held("a1"))
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        await router.start_rebalance(Goal(drain="a", batch_slots=500), S, rows_per_s=2.0)
        await asyncio.sleep(3.0)
        assert len(town.held("b1")) - (len(SHOP) - rows) <= 8
        await router.steer_rebalance(JobState.RUNNING, rows_per_s=0.0)
        await ended(router)
        assert loop.time() - begun_s < rows / 2.0

    play(scene, "ab", 1)


def test_copies_wait_while_searches_take_far_longer_than_before_but_not_for_ever() -> None:
    async def scene(town: Town) -> None:
        router = await stocked(town)
        loop = asyncio.get_running_loop()
        health = router._core.atlas.view.groups["a"].replicas[0].health

        async def search(takes_s: float) -> None:
            while True:
                flight = health.begin(loop.time(), True)
                await asyncio.sleep(takes_s)
                health.answered(flight, loop.time())

        quick = asyncio.ensure_future(search(0.1))
        await asyncio.sleep(3.0)
        await router.start_rebalance(Goal(drain="a", batch_slots=500), S, rows_per_s=1.0)
        await asyncio.sleep(2.0)
        quick.cancel()
        slow = asyncio.ensure_future(search(0.5))
        await asyncio.sleep(2.0)
        await router.steer_rebalance(rows_per_s=0.0)
        begun_s = loop.time()
        left = [move for move in (await job_of(router)).moves if not move.step.ended and move.rows]
        assert len(left) > 3
        await ended(router)
        assert (len(left) - 3) * HURT_WAIT_S < loop.time() - begun_s < (len(left) + 3) * HURT_WAIT_S
        slow.cancel()
        await asyncio.wait([quick, slow])

    play(scene, "ab", 1)


def test_an_operator_halts_a_job_and_lets_it_go_on() -> None:
    async def scene(town: Town) -> None:
        router = await stocked(town)
        await router.start_rebalance(Goal(drain="a", batch_slots=500), S, rows_per_s=20.0)
        await asyncio.sleep(0.5)
        await router.steer_rebalance(JobState.PAUSED)
        await asyncio.sleep(2.0)
        held = town.held("b1")
        moved = (await job_of(router)).slots_moved
        await asyncio.sleep(60.0)
        assert town.held("b1") == held
        assert (await job_of(router)).slots_moved == moved
        await whole(router)
        await router.steer_rebalance(JobState.RUNNING, rows_per_s=0.0)
        assert (await ended(router)).state is JobState.DONE
        await whole(router)

    play(scene, "ab", 1)


def test_a_cancelled_job_leaves_the_map_right_and_no_copies() -> None:
    async def scene(town: Town) -> None:
        router = await stocked(town)
        await router.start_rebalance(Goal(drain="a", batch_slots=500), S, rows_per_s=10.0)
        await asyncio.sleep(2.0)
        await router.steer_rebalance(JobState.CANCELLING)
        with pytest.raises(MapConflict, match="is being cancelled"):
            await router.steer_rebalance(JobState.RUNNING)
        job = await ended(router)
        assert job.state is JobState.CANCELLED
        assert {move.step for move in job.moves} <= {Step.DONE, Step.UNDONE, Step.WAITING}
        await whole(router)
        assert [one.rows async for one in router.strays(delete=False)] == [0, 0]

    play(scene, "ab", 1)


def test_another_router_goes_on_where_one_died() -> None:
    async def scene(town: Town) -> None:
        router = await stocked(town)
        other = await town.open()
        await router.start_rebalance(Goal(drain="a", batch_slots=500), S, rows_per_s=10.0)
        await asyncio.sleep(2.0)
        first = (await job_of(other)).router
        dying, living = (router, other) if first == router.id else (other, router)
        await dying.close()
        town.routers.remove(dying)
        assert (await ended(living)).router == living.id
        await whole(living)

    play(scene, "ab", 1)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ShardUnreachable("b/1", "is down"), "bring b back, or take b/1 out"),
        (ShardFailed("b/1", "Upsert: no space left on device"), "no space left on device"),
    ],
)
def test_a_target_in_trouble_stops_the_job_with_what_to_do_and_nothing_is_lost(error: ShardFailed, says: str) -> None:
    async def scene(town: Town) -> None:
        router = await stocked(town)
        await router.start_rebalance(Goal(drain="a", batch_slots=500), S, rows_per_s=10.0)
        await asyncio.sleep(1.0)
        town["b1"].error = error
        job = await ended(router)
        assert job.state is JobState.STOPPED
        assert says in job.message
        assert "lookalike rebalance resume" in job.message
        town["b1"].error = None
        await until(lambda: all(one.sync for one in router.topology().shards[1].replicas))
        await router.steer_rebalance(JobState.RUNNING, rows_per_s=0.0)
        assert (await ended(router)).state is JobState.DONE
        await whole(router)

    play(scene, "ab", 1)


def test_a_target_that_is_gone_for_good_does_not_keep_a_job_from_being_cancelled() -> None:
    async def scene(town: Town) -> None:
        router = await stocked(town)
        await router.add_shard(NEW, S)
        town["c1"].down = True
        await router.start_rebalance(Goal(batch_slots=3_000), S)
        assert (await ended(router)).state is JobState.STOPPED
        await router.steer_rebalance(JobState.CANCELLING)
        job = await ended(router)
        assert job.state is JobState.CANCELLED
        assert "c/1 did not answer and may hold rows that no one reads" in job.message
        await whole(router)

    play(scene, "ab", 1)


def test_a_source_with_another_replica_gives_its_rows_though_one_died_for_good() -> None:
    async def scene(town: Town) -> None:
        router = await stocked(town)
        town["a1"].down = True
        await router.start_rebalance(Goal(drain="a", batch_slots=2_000), S)
        job = await ended(router)
        # Its rows are on the target, and what is left of it must be deleted or taken out of the map.
        assert job.state is JobState.STOPPED
        assert "a/1" in job.message
        await router.remove_replica("a/1", S)
        await router.steer_rebalance(JobState.RUNNING)
        assert (await ended(router)).state is JobState.DONE
        await whole(router)

    play(scene, "ab", 2)


def test_a_source_that_died_for_good_without_a_replica_stops_the_job_and_keeps_what_it_has() -> None:
    async def scene(town: Town) -> None:
        router = await stocked(town)
        await router.start_rebalance(Goal(drain="a", batch_slots=1_000), S, rows_per_s=10.0)
        await asyncio.sleep(1.0)
        town["a1"].down = True
        job = await ended(router)
        assert job.state is JobState.STOPPED
        assert "from a to b" in job.message
        found = await router.search(vectors(1), 100, deadline_s=S)
        assert [one.shard for one in found.coverage.missing] == ["a"]
        assert {head.product_id for head in town.held("a1")} | {head.product_id for head in town.held("b1")} >= {
            one.product_id for one in SHOP
        }

    play(scene, "ab", 1)


def test_a_shard_with_rows_or_that_does_not_answer_is_removed_only_by_force() -> None:
    async def scene(town: Town) -> None:
        router = await stocked(town)
        await router.start_rebalance(Goal(drain="a"), S)
        await ended(router)
        stray = next(iter(town["b1"].rows._rows.values()))
        await town["a1"].rows.write([stray], (), S)
        with pytest.raises(MapConflict, match="a/1 still holds 1 rows that no one reads"):
            await router.remove_shard("a", S)
        assert [(one.replica, one.rows, one.deleted) async for one in router.strays(delete=True)] == [
            ("a/1", 1, 1),
            ("b/1", 0, 0),
        ]
        assert not town.held("a1")
        town["a1"].down = True
        assert (await router.shards(S))[0].replicas[0].state is State.UNREACHABLE
        with pytest.raises(MapConflict, match="bring it back, or use --force"):
            await router.remove_shard("a", S)
        await router.remove_shard("a", S, force=True)
        await whole(router)

    play(scene, "ab", 1)


def test_strays_are_not_looked_for_while_rows_are_on_their_way() -> None:
    async def scene(town: Town) -> None:
        router = await stocked(town)
        await router.start_rebalance(Goal(drain="a"), S, rows_per_s=1.0)
        with pytest.raises(MapConflict, match="job 1 is running"):
            await anext(aiter(router.strays(delete=True)))

    play(scene, "ab", 1)


def test_rows_that_a_shard_owns_are_never_strays() -> None:
    async def scene(town: Town) -> None:
        router = await stocked(town)
        before: dict[str, set[Head]] = {name: town.held(name) for name in ("a1", "b1")}
        misplaced = next(iter(town["b1"].rows._rows.values()))
        await town["a1"].rows.write([misplaced], (), S)
        assert sum([one.deleted async for one in router.strays(delete=True)]) == 1
        assert {name: town.held(name) for name in ("a1", "b1")} == before

    play(scene, "ab", 1)


def test_a_plan_says_how_long_it_may_take() -> None:
    async def scene(town: Town) -> None:
        router = await stocked(town)
        rows = len(town.held("a1"))
        [route] = (await router.plan_rebalance(Goal(drain="a"), S, rows_per_s=2.0)).routes
        assert (route.source, route.target, route.rows) == ("a", "b", rows)
        assert route.seconds == pytest.approx(rows / 2.0)
        assert route.bytes > rows * 1_024
        with pytest.raises(MapConflict, match="there is no shard x"):
            await router.plan_rebalance(Goal(drain="x"), S)
        town["a1"].down = True
        with pytest.raises(ShardUnreachable):
            await router.plan_rebalance(Goal(drain="a"), S)

    play(scene, "ab", 1)


def test_a_bug_in_one_batch_stops_the_job_and_not_the_router(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(self: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Mover, "run", broken)

    async def scene(town: Town) -> None:
        router = await stocked(town)
        await router.start_rebalance(Goal(drain="a"), S)
        job = await ended(router)
        assert job.state is JobState.STOPPED
        assert "ZeroDivisionError; the server's log says more" in job.message
        await whole(router)

    play(scene, "ab", 1)


def test_rows_stay_at_the_source_as_long_as_a_read_goes_by_an_older_map() -> None:
    async def scene(town: Town) -> None:
        router = await stocked(town)
        rows = town.held("a1")
        with router._core.reads.under(router.topology().epoch):
            await router.start_rebalance(Goal(drain="a", batch_slots=SLOTS), S)
            while not (await job_of(router)).slots_moved:  # noqa: ASYNC110 - virtual time costs nothing
                await asyncio.sleep(0.1)
            await asyncio.sleep(30.0)
            assert rows & town.held("a1")
            assert (await job_of(router)).state is JobState.RUNNING
        assert (await ended(router)).state is JobState.DONE
        assert not town.held("a1")

    play(scene, "ab", 1)
