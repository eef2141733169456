from hypothesis import given
from hypothesis import strategies as st

from lookalike_router.ring import Ring
from lookalike_router.slots import SLOTS

WEIGHTS = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.floats(0.1, 10), min_size=1, max_size=6)


@given(WEIGHTS, st.integers(0, SLOTS - 1))
def test_every_slot_meets_every_shard_once(weights: dict[str, float], slot: int) -> None:
    assert sorted(Ring(weights).shards_from(slot)) == sorted(weights)


@given(WEIGHTS, st.integers(0, SLOTS - 1))
def test_the_order_of_the_names_does_not_matter(weights: dict[str, float], slot: int) -> None:
    turned = dict(reversed(weights.items()))
    assert list(Ring(weights).shards_from(slot)) == list(Ring(turned).shards_from(slot))


def test_a_new_shard_takes_slots_only_for_itself() -> None:
    old, new = Ring({"a": 1, "b": 1, "c": 1}), Ring({"a": 1, "b": 1, "c": 1, "d": 1})
    moved = {
        next(new.shards_from(slot))
        for slot in range(SLOTS)
        if next(new.shards_from(slot)) != next(old.shards_from(slot))
    }
    assert moved == {"d"}


def test_a_heavier_shard_comes_first_more_often() -> None:
    ring = Ring({"light": 1, "heavy": 3})
    firsts = [next(ring.shards_from(slot)) for slot in range(SLOTS)]
    assert firsts.count("heavy") > 2 * firsts.count("light")
