"""Tests the order in which things break."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.nemesis import SHARES, shuffled


@given(st.integers())
def test_every_kind_of_fault_comes_as_often_as_its_share_says(seed: int) -> None:
    assert Counter(shuffled(SHARES, random.Random(seed))) == SHARES


@given(st.integers(), st.integers(1, sum(SHARES.values())))
def test_a_short_run_sees_its_part_of_every_kind(seed: int, length: int) -> None:
    total = sum(SHARES.values())
    seen = Counter(shuffled(SHARES, random.Random(seed))[:length])
    assert all(abs(seen[kind] - length * share / total) < 3 for kind, share in SHARES.items())


def test_the_seed_repeats_the_order() -> None:
    assert shuffled(SHARES, random.Random(7)) == shuffled(SHARES, random.Random(7))
    assert shuffled(SHARES, random.Random(7)) != shuffled(SHARES, random.Random(8))
