"""Plays some dozen schedules in which slots move; `make simulate MOVING=1` plays as many as wanted."""

import pytest

from lookalike_router.failpoints import NAMES
from lookalike_router.safeguards import Safeguards
from tests.simulation.__main__ import played
from tests.simulation.moving import VICTIMS
from tests.simulation.play import play
from tests.simulation.schedules import schedule

SCHEDULES = 60
STRUCK_WITHIN = 1_500
NOTICED_WITHIN = 150


def test_no_schedule_in_which_slots_move_breaks_a_promise() -> None:
    total = played(range(SCHEDULES), moving=True)
    assert (total.violations, total.failed_seeds) == ({}, [])
    assert total.faults["job done"] > SCHEDULES / 2
    assert total.faults["job cancelled"] > 0
    assert total.faults["step clean"] > SCHEDULES


@pytest.mark.parametrize("victim", VICTIMS)
def test_everyone_is_struck_at_a_step_and_the_job_ends(victim: str) -> None:
    for seed in range(STRUCK_WITHIN):
        drawn = schedule(seed, (), moving=True)
        if VICTIMS[drawn.troubles[-1].replica % len(VICTIMS)] != victim:
            continue
        one = play(drawn)
        if any(one.tally[f"{victim} at {name}"] for name in NAMES):
            assert one.violations == []
            assert one.tally["job done"] + one.tally["job cancelled"] == 1
            return
    pytest.fail(f"{victim} was never struck")


def test_without_the_proof_writes_are_lost_and_with_it_none() -> None:
    for seed in range(NOTICED_WITHIN):
        drawn = schedule(seed, moving=True)
        names = {violation.name for violation in play(drawn, Safeguards(proof=False)).violations}
        if names & {"LostWrite", "StaleAnswer", "RevivedProduct", "WrongCoverage"}:
            assert play(drawn).violations == []
            return
    pytest.fail(f"{NOTICED_WITHIN} schedules did not miss the proof")
