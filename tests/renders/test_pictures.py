"""The parts of the renders that need no Blender: outlines, colours, patterns, cut-outs."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from PIL import Image

from renders import compose, palette, patterns, shapes
from renders.kit import Kit

COLOURS = ((200, 40, 40), (240, 240, 230), (30, 60, 120))


def test_the_same_seed_is_the_same_product() -> None:
    one, other = Kit("mug", 7), Kit("mug", 7)
    assert (one.main, one.second, one.brand, one.between(0, 1)) == (
        other.main,
        other.second,
        other.brand,
        other.between(0, 1),
    )


def test_neighbouring_seeds_differ_in_colour() -> None:
    mains = [Kit("mug", seed).main for seed in range(1, 8)]
    assert len(set(mains)) == len(mains)


def test_a_products_colours_can_be_told_apart() -> None:
    for seed in range(200):
        main, second, accent = palette.pick(Random(seed), seed)
        assert palette.contrast(main.rgb, second.rgb) > 0.18
        assert palette.contrast(second.rgb, accent.rgb) > 0.18


@pytest.mark.parametrize("kind", sorted(patterns.PAINTERS))
def test_a_pattern_has_its_size_and_is_the_same_each_time(kind: str) -> None:
    one, other = (patterns.paint(kind, Random(3), COLOURS, 96, 48) for _ in range(2))
    assert one.size == (96, 48)
    assert one.tobytes() == other.tobytes()


def test_every_pattern_has_its_word() -> None:
    assert patterns.WORDS.keys() == patterns.PAINTERS.keys()


def test_a_rounded_rectangle_keeps_its_size() -> None:
    outline = shapes.rounded_rect(2.0, 1.0, 0.1)
    assert np.ptp(outline, axis=0) == pytest.approx([2.0, 1.0])


def test_a_fillet_keeps_its_ends() -> None:
    line = shapes.fillet([(0, 0), (1, 0), (1, 1)], 0.2)
    assert line[[0, -1]].tolist() == [[0, 0], [1, 1]]


def test_the_box_of_a_cut_out_is_tight() -> None:
    alpha = np.zeros((10, 20), dtype=np.uint8)
    alpha[2:5, 4:14] = 255
    assert compose.alpha_box(alpha) == (0.2, 0.2, 0.7, 0.5)


def test_nothing_solid_has_no_box() -> None:
    assert compose.alpha_box(np.full((4, 4), 20, dtype=np.uint8)) is None


def test_a_telephone_keeps_the_size_of_a_picture() -> None:
    taken = compose.phone(Image.new("RGB", (64, 48), (120, 130, 140)), np.random.default_rng(1))
    assert (taken.size, taken.mode) == ((64, 48), "RGB")


def test_a_catalogue_picture_is_light_at_its_rim() -> None:
    cut = Image.new("RGBA", (64, 64))
    cut.paste((200, 30, 30, 255), (20, 20, 44, 44))
    picture = np.asarray(compose.studio(cut))
    assert picture[[0, 0, -1, -1], [0, -1, 0, -1]].min() > 225
