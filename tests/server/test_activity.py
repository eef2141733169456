import pytest

from lookalike_server.activity import MINUTE_S, TIMES_MAX, Activity


class Clock:
    def __init__(self) -> None:
        self.now_s = 6000.0

    def __call__(self) -> float:
        return self.now_s


def test_searches_are_counted_in_their_minute() -> None:
    clock = Clock()
    activity = Activity(clock)
    for ms in range(1, 101):
        activity.answered(float(ms), 1.0)
    clock.now_s += MINUTE_S
    activity.answered(5.0, 0.5)
    activity.refused()
    first, second = activity.minutes()
    assert (first.begun_s, first.answered, first.quantile_ms(0.5), first.quantile_ms(0.95)) == (6000, 100, 51.0, 96.0)
    assert (second.answered, second.refused, second.coverage_mean, second.coverage_min) == (1, 1, 0.5, 0.5)


def test_an_hour_is_remembered_and_no_more() -> None:
    clock = Clock()
    activity = Activity(clock)
    activity.refused()
    clock.now_s += 60 * MINUTE_S
    assert len(activity.minutes()) == 1
    clock.now_s += MINUTE_S
    assert activity.minutes() == []


def test_a_busy_minute_takes_no_more_memory() -> None:
    activity = Activity(Clock())
    for _ in range(TIMES_MAX + 10):
        activity.answered(1.0, 1.0)
    (minute,) = activity.minutes()
    assert (minute.answered, len(minute.times_ms)) == (TIMES_MAX + 10, TIMES_MAX)


def test_a_search_that_fails_counts_as_refused() -> None:
    activity = Activity(Clock())
    with pytest.raises(KeyError), activity.one():
        raise KeyError
    with activity.one() as done:
        done(7.0, 1.0)
    (minute,) = activity.minutes()
    assert (minute.answered, minute.refused) == (1, 1)
    assert minute.quantile_ms(0.5) == 7.0
