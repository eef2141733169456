"""What `lookalike-server models` prints and writes, on tiny networks; what needs torch is in tests/models."""

import json
from pathlib import Path

import pytest

from lookalike_server.errors import ServerError
from lookalike_server.models.commands import run_models
from lookalike_server.models.load import load_embedder
from lookalike_server.models.shop import BadShop, catalogue, known_photos
from lookalike_server.regions import WHOLE_BOX, Box
from tests.server.photos import jpeg, plain
from tests.server.tiny import ONE_THREAD, embedder_network, manifest_of, write_archive


def shade(n: int) -> tuple[int, int, int]:
    return (255, (n * 37) % 256, (n * 91) % 256)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Write a shop of thirty colours, a photo of each, and a tiny embedder."""
    for n in range(30):
        (tmp_path / f"{n}.jpg").write_bytes(jpeg(plain(shade(n))))
    (tmp_path / "shop.csv").write_text("product_id,image\n" + "".join(f"p{n},{n}.jpg\n" for n in range(30)))
    truth = [{"photo": f"{n}.jpg", "product_id": f"p{n}", "box": [0, 0, 0.5, 1]} for n in range(30)]
    (tmp_path / "truth.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*truth, {"photo": "0.jpg"}]))
    content = embedder_network()
    write_archive(tmp_path / "embedder.zip", content, manifest_of(content, "embedder", metrics={"recall_at_1": 0.5}))
    return tmp_path


def test_the_models_that_there_are_are_listed(shop: Path) -> None:
    (shop / "broken.zip").write_bytes(b"no archive")
    told = json.loads(run_models(["list", "--dir", str(shop), "--json"]))["models"]
    assert [Path(one["path"]).name for one in told if one["bundled"]] == ["detector.zip", "embedder.zip"]
    broken, tiny = (one for one in told if not one["bundled"])
    assert "no model archive" in broken["error"]
    assert (tiny["kind"], tiny["licence"], tiny["metrics"], tiny["calibrated"]) == (
        "embedder",
        "Apache-2.0",
        {"recall_at_1": 0.5},
        False,
    )
    shown = run_models(["list", "--dir", str(shop)])
    assert "metrics: recall_at_1 0.5; does not say what its scores mean" in shown
    assert "cannot be used" in shown


def test_an_embedder_is_calibrated_on_photos_of_known_products(shop: Path) -> None:
    paths = {"--embedder": "embedder.zip", "--catalog": "shop.csv", "--truth": "truth.jsonl", "--out": "told.zip"}
    said = run_models(["calibrate", *(part for flag, name in paths.items() for part in (flag, str(shop / name)))])
    assert said.startswith("30 photos: ")
    assert f"--embedder {shop / 'told.zip'}" in said
    assert load_embedder(shop / "told.zip", ONE_THREAD).calibration is not None


def test_a_shop_is_read_as_import_and_eval_read_it(shop: Path) -> None:
    assert [one.product_id for one in catalogue(shop / "shop.csv")] == [f"p{n}" for n in range(30)]
    photos = list(known_photos(shop / "truth.jsonl"))
    assert (len(photos), photos[3].product_id, photos[3].box) == (30, "p3", Box(0, 0, 0.5, 1))
    assert next(catalogue(shop / "shop.csv")).box == WHOLE_BOX


def test_what_cannot_be_read_is_named(shop: Path) -> None:
    (shop / "3.jpg").write_bytes(b"no picture")
    with pytest.raises(BadShop, match=r"3\.jpg cannot be read"):
        list(catalogue(shop / "shop.csv"))
    (shop / "3.jpg").unlink()
    with pytest.raises(BadShop, match="no such picture"):
        list(catalogue(shop / "shop.csv"))
    with pytest.raises(BadShop, match="no such photo"):
        list(known_photos(shop / "truth.jsonl"))
    with pytest.raises(BadShop, match=r"gone\.csv"):
        list(catalogue(shop / "gone.csv"))


def test_a_file_that_cannot_be_written_is_an_error_in_one_line(shop: Path) -> None:
    paths = {"--embedder": "embedder.zip", "--catalog": "shop.csv", "--truth": "truth.jsonl", "--out": "0.jpg/told.zip"}
    with pytest.raises(ServerError, match=r"0\.jpg"):
        run_models(["calibrate", *(part for flag, name in paths.items() for part in (flag, str(shop / name)))])
