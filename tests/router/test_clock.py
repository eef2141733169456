from hypothesis import given
from hypothesis import strategies as st

from lookalike_router.clock import COUNTER_BITS, HybridClock


@given(st.lists(st.tuples(st.floats(0, 1e11), st.integers(0, 2**62)), min_size=2))
def test_versions_only_grow_whatever_the_wall_clock_does(ticks: list[tuple[float, int]]) -> None:
    now = [0.0]
    clock = HybridClock(lambda: now[0])
    last = 0
    for wall, seen in ticks:
        now[0] = wall
        version = clock.next(after=seen)
        assert version > last
        assert version > seen
        last = version


def test_a_version_tells_the_wall_clocks_milliseconds() -> None:
    assert HybridClock(lambda: 1_700_000_000.5).next() >> COUNTER_BITS == 1_700_000_000_500


def test_versions_fit_an_int64_for_a_hundred_years() -> None:
    assert HybridClock(lambda: 4_900_000_000.0).next() < 2**63
