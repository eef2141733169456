from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from lookalike_router.slots import SLOTS, SlotRange, ranges, slot_of, within

GOLDEN = {"": 12980, "a": 559, "mug-001": 10128, "ü": 12087, "product 42": 14242, "𝕏" * 32: 16332}
SOME = st.sets(st.integers(0, 50))


def test_slots_are_the_same_for_ever() -> None:
    assert {product_id: slot_of(product_id) for product_id in GOLDEN} == GOLDEN


def test_slots_are_even() -> None:
    counts = [0] * 64
    for i in range(64_000):
        counts[slot_of(f"product {i}") * 64 // SLOTS] += 1
    assert min(counts) > 850
    assert max(counts) < 1150


@given(SOME)
def test_ranges_say_the_same_slots_and_never_touch(slots: set[int]) -> None:
    runs = ranges(sorted(slots))
    assert {slot for run in runs for slot in range(run.first, run.last + 1)} == slots
    assert sum(map(len, runs)) == len(slots)
    assert all(left.last + 1 < right.first for left, right in pairwise(runs))


@given(SOME, st.integers(0, 50), st.integers(0, 50))
def test_a_window_shows_the_slots_within_it(slots: set[int], one: int, other: int) -> None:
    window = SlotRange(min(one, other), max(one, other))
    seen = within(ranges(sorted(slots)), window)
    assert {slot for run in seen for slot in range(run.first, run.last + 1)} == {
        slot for slot in slots if window.first <= slot <= window.last
    }
