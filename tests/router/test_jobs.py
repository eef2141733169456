import itertools

import pytest

from lookalike_router.balance import Batch
from lookalike_router.errors import MapConflict, StaleMap
from lookalike_router.jobs import (
    NEXT,
    PACE_S,
    Job,
    JobKind,
    JobState,
    Move,
    Step,
    eta_s,
    pace,
    reached,
    removable,
    steered,
    stepped,
)
from lookalike_router.slots import SlotRange


def move(number: int, step: Step, rows: int = 100, flipped_at: float = 0.0) -> Move:
    return Move(number, Batch("a", "b", (SlotRange(number, number),)), step, rows, flipped_at=flipped_at)


def job(*moves: Move, state: JobState = JobState.RUNNING, started_at: float = 0.0) -> Job:
    return Job(1, JobKind.BALANCE, "", state, 0.0, started_at, 0.0, "", 0.0, "", moves, 100.0)


def test_no_step_leads_back_over_a_flip() -> None:
    for before, after in itertools.product(Step, Step):
        if after in NEXT[before]:
            assert after.flipped >= before.flipped
            assert not before.ended


def test_every_move_can_come_to_an_end() -> None:
    ends = {step for step in Step if step.ended}
    while more := {step for step in Step if NEXT[step] & ends} - ends:
        ends |= more
    assert ends == set(Step)


def test_a_flip_follows_only_a_pause() -> None:
    assert [before for before in Step if Step.FLIP in NEXT[before]] == [Step.PAUSE]
    with pytest.raises(StaleMap, match="move 3 stands at clean, from where it cannot go to pause"):
        stepped(move(3, Step.CLEAN), Step.PAUSE)


def test_a_job_that_is_cancelled_is_steered_no_more() -> None:
    assert steered(job(), JobState.PAUSED) is JobState.PAUSED
    assert steered(job(), None) is JobState.RUNNING
    with pytest.raises(MapConflict, match="is being cancelled"):
        steered(job(state=JobState.CANCELLING), JobState.RUNNING)
    for none in (None, job(state=JobState.DONE)):
        with pytest.raises(MapConflict, match="there is no active rebalance"):
            steered(none, JobState.PAUSED)


def test_trouble_does_not_overrule_an_operator() -> None:
    assert reached(job(), JobState.STOPPED) is JobState.STOPPED
    assert reached(job(state=JobState.CANCELLING), JobState.STOPPED) is JobState.CANCELLING


def test_a_job_is_done_only_if_all_of_it_is() -> None:
    assert reached(job(move(0, Step.DONE)), JobState.DONE) is JobState.DONE
    assert reached(job(move(0, Step.DONE), move(1, Step.UNDONE)), JobState.DONE) is JobState.CANCELLED


def test_a_shard_is_removed_only_when_nothing_needs_it() -> None:
    removable("b", ["a", "b"], ["a"], None)
    with pytest.raises(MapConflict, match="there is no shard x"):
        removable("x", ["a", "b"], ["a"], None)
    with pytest.raises(MapConflict, match="a is the shop's only shard"):
        removable("a", ["a"], ["a"], None)
    with pytest.raises(MapConflict, match="owns 1 slots; `lookalike shards drain a`"):
        removable("a", ["a", "b"], ["a", "b"], None)
    with pytest.raises(MapConflict, match="moves slots from or to b"):
        removable("b", ["a", "b"], ["a"], job(move(0, Step.COPY)))
    removable("b", ["a", "b"], ["a"], job(move(0, Step.DONE)))


def test_pace_is_of_late() -> None:
    assert pace(job(move(0, Step.COPY))) == 0.0
    assert pace(job(move(0, Step.DONE, 300, 50.0), started_at=40.0)) == 30.0
    late = job(move(0, Step.DONE, 9_999, 10.0), move(1, Step.CLEAN, 600, 95.0), started_at=1.0)
    assert pace(late) == 600 / PACE_S


def test_the_time_left_follows_from_the_pace() -> None:
    assert eta_s(job(move(0, Step.COPY))) is None
    assert eta_s(job(move(0, Step.DONE, 300, 50.0), move(1, Step.COPY, 60), started_at=40.0)) == 2.0
    assert eta_s(job(move(0, Step.DONE, 300, 50.0), started_at=40.0)) == 0.0
    assert eta_s(job(move(0, Step.DONE, 300, 50.0), state=JobState.PAUSED)) is None
