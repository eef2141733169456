import pytest

from lookalike_router.underway import Underway


def test_a_router_has_reached_what_its_oldest_work_began_under() -> None:
    underway = Underway()
    assert underway.reached(7) == 7
    underway.begin(5)
    underway.begin(5)
    underway.begin(6)
    assert underway.reached(7) == 5
    underway.end(5)
    assert underway.reached(7) == 5
    underway.end(5)
    assert underway.reached(7) == 6


def test_work_that_fails_has_ended_too() -> None:
    underway = Underway()
    with pytest.raises(ZeroDivisionError), underway.under(3):
        print(underway.reached(9) // 0)
    assert underway.reached(9) == 9
