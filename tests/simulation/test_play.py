"""Plays some hundred schedules; `make simulate` plays as many as wanted."""

import pytest

from lookalike_router.safeguards import Safeguards
from tests.simulation.__main__ import played
from tests.simulation.play import play
from tests.simulation.schedules import Kind, schedule

SCHEDULES = 300
# Most safeguards are missed within a handful of schedules; that of versions by a read right after a write alone.
NOTICED_WITHIN = 500
KIND_WITHIN = 20
# By safeguard: what goes wrong in a world that shows its lack, and the promise that breaks first.
LACKS = {
    "hints": ((Kind.KILL,), "LostWrite"),
    "tombstones": ((Kind.ECHO, Kind.LOSSY), "RevivedProduct"),
    "ownership": ((Kind.STRAY,), "PhantomProduct"),
    "versions": ((Kind.ECHO,), "StaleAnswer"),
    "idempotency": ((Kind.FLAKY, Kind.CRASH), "RepeatedEffect"),
}


def test_no_schedule_breaks_a_promise() -> None:
    total = played(range(SCHEDULES))
    assert (total.violations, total.failed_seeds) == ({}, [])
    assert total.schedules == SCHEDULES
    assert total.writes_acknowledged > SCHEDULES


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_trouble_happens(kind: Kind) -> None:
    plays = (play(schedule(seed, (kind,))) for seed in range(KIND_WITHIN))
    assert any(one.tally[kind] for one in plays)


@pytest.mark.parametrize("safeguard", LACKS)
def test_without_a_safeguard_a_promise_of_its_own_breaks_and_with_it_none(safeguard: str) -> None:
    kinds, name = LACKS[safeguard]
    without = Safeguards(**{safeguard: False})
    for seed in range(NOTICED_WITHIN):
        drawn = schedule(seed, kinds)
        if name in {violation.name for violation in play(drawn, without).violations}:
            assert play(drawn).violations == []
            return
    pytest.fail(f"{NOTICED_WITHIN} schedules did not miss {safeguard}")


def test_no_two_safeguards_are_missed_by_the_same_name() -> None:
    assert len({name for _, name in LACKS.values()}) == len(LACKS)


def test_a_seed_plays_the_same_schedule_again() -> None:
    for seed in range(10):
        assert play(schedule(seed)).history == play(schedule(seed)).history
