"""What every store promises about rebalances: SQLite, PostgreSQL and memory alike."""

from collections.abc import Sequence

import pytest

from lookalike_router.balance import Batch
from lookalike_router.errors import JobActive, LeaseLost, MapConflict, StaleMap
from lookalike_router.jobs import DUTY, LATE_S, JobKind, JobState, Proof, Step
from lookalike_router.slots import SLOTS, SlotRange, slot_of, slots_in
from lookalike_router.store import Begun, Busy, Finish, Store
from tests.parts.stores import LEASE_S, PLACEMENT, Place, epoch, hold

PAUSE_S = 4.0
HOME = slot_of("p")
OWNER = PLACEMENT.owners[HOME]
OTHER = "b" if OWNER == "a" else "a"
HERE = Batch(OWNER, OTHER, (SlotRange(HOME, HOME),))
ELSEWHERE = Batch(OWNER, OTHER, (SlotRange((slot := PLACEMENT.owners.index(OWNER, HOME + 1)), slot),))
PROOF = Proof(3, "f" * 32, frozenset({"a/1", "a/2", "b/1"}))


async def started(store: Store, batches: Sequence[Batch] = (HERE,)) -> None:
    """Start a job that the router r runs."""
    await store.start_job(JobKind.BALANCE, [(batch, 10) for batch in batches])
    assert await store.take_duty(DUTY, "r", 1_000.0)


async def paused(store: Store, number: int = 0) -> int:
    await store.step_move("r", number, Step.COPY)
    return await store.pause_move("r", number, PAUSE_S)


async def owner(store: Store) -> str:
    found = await store.load()
    assert found is not None
    return found.placement.owners[HOME]


async def step(store: Store, number: int = 0) -> Step:
    job = await store.job()
    assert job is not None
    return job.moves[number].step


async def begin(store: Store, product_id: str = "p") -> Begun | Busy:
    await store.beat("w", LEASE_S, await epoch(store))
    [outcome] = await store.begin("w", [product_id], await epoch(store))
    return outcome


async def test_a_job_comes_back_as_it_was_started(founded: Store, other: Store, place: Place) -> None:
    assert await founded.job() is None
    assert not (await founded.look()).moving
    job = await founded.start_job(JobKind.DRAIN, [(HERE, 10), (ELSEWHERE, 20)], shard=OWNER, rows_per_s=5.0)
    assert job == await other.job()
    assert (job.number, job.kind, job.shard, job.state, job.rows_per_s) == (
        1,
        JobKind.DRAIN,
        OWNER,
        JobState.RUNNING,
        5.0,
    )
    assert (job.started_at, job.ended_at, job.now, job.router) == (place.now_s, 0.0, place.now_s, "")
    assert [(move.number, move.batch, move.step, move.rows) for move in job.moves] == [
        (0, HERE, Step.WAITING, 10),
        (1, ELSEWHERE, Step.WAITING, 20),
    ]
    assert (job.slots, job.slots_moved, job.rows, job.rows_moved) == (2, 0, 30, 0)
    assert (await other.look()).moving
    found = await other.load()
    assert found is not None
    assert found.draining == {OWNER}


async def test_there_is_one_job_at_a_time(founded: Store) -> None:
    await started(founded)
    with pytest.raises(JobActive, match="job 1"):
        await founded.start_job(JobKind.BALANCE, [])
    await founded.end_job("r", JobState.STOPPED, "the target is full")
    with pytest.raises(JobActive):
        await founded.start_job(JobKind.BALANCE, [])
    assert (await founded.steer_job(JobState.CANCELLING)).message == ""
    await founded.end_job("r", JobState.DONE)
    job = await founded.start_job(JobKind.BALANCE, [])
    assert job.number == 2


async def test_a_plan_that_the_map_has_overtaken_is_refused(founded: Store) -> None:
    wrong = Batch(OTHER, OWNER, HERE.slots)
    with pytest.raises(StaleMap, match="has changed since this was planned"):
        await founded.start_job(JobKind.BALANCE, [(wrong, 1)])
    with pytest.raises(StaleMap, match="a shard was removed"):
        await founded.start_job(JobKind.BALANCE, [(Batch(OWNER, "gone", HERE.slots), 1)])
    assert await founded.job() is None


async def test_only_the_router_on_duty_writes_steps_down(founded: Store, place: Place) -> None:
    await founded.start_job(JobKind.BALANCE, [(HERE, 1)])
    with pytest.raises(LeaseLost):
        await founded.step_move("r", 0, Step.COPY)
    assert await founded.take_duty(DUTY, "r", LEASE_S)
    await founded.step_move("r", 0, Step.COPY)
    place.wait(LEASE_S)
    for late in (
        founded.step_move("r", 0, Step.CATCH_UP),
        founded.pause_move("r", 0, PAUSE_S),
        founded.flip("r", 0, 1, PROOF, PAUSE_S),
        founded.release_move("r", 0, Step.CATCH_UP, 0.1),
        founded.end_job("r", JobState.DONE),
    ):
        with pytest.raises(LeaseLost):
            await late
    assert await step(founded) is Step.COPY


