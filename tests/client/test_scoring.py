from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike import Hit, Match, Product, Timings
from lookalike.cli.scoring import Judged, Mode, by_mode, matches, report, spent, worst

NO_TIME = Timings(0, 0, 0, 0, 0, 0)


def answer(
    right: str,
    mode: Mode = Mode.DETECTED,
    photo: str = "a.jpg",
    match: Match = Match.WEAK,
    relevant: int = 1,
    category: str = "mug",
) -> Judged:
    """Return an answer whose hits are right where `right` has a plus, a tenth of a point apart from 0.9 down."""
    hits = tuple(Hit(Product(f"p{n}"), "i", 0.9 - 0.1 * n, 1, match) for n in range(len(right)))
    marks = tuple(mark == "+" for mark in right)
    return Judged(mode, Path(photo), "p", category, None, hits, marks, relevant, False, NO_TIME)


def test_recall_counts_answers_with_a_right_product_within_the_depth() -> None:
    figures = by_mode([answer("+----"), answer("----+"), answer("------+"), answer("---")])[Mode.DETECTED]
    assert (figures.n, figures.recall_at_1, figures.recall_at_5, figures.recall_at_10) == (4, 0.25, 0.5, 0.75)


@pytest.mark.parametrize(
    ("right", "relevant", "precision"),
    [("+", 1, 1), ("-+", 1, 0.5), ("+-+", 2, (1 + 2 / 3) / 2), ("++", 40, 0.2), ("", 1, 0), ("+" * 10, 40, 1)],
)
def test_average_precision_is_that_of_the_first_ten(right: str, relevant: int, precision: float) -> None:
    assert answer(right, relevant=relevant).average_precision == pytest.approx(precision)


@given(st.lists(st.booleans(), max_size=15), st.integers(1, 30))
def test_average_precision_is_a_share(right: list[bool], more: int) -> None:
    marks = "".join("+" if one else "-" for one in right)
    assert 0 <= answer(marks, relevant=sum(right) + more).average_precision <= 1


def test_detection_is_held_against_the_whole_photo_and_figures_split_by_category() -> None:
    answers = [answer("+"), answer("-", Mode.WHOLE), answer("-", category="cup"), answer("-", Mode.WHOLE)]
    told = report(answers, model="m@1")
    assert told.detection_gains == 0.5
    assert {name: figures[Mode.DETECTED].recall_at_1 for name, figures in told.categories.items()} == {
        "mug": 1,
        "cup": 0,
    }


def test_things_that_are_not_in_the_shop_count_for_false_matches_alone() -> None:
    absent = [answer("-", match=match, relevant=0, photo=match.value) for match in (Match.SAME, Match.WEAK)]
    told = report([*absent, answer("-+", match=Match.SAME), answer("+", photo="b.jpg")], model="m@1")
    assert told.modes[Mode.DETECTED].n == 2
    assert (told.matches.absent, told.matches.absent_called_same) == (2, 0.5)
    assert (told.matches.true_pairs, told.matches.true_called_same) == (2, 0.5)
    assert (told.matches.called_same, told.matches.called_same_right) == (1, 0)


def test_where_products_have_boxes_matches_are_those_of_taps() -> None:
    told = matches([answer("+", match=Match.SAME), answer("+", Mode.TAPPED), answer("+", Mode.BOXED, match=Match.SAME)])
    assert (told.true_pairs, told.true_called_same) == (1, 0)


def test_the_worst_misses_come_first() -> None:
    close, far = answer("-+", photo="close"), answer("-----", photo="far")
    false = answer("--", match=Match.SAME, relevant=0, photo="false")
    right, told_apart = answer("+-", photo="right"), answer("--", relevant=0, photo="told apart")
    assert [one.photo.name for one in worst([close, right, far, told_apart, false], 10)] == ["far", "false", "close"]
    assert len(worst([close, far], 1)) == 1


@pytest.mark.parametrize(("count", "percentiles"), [(1, (1, 1, 1)), (100, (50, 95, 99)), (10, (5, 10, 10))])
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(count: int, percentiles: tuple[int, ...]) -> None:
    told = spent([float(n) for n in range(count, 0, -1)])
    assert (told.p50, told.p95, told.p99) == percentiles


def test_a_report_on_nothing_is_all_zeros() -> None:
    told = report([], model="")
    assert (told.photos, told.modes, told.matches.absent_called_same, told.timings_ms["total_ms"].p99) == (0, {}, 0, 0)
