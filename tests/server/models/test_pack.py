from pathlib import Path

import pytest

from lookalike_server.models.load import load_embedder
from lookalike_server.models.pack import pack
from tests.server.tiny import ONE_THREAD, embedder_network, manifest_of

NETWORK = embedder_network()


def test_an_archive_serves_and_the_same_one_has_the_same_bytes(tmp_path: Path) -> None:
    first, second = (pack(tmp_path / name, manifest_of(NETWORK, "embedder"), NETWORK) for name in ("a.zip", "b.zip"))
    assert load_embedder(first, ONE_THREAD).dim == 256
    assert first.read_bytes() == second.read_bytes()


def test_an_archive_that_was_there_outlives_a_failure(tmp_path: Path) -> None:
    out = pack(tmp_path / "deep" / "it.zip", manifest_of(NETWORK, "embedder"), NETWORK)
    before = out.read_bytes()
    with pytest.raises(TypeError):
        pack(out, {"file": "model.onnx", "name": object()}, NETWORK)
    assert out.read_bytes() == before
    assert [one.name for one in out.parent.iterdir()] == ["it.zip"]
