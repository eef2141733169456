"""Real torch, real ultralytics: what is exported sees and embeds as the original does."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch", reason="needs pip install 'lookalike[models]'")
pytest.importorskip("ultralytics", reason="needs pip install 'lookalike[models]'")
pytest.importorskip("torchvision", reason="needs pip install 'lookalike[models]'")
onnxruntime: Any = pytest.importorskip("onnxruntime")

from lookalike_server.models import export  # noqa: E402 - after the skip
from lookalike_server.models.export import ExportError, Facts, export_detector, export_embedder  # noqa: E402
from tests.server.tiny import detector_network  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's tracing warns about itself


def opened(archive: Path) -> tuple[dict[str, Any], Any]:
    """Return the manifest of an archive and a session of its model."""
    with zipfile.ZipFile(archive) as file:
        manifest = json.loads(file.read("manifest.json"))
        session = onnxruntime.InferenceSession(file.read(manifest["file"]), providers=["CPUExecutionProvider"])
    return manifest, session


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_detector("yolo26n.yaml", tmp_path_factory.mktemp("out") / "detector.zip", size_px=64)


@pytest.fixture(scope="session")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_embedder("resnet18", tmp_path_factory.mktemp("out") / "embedder.zip", random=True)


def test_a_yolo26_is_exported_with_the_head_that_needs_no_suppression(detector: Path) -> None:
    manifest, session = opened(detector)
    found = session.run(None, {manifest["input"]["name"]: np.zeros((1, 3, 64, 64), np.float32)})[0]
    assert (manifest["kind"], manifest["head"], len(manifest["classes"])) == ("detector", "end2end", 80)
    assert found.shape[0] == 1
    assert found.shape[2] == 6


def test_a_yolo11_is_exported_with_its_raw_head(tmp_path: Path) -> None:
    manifest, session = opened(export_detector("yolo11n.yaml", tmp_path / "detector.zip", size_px=64))
    found = session.run(None, {manifest["input"]["name"]: np.zeros((1, 3, 64, 64), np.float32)})[0]
    assert manifest["head"] == "yolo"
    assert found.shape[1] == 4 + 80


def test_an_onnx_detector_is_packed_as_it_is(detector: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(detector) as file:
        (tmp_path / "own.onnx").write_bytes(file.read("model.onnx"))
    manifest, _ = opened(export_detector(str(tmp_path / "own.onnx"), tmp_path / "own.zip"))
    assert manifest["sha256"] == opened(detector)[0]["sha256"]
    assert manifest["classes"] == opened(detector)[0]["classes"]


def test_an_exported_resnet_embeds_as_torch_does(embedder: Path) -> None:
    net, _ = export._resnet("resnet18", None, random=True)
    pictures = np.random.default_rng(1).standard_normal((4, 3, 224, 224)).astype(np.float32)
    with torch.no_grad():
        wanted = net.eval()(torch.from_numpy(pictures)).numpy()
    manifest, session = opened(embedder)
    found = session.run([manifest["output"]], {manifest["input"]["name"]: pictures})[0]
    assert found.shape == (4, manifest["dim"])
    np.testing.assert_allclose((found * wanted).sum(1), 1, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_two_exports_of_one_model_are_the_same_bytes(embedder: Path, tmp_path: Path) -> None:
    again = export_embedder("resnet18", tmp_path / "embedder.zip", random=True)
    assert again.read_bytes() == embedder.read_bytes()


def test_half_weights_halve_the_file_and_keep_the_vectors(embedder: Path, tmp_path: Path) -> None:
    facts = Facts(name="half", half_weights=True)
    half = export_embedder("resnet18", tmp_path / "half.zip", random=True, facts=facts)
    pictures = np.random.default_rng(1).standard_normal((2, 3, 224, 224)).astype(np.float32)
    first, second = (opened(path)[1].run(None, {"images": pictures})[0] for path in (embedder, half))
    assert half.stat().st_size < 0.55 * embedder.stat().st_size
    np.testing.assert_allclose((first * second).sum(1), 1, atol=1e-3)


def test_weights_of_a_file_are_used(embedder: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    torchvision: Any = pytest.importorskip("torchvision")
    torch.save(torchvision.models.resnet18(num_classes=7).state_dict(), tmp_path / "own.pt")
    own = export_embedder("resnet18", tmp_path / "own.zip", weights=str(tmp_path / "own.pt"))
    assert opened(own)[0]["sha256"] != opened(embedder)[0]["sha256"]


def test_a_file_that_is_no_yolo_is_refused(tmp_path: Path) -> None:
    torch.save({"some": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(ExportError, match="not a YOLO"):
        export_detector(str(tmp_path / "other.pt"), tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()


def test_a_yolo_for_another_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="task 'segment'"):
        export_detector("yolo11n-seg.yaml", tmp_path / "out.zip", size_px=64)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"layer9.weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(ExportError, match="another network"):
        export_embedder("resnet18", tmp_path / "out.zip", weights=str(tmp_path / "other.pt"))


def test_a_name_that_is_no_resnet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="neither a torchvision ResNet"):
        export_embedder("vgg16", tmp_path / "out.zip")
    with pytest.raises(ExportError, match="has no resnet19"):
        export_embedder("resnet19", tmp_path / "out.zip", random=True)


def test_a_checkpoint_of_our_training_is_exported(tmp_path: Path) -> None:
    from lookalike_server.models.resnet import Embedder

    torch.save({"embedder": Embedder().state_dict(), "side_px": 64, "mean": 127.5, "std": 64.0}, tmp_path / "own.pt")
    manifest, session = opened(export_embedder(str(tmp_path / "own.pt"), tmp_path / "own.zip"))
    assert manifest["input"]["mean"] == [0.5, 0.5, 0.5]
    assert session.run(None, {"images": np.zeros((2, 3, 64, 64), np.float32)})[0].shape == (2, 256)


def test_an_onnx_with_another_output_than_a_yolos_is_refused(tmp_path: Path) -> None:
    onnx: Any = pytest.importorskip("onnx")
    model = onnx.load_from_string(detector_network([(0, 0, 1, 1, 1, 0, 0)]))
    onnx.helper.set_model_props(model, {"names": "{0: 'product'}"})
    onnx.save(model, str(tmp_path / "odd.onnx"))
    with pytest.raises(ExportError, match=r"gives \[1, 1, 7\], not 1x300x6 or 1x5xN: not a YOLO detector"):
        export_detector(str(tmp_path / "odd.onnx"), tmp_path / "out.zip", size_px=32)


def test_an_export_that_fails_leaves_the_archive_that_was_there(tmp_path: Path) -> None:
    (tmp_path / "out.zip").write_bytes(b"the model that serves")
    (tmp_path / "other.pt").write_bytes(b"no weights at all")
    with pytest.raises(ExportError, match="not a YOLO"):
        export_detector(str(tmp_path / "other.pt"), tmp_path / "out.zip")
    with pytest.raises(ExportError, match="not a checkpoint"):
        export_embedder(str(tmp_path / "other.pt"), tmp_path / "out.zip")
    assert (tmp_path / "out.zip").read_bytes() == b"the model that serves"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["other.pt", "out.zip"]
