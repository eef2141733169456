from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike_server.image import Limits, Picture, decode
from lookalike_server.models.detector import SAME_IOU, Detector, distinct, read_yolo
from lookalike_server.models.load import load_detector
from lookalike_server.regions import Box, Detection
from tests.server.photos import jpeg, plain
from tests.server.tiny import ONE_THREAD, detector_network, manifest_of, tiny_detector, write_archive

WHITE = (255, 255, 255)


def white(width: int = 64, height: int = 64) -> Picture:
    return decode(jpeg(plain(WHITE, width, height)), Limits())


def seen(detector: Detector, picture: Picture) -> tuple[Detection, ...]:
    return detector.run([detector.prepare(picture)])[0]


def assert_box(box: Box, *edges: float) -> None:
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx(edges, abs=1e-4)


def test_boxes_come_as_fractions_best_first(tmp_path: Path) -> None:
    detector = tiny_detector(tmp_path, [[0, 0, 8, 8, 0.5, 0], [16, 8, 32, 24, 0.9, 0]])
    first, second = seen(detector, white())
    assert_box(first.box, 0.5, 0.25, 1, 0.75)
    assert first.score == pytest.approx(0.9, abs=0.01)
    assert first.label == "product"
    assert_box(second.box, 0, 0, 0.25, 0.25)


def test_the_padding_of_a_letterbox_does_not_count(tmp_path: Path) -> None:
    # A picture twice as wide as high lies in rows 8 to 24 of the network's 32.
    detector = tiny_detector(tmp_path, [[8, 12, 24, 20, 0.9, 0], [0, 0, 32, 32, 0.8, 0]])
    inner, outer = seen(detector, white(64, 32))
    assert_box(inner.box, 0.25, 0.25, 0.75, 0.75)
    assert_box(outer.box, 0, 0, 1, 1)


def test_doubtful_empty_tiny_and_outlying_boxes_are_dropped(tmp_path: Path) -> None:
    rows = [
        [0, 0, 8, 8, 0.1, 0],
        [8, 8, 8, 16, 0.9, 0],
        [16, 8, 8, 16, 0.9, 0],
        [8, 8, 8.1, 30, 0.9, 0],
        [40, 0, 60, 20, 0.9, 0],
        [0, 0, 8, 8, float("nan"), 0],
        [0, 0, float("nan"), 8, 0.9, 0],
        [0, 0, 9, 9, 0.9, 3],
    ]
    assert seen(tiny_detector(tmp_path, rows), white()) == ()


def test_one_product_seen_twice_counts_once(tmp_path: Path) -> None:
    detector = tiny_detector(tmp_path, [[0, 0, 16, 16, 0.6, 0], [0, 0, 16, 17, 0.9, 0], [16, 16, 32, 32, 0.5, 0]])
    assert [round(one.score, 1) for one in seen(detector, white())] == [0.9, 0.5]


def test_at_most_so_many_are_returned(tmp_path: Path) -> None:
    rows = [[x * 4, y * 4, x * 4 + 4, y * 4 + 4, 0.9, 0] for x in range(8) for y in range(8)]
    assert len(seen(tiny_detector(tmp_path, rows), white())) == 20


@pytest.mark.parametrize("batch", [1, "n"])
def test_each_picture_of_a_batch_gets_its_own_answer(tmp_path: Path, batch: int | str) -> None:
    detector = tiny_detector(tmp_path, [[0, 0, 16, 16, 0.9, 0]], batch)
    dark = decode(jpeg(plain((128, 128, 128))), Limits())
    answers = detector.run([detector.prepare(one) for one in (white(), dark, white(64, 32))])
    assert [round(one[0].score, 2) for one in answers] == [0.9, 0.45, 0.65]
    assert_box(answers[2][0].box, 0, 0, 0.5, 0.5)


def test_a_network_of_any_size_gets_boxes_in_its_own_pixels(tmp_path: Path) -> None:
    # A side of 128 px, so that 2:1 is 128 x 64 without padding.
    content = detector_network([[0, 32, 64, 64, 0.9, 0]], side="any")
    manifest = manifest_of(content, "detector", side=128)
    detector = load_detector(write_archive(tmp_path / "any.zip", content, manifest), ONE_THREAD)
    picture = white(256, 128)
    assert detector.prepare(picture).tensor.shape == (3, 64, 128)
    assert_box(seen(detector, picture)[0].box, 0, 0.5, 0.5, 1)
    answers = detector.run([detector.prepare(white()), detector.prepare(picture)])
    assert_box(answers[0][0].box, 0, 0.25, 0.5, 0.5)


def test_a_raw_head_is_read_with_its_doubles_removed(tmp_path: Path) -> None:
    # Columns: two views of one box, another box of the second class.
    raw: list[list[float]] = [[8, 8, 24], [8, 8.5, 24], [16, 16, 8], [16, 17, 8], [0.2, 0.1, 0.1], [0.4, 0.9, 0.8]]
    content = detector_network(raw)  # scales entry 4 of each row only: there is none here
    manifest = manifest_of(content, "detector", head="yolo", classes=["bag", "shoe"])
    detector = load_detector(write_archive(tmp_path / "raw.zip", content, manifest), ONE_THREAD)
    first, second = seen(detector, white())
    assert (first.label, second.label) == ("shoe", "shoe")
    assert_box(first.box, 0, 0, 0.5, 17 / 32)
    assert_box(second.box, 20 / 32, 20 / 32, 28 / 32, 28 / 32)


def test_a_raw_head_takes_the_best_class() -> None:
    rows = read_yolo(np.array([[10, 20], [10, 20], [4, 4], [8, 8], [0.1, 0.7], [0.6, 0.2]], np.float32))
    assert rows == pytest.approx(np.array([[8, 6, 12, 14, 0.6, 1], [18, 16, 22, 24, 0.7, 0]]))


coordinates = st.integers(0, 100)


@given(st.lists(st.tuples(coordinates, coordinates, st.integers(1, 50), st.integers(1, 50)), max_size=12))
def test_what_is_kept_is_what_one_by_one_comparison_keeps(drawn: list[tuple[int, int, int, int]]) -> None:
    made = [Box(x / 200, y / 200, (x + w) / 200, (y + h) / 200) for x, y, w, h in drawn]
    rows = np.array([(box.left, box.top, box.right, box.bottom) for box in made], np.float64).reshape(-1, 4)
    kept: list[int] = []
    for at, box in enumerate(made):
        if all(box.iou(made[better]) <= SAME_IOU + 1e-12 for better in kept):
            kept.append(at)
    assert distinct(rows) == kept
