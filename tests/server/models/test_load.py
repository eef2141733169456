import json
from pathlib import Path
from typing import Any

import pytest
from onnx import helper

from lookalike_server.errors import BadModel
from lookalike_server.models.load import load_detector, load_embedder
from lookalike_server.models.session import Runtime
from tests.server.tiny import (
    ONE_THREAD,
    detector_network,
    embedder_network,
    manifest_of,
    network,
    write_archive,
)

ROW = [4.0, 4.0, 12.0, 12.0, 0.9, 0.0]


def refused(path: Path, kind: str = "embedder", runtime: Runtime = ONE_THREAD) -> str:
    with pytest.raises(BadModel) as caught:
        load_embedder(path, runtime) if kind == "embedder" else load_detector(path, runtime)
    assert str(path) in str(caught.value)
    return str(caught.value)


def embedder_archive(folder: Path, **changes: Any) -> Path:
    content = embedder_network()
    return write_archive(folder / "it.zip", content, manifest_of(content, "embedder", **changes))


def test_a_zip_and_a_folder_hold_the_same_model(tmp_path: Path) -> None:
    content = embedder_network()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(content)
    (folder / "manifest.json").write_text(json.dumps(manifest_of(content, "embedder")))
    assert load_embedder(folder, ONE_THREAD).id == load_embedder(embedder_archive(tmp_path), ONE_THREAD).id


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "nowhere.zip")
    (tmp_path / "empty").mkdir()
    assert "manifest.json is missing" in refused(tmp_path / "empty")
    assert "other.onnx is missing" in refused(embedder_archive(tmp_path, file="other.onnx"))


def test_a_file_that_is_no_archive_says_how_to_make_one(tmp_path: Path) -> None:
    path = tmp_path / "yolo.pt"
    path.write_bytes(b"weights")
    assert "lookalike-server models export" in refused(path)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = embedder_archive(tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    refused(path)


def test_a_network_with_another_hash_is_refused(tmp_path: Path) -> None:
    assert "SHA-256" in refused(embedder_archive(tmp_path, sha256="0" * 64))


def test_a_model_of_the_other_kind_says_where_it_belongs(tmp_path: Path) -> None:
    assert "--embedder" in refused(embedder_archive(tmp_path), kind="detector")


def test_a_network_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "it.zip", b"no network", manifest_of(b"no network", "embedder"))
    assert "onnxruntime cannot load" in refused(path)


@pytest.mark.parametrize(
    ("content", "changes", "says"),
    [
        (embedder_network(side=16), {}, r"takes tensor(float)"),
        (embedder_network(batch=4), {}, r"takes tensor(float)"),
        (embedder_network(dim=128), {}, "dim 256 means"),
        (embedder_network(), {"output": "features"}, "no output 'features'"),
        (embedder_network(), {"input": manifest_of(b"", "embedder")["input"] | {"name": "x"}}, "the manifest says x"),
    ],
    ids=["side", "batch", "dim", "output", "input"],
)
def test_a_network_that_is_not_as_its_manifest_says_is_refused(
    tmp_path: Path, content: bytes, changes: dict[str, Any], says: str
) -> None:
    path = write_archive(tmp_path / "it.zip", content, manifest_of(content, "embedder", **changes))
    assert says in refused(path)


@pytest.mark.parametrize(
    ("rows", "changes", "says"),
    [
        ([ROW[:5]], {}, "(1, n, 6)"),
        ([ROW], {"head": "yolo", "classes": ["a", "b"]}, "(1, 6, n)"),
    ],
)
def test_a_detector_with_another_head_is_refused(
    tmp_path: Path, rows: list[list[float]], changes: dict[str, Any], says: str
) -> None:
    content = detector_network(rows)
    path = write_archive(tmp_path / "it.zip", content, manifest_of(content, "detector", **changes))
    assert says in refused(path, kind="detector")


def test_a_provider_that_is_not_installed_is_named(tmp_path: Path) -> None:
    says = refused(embedder_archive(tmp_path), runtime=Runtime(("no-such",)))
    assert "no-such" in says
    assert "CPUExecutionProvider" in says


def test_the_bundled_models_load_and_fit_each_other() -> None:
    assert load_detector(None, ONE_THREAD).id.startswith("lookalike-detector@")
    assert load_embedder(None, ONE_THREAD).id.startswith("lookalike-embedder@")


def test_a_network_that_cannot_run_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["images", "shape"], ["out"])]
    content = network(nodes, {"shape": [1, 7]}, "n", 32, ["n", 256])
    path = write_archive(tmp_path / "it.zip", content, manifest_of(content, "embedder"))
    assert "cannot run" in refused(path)
