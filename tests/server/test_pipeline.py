import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike_router.answer import Coverage, Found, Missing, ProductHit, Trouble
from lookalike_server.deadline import Deadline
from lookalike_server.errors import TooLittleCoverage
from lookalike_server.models.match import Calibration, Level
from lookalike_server.pipeline import (
    CANDIDATES_MAX,
    Asked,
    Searched,
    Source,
    best_match,
    candidates,
    contested,
    demand_coverage,
    joined,
    judged,
    shard_deadline_s,
    shown,
)
from lookalike_server.query import PhotoQuery
from lookalike_server.regions import WHOLE_BOX, Box, Detection, Point, Region, Whole
from lookalike_server.vision import Token

ALL = Coverage(3, 3, 1.0, ())
LEFT, RIGHT = Box(0, 0, 0.5, 1), Box(0.5, 0, 1, 1)
SEEN = (Detection(LEFT, 0.9, "product"), Detection(RIGHT, 0.8, "product"))
PARTS = (Searched(LEFT, Source.DETECTION), Searched(WHOLE_BOX, Source.WHOLE_IMAGE_MATCHED_BETTER))


def tried(region: Region, detections: tuple[Detection, ...] = SEEN) -> list[tuple[Box, Source]]:
    return [(part.box, part.source) for part in candidates(PhotoQuery(Token("t"), region), detections)]


def hit(product_id: str, score: float) -> ProductHit:
    return ProductHit(product_id, "i", score, 1, {}, {})


def asked(parts: tuple[Searched, ...], leave_out: str | None = None) -> Asked:
    return Asked(np.zeros((len(parts), 256), np.float32), parts, None, leave_out)


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        (Box(0, 0, 0.1, 0.1), [(Box(0, 0, 0.1, 0.1), Source.BOX)]),
        (Whole(), [(WHOLE_BOX, Source.WHOLE_IMAGE)]),
        (Point(0.7, 0.5), [(RIGHT, Source.POINT)]),
        (
            None,
            [
                (LEFT, Source.DETECTION),
                (RIGHT, Source.DETECTION),
                (WHOLE_BOX, Source.WHOLE_IMAGE_MATCHED_BETTER),
            ],
        ),
    ],
    ids=["box", "whole", "point", "none"],
)
def test_a_region_chooses_what_is_tried(region: Region, expected: list[tuple[Box, Source]]) -> None:
    assert tried(region) == expected


def test_where_nothing_is_seen_the_whole_photo_is_tried() -> None:
    assert tried(None, ()) == [(WHOLE_BOX, Source.NOTHING_DETECTED)]
    assert tried(Point(0.7, 0.5), SEEN[:1]) == [(WHOLE_BOX, Source.NOTHING_DETECTED)]


def test_a_tap_may_mean_what_the_detector_is_not_sure_of() -> None:
    unsure = Detection(Box(0.6, 0.4, 0.8, 0.6), 0.15, "product")
    assert tried(Point(0.7, 0.5), (unsure,)) == [(unsure.box, Source.POINT)]
    assert tried(Point(0.7, 0.5), (*SEEN, unsure)) == [(RIGHT, Source.POINT)]
    assert tried(None, (unsure,)) == [(WHOLE_BOX, Source.NOTHING_DETECTED)]
    assert shown((*SEEN, unsure)) == SEEN


def test_no_more_than_the_surest_few_are_tried() -> None:
    assert len(tried(None, SEEN * 10)) == CANDIDATES_MAX + 1


def test_the_better_match_wins_and_not_the_better_box() -> None:
    found = Found([[hit("a", 0.5)], [hit("b", 0.6)]], ALL)
    assert best_match(found, asked(PARTS)) == ((hit("b", 0.6),), PARTS[1])
    found = Found([[hit("a", 0.7)], [hit("b", 0.6)]], ALL)
    assert best_match(found, asked(PARTS)) == ((hit("a", 0.7),), PARTS[0])


def test_of_equal_matches_the_surer_detection_wins_though_float32_sees_a_difference() -> None:
    parts = (Searched(LEFT, Source.DETECTION), Searched(RIGHT, Source.DETECTION))
    found = Found([[hit("a", 0.9999999)], [hit("b", 1.0)]], ALL)
    assert best_match(found, asked(parts))[1] == parts[0]


def test_a_small_part_must_match_better_than_a_large_one() -> None:
    small = (Searched(Box(0, 0, 0.1, 0.1), Source.DETECTION), PARTS[1])
    by_chance, truly = (Found([[hit("a", score)], [hit("b", 0.6)]], ALL) for score in (0.7, 0.9))
    assert best_match(by_chance, asked(small))[1] == PARTS[1]
    assert best_match(truly, asked(small))[1] == small[0]


def test_the_very_same_picture_wins_however_small_it_is() -> None:
    tiny = (Searched(Box(0, 0, 0.02, 0.02), Source.DETECTION), PARTS[1])
    assert best_match(Found([[hit("a", 1.0)], [hit("b", 0.98)]], ALL), asked(tiny))[1] == tiny[0]


def test_a_part_that_won_over_others_must_score_more_for_the_same_word() -> None:
    calibration = Calibration(20.0, -10.0, 0.9, 0.5, 0.1)
    small = Searched(Box(0, 0, 0.1, 0.1), Source.DETECTION)
    hits = (hit("a", 0.7),)
    chosen, given = (
        judged(hits, calibration, contested(asked(parts), small)) for parts in ((small, PARTS[1]), (small,))
    )
    assert (chosen[0].level, given[0].level) == (Level.WEAK, Level.SAME)
    assert judged(hits, None, None) == ()
    assert contested(asked(()), None) is None


def test_a_part_that_finds_something_wins_over_one_that_finds_nothing() -> None:
    assert best_match(Found([[], [hit("b", -0.9)]], ALL), asked(PARTS))[1] == PARTS[1]
    assert best_match(Found([[], []], ALL), asked(PARTS)) == ((), PARTS[0])


def test_the_product_that_asks_is_left_out() -> None:
    found = Found([[hit("self", 1.0), hit("a", 0.7)], [hit("b", 0.8), hit("a", 0.75)]], ALL)
    assert best_match(found, asked((), "self")) == ((hit("b", 0.8), hit("a", 0.75)), None)


@given(st.lists(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(-9, 9)), max_size=8), max_size=4))
def test_joined_answers_are_each_products_best_in_order(lists: list[list[tuple[str, int]]]) -> None:
    answers = [[hit(name, score / 10) for name, score in one] for one in lists]
    best: dict[str, float] = {}
    for name, score in (pair for one in lists for pair in one):
        best[name] = max(best.get(name, -2), score / 10)
    expected = sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))
    assert [(one.product_id, one.score) for one in joined(answers)] == expected


def test_too_little_coverage_names_the_missing() -> None:
    partial = Coverage(3, 2, 2 / 3, (Missing("c", Trouble.TIMED_OUT, "late"),))
    demand_coverage(partial, float(np.float32(2 / 3)))
    with pytest.raises(TooLittleCoverage, match="c"):
        demand_coverage(partial, 0.67)


@pytest.mark.parametrize(("left_s", "given_s"), [(100.0, 2.0), (2.0, 1.8), (10.0, 2.0), (0.1, 0.09)])
def test_shards_get_less_than_the_caller_waits(left_s: float, given_s: float) -> None:
    deadline = Deadline.after(left_s, clock=lambda: 0.0)
    assert shard_deadline_s(deadline, 2.0) == pytest.approx(given_s)
