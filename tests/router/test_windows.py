from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from lookalike_router.group import Group
from lookalike_router.shard import ROWS_MAX
from lookalike_router.slots import SLOTS, SlotRange, slot_of
from lookalike_router.windows import Width, following, owned_before, sample

EVERYWHERE = SlotRange(0, SLOTS - 1)


def walked(run: SlotRange, rows: Mapping[int, int], rows_max: int) -> list[tuple[SlotRange, int]]:
    """Return the windows of a walk that counts a sample first, with their rows."""
    width = Width(rows_max)
    assert not width.known
    width.learn(sample(run), within(sample(run), rows))
    windows: list[tuple[SlotRange, int]] = []
    first = run.first
    while first <= run.last:
        window = width.cut(SlotRange(first, run.last))
        windows.append((window, within(window, rows)))
        width.learn(*windows[-1])
        first = window.last + 1
    return windows


def within(run: SlotRange, rows: Mapping[int, int]) -> int:
    return sum(count for slot, count in rows.items() if run.first <= slot <= run.last)


@given(
    ends=st.tuples(st.integers(0, SLOTS - 1), st.integers(0, SLOTS - 1)),
    rows=st.dictionaries(st.integers(0, SLOTS - 1), st.integers(1, 30), max_size=40),
    rows_max=st.integers(1, 50),
)
def test_windows_cover_a_run_once(ends: tuple[int, int], rows: dict[int, int], rows_max: int) -> None:
    run = SlotRange(min(ends), max(ends))
    windows = [window for window, _ in walked(run, rows, rows_max)]
    assert (windows[0].first, windows[-1].last) == (run.first, run.last)
    assert all(one.last + 1 == two.first for one, two in pairwise(windows))


@given(products=st.integers(0, 5_000), pictures=st.integers(1, 32), run=st.integers(1, SLOTS))
def test_windows_hold_few_rows_where_products_lie_as_their_hashes_say(products: int, pictures: int, run: int) -> None:
    rows = Counter({slot: count * pictures for slot, count in Counter(SLOT_OF[:products]).items()})
    for window, held in walked(SlotRange(0, run - 1), rows, 1_000):
        assert held < ROWS_MAX / 4 or len(window) == 1


SLOT_OF = [slot_of(f"product {i}") for i in range(5_000)]


def test_evenly_spread_rows_take_hardly_more_windows_than_they_must() -> None:
    windows = walked(EVERYWHERE, dict.fromkeys(range(SLOTS), 3), 1_000)
    assert len(windows) <= 1.5 * 3 * SLOTS / 1_000
    assert all(held <= 1_000 for _, held in windows)


def test_empty_slots_are_one_window() -> None:
    assert walked(EVERYWHERE, {}, 1_000) == [(EVERYWHERE, 0)]


def test_a_walk_that_was_wrong_counts_anew_and_one_that_goes_on_sees_a_shop_grow() -> None:
    width = Width()
    for _ in range(10):
        width.learn(EVERYWHERE, 0)
    wide = width.cut(EVERYWHERE)
    for _ in range(10):
        width.learn(EVERYWHERE, 100 * SLOTS)
    assert len(width.cut(EVERYWHERE)) < 15 < len(wide)
    width.forget()
    assert not width.known


def test_runs_of_several_shards_come_in_the_order_of_their_slots() -> None:
    groups = [
        Group("a", (SlotRange(0, 9), SlotRange(20, 29)), ()),
        Group("b", (SlotRange(10, 19), SlotRange(30, SLOTS - 1)), ()),
    ]
    met: list[tuple[str, SlotRange]] = []
    slot = 5
    while (found := following(groups, slot)) is not None:
        met.append((found[0].name, found[1]))
        slot = found[1].last + 1
    assert met == [
        ("a", SlotRange(5, 9)),
        ("b", SlotRange(10, 19)),
        ("a", SlotRange(20, 29)),
        ("b", SlotRange(30, SLOTS - 1)),
    ]
    assert following(groups[:1], 30) is None
    assert owned_before(groups, 25) == 25
    assert owned_before(groups[:1], 25) == 15
    assert owned_before(groups, SLOTS) == SLOTS
