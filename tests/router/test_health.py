"""What is known of a replica, against plain definitions; the time is just a number."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike_router.health import (
    EWMA_AGE_S,
    FAILURES_OPEN,
    OPEN_S,
    SAMPLE_OLD_S,
    SAMPLES_LEAST,
    SAMPLES_MAX,
    Health,
    Window,
)

LATENCIES = st.lists(st.floats(0.0, 10.0), min_size=1, max_size=3 * SAMPLES_MAX)


def searched(health: Health, at: float, took_s: float) -> None:
    health.answered(health.begin(at, measured=True), at + took_s)


def failed(health: Health, at: float, took_s: float = 0.0, *, heard: bool = True, blamed: bool = True) -> None:
    health.failed(health.begin(at, measured=True), at + took_s, heard=heard, blamed=blamed)


@given(LATENCIES, st.sampled_from([0.01, 0.5, 0.95, 1.0]))
def test_a_percentile_is_that_of_the_last_values_sorted(values: list[float], share: float) -> None:
    window = Window()
    for value in values:
        window.add(value)
    last = sorted(values[-SAMPLES_MAX:])
    assert len(window) == len(last)
    assert window.quantile(share) == last[math.ceil(share * len(last)) - 1]


def test_percentiles_are_unknown_until_there_are_some_searches() -> None:
    health = Health()
    assert (health.p50_ms, health.p95_ms, health.p95_s, health.ewma_s) == (0, 0, None, None)
    for i in range(SAMPLES_LEAST - 1):
        searched(health, i, 0.25)
    assert (health.p95_ms, health.p95_s) == (250, None)
    searched(health, 10, 0.25)
    assert health.p95_s == 0.25


@given(st.lists(st.tuples(st.floats(0.0, 100.0), st.floats(0.0, 10.0)), min_size=1))
def test_the_mean_latency_stays_among_those_seen(gaps: list[tuple[float, float]]) -> None:
    health, now = Health(), 0.0
    for gap_s, took_s in gaps:
        now += gap_s
        searched(health, now, took_s)
    took = [took_s for _, took_s in gaps]
    assert health.ewma_s is not None
    assert min(took) - 1e-9 <= health.ewma_s <= max(took) + 1e-9


def test_one_slow_search_is_noticed_and_two_old_ones_are_forgotten() -> None:
    health = Health()
    for i in range(50):
        searched(health, i / 100, 0.004)
    searched(health, 0.5, 0.3)
    assert health.ewma_s == pytest.approx(0.004 + 0.2 * 0.296, rel=0.1)
    for i in range(2):
        searched(health, 20 + i * 2 * EWMA_AGE_S, 0.004)
    assert health.ewma_s == pytest.approx(0.004, rel=0.5)


def test_the_cost_is_latency_times_load() -> None:
    health = Health()
    searched(health, 0.0, 0.5)
    assert health.cost_s(0.5, unknown_s=9.0) == 0.5
    flights = [health.begin(0.5, measured=True), health.begin(0.5, measured=False)]
    assert health.in_flight == 2
    assert health.cost_s(0.5, unknown_s=9.0) == 1.5
    for flight in flights:
        health.answered(flight, 1.0)
    assert health.in_flight == 0
    assert Health().cost_s(0.5, unknown_s=9.0) == 9.0


def test_a_search_that_hangs_costs_what_it_has_taken_so_far_and_a_read_does_not() -> None:
    health = Health()
    searched(health, 0.0, 0.004)
    read = health.begin(1.0, measured=False)
    assert health.cost_s(9.0, 1.0) == pytest.approx(0.008)
    health.begin(1.0, measured=True)
    health.begin(8.0, measured=True)
    health.answered(read, 9.0)
    assert health.cost_s(9.0, 1.0) == pytest.approx(8.0 * 3)


def test_a_search_that_times_out_took_at_least_as_long_and_one_with_little_time_says_nothing() -> None:
    health = Health()
    searched(health, 0.0, 0.1)
    failed(health, 1.0, 0.01, heard=False, blamed=False)
    assert health.ewma_s == 0.1
    failed(health, 2.0, 5.0, heard=False)
    assert health.ewma_s is not None
    assert health.ewma_s > 1.0


@given(st.lists(st.sampled_from(["answered", "failed", "not to blame", "read"]), max_size=30))
def test_the_breaker_is_open_after_enough_failures_in_a_row(calls: list[str]) -> None:
    health, in_a_row = Health(), 0
    for i, call in enumerate(calls):
        match call:
            case "answered":
                searched(health, i, 0.1)
                in_a_row = 0
            case "failed":
                failed(health, i)
                in_a_row += 1
            case "not to blame":
                failed(health, i, 0.1, heard=False, blamed=False)
            case "read":
                health.answered(health.begin(i, measured=False), i)
        assert health.open == (in_a_row >= FAILURES_OPEN)


def test_an_open_breaker_wants_one_search_after_its_pause_and_closes_if_that_is_answered() -> None:
    health = Health()
    for _ in range(FAILURES_OPEN):
        failed(health, 0.0)
    assert health.open
    assert not health.wants_search(OPEN_S - 0.1)
    assert health.wants_search(OPEN_S)
    failed(health, OPEN_S)
    assert not health.wants_search(OPEN_S + 0.1)
    probe = health.begin(2 * OPEN_S, measured=True)
    assert not health.wants_search(9 * OPEN_S), "one is enough"
    health.answered(probe, 2 * OPEN_S)
    assert not health.open


def test_a_replica_not_searched_for_long_wants_a_search() -> None:
    health = Health()
    assert health.wants_search(0.0)
    searched(health, 0.0, 0.1)
    assert not health.wants_search(SAMPLE_OLD_S - 0.1)
    assert health.wants_search(SAMPLE_OLD_S)


def test_silence_ends_by_any_reply() -> None:
    health = Health()
    health.begin(1.0, measured=True)
    assert health.silent_since(1.0)
    failed(health, 1.0, 1.0, heard=False)
    assert health.silent_since(1.0)
    failed(health, 1.0, 2.0)
    assert not health.silent_since(1.0)
    assert health.silent_since(4.0)
