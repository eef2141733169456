import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike_server.regions import WHOLE_BOX, Box, Detection, Point, at_point

fractions = st.floats(0, 1)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    left, right = sorted(draw(st.lists(st.integers(0, 1000), min_size=2, max_size=2, unique=True)))
    top, bottom = sorted(draw(st.lists(st.integers(0, 1000), min_size=2, max_size=2, unique=True)))
    return Box(left / 1000, top / 1000, right / 1000, bottom / 1000)


@pytest.mark.parametrize(
    "edges",
    [(0.5, 0, 0.5, 1), (0, 0.5, 1, 0.4), (-0.1, 0, 1, 1), (0, 0, 1.1, 1), (math.nan, 0, 1, 1), (0, 0, 1, math.nan)],
)
def test_an_empty_box_or_one_outside_the_picture_cannot_be_made(edges: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="not inside the picture"):
        Box(*edges)


@pytest.mark.parametrize("place", [(-0.1, 0.5), (0.5, 1.1), (math.nan, 0.5)])
def test_a_point_outside_the_picture_cannot_be_made(place: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="not inside the picture"):
        Point(*place)


@given(boxes(), boxes())
def test_overlap_is_symmetric_and_at_most_one(one: Box, other: Box) -> None:
    assert one.iou(other) == pytest.approx(other.iou(one))
    assert 0 <= one.iou(other) <= 1 + 1e-9
    assert one.iou(one) == pytest.approx(1)


def test_a_quarter_overlaps_the_whole_by_a_quarter() -> None:
    assert Box(0, 0, 0.5, 0.5).iou(WHOLE_BOX) == pytest.approx(0.25)


@given(boxes(), st.floats(0, 0.5))
def test_a_grown_box_has_the_margin_on_each_side_as_far_as_the_picture_goes(box: Box, margin: float) -> None:
    grown = box.grown(margin)
    width, height = box.right - box.left, box.bottom - box.top
    assert (box.left - grown.left, grown.right - box.right) == pytest.approx(
        (min(margin * width, box.left), min(margin * width, 1 - box.right))
    )
    assert (box.top - grown.top, grown.bottom - box.bottom) == pytest.approx(
        (min(margin * height, box.top), min(margin * height, 1 - box.bottom))
    )
    assert box.grown(0) == box


@given(st.lists(boxes(), max_size=8), fractions, fractions)
def test_the_smallest_detection_at_a_point_is_chosen(seen: list[Box], x: float, y: float) -> None:
    point = Point(x, y)
    chosen = at_point([Detection(box, 0.5, "product") for box in seen], point)
    there = [box for box in seen if box.left <= x <= box.right and box.top <= y <= box.bottom]
    if chosen is None:
        assert not there
    else:
        assert chosen.box in there
        assert chosen.box.area == min(box.area for box in there)
