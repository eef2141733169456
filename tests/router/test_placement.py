import subprocess
import sys
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike_router.placement import Placement, owners_of, plan
from lookalike_router.slots import SLOTS, SlotRange

WEIGHTS = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.floats(0.01, 100), min_size=1, max_size=12)


@settings(max_examples=15, deadline=None)
@given(WEIGHTS)
def test_no_shard_is_above_its_share_by_more_than_one_slot(weights: dict[str, float]) -> None:
    owners = plan(weights).owners
    total = sum(weights.values())
    assert len(owners) == SLOTS
    for shard, weight in weights.items():
        assert owners.count(shard) <= SLOTS * weight / total + 1


@settings(max_examples=5, deadline=None)
@given(WEIGHTS)
def test_the_map_is_its_ranges(weights: dict[str, float]) -> None:
    placement = plan(weights)
    assert owners_of({shard: placement.ranges(shard) for shard in weights}) == placement.owners


@settings(max_examples=5, deadline=None)
@given(WEIGHTS)
def test_the_order_of_the_names_does_not_matter(weights: dict[str, float]) -> None:
    assert plan(dict(reversed(weights.items()))).owners == plan(weights).owners


def test_three_equal_shards_own_a_third_each_in_few_runs() -> None:
    placement = plan({"a": 1.0, "b": 1.0, "c": 1.0})
    for shard in "abc":
        assert sum(len(run) for run in placement.ranges(shard)) in (5460, 5461, 5462)
        assert len(placement.ranges(shard)) <= 40


def test_the_map_is_the_same_in_every_process() -> None:
    program = (
        "from hashlib import sha256; from lookalike_router.placement import plan;"
        "print(sha256(','.join(plan({'a': 1.0, 'b': 2.5, 'c': 1.0}).owners).encode()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    assert other == sha256(",".join(plan({"a": 1.0, "b": 2.5, "c": 1.0}).owners).encode()).hexdigest()


def test_a_slot_with_two_owners_or_none_is_no_map() -> None:
    whole = SlotRange(0, SLOTS - 1)
    with pytest.raises(ValueError, match="two owners"):
        owners_of({"a": [whole], "b": [SlotRange(5, 5)]})
    with pytest.raises(ValueError, match="no owner"):
        owners_of({"a": [SlotRange(0, SLOTS - 2)]})


def test_ranges_of_a_shard_without_slots_are_none() -> None:
    assert Placement(1, {"a": 1.0, "b": 1.0}, ("a",) * SLOTS).ranges("b") == ()
