"""The recipe of the bundled embedder on a handful of pictures of each kind."""

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch: Any = pytest.importorskip("torch", reason="needs pip install 'lookalike[models]'")
cv2: Any = pytest.importorskip("cv2", reason="needs pip install 'lookalike[models]'")
pytest.importorskip("ultralytics", reason="needs pip install 'lookalike[models]'")
pytest.importorskip("pytorch_metric_learning", reason="needs pip install 'lookalike[models]'")

from lookalike_server.models.resnet import build  # noqa: E402
from lookalike_server.train.batch import UNCLASSED, Rng, Vectors  # noqa: E402 - after the skip
from lookalike_server.train.composites import MIRRORED, Stock, photo  # noqa: E402
from lookalike_server.train.pictures import Picture, held_out  # noqa: E402
from lookalike_server.train.run import Plan, Run, as_input, embedded  # noqa: E402
from training import embedder  # noqa: E402
from training.calibrate import half_of  # noqa: E402
from training.detector import as_batch, new_model, photo_sample  # noqa: E402
from training.embedder import Goods, begin, imprint, unseen_recall, with_lessons  # noqa: E402
from training.pictures import PHOTO_BOXES, groceries, held, packages, rows_of, unseen_groceries  # noqa: E402
from training.serving import Model, alone  # noqa: E402
from training.teaching import PART_MIN, PARTS, lessons, parts_of  # noqa: E402
from training.thaw import thaw_detector, thaw_embedder  # noqa: E402

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
            rows.append(f"{split}-{n}.jpg,{split},{n},c{n},{n % 2}")
    (data / "grocery" / "grocery.csv").write_text("\n".join(rows) + "\n")
    for n in range(CLOTHES):
        write(data / "clothing" / f"{n}.jpg", seed=n)
    table = "path,label,sender_id,kids,split\n" + "".join(f"{n}.jpg,shirt,1,False,train\n" for n in range(CLOTHES))
    (data / "clothing" / "clothing.csv").write_text(table)
    for category in ("mug", "vase", "pack0001"):
        for seed in range(100_000, 100_012):
            for view in range(3):
                write(renders / "train" / f"{category}-{seed}" / f"{view}.png", alpha=True, seed=seed)
    return data, renders


def test_a_batch_holds_all_kinds_and_another_process_numbers_them_alike(folders: tuple[Path, Path]) -> None:
    goods = Goods(*folders)
    batch = goods.batch(64, np.random.default_rng(0))
    assert set(batch.spaces) == {0, 1, 2}  # rendered goods, groceries, and kinds of garments
    assert all(
        0 <= label < goods.classes[space] for label, space in zip(batch.labels, batch.spaces, strict=True) if label >= 0
    )
    assert not any(held_out(product.name) for group in goods.by_category.values() for product, _ in group)
    assert goods.families == ["pack0001"]
    again = Goods(*folders).batch(64, np.random.default_rng(0))
    assert list(again.labels) == list(batch.labels)


def test_a_garment_that_the_table_is_unsure_of_has_no_class(folders: tuple[Path, Path]) -> None:
    goods = Goods(*folders)
    goods.garments = [""] * CLOTHES
    batch = goods.batch(64, np.random.default_rng(0))
    assert {label for label, space in zip(batch.labels, batch.spaces, strict=True) if space == 2} == {UNCLASSED}


def test_some_garments_are_themselves_alone_and_some_are_of_a_kind(folders: tuple[Path, Path]) -> None:
    batch = Goods(*folders).batch(64, np.random.default_rng(0))
    labels = [label for label, space in zip(batch.labels, batch.spaces, strict=True) if space == 2]
    alone = [one for one, label in zip(batch.instances, batch.labels, strict=True) if label == UNCLASSED]
    assert labels.count(UNCLASSED) == 2 * embedder.CLOTHES == 2 * len(set(alone))
    assert labels.count(0) == CLOTHES - embedder.CLOTHES  # there are no others


