"""Makes tiny networks: an embedder that knows mean colours, and detectors that say what they are told."""

import hashlib
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from lookalike_server.models.detector import Detector
from lookalike_server.models.embedder import Embedder
from lookalike_server.models.load import load_detector, load_embedder
from lookalike_server.models.session import Runtime

DIM = 256
SIDE = 32
ONE_THREAD = Runtime(threads=1)


def network(
    nodes: Sequence[Any], tensors: dict[str, Any], batch: int | str, side: int | str, output_shape: list[Any]
) -> bytes:
    """Return an ONNX network from "images" (batch, 3, side, side) to "out"."""
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, side, side])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, output_shape)
    graph = helper.make_graph(nodes, "tiny", [images], [out], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def embedder_network(batch: int | str = "n", side: int = SIDE, dim: int = DIM) -> bytes:
    """Return a network whose first three numbers are 3 times the mean red, green and blue; the rest are 0."""
    spread = np.zeros((3, dim), np.float32)
    spread[[0, 1, 2], [0, 1, 2]] = 3
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["means", "spread"], ["out"]),
    ]
    return network(nodes, {"spread": spread}, batch, side, [batch, dim])


def detector_network(rows: Sequence[Sequence[float]], batch: int | str = 1, side: int | str = SIDE) -> bytes:
    """Return a network that answers `rows`, each score times the picture's mean brightness (1 for white)."""
    told = np.asarray(rows, np.float32).reshape(1, len(rows), -1)
    score = np.zeros((1, 1, told.shape[2]), np.float32)
    score[..., 4:5] = 1
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Squeeze", ["mean", "axis"], ["light"]),
        helper.make_node("Mul", ["light", "score"], ["dimmed"]),
        helper.make_node("Add", ["dimmed", "rest"], ["factor"]),
        helper.make_node("Mul", ["factor", "told"], ["out"]),
    ]
    tensors = {"told": told, "score": score, "rest": 1 - score, "axis": np.asarray([3], np.int64)}
    return network(nodes, tensors, batch, side, [batch, len(rows), told.shape[2]])


def manifest_of(content: bytes, kind: str, side: int = SIDE, **changes: Any) -> dict[str, Any]:
    """Return the manifest of a tiny network."""
    colours = {"mean": [0, 0, 0], "std": [1, 1, 1], "color": "RGB", "range": 1.0}
    special = {"dim": DIM} if kind == "embedder" else {"head": "end2end", "classes": ["product"]}
    plain = {
        "schema": 1,
        "name": f"tiny-{kind}",
        "version": "1",
        "kind": kind,
        "file": "model.onnx",
        "sha256": hashlib.sha256(content).hexdigest(),
        "input": {"name": "images", "width": side, "height": side, "fit": "letterbox", **colours},
        "output": "out",
        "licence": "Apache-2.0",
    }
    return plain | special | changes


def write_archive(path: Path, content: bytes, manifest: dict[str, Any]) -> Path:
    """Write a zip archive."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        archive.writestr("model.onnx", content)
    return path


def tiny_embedder(folder: Path, batch: int | str = "n", **changes: Any) -> Embedder:
    """Load an embedder that knows mean colours; `changes` are entries of its manifest."""
    content = embedder_network(batch)
    archive = write_archive(folder / "embedder.zip", content, manifest_of(content, "embedder", **changes))
    return load_embedder(archive, ONE_THREAD)


def tiny_detector(folder: Path, rows: Sequence[Sequence[float]], batch: int | str = 1) -> Detector:
    """Load a detector that answers `rows`: left, top, right, bottom in 32 px, score for a white picture, class."""
    content = detector_network(rows, batch)
    archive = write_archive(folder / "detector.zip", content, manifest_of(content, "detector"))
    return load_detector(archive, ONE_THREAD)
