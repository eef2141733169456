"""The sample shop and the bundled models: what a stranger sees who runs the demo, and what the server takes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lookalike import Client
from lookalike_server.demo import SAMPLE
from lookalike_server.models.load import BUNDLED
from tests.e2e.cluster import Cluster, Server

DEMO_S = 900.0
RESIDENT_BYTES_MAX = 700e6


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Return what the demo reports of the sample shop."""
    data = tmp_path_factory.mktemp("sample") / "data"
    command = [sys.executable, "-m", "lookalike_server", "demo", "--once", "--data-dir", str(data), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEMO_S, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_the_sample_shop_is_large_enough_to_mean_something(report: dict[str, float]) -> None:
    assert report["products"] >= 150
    assert report["images"] >= 2 * report["products"]
    assert report["photos"] >= 40


def test_a_tapped_product_is_found(report: dict[str, float]) -> None:
    assert report["recall_at_1"] >= 0.60
    assert report["recall_at_5"] >= 0.85


def test_products_side_by_side_are_told_apart(report: dict[str, float]) -> None:
    assert report["boxes_found"] >= 0.80


def test_every_shard_answered(report: dict[str, float]) -> None:
    assert (report["shards"], report["coverage"]) == (3, 1.0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Run a server with the bundled models over three shards."""
    cluster = Cluster(tmp_path)
    cluster.server = Server(tmp_path, cluster.server.shards, bundled=True)
    try:
        cluster.server.start()
        yield cluster.server
    finally:
        cluster.close()


def test_the_server_with_the_bundled_models_fits_into_little_memory(server: Server) -> None:
    photos = sorted((SAMPLE / "photos").iterdir())
    with Client(server.address) as client:
        assert sum(1 for _ in client.search_many(photos)) == len(photos)
    assert server.process is not None
    assert psutil.Process(server.process.pid).memory_info().rss < RESIDENT_BYTES_MAX


def test_the_bundled_models_and_the_sample_are_small() -> None:
    assert sum(file.stat().st_size for file in BUNDLED.iterdir()) <= 30e6
    assert sum(file.stat().st_size for file in SAMPLE.rglob("*") if file.is_file()) <= 15e6
