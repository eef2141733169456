"""What the models learn from is true: boxes hold their products, crops are framed as the server frames them."""

import numpy as np
import pytest

pytest.importorskip("cv2", reason="needs pip install 'lookalike[models]'")

from lookalike_server.train.composites import Stock, letterboxed, overlaps, photo, place
from lookalike_server.train.crops import HUE_TURNS_DEG, hue_turned, is_colourful, photo_crop, scene_crop, studio_crop
from lookalike_server.train.pictures import Picture, trimmed


def cutout(width: int, height: int, colour: tuple[int, int, int]) -> Picture:
    """Return a solid cut-out of one colour."""
    return np.full((height, width, 4), (*colour, 255), np.uint8)


@pytest.mark.parametrize("scale", [0.2, 0.6, 1.5])
@pytest.mark.parametrize("angle_deg", [0.0, 30.0])
def test_the_box_of_a_placed_cutout_holds_all_its_pixels(scale: float, angle_deg: float) -> None:
    canvas = np.zeros((200, 300, 3), np.float32)
    box = place(canvas, cutout(60, 90, (255, 0, 0)), (140.0, 100.0), scale, angle_deg)
    rows, columns = np.nonzero(canvas[:, :, 0] > 128)
    assert box.shape == (1, 4)
    wanted = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(box[0], wanted, atol=1.5)


def test_a_cutout_outside_the_canvas_has_no_box() -> None:
    canvas = np.zeros((100, 100, 3), np.float32)
    assert place(canvas, cutout(20, 20, (255, 0, 0)), (300.0, 50.0), 1.0, 0.0).shape == (0, 4)
    assert not canvas.any()


@pytest.mark.parametrize("seed", range(8))
def test_the_boxes_of_a_photo_lie_inside_it(seed: int) -> None:
    stock = Stock([cutout(80, 120, (200, 30, 30)), cutout(150, 60, (30, 30, 200))], [])
    picture, boxes = photo(stock, (240, 180), 3, np.random.default_rng(seed))
    assert picture.shape == (180, 240, 3)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= (240, 180)).all()
    assert (boxes[:, 2:] - boxes[:, :2] > 1).all()


def test_a_photo_is_mirrored_where_it_is_told() -> None:
    rgba = cutout(80, 80, (0, 0, 0))
    rgba[:, :40, :3] = 250

    def lighter_at_left(mirrored: float) -> float:
        told = []
        for seed in range(20):
            picture, boxes = photo(Stock([rgba], []), (240, 240), 1, np.random.default_rng(seed), mirrored)
            for left, top, right, bottom in boxes.astype(int):
                shown = picture[top:bottom, left:right].mean((0, 2))
                told.append(shown[: len(shown) // 3].mean() > shown[-(len(shown) // 3) :].mean())
        return float(np.mean(told))

    assert lighter_at_left(0.0) > 0.9 > 0.1 > lighter_at_left(1.0)  # one may be turned upside down


@pytest.mark.parametrize("share", [1.0, 0.6])
def test_a_crop_is_mirrored_where_it_is_told(share: float) -> None:
    ramp = np.tile(np.linspace(0, 250, 200).astype(np.uint8)[None, :, None], (200, 1, 3))

    def rising(mirrored: float) -> list[bool]:
        crops = [scene_crop(ramp, 64, np.random.default_rng(seed), share, mirrored) for seed in range(20)]
        return [crop[28:36, 40:].mean() > crop[28:36, :24].mean() for crop in crops]

    assert np.mean(rising(0.0)) > 0.8  # one is turned upside down or has something lie over it
    assert np.mean(rising(1.0)) < 0.2


def test_one_box_inside_another_overlaps_it() -> None:
    small, large = np.array([[40, 40, 50, 50]], np.float32), np.array([[0, 0, 100, 100]], np.float32)
    assert overlaps(small, large)
    assert not overlaps(small, large + 200)


def test_letterboxing_keeps_the_aspect_and_moves_the_boxes_along() -> None:
    picture = np.full((50, 100, 3), 255, np.uint8)
    square, boxes = letterboxed(picture, np.array([[0, 0, 100, 50]], np.float32), 200)
    np.testing.assert_array_equal(boxes, [[0, 50, 200, 150]])
    assert (square[50:150] == 255).all()
    assert (square[:50] == 114).all()


def test_trimming_premultiplies_and_cuts_the_margin() -> None:
    picture = np.zeros((10, 10, 4), np.uint8)
    picture[2:5, 3:9] = (200, 100, 50, 128)
    rgba = trimmed(picture)
    assert rgba.shape == (3, 6, 4)
    np.testing.assert_allclose(rgba[0, 0, :3], np.array([200, 100, 50]) * 128 / 255, atol=1)


def test_turning_hues_changes_colours_but_not_greys() -> None:
    red, grey = cutout(9, 9, (220, 40, 40)), cutout(9, 9, (120, 120, 120))
    assert is_colourful(red)
    assert not is_colourful(grey)
    for turn in HUE_TURNS_DEG:
        np.testing.assert_allclose(hue_turned(grey, turn), grey, atol=2)


def test_a_crop_shows_as_much_of_a_photo_as_it_is_told() -> None:
    ramp = np.tile(np.linspace(0, 250, 200).astype(np.uint8)[None, :, None], (200, 1, 3))

    def shown(share: float) -> float:
        crops = [scene_crop(ramp, 64, np.random.default_rng(seed), share) for seed in range(40)]
        return float(np.mean([np.ptp(np.median(crop[24:40, :, 0], axis=0)) for crop in crops]))

    assert shown(0.3) < 0.6 * shown(0.6) < 0.6 * shown(1.0)


def test_crops_have_the_size_the_model_takes() -> None:
    rng = np.random.default_rng(0)
    stock = Stock([cutout(80, 120, (200, 30, 30))], [np.full((200, 300, 3), 90, np.uint8)])
    for rgba in (cutout(20, 200, (9, 90, 9)), cutout(200, 20, (9, 90, 9))):
        assert photo_crop(rgba, stock, 64, rng).shape == (64, 64, 3)
        assert studio_crop(rgba, 64, rng).shape == (64, 64, 3)
