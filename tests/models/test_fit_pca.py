"""The last layer of a ResNet, fitted to a catalogue; a detector and an embedder from random weights serve a search."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch", reason="needs pip install 'lookalike[models]'")
pytest.importorskip("torchvision", reason="needs pip install 'lookalike[models]'")

from lookalike_server.image import Picture  # noqa: E402 - after the skip
from lookalike_server.models import pca  # noqa: E402
from lookalike_server.models.commands import run_models  # noqa: E402
from lookalike_server.models.export import ExportError, export_embedder, pooled_features  # noqa: E402
from lookalike_server.models.load import load_detector, load_embedder  # noqa: E402
from lookalike_server.models.session import Runtime  # noqa: E402
from lookalike_server.regions import WHOLE_BOX  # noqa: E402
from tests.server.photos import jpeg, plain  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's tracing warns about itself
ONE = Runtime(threads=1)


def pictures(count: int) -> list[Picture]:
    rng = np.random.default_rng(0)
    return [Picture.of(rng.integers(0, 256, (32, 32, 3), np.uint8)) for _ in range(count)]


def test_the_archive_gives_what_the_projection_gives(tmp_path: Path) -> None:
    few = pictures(3)
    features = pooled_features("resnet18", few, random=True)
    rng = np.random.default_rng(1)
    weight, bias = rng.normal(size=(256, 512)).astype(np.float32), rng.normal(size=256).astype(np.float32)
    fitted = pca.Projection(weight, bias, 0.5, {})
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    wanted = pca.normalised((unit @ weight.T + bias).astype(np.float64))
    archive = export_embedder("resnet18", tmp_path / "it.zip", random=True, projection=fitted)
    embedder = load_embedder(archive, ONE)
    found = np.stack(embedder.run([embedder.prepare(one, [WHOLE_BOX])[0] for one in few]))
    np.testing.assert_allclose((found * wanted).sum(1), 1, atol=1e-3)


def test_a_projection_of_another_network_is_refused(tmp_path: Path) -> None:
    fitted = pca.Projection(np.zeros((256, 7), np.float32), np.zeros(256, np.float32), 0.0, {})
    with pytest.raises(ExportError, match="7 features"):
        export_embedder("resnet18", tmp_path / "it.zip", random=True, projection=fitted)


def test_the_command_reads_a_feed_and_says_how_strong_the_whitening_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for n in range(130):
        red, green, blue = (int(one) for one in rng.integers(0, 256, 3))
        for k in range(2):
            (tmp_path / f"{n}-{k}.jpg").write_bytes(jpeg(plain((red, green, blue))))
            rows.append(f"p{n},{n}-{k}.jpg\n")
    (tmp_path / "shop.csv").write_text("product_id,image\n" + "".join(rows))
    given = ["--embedder", "resnet18", "--random", "--catalog", str(tmp_path / "shop.csv")]
    said = run_models(["fit-pca", *given, "--out", str(tmp_path / "fitted.zip")])
    assert said.startswith("whitening ")
    listed = json.loads(run_models(["list", "--dir", str(tmp_path), "--json"]))["models"][-1]
    assert listed["id"].startswith("resnet18-pca@")
    assert "whitening" in listed["metrics"]


def test_networks_with_random_weights_go_from_export_to_the_server(tmp_path: Path) -> None:
    run_models(["export", "--detector", "yolo26n", "--random", "--size-px", "64", "--out", str(tmp_path)])
    run_models(["export", "--embedder", "resnet50", "--random", "--out", str(tmp_path)])
    detector = load_detector(tmp_path / "yolo26n-random.zip", ONE)
    embedder = load_embedder(tmp_path / "resnet50-random.zip", ONE)
    one = pictures(1)[0]
    assert len(detector.run([detector.prepare(one)])) == 1
    vector = embedder.run(embedder.prepare(one, [WHOLE_BOX]))[0]
    assert vector.shape == (256,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
