import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike_router.balance import RANGES_PER_BATCH_MAX, Batch, Pin, balanced, batches, moved
from lookalike_router.errors import MapConflict
from lookalike_router.placement import plan
from lookalike_router.slots import SLOTS, SlotRange

NAMES = st.text("abcdef", min_size=1, max_size=3)
WEIGHTS = st.dictionaries(NAMES, st.floats(0.05, 20), min_size=1, max_size=9)


def equal(count: int) -> dict[str, float]:
    return {f"s{number}": 1.0 for number in range(count)}


def differing(before: Sequence[str], after: Sequence[str]) -> int:
    return sum(one != other for one, other in zip(before, after, strict=True))


def least(owners: Sequence[str], weights: Mapping[str, float]) -> int:
    """Return how many slots must move at the least: what is on no shard that may own any, or above a share."""
    owned = Counter(owners)
    total = sum(weights.values())
    return sum(max(0, owned[one] - int(SLOTS * weights.get(one, 0.0) / total) - 1) for one in owned)


@settings(max_examples=25, deadline=None)
@given(WEIGHTS, WEIGHTS)
def test_every_shard_gets_its_share_and_others_get_nothing(before: dict[str, float], after: dict[str, float]) -> None:
    owners = balanced(plan(before).owners, after)
    total = sum(after.values())
    owned = Counter(owners)
    assert owned.keys() <= after.keys()
    assert all(abs(owned[shard] - SLOTS * weight / total) <= 1 for shard, weight in after.items())


@settings(max_examples=25, deadline=None)
@given(WEIGHTS, NAMES)
def test_a_new_shard_takes_slots_only_for_itself(weights: dict[str, float], new: str) -> None:
    weights.pop(new, None)
    if not weights:
        return
    before = plan(weights).owners
    after = balanced(before, {**weights, new: 1.0})
    # Others gain a slot at the most where shares are rounded anew.
    gained = Counter(target for source, target in zip(before, after, strict=True) if source != target)
    assert all(count <= 1 for shard, count in gained.items() if shard != new)
    assert differing(before, after) <= least(before, {**weights, new: 1.0}) + 2 * len(weights) + 2


def test_a_balanced_shop_moves_nothing() -> None:
    before = plan({"a": 1.0, "b": 2.5, "c": 0.3}).owners
    assert balanced(before, {"a": 1.0, "b": 2.5, "c": 0.3}) == before


@pytest.mark.parametrize(("few", "many"), [(3, 4), (4, 5), (10, 11)])
def test_a_share_moves_to_one_more_equal_shard(few: int, many: int) -> None:
    before = plan(equal(few)).owners
    assert differing(before, balanced(before, equal(many))) == pytest.approx(SLOTS / many, rel=0.02)


def test_a_drained_shard_keeps_nothing_and_only_its_slots_move() -> None:
    before = plan(equal(4)).owners
    after = balanced(before, equal(3))
    assert "s3" not in after
    assert differing(before, after) == before.count("s3")


def test_pins_are_kept_and_count_towards_the_share() -> None:
    before = plan(equal(2)).owners
    after = balanced(before, equal(2), [Pin("s1", SlotRange(0, 99))])
    assert set(after[:100]) == {"s1"}
    assert abs(after.count("s1") - after.count("s0")) <= 1
    greedy = balanced(before, equal(2), [Pin("s1", SlotRange(0, 9_999))])
    assert Counter(greedy) == {"s1": 10_000, "s0": SLOTS - 10_000}


def test_what_cannot_be_balanced_is_refused_with_the_reason() -> None:
    before = plan(equal(2)).owners
    with pytest.raises(MapConflict, match="no shard would be left"):
        balanced(before, {})
    with pytest.raises(MapConflict, match="pinned to x, which is no shard"):
        balanced(before, equal(2), [Pin("x", SlotRange(0, 1))])
    with pytest.raises(MapConflict, match="slot 5 is pinned to s0 and to s1"):
        balanced(before, equal(2), [Pin("s0", SlotRange(0, 5)), Pin("s1", SlotRange(5, 9))])


@settings(max_examples=15, deadline=None)
@given(WEIGHTS, WEIGHTS, st.integers(1, 3_000))
def test_batches_lead_from_one_map_to_the_other(
    before: dict[str, float], after: dict[str, float], slots_max: int
) -> None:
    owners = plan(before).owners
    wanted = balanced(owners, after)
    cut = batches(owners, wanted, slots_max)
    assert moved(owners, cut) == wanted
    assert sum(map(len, cut)) == differing(owners, wanted)
    assert all(len(batch) <= slots_max and len(batch.slots) <= RANGES_PER_BATCH_MAX for batch in cut)


def test_pairs_of_shards_take_turns() -> None:
    owners = ("a",) * 8_000 + ("b",) * (SLOTS - 8_000)
    cut = batches(owners, ("c",) * SLOTS, 2_000)
    assert [batch.source for batch in cut[:4]] == ["a", "b", "a", "b"]


def test_a_move_from_where_a_slot_is_not_is_an_error() -> None:
    with pytest.raises(ValueError, match="slot 3 belongs to a, not to b"):
        moved(("a",) * SLOTS, [Batch("b", "c", (SlotRange(3, 4),))])


def test_the_plan_is_the_same_in_every_process() -> None:
    program = (
        "from hashlib import sha256; from lookalike_router.balance import balanced;"
        "from lookalike_router.placement import plan; before = plan({'a': 1.0, 'b': 2.5}).owners;"
        "print(sha256(','.join(balanced(before, {'a': 1.0, 'b': 2.5, 'c': 1.5})).encode()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    mine = balanced(plan({"a": 1.0, "b": 2.5}).owners, {"a": 1.0, "b": 2.5, "c": 1.5})
    assert other == sha256(",".join(mine).encode()).hexdigest()
    # ... and for ever: a plan that changed between versions would move what an older one has just moved.
    assert other == "09ab80379fdf0c67bfac80ed8b1327e0624e0a26954b02db7ea0c7704ef94c7a"
