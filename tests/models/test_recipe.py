"""The recipe of the bundled embedder on a handful of pictures of each kind."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch", reason="needs pip install 'lookalike[models]'")
cv2: Any = pytest.importorskip("cv2", reason="needs pip install 'lookalike[models]'")
pytest.importorskip("pytorch_metric_learning", reason="needs pip install 'lookalike[models]'")

from lookalike_server.train.batch import UNCLASSED  # noqa: E402 - after the skip
from lookalike_server.train.pictures import held_out  # noqa: E402
from lookalike_server.train.run import Plan, Run  # noqa: E402
from training.embedder import Goods, unseen_recall  # noqa: E402

CLASSES, CLOTHES = 30, 6


def write(path: Path, alpha: bool = False, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.full((60, 60, 4 if alpha else 3), 255, np.uint8)
    if alpha:
        picture[:, :, 3] = 0
        picture[10:50, 10:50, 3] = 255
    picture[10:50, 10:50, :3] = np.random.default_rng(seed).integers(0, 200, 3)
    cv2.imwrite(str(path), picture)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return small folders of data and of renders."""
    data, renders = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("renders")
    rows = ["path,split,class_id,class,is_package"]
    for n in range(CLASSES):
        for split in ("train", "val", "iconic"):
            write(data / "grocery" / f"{split}-{n}.jpg", seed=n)
            rows.append(f"{split}-{n}.jpg,{split},{n},c{n},0")
    (data / "grocery" / "grocery.csv").write_text("\n".join(rows) + "\n")
    for n in range(CLOTHES):
        write(data / "clothing" / f"{n}.jpg", seed=n)
    table = "path,label,sender_id,kids,split\n" + "".join(f"{n}.jpg,shirt,1,False,train\n" for n in range(CLOTHES))
    (data / "clothing" / "clothing.csv").write_text(table)
    for category in ("mug", "vase"):
        for seed in range(100_000, 100_012):
            for view in range(3):
                write(renders / "train" / f"{category}-{seed}" / f"{view}.png", alpha=True, seed=seed)
    return data, renders


def test_a_batch_holds_all_kinds_and_names_are_numbered_for_good(folders: tuple[Path, Path], tmp_path: Path) -> None:
    data, renders = folders
    goods = Goods(data, renders, tmp_path / "names.json")
    batch = goods.batch(64, np.random.default_rng(0))
    names = json.loads((tmp_path / "names.json").read_text())
    assert {name.split(":")[0] for name in names} == {"render", "grocery"}
    assert UNCLASSED in batch.labels  # clothing
    assert not any(held_out(name.split(":")[1]) for name in names if name.startswith("render"))
    again = Goods(data, renders, tmp_path / "names.json").batch(64, np.random.default_rng(0))
    assert list(again.labels) == list(batch.labels)


def test_steps_are_taken_and_unseen_goods_are_asked_for(folders: tuple[Path, Path], tmp_path: Path) -> None:
    data, renders = folders
    torch.set_num_threads(1)
    goods = Goods(data, renders, tmp_path / "names.json")
    run = Run(Plan("resnet18-12%", steps=1, sizes_px=((0.0, 64),)), goods, tmp_path, resume=False)
    for batch in run.batches():
        assert run.learn(batch)["class"] > 0
    assert 0 <= unseen_recall(run.ema, data, renders, 64) <= 1
