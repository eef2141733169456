"""A stranger's client: stubs generated from the protos alone, by a Python that has no package of ours."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, photo, product

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-protos" / "bin" / "python"
RUNS_S = 120.0

CLIENT = """
import sys
import grpc
from lookalike.v1 import catalog_pb2, catalog_pb2_grpc, search_pb2, search_pb2_grpc

assert sys.modules["lookalike.v1.search_pb2"].__file__.startswith(sys.argv[1]), "the generated stubs are used"
photo = open(sys.argv[3], "rb").read()
with grpc.insecure_channel(sys.argv[2]) as channel:
    found = search_pb2_grpc.SearchServiceStub(channel).Search(search_pb2.SearchRequest(image=photo), timeout=30)
    print(found.hits[0].product.product_id, f"{found.hits[0].score:.2f}", found.coverage.shards_answered)
    items = [catalog_pb2.ImportProductsRequest(item_id="x", product=catalog_pb2.Product(product_id="new"))]
    for answer in catalog_pb2_grpc.CatalogServiceStub(channel).ImportProducts(iter(items), timeout=30):
        print(answer.item_id, answer.error.reason, answer.error.field_violations[0].field)
    try:
        search_pb2_grpc.SearchServiceStub(channel).Search(search_pb2.SearchRequest(image=b"text"), timeout=30)
    except grpc.RpcError as error:
        print(error.code().name)
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    running = Cluster(tmp_path_factory.mktemp("stubs"))
    try:
        running.server.start()
        yield running
    finally:
        running.close()


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=RUNS_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_client_made_from_the_protos_alone_talks_to_the_server(cluster: Cluster, tmp_path: Path) -> None:
    if not PYTHON.exists():
        run("make", "-s", ".venv-protos/.done", cwd=ROOT)
    protos = sorted((ROOT / "protos").rglob("*.proto"))
    generate = [str(PYTHON), "-m", "grpc_tools.protoc", f"-I{ROOT / 'protos'}"]
    run(*generate, f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}", *map(str, protos), cwd=tmp_path)
    (tmp_path / "client.py").write_text(CLIENT)
    (tmp_path / "photo.jpg").write_bytes(photo(7))
    with cluster.client() as client:
        client.upsert(product(7))

    said = run(str(PYTHON), "client.py", str(tmp_path), cluster.server.address, "photo.jpg", cwd=tmp_path)

    assert said.splitlines() == ["p7 1.00 3", "x INVALID_FIELD product.images", "INVALID_ARGUMENT"]
