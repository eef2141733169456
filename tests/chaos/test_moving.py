"""Strikes a few times while slots move; `make strikes` does it at every step."""

import sys
from collections import Counter
from itertools import islice

from lookalike_router.failpoints import NAMES
from tests.chaos.moving import Told, pairs, play, wrong
from tests.chaos.striking import STANDS, VICTIMS

SEED = 20261
# Each victim once, before, at and after the change of owners.
STRIKES = (
    ("target", "copy"),
    ("router", "pause"),
    ("source", "prove"),
    ("store", "seen"),
    ("coordinator", "flip"),
)


def say(text: str) -> None:
    print(text, file=sys.stderr)


def test_forty_rounds_meet_every_victim_at_every_step_once_in_an_order_that_the_seed_decides() -> None:
    first = list(islice(pairs(SEED), 40))
    assert Counter(first) == Counter((victim, step) for victim in VICTIMS for step in NAMES)
    assert list(islice(pairs(SEED), 40)) == first
    assert list(islice(pairs(SEED + 1), 40)) != first
    assert STANDS.keys() == set(NAMES)
    assert sorted(islice(pairs(SEED, ["store"]), 8)) == sorted(("store", step) for step in NAMES)


def test_a_rebalance_that_is_struck_at_its_steps_loses_and_doubles_nothing_and_ends() -> None:
    told = Told(STRIKES, SEED, hasty=True)
    played = play(told, say)
    broken = [f"{one.name} {one.product}: {one.says}" for one in played.violations]
    if wrong(played, told):
        say(f"the history and every log: {played.home}")
    else:
        played.forget()
    assert broken == []
    assert played.counts["strays_left"] == played.counts["maps_wrong"] == 0
    assert played.strikes == Counter(STRIKES)
    assert played.counts["jobs_done"] == len(STRIKES)


def test_without_the_proof_a_write_that_slipped_in_is_lost_and_the_checker_says_so() -> None:
    told = Told((("router", "pause"),), SEED, without="proof", hasty=True)
    played = play(told, say)
    played.forget()
    assert played.counts["slipped"] == 1
    assert "LostWrite" in {violation.name for violation in played.violations}