async def test_nobody_begins_a_product_of_paused_slots_until_the_pause_ends(founded: Store, place: Place) -> None:
    await started(founded, [HERE, ELSEWHERE])
    await paused(founded, 1)
    assert isinstance(await begin(founded), Begun)
    await founded.let_go("w", ["p"])
    await paused(founded)
    assert await begin(founded) == Busy("p")
    await founded.release_move("r", 0, Step.CATCH_UP, 0.25)
    assert isinstance(await begin(founded), Begun)


async def test_a_pause_ends_by_itself(founded: Store, place: Place) -> None:
    await started(founded)
    await paused(founded)
    place.wait(PAUSE_S)
    assert isinstance(await begin(founded), Begun)


async def test_a_flip_changes_the_owner_and_writers_wait_on(founded: Store, place: Place) -> None:
    await started(founded)
    pause = await paused(founded)
    before = await epoch(founded)
    place.wait(1.0)
    assert await founded.flip("r", 0, pause, PROOF, PAUSE_S) == before + 1 == await epoch(founded)
    assert await owner(founded) == OTHER
    assert await begin(founded) == Busy("p")
    await founded.release_move("r", 0, Step.CLEAN, 0.25)
    assert isinstance(await begin(founded), Begun)
    job = await founded.job()
    assert job is not None
    [move] = job.moves
    assert (move.step, move.rows, move.proof, move.pauses, move.paused_s) == (Step.CLEAN, 3, "f" * 32, 1, 0.25)
    assert move.flipped_at == place.now_s
    assert (job.slots_moved, job.rows_moved, job.router) == (1, 3, "r")


async def test_a_flip_is_refused_if_anything_may_have_changed_since_the_proof(founded: Store, place: Place) -> None:
    await started(founded)
    first = await paused(founded)
    await founded.release_move("r", 0, Step.CATCH_UP, 0.1)
    second = await founded.pause_move("r", 0, PAUSE_S)
    with pytest.raises(StaleMap, match="the pause ended"):
        await founded.flip("r", 0, first, PROOF, PAUSE_S)
    with pytest.raises(StaleMap, match="a replica of"):
        await founded.flip("r", 0, second, Proof(3, "", frozenset()), PAUSE_S)
    place.wait(PAUSE_S)
    with pytest.raises(StaleMap, match="the pause ended"):
        await founded.flip("r", 0, second, PROOF, PAUSE_S)
    assert await owner(founded) == OWNER


async def test_a_flip_is_refused_while_somebody_holds_a_product_of_the_slots(founded: Store) -> None:
    await hold(founded, "p")
    await started(founded)
    pause = await paused(founded)
    assert await founded.held_in_move(0) == {HOME}
    with pytest.raises(StaleMap, match="in somebody's hands"):
        await founded.flip("r", 0, pause, PROOF, PAUSE_S)
    await founded.let_go("r", ["p"])
    with pytest.raises(StaleMap, match="in somebody's hands"):
        await founded.flip("r", 0, pause, PROOF, PAUSE_S)  # whoever let go of it may have a write under way


async def test_what_is_left_becomes_a_move_of_its_own_and_is_not_paused(founded: Store, other: Store) -> None:
    await hold(founded, "p")
    both = Batch(OWNER, OTHER, (*HERE.slots, *ELSEWHERE.slots))
    [elsewhere] = slots_in(ELSEWHERE.slots)
    await started(founded, [both])
    pause = await paused(founded)
    for wrong in ({HOME, elsewhere}, {elsewhere + 1}):
        with pytest.raises(ValueError, match="not all"):
            await founded.flip("r", 0, pause, PROOF, PAUSE_S, wrong)
    with pytest.raises(StaleMap, match="in somebody's hands"):
        await founded.flip("r", 0, pause, PROOF, PAUSE_S, {elsewhere})
    await founded.flip("r", 0, pause, PROOF, PAUSE_S, {HOME})
    job = await other.job()
    assert job is not None
    first, rest = job.moves
    assert (first.batch, first.step, first.rows) == (ELSEWHERE, Step.FLIP, PROOF.rows)
    assert (rest.number, rest.batch, rest.step, rest.rows) == (1, HERE, Step.CATCH_UP, 5)
    assert await owner(founded) == OWNER
    assert await founded.held_in_move(1) == {HOME}
    await founded.let_go("r", ["p"])
    assert isinstance(await begin(founded), Begun)


