import pytest

from lookalike_router.tombstones import PER_PRODUCT_MAX, PRODUCTS_MAX, RECENT_S, Tombstones


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tombstones(clock: Clock) -> Tombstones:
    return Tombstones(lambda: clock.now_s)


def test_rows_up_to_the_version_are_dead_and_newer_ones_are_not(tombstones: Tombstones) -> None:
    tombstones.add("p", 5)
    assert tombstones.dead("p", 4, 101.0)
    assert tombstones.dead("p", 5, 101.0)
    assert not tombstones.dead("p", 6, 101.0)
    assert not tombstones.dead("q", 1, 101.0)


def test_a_read_that_began_before_goes_by_what_was_dead_then(tombstones: Tombstones, clock: Clock) -> None:
    tombstones.add("p", 5)
    clock.now_s = 110.0
    tombstones.add("p", 8)
    assert not tombstones.dead("p", 7, 105.0)
    assert tombstones.dead("p", 4, 105.0)
    assert not tombstones.dead("p", 4, 99.0)
    assert tombstones.dead("p", 7, 111.0)


def test_an_older_tombstone_that_comes_late_revives_nothing(tombstones: Tombstones) -> None:
    tombstones.add("p", 5)
    tombstones.add("p", 3)
    assert tombstones.dead("p", 5, 101.0)


def test_tombstones_are_forgotten_when_no_late_write_can_come_any_more(tombstones: Tombstones, clock: Clock) -> None:
    tombstones.add("old", 1)
    clock.now_s += RECENT_S + 1
    tombstones.add("new", 1)
    assert not tombstones.dead("old", 1, clock.now_s)
    assert tombstones.dead("new", 1, clock.now_s)


def test_a_product_that_is_written_again_and_again_takes_no_more_room(tombstones: Tombstones, clock: Clock) -> None:
    for version in range(10 * PER_PRODUCT_MAX):
        tombstones.add("p", version)
    assert len(tombstones._dead["p"]) == PER_PRODUCT_MAX
    assert tombstones.dead("p", 10 * PER_PRODUCT_MAX - 1, clock.now_s)


def test_there_is_a_limit_and_the_oldest_go_first(tombstones: Tombstones) -> None:
    for i in range(PRODUCTS_MAX + 10):
        tombstones.add(f"p{i}", 1)
    assert len(tombstones) == PRODUCTS_MAX
    assert not tombstones.dead("p9", 1, 101.0)
    assert tombstones.dead("p10", 1, 101.0)
