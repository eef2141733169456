from lookalike_router.tombstones import RECENT_S, TOMBSTONES_MAX, Tombstones


def test_rows_up_to_the_version_are_dead_and_newer_ones_are_not() -> None:
    tombstones = Tombstones(lambda: 0.0)
    tombstones.add("p", 5)
    assert tombstones.dead("p", 4)
    assert tombstones.dead("p", 5)
    assert not tombstones.dead("p", 6)
    assert not tombstones.dead("q", 1)


def test_an_older_tombstone_that_comes_late_revives_nothing() -> None:
    tombstones = Tombstones(lambda: 0.0)
    tombstones.add("p", 5)
    tombstones.add("p", 3)
    assert tombstones.dead("p", 5)


def test_tombstones_are_forgotten_when_no_late_write_can_come_any_more() -> None:
    now = [0.0]
    tombstones = Tombstones(lambda: now[0])
    tombstones.add("old", 1)
    now[0] = RECENT_S + 1
    tombstones.add("new", 1)
    assert not tombstones.dead("old", 1)
    assert tombstones.dead("new", 1)


def test_there_is_a_limit_and_the_oldest_go_first() -> None:
    tombstones = Tombstones(lambda: 0.0)
    for i in range(TOMBSTONES_MAX + 10):
        tombstones.add(f"p{i}", 1)
    assert len(tombstones) == TOMBSTONES_MAX
    assert not tombstones.dead("p9", 1)
    assert tombstones.dead("p10", 1)
