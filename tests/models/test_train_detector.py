"""Real ultralytics on composites made here."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch", reason="needs pip install 'lookalike[models]'")
cv2: Any = pytest.importorskip("cv2", reason="needs pip install 'lookalike[models]'")
pytest.importorskip("ultralytics", reason="needs pip install 'lookalike[models]'")

from lookalike_server.train.composites import Stock  # noqa: E402 - after the skip
from lookalike_server.train.detector import DetectorPlan, labels_of, train, write_composites  # noqa: E402
from lookalike_server.train.pictures import cut_where_white  # noqa: E402
from lookalike_server.train.run import TrainError  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # ultralytics warns about itself


def catalogue_picture() -> Any:
    picture = np.full((100, 100, 3), 255, np.uint8)
    picture[20:80, 30:70] = (200, 40, 40)
    return picture


@pytest.fixture
def stock() -> Stock:
    cutout = cut_where_white(catalogue_picture())
    assert cutout is not None
    return Stock([cutout], [], [np.full((90, 120, 3), 90, np.uint8)])


def test_a_product_is_cut_from_a_white_ground_and_from_no_other() -> None:
    cutout = cut_where_white(catalogue_picture())
    assert cutout is not None
    assert cutout.shape[:2] == pytest.approx((60, 40), abs=4)
    assert cut_where_white(np.full((100, 100, 3), 120, np.uint8)) is None
    assert cut_where_white(np.full((100, 100, 3), 255, np.uint8)) is None


def test_boxes_are_written_as_yolo_has_them() -> None:
    assert labels_of(np.array([[10, 20, 30, 60]], np.float32), 100, 80) == "0 0.200000 0.500000 0.200000 0.500000\n"


def test_composites_are_made_once_and_the_same_again(stock: Stock, tmp_path: Path) -> None:
    told = write_composites(stock, tmp_path / "one", 12, seed=3)
    labels = sorted((tmp_path / "one" / "labels").rglob("*.txt"))
    assert (len(labels), len([one for one in labels if one.parent.name == "val"])) == (12, 2)
    before = labels[5].stat().st_mtime_ns
    write_composites(stock, tmp_path / "one", 12, seed=3)
    assert labels[5].stat().st_mtime_ns == before
    write_composites(stock, tmp_path / "two", 12, seed=3)
    again = sorted((tmp_path / "two" / "labels").rglob("*.txt"))
    assert [one.read_text() for one in labels] == [one.read_text() for one in again]
    assert '"product"' in told.read_text()


def test_without_anything_to_cut_out_labels_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="--labels"):
        write_composites(Stock([], []), tmp_path, 10, seed=0)


def test_a_pt_that_is_no_yolo_is_refused(stock: Stock, tmp_path: Path) -> None:
    torch.save({"some": torch.zeros(3)}, tmp_path / "other.pt")
    plan = DetectorPlan(str(tmp_path / "other.pt"), tmp_path)
    with pytest.raises(TrainError, match="not a YOLO"):
        train(plan, tmp_path / "data.yaml", resume=False)


def test_a_yolo_is_trained_and_its_weights_are_there(stock: Stock, tmp_path: Path) -> None:
    data = write_composites(stock, tmp_path / "composites", 10, seed=0)
    plan = DetectorPlan("yolo11n.yaml", tmp_path, epochs=1, size_px=64, batch=4, threads=1)
    assert train(plan, data, resume=False, say=lambda line: None).suffix == ".pt"
