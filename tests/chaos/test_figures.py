"""Tests percentiles and slopes."""

import pytest

from tests.chaos.figures import percentile, slope_per_hour


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([4, 1, 3, 2], 0.5) == 3
    assert percentile(list(range(100)), 0.99) == 99
    assert percentile([7], 0.99) == 7
    assert percentile([], 0.5) == 0


def test_a_slope_is_by_the_hour() -> None:
    assert slope_per_hour([(0, 10), (3600, 15)]) == pytest.approx(5)
    assert slope_per_hour([(0, 10), (10, 10), (20, 10)]) == 0
    assert slope_per_hour([(0, 10)]) == 0