def test_what_can_be_read_is_never_mirrored(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    shown: dict[int, float] = {}

    def scene_crop(picture: Picture, side_px: int, rng: Rng, share: float | None, mirrored: float) -> Picture:
        shown[id(picture)] = mirrored
        return picture[:1, :1]

    monkeypatch.setattr("training.embedder.scene_crop", scene_crop)
    goods = Goods(*folders)
    for seed in range(5):
        goods.batch(64, np.random.default_rng(seed))
    asked = {name: shown.get(id(few[0].picture)) for name, few in goods.groceries.items()}
    packed = packages(folders[0])
    assert {asked[name] for name in asked if name in packed} == {0.0}
    assert {asked[name] for name in asked if name not in packed} == {MIRRORED}


def test_a_teacher_is_followed_where_it_saw_the_part_of_a_photo(folders: tuple[Path, Path]) -> None:
    def teach(pictures: list[Picture]) -> Vectors:
        return np.tile(np.eye(1, 256, dtype=np.float32), (len(pictures), 1))

    assert Goods(*folders).batch(64, np.random.default_rng(0)).taught is None
    batch = Goods(*folders, teach=teach).batch(64, np.random.default_rng(0))
    assert batch.taught is not None
    heard = np.linalg.norm(batch.taught, axis=1) > 0
    photos = np.array(batch.spaces) > 0
    assert 0 < heard.sum() < photos.sum()
    assert not heard[~photos].any()


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw one box on a photo of the first class, and two on one of the second."""
    rows = ["path,left,top,right,bottom", "grocery/train-0.jpg,0.2,0.1,0.8,0.9"]
    rows += ["grocery/train-1.jpg,0,0,0.5,1", "grocery/train-1.jpg,0.5,0,1,1"]
    (tmp_path / "boxes.csv").write_text("\n".join(rows) + "\n")
    monkeypatch.setattr("training.pictures.PHOTO_BOXES", tmp_path / "boxes.csv")


@pytest.mark.usefixtures("drawn")
def test_what_one_box_holds_is_cut_out_opaque(folders: tuple[Path, Path]) -> None:
    photos = groceries(folders[0], "train")
    found = held(folders[0], "train", photos)
    (photo,) = photos["c0"]
    (cut,) = found["c0"]
    assert cut is not None
    np.testing.assert_array_equal(cut[:, :, :3], photo[6:54, 12:48])
    assert (cut[:, :, 3] == 255).all()
    assert {name for name, few in found.items() if few[0] is not None} == {"c0"}
    assert held(folders[0], "train", {"c1": photos["c1"]}) == {"c1": [None]}


@pytest.mark.usefixtures("drawn")
def test_a_box_is_looked_for_where_nobody_drew_one_around_a_package(folders: tuple[Path, Path]) -> None:
    photos = groceries(folders[0], "train")
    asked: list[Picture] = []

    def find(photo: Picture) -> list[list[float]]:
        asked.append(photo)
        return [[0, 0, 0.5, 1]] if photo is photos["c3"][0] else []

    found = held(folders[0], "train", photos, find)
    assert {name for name, few in found.items() if few[0] is not None} == {"c0", "c3"}
    assert len(asked) == len(packages(folders[0])) - 1  # but for c1, where two are drawn


def test_one_thing_in_a_photo_is_found_and_of_two_none() -> None:
    detector = Model(Path("server/lookalike_server/models/bundled/detector.zip"), threads=1)
    shop = Path("server/lookalike_server/sample")
    mug = Image.open(shop / rows_of(shop / "catalog.csv")[0]["image"])
    (box,) = alone(detector, mug)
    assert 0 <= box[0] < 0.5 < box[2] <= 1
    assert 0 <= box[1] < 0.5 < box[3] <= 1
    two = Image.new("RGB", (2 * mug.width, mug.height))
    two.paste(mug)
    two.paste(mug, (mug.width, 0))
    assert alone(detector, two) == []
    assert alone(detector, Image.new("RGB", (64, 64))) == []


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_package_in_a_box_is_shown_elsewhere(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    shown: list[Picture] = []

    def photo_crop(rgba: Picture, stock: Stock, side_px: int, rng: Rng) -> Picture:
        shown.append(rgba)
        return rgba[:1, :1, :3]

    monkeypatch.setattr("training.embedder.ELSEWHERE", share)
    monkeypatch.setattr("training.embedder.photo_crop", photo_crop)
    goods = Goods(*folders)
    (package,) = goods.groceries["c0"]
    for seed in range(5):
        goods.batch(64, np.random.default_rng(seed))
    assert any(one is package.held for one in shown) is bool(share)


def test_the_parts_that_a_teacher_sees_are_the_same_every_day_and_lie_elsewhere_for_another_photo() -> None:
    photo = np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8)
    parts, again, others = parts_of(7, photo), parts_of(7, photo), parts_of(8, photo)
    assert len(parts) == PARTS
    np.testing.assert_array_equal(parts[0], photo)
    for part, same, other in zip(parts[1:], again[1:], others[1:], strict=True):
        np.testing.assert_array_equal(part, same)
        assert part.shape != other.shape or (part != other).any()
        assert part.shape[0] >= PART_MIN * 40 - 1
        assert part.shape[1] >= PART_MIN * 30 - 1


def test_each_part_comes_with_what_the_teacher_said_of_it() -> None:
    def teach(pictures: list[Picture]) -> Vectors:
        return np.array([[one.mean(), one.shape[0]] for one in pictures], np.float32)

    photos = [np.full((20 + n, 30, 3), n, np.uint8) for n in range(4)]
    for number, one in enumerate(with_lessons(photos, teach)):
        assert one.picture is photos[number]
        assert [list(said) for said in one.taught] == [[number, part.shape[0]] for part in one.parts]


def test_lessons_are_kept_and_those_of_other_pictures_are_refused(tmp_path: Path) -> None:
    taught = np.eye(2, 256, dtype=np.float32)
    np.save(tmp_path / "lessons.npy", taught)
    pictures = [np.zeros((8, 8, 3), np.uint8)] * 3
    np.testing.assert_array_equal(lessons(Path("unread"), pictures[:2], tmp_path / "lessons.npy", 1), taught)
    with pytest.raises(ValueError, match="2 pictures and there are 3"):
        lessons(Path("unread"), pictures, tmp_path / "lessons.npy", 1)


def test_a_teacher_is_asked_once_and_evened_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    common, own = np.eye(1, 40, dtype=np.float32), np.random.default_rng(0).normal(size=(30, 40)).astype(np.float32)
    asked: list[int] = []

    class Told:
        def __init__(self, file: Path, threads: int) -> None:
            assert (file, threads) == (Path("teacher"), 1)

        def vectors(self, pictures: list[Image.Image]) -> Vectors:
            asked.append(len(pictures))
            return 20 * common + own[: len(pictures)]

    monkeypatch.setattr("training.teaching.Teacher", Told)
    pictures = [np.zeros((8, 8, 3), np.uint8)] * 30
    first, again = (lessons(Path("teacher"), pictures, tmp_path / "lessons.npy", 1) for _ in range(2))
    assert asked == [30]
    np.testing.assert_array_equal(first, again)
    assert first.shape == (30, 256)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, atol=1e-5)
    assert abs((first @ first.T)[~np.eye(30, dtype=bool)].mean()) < 0.1  # what all have in common says nothing
    assert [path.name for path in tmp_path.iterdir()] == ["lessons.npy"]


def test_products_that_are_held_out_fall_into_two_equal_halves() -> None:
    names = [name for name in (f"pack{k:04}-{300_000 + k % 3}" for k in range(5000)) if held_out(name)]
    assert 0.4 < np.mean([half_of(name) for name in names]) < 0.6


def test_sixteen_classes_can_be_left_out(folders: tuple[Path, Path]) -> None:
    without = unseen_groceries(folders[0])
    assert len(without) == 16
    assert without == unseen_groceries(folders[0])
    assert without.isdisjoint(Goods(*folders, without=without).groceries)


def test_steps_are_taken_and_unseen_goods_are_asked_for(folders: tuple[Path, Path], tmp_path: Path) -> None:
    data, renders = folders
    torch.set_num_threads(1)
    run = Run(Plan("resnet18-12%", steps=1, sizes_px=((0.0, 64),)), Goods(data, renders), tmp_path, resume=False)
    for batch in run.batches():
        assert run.learn(batch)["class"] > 0
    assert 0 <= unseen_recall(run.ema, data, renders, 64) <= 1


def test_boxes_that_people_drew_are_inside_their_photos() -> None:
    with PHOTO_BOXES.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["path"] for row in rows if row["path"].startswith("grocery/val/")}) == 100
    for row in rows:
        left, top, right, bottom = (float(row[side]) for side in ("left", "top", "right", "bottom"))
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1


@pytest.mark.parametrize("seed", range(20))
def test_a_crop_of_a_labelled_photo_keeps_its_boxes_on_their_products(seed: int) -> None:
    photo = np.full((240, 180, 3), 10, np.uint8)
    boxes = np.array([[20, 30, 80, 120], [110, 60, 170, 220]], np.float32)
    for left, top, right, bottom in boxes.astype(int):
        photo[top:bottom, left:right] = 250
    picture, kept = photo_sample(photo, boxes, 128, np.random.default_rng(seed))
    assert picture.shape == (128, 128, 3)
    assert len(kept)
    for left, top, right, bottom in kept:
        assert picture[int(top) + 3 : int(bottom) - 2, int(left) + 3 : int(right) - 2].mean() > 150


def test_a_detectors_archive_can_learn_again() -> None:
    """What the thawed network finds is what the archive finds."""
    archive = Path("server/lookalike_server/models/bundled/detector.zip")
    served = Model(archive, 1)
    rng = np.random.default_rng(0)
    stock = Stock([np.full((60, 40, 4), 255, np.uint8)], [rng.integers(0, 255, (300, 300, 3), np.uint8)])
    side = served.manifest["input"]["width"]
    pictures = [photo(stock, (side, side), 2, rng)[0] for _ in range(8)]
    model = new_model()
    inputs = as_batch([(one, np.zeros((0, 4), np.float32)) for one in pictures])["img"]
    thaw_detector(model, archive, inputs)
    with torch.no_grad():
        found = model(inputs)[0].numpy()
    wanted = served.run([Image.fromarray(one) for one in pictures])
    assert found[:, 0, 4] == pytest.approx(wanted[:, 0, 4], abs=0.01)
    assert found[:, 0, :4] == pytest.approx(wanted[:, 0, :4], abs=1)


def test_an_embedders_archive_can_learn_again() -> None:
    """What the thawed network finds is what the archive finds, and its batch norms are those of what it was shown."""
    archive = Path("server/lookalike_server/models/bundled/embedder.zip")
    served = Model(archive, 1)
    side = served.manifest["input"]["width"]
    rng = np.random.default_rng(0)
    stock = Stock([np.full((60, 40, 4), 255, np.uint8)], [rng.integers(0, 255, (300, 300, 3), np.uint8)])
    pictures = [photo(stock, (side, side), 2, rng)[0] for _ in range(8)]
    model = build("resnet18-half")
    thaw_embedder(model, archive, as_input(pictures))
    found, wanted = embedded(model, pictures).numpy(), served.vectors([Image.fromarray(one) for one in pictures])
    assert (found * wanted).sum(1).min() > 0.999
    seen = model.stem[0](as_input(pictures))
    assert model.stem[1].running_mean.numpy() == pytest.approx(seen.detach().mean((0, 2, 3)).numpy(), abs=1e-4)


def test_an_archive_of_another_network_is_not_taken() -> None:
    with pytest.raises(ValueError, match="another network"):
        thaw_embedder(
            build("resnet18-25%"),
            Path("server/lookalike_server/models/bundled/embedder.zip"),
            as_input([np.zeros((64, 64, 3), np.uint8)]),
        )


def test_a_run_that_begins_with_weights_has_its_classes_where_these_see_them(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """Each class points at the mean of its examples, and as far as random directions do."""
    goods, seed = Goods(*folders), 5
    run = Run(Plan(steps=1, sizes_px=((0.0, 64),)), goods, tmp_path, resume=False)
    lengths = [float(loss.W.detach().norm(dim=0).mean()) for loss in run.losses.by_space]
    begin(run, goods, Path("server/lookalike_server/models/bundled/embedder.zip"))
    begun = [loss.W.detach().clone() for loss in run.losses.by_space]
    imprint(run, goods, np.random.default_rng(seed))
    examples = list(goods.examples(64, np.random.default_rng(seed)))
    assert {(space, at) for space, at, _ in examples} == {
        (space, at) for space, count in enumerate(goods.classes) for at in range(count)
    }
    vectors = embedded(run.ema, [crop for *_, crop in examples])
    for space, (loss, length) in enumerate(zip(run.losses.by_space, lengths, strict=True)):
        directions = loss.W.detach()
        assert float(torch.nn.functional.cosine_similarity(begun[space], directions, dim=0).mean()) > 0.5
        assert directions.norm(dim=0).numpy() == pytest.approx(np.full(goods.classes[space], length), rel=0.15)
        for at in range(goods.classes[space]):
            those = [number for number, (its, which, _) in enumerate(examples) if (its, which) == (space, at)]
            mean = vectors[those].mean(0)
            assert float(mean @ directions[:, at] / mean.norm() / directions[:, at].norm()) > 0.999


@pytest.mark.parametrize("name", ["embedder", "detector", "evaluate", "calibrate", "bundle"])
def test_a_script_says_what_is_wrong_with_a_path(name: str, tmp_path: Path) -> None:
    option = "--data" if name != "bundle" else "--embedder"
    told = subprocess.run(
        [sys.executable, "-m", f"training.{name}", option, str(tmp_path / "nowhere")], capture_output=True, text=True
    )
    assert told.returncode == 2
    assert f"argument {option}: {tmp_path}/nowhere does not exist" in told.stderr
