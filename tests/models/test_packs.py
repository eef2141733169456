"""Packages drawn without Blender."""

from pathlib import Path
from random import Random

import numpy as np
import pytest

pytest.importorskip("cv2", reason="needs pip install 'lookalike[models]'")

from renders import labels, packs

try:
    labels.fonts()
except FileNotFoundError:
    pytest.skip("needs the fonts that renders/README.md names", allow_module_level=True)


@pytest.mark.parametrize("family", range(12))
def test_a_package_fills_its_picture_and_nothing_else(family: int) -> None:
    picture = packs.package(family, 0)(packs.view_of(Random(family)))
    assert picture.shape == (packs.SIDE_PX, packs.SIDE_PX, 4)
    rows, columns = np.nonzero(picture[:, :, 3] > 128)
    assert max(np.ptp(rows), np.ptp(columns)) > 0.7 * packs.SIDE_PX
    assert (picture[[0, 0, -1, -1], [0, -1, 0, -1], 3] == 0).all()


def test_varieties_of_a_family_have_one_shape_and_other_colours() -> None:
    one, other = (packs.package(3, variety)(packs.view_of(Random(1))) for variety in (0, 1))
    assert (one[:, :, 3] == other[:, :, 3]).mean() > 0.99
    solid = one[:, :, 3] > 200
    assert np.abs(one[solid].astype(int) - other[solid]).mean() > 10


def test_a_family_is_rendered_once_and_the_same_each_time(tmp_path: Path) -> None:
    packs.render(tmp_path / "one", 1, 0, 0, 1)
    packs.render(tmp_path / "other", 1, 0, 0, 1)
    names = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.png"))
    assert len(names) == packs.VARIETIES * packs.VIEWS
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    first = tmp_path / "one" / names[0]
    first.write_bytes(b"as it was")
    packs.render(tmp_path / "one", 1, 0, 0, 1)
    assert first.read_bytes() == b"as it was"
