import pytest

from lookalike.v1 import admin_pb2
from lookalike_router.answer import RebalancePlan, Route, ShardShare, Strays
from lookalike_router.balance import Batch
from lookalike_router.jobs import Job, JobKind, JobState, Move, Step
from lookalike_router.slots import SlotRange
from lookalike_server import rebalance_wire

J, M = admin_pb2.RebalanceJob, admin_pb2.RebalanceMove


def move(number: int, step: Step, *, pauses: int = 0, paused_s: float = 0.0, flipped_at: float = 0.0) -> Move:
    batch = Batch("a", "b", (SlotRange(10 * number, 10 * number + 9),))
    return Move(number, batch, step, 100, pauses=pauses, paused_s=paused_s, flipped_at=flipped_at)


def job(*moves: Move, state: JobState = JobState.RUNNING, ended_at: float = 0.0, message: str = "") -> Job:
    return Job(7, JobKind.DRAIN, "a", state, 500.0, 1000.0, ended_at, "r1", 0.0, message, moves, 1020.0)


def test_every_word_of_the_domain_has_a_word_on_the_wire() -> None:
    assert set(rebalance_wire.KINDS) == set(JobKind)
    assert set(rebalance_wire.STATES) == set(JobState)
    assert set(rebalance_wire.STEPS) == {step for step in Step if not step.ended} - {Step.WAITING}


def test_every_fact_of_a_job_has_its_place() -> None:
    moves = (
        move(0, Step.DONE, pauses=1, paused_s=0.25, flipped_at=1010.0),
        move(1, Step.PAUSE, pauses=3, paused_s=0.5),
        move(2, Step.WAITING),
    )
    assert rebalance_wire.job(job(*moves, message="why")) == admin_pb2.RebalanceJob(
        number=7,
        kind=J.KIND_DRAIN,
        shard="a",
        state=J.STATE_RUNNING,
        message="why",
        router="r1",
        rows_per_s_limit=500,
        slots=30,
        slots_moved=10,
        rows=300,
        rows_moved=100,
        rows_per_s=10,
        eta_seconds=20,
        started_at=rebalance_wire.timestamp(1000),
        elapsed_seconds=20,
        batches=3,
        batches_done=1,
        pauses=4,
        longest_pause_ms=500,
        pause_p99_ms=500,
        moves=[M(number=1, step=M.STEP_PAUSE, source="a", target="b", slots=10, rows=100, pauses=3)],
    )


def test_what_is_not_known_yet_is_left_out() -> None:
    told = rebalance_wire.job(job(move(0, Step.WAITING)))
    assert not told.HasField("eta_seconds")
    assert not told.HasField("ended_at")
    assert (told.rows_per_s, told.longest_pause_ms, told.pause_p99_ms) == (0, 0, 0)


def test_a_job_that_has_ended_took_as_long_as_it_did() -> None:
    told = rebalance_wire.job(job(move(0, Step.DONE), state=JobState.DONE, ended_at=1005.5))
    assert (told.elapsed_seconds, told.ended_at.ToMilliseconds(), told.state) == (5.5, 1_005_500, J.STATE_DONE)


@pytest.mark.parametrize(
    ("values", "expected"), [([], 0.0), ([3.0], 3.0), (list(range(1, 101)), 99), (list(range(1, 301)), 297)]
)
def test_a_percentile_is_one_of_the_values(values: list[float], expected: float) -> None:
    assert rebalance_wire.percentile(values, 0.99) == expected


def test_a_plan_says_its_totals() -> None:
    routes = (Route("a", "c", 1024, 10, 1000, 1.5), Route("b", "c", 3072, 30, 3000, 4.5))
    shares = (ShardShare("a", 1.0, True, 1024, 0), ShardShare("c", 2.0, False, 0, 4096))
    assert rebalance_wire.plan(RebalancePlan(5, routes, shares, 8)) == admin_pb2.RebalancePlan(
        epoch=5,
        routes=[
            admin_pb2.RebalanceRoute(source="a", target="c", slots=1024, rows=10, bytes=1000, seconds=1.5),
            admin_pb2.RebalanceRoute(source="b", target="c", slots=3072, rows=30, bytes=3000, seconds=4.5),
        ],
        shares=[
            admin_pb2.ShardShare(shard="a", weight=1, draining=True, slots_before=1024, slots_after=0),
            admin_pb2.ShardShare(shard="c", weight=2, slots_before=0, slots_after=4096),
        ],
        batches=8,
        slots=4096,
        moved_fraction=0.25,
        rows=40,
        bytes=4000,
        seconds=6,
    )


def test_every_fact_of_stray_rows_has_its_place() -> None:
    told = rebalance_wire.verify_progress((Strays("a/1", 3, 2, "away"),))
    assert list(told.found) == [admin_pb2.StrayRows(replica="a/1", rows=3, deleted=2, message="away")]
    assert not rebalance_wire.verify_progress(()).found
