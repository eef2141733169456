import math

import pytest

from lookalike_server.deadline import Deadline
from lookalike_server.errors import TooLate


class Clock:
    """A clock that stands until it is told to move."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_deadline_counts_down_to_zero_and_no_further() -> None:
    clock = Clock()
    deadline = Deadline.after(2.0, clock)
    clock.now += 1.5
    assert deadline.remaining_s() == pytest.approx(0.5)
    clock.now += 1.5
    assert deadline.remaining_s() == 0.0


def test_a_stage_may_begin_before_the_deadline_and_not_at_it() -> None:
    clock = Clock()
    deadline = Deadline.after(2.0, clock)
    deadline.check("embed")
    clock.now += 2.0
    with pytest.raises(TooLate, match="before the server could embed"):
        deadline.check("embed")


def test_never_is_infinitely_far_away() -> None:
    assert Deadline.never().remaining_s() == math.inf
    assert not Deadline.never().passed
