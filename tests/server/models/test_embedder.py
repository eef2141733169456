from pathlib import Path

import numpy as np
import pytest

from lookalike_server.image import Limits, decode
from lookalike_server.regions import WHOLE_BOX, Box
from tests.server.photos import corners, encoded
from tests.server.tiny import tiny_embedder

PICTURE = decode(encoded(corners(64, 64), "PNG"), Limits())
QUARTERS = [Box(0, 0, 0.5, 0.5), Box(0.5, 0, 1, 0.5), Box(0, 0.5, 0.5, 1), Box(0.5, 0.5, 1, 1)]


@pytest.mark.parametrize("batch", [1, "n"])
def test_each_part_gets_a_vector_of_its_own_colour(tmp_path: Path, batch: int | str) -> None:
    embedder = tiny_embedder(tmp_path, batch)
    vectors = embedder.run(embedder.prepare(PICTURE, QUARTERS))
    colours = np.array([vector[:3] for vector in vectors])
    half = np.sqrt(0.5)
    assert colours == pytest.approx(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [half, half, 0]]), abs=0.06)


def test_a_part_is_seen_with_the_margin_that_the_network_learned_with(tmp_path: Path) -> None:
    box = Box(0.25, 0.25, 0.5, 0.5)
    tight, wide = (tiny_embedder(tmp_path, margin=margin) for margin in (0.0, 0.5))
    np.testing.assert_array_equal(wide.prepare(PICTURE, [box])[0], tight.prepare(PICTURE, [box.grown(0.5)])[0])
    assert not np.array_equal(wide.prepare(PICTURE, [box])[0], tight.prepare(PICTURE, [box])[0])
    np.testing.assert_array_equal(wide.prepare(PICTURE, [WHOLE_BOX])[0], tight.prepare(PICTURE, [WHOLE_BOX])[0])


def test_vectors_have_unit_length(tmp_path: Path) -> None:
    embedder = tiny_embedder(tmp_path)
    (vector,) = embedder.run(embedder.prepare(PICTURE, [WHOLE_BOX]))
    assert vector.shape == (256,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1)