async def test_held_elsewhere_is_not_held_here(founded: Store) -> None:
    await started(founded, [ELSEWHERE])
    await hold(founded, "p")
    assert not await founded.held_in_move(0)


async def test_a_step_that_comes_late_does_not_undo_a_flip(founded: Store) -> None:
    await started(founded)
    pause = await paused(founded)
    await founded.flip("r", 0, pause, PROOF, PAUSE_S)
    for late in (
        founded.step_move("r", 0, Step.COPY),
        founded.pause_move("r", 0, PAUSE_S),
        founded.release_move("r", 0, Step.CATCH_UP, 0.1),
        founded.flip("r", 0, pause, PROOF, PAUSE_S),
    ):
        with pytest.raises(StaleMap):
            await late
    assert (await step(founded), await owner(founded)) == (Step.FLIP, OTHER)


async def test_an_operator_steers_and_the_job_says_what_it_came_to(founded: Store, place: Place) -> None:
    await started(founded)
    with pytest.raises(LeaseLost):
        await founded.end_job("s", JobState.DONE)
    assert (await founded.steer_job(JobState.PAUSED)).state is JobState.PAUSED
    assert (await founded.steer_job(rows_per_s=7.0)).state is JobState.PAUSED
    running = await founded.steer_job(JobState.RUNNING, rows_per_s=50.0)
    assert (running.state, running.rows_per_s) == (JobState.RUNNING, 50.0)
    await founded.end_job("r", JobState.STOPPED, "why")
    stopped = await founded.job()
    assert stopped is not None
    assert (stopped.state, stopped.message, stopped.ended_at) == (JobState.STOPPED, "why", 0.0)
    with pytest.raises(MapConflict, match="resume"):
        await founded.steer_job(rows_per_s=1.0)
    await founded.steer_job(JobState.CANCELLING)
    await founded.end_job("r", JobState.DONE, "left")
    ended = await founded.job()
    assert ended is not None
    assert (ended.state, ended.message, ended.ended_at) == (JobState.CANCELLED, "left", place.now_s)
    assert not (await founded.look()).moving
    with pytest.raises(MapConflict, match="there is no active rebalance"):
        await founded.steer_job(JobState.RUNNING)


async def test_a_job_waits_for_what_the_one_before_may_have_under_way(founded: Store, place: Place) -> None:
    await started(founded)
    await founded.steer_job(JobState.CANCELLING)
    await founded.end_job("r", JobState.DONE)
    ended_at = place.now_s
    place.wait(5.0)
    assert (await founded.start_job(JobKind.BALANCE, [(HERE, 1)])).quiet_at == ended_at + LATE_S


async def test_a_shard_drains_for_plans_to_come_until_it_is_told_otherwise(founded: Store, other: Store) -> None:
    before = await epoch(founded)
    await founded.set_draining("a", True)
    await founded.set_draining("a", True)
    found = await other.load()
    assert found is not None
    assert (set(found.draining), found.epoch) == ({"a"}, before + 1)
    await founded.set_draining("a", False)
    found = await other.load()
    assert found is not None
    assert not found.draining
    with pytest.raises(MapConflict, match="there is no shard x"):
        await founded.set_draining("x", True)


async def test_an_empty_shard_is_removed_with_its_hints_and_its_name_is_free_again(founded: Store) -> None:
    await founded.add_shard("c", 1.0, ["http://c1"])
    with pytest.raises(MapConflict, match="owns"):
        await founded.remove_shard("a")
    await founded.remove_shard("c")
    found = await founded.load()
    assert found is not None
    assert "c" not in found.replicas
    assert "c" not in found.placement.weights
    await founded.add_shard("c", 2.0, ["http://c1"])


async def test_tombstones_stay_while_slots_move(founded: Store, place: Place) -> None:
    begun = await hold(founded, "p")
    await founded.finish("r", Finish(begun, tombstones={"p": begun[0].version}))
    await started(founded)
    place.wait(8 * 86_400.0)
    await founded.prune()
    assert await founded.deaths(["p"])
    await founded.take_duty(DUTY, "r", LEASE_S)
    await founded.steer_job(JobState.CANCELLING)
    await founded.end_job("r", JobState.DONE)
    await founded.prune()
    assert not await founded.deaths(["p"])


async def test_the_whole_map_may_move(founded: Store) -> None:
    slots = tuple(PLACEMENT.ranges("a"))
    await started(founded, [Batch("a", "b", slots)])
    await founded.flip("r", 0, await paused(founded), PROOF, PAUSE_S)
    found = await founded.load()
    assert found is not None
    assert found.placement.owners == ("b",) * SLOTS
