import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike_server.models.match import Calibration, Level

COSINES = st.floats(-1, 1)
ONE = Calibration(slope=20.0, offset=-10.0, same_min=0.9, similar_min=0.5, weak_min=0.1)


@pytest.mark.parametrize(
    ("cosine", "level"),
    [(1.0, Level.SAME), (0.62, Level.SAME), (0.6, Level.SIMILAR), (0.5, Level.SIMILAR), (0.4, Level.WEAK)],
)
def test_a_cosine_has_a_word(cosine: float, level: Level) -> None:
    assert ONE.judge(cosine).level is level


def test_no_likeness_has_a_word_too() -> None:
    assert ONE.judge(0.3).level is Level.NONE


@given(COSINES, COSINES)
def test_a_better_cosine_is_never_a_lesser_match(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert ONE.probability(low) <= ONE.probability(high)
    words = list(Level)
    assert words.index(ONE.judge(high).level) <= words.index(ONE.judge(low).level)


@given(COSINES, st.floats(1e-3, 1e6), st.floats(-1e6, 1e6))
def test_any_curve_gives_a_probability(cosine: float, slope: float, offset: float) -> None:
    assert 0 <= Calibration(slope, offset, 0.9, 0.5, 0.1).probability(cosine) <= 1
