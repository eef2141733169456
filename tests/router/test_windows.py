from hypothesis import given
from hypothesis import strategies as st
from lookalike_router.group import Group

from lookalike_router.slots import SLOTS, SlotRange
from lookalike_router.windows import Width, following, owned_before

WIDE = SlotRange(0, SLOTS - 1)


def walked(run: SlotRange, rows: dict[int, int], rows_max: int) -> tuple[list[tuple[SlotRange, int]], int]:
    """Return the windows that fit, with their rows, and how many counts that took."""
    width, counts = Width(rows_max), 0
    windows: list[tuple[SlotRange, int]] = []
    first = run.first
    while first <= run.last:
        window = width.cut(SlotRange(first, run.last))
        held = sum(count for slot, count in rows.items() if window.first <= slot <= window.last)
        counts += 1
        if width.fits(window, held):
            windows.append((window, held))
            first = window.last + 1
    return windows, counts


@given(
    run=st.tuples(st.integers(0, SLOTS - 1), st.integers(0, SLOTS - 1)).map(lambda ends: SlotRange(*sorted(ends))),
    rows=st.dictionaries(st.integers(0, SLOTS - 1), st.integers(1, 30), max_size=40),
    rows_max=st.integers(1, 50),
)
def test_windows_cover_a_run_once_and_hold_few_rows_or_one_slot(
    run: SlotRange, rows: dict[int, int], rows_max: int
) -> None:
    windows, _ = walked(run, rows, rows_max)
    assert [slot for window, _ in windows for slot in (window.first, window.last)] == sorted(
        slot for window, _ in windows for slot in (window.first, window.last)
    )
    assert sum(len(window) for window, _ in windows) == len(run)
    assert all(held <= rows_max or len(window) == 1 for window, held in windows)


def test_evenly_spread_rows_take_hardly_more_counts_and_windows_than_they_must() -> None:
    windows, counts = walked(WIDE, dict.fromkeys(range(SLOTS), 3), 1_000)
    assert len(windows) <= 1.5 * 3 * SLOTS / 1_000
    assert counts <= len(windows) + 5


def test_empty_slots_are_one_window() -> None:
    assert walked(WIDE, {}, 1_000) == ([(WIDE, 0)], 1)


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
