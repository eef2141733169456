"""The OpenAPI document fits the services; made-up requests find no error that is the server's own."""

import subprocess
import sys
from pathlib import Path

from lookalike_server.gateway.methods import OFFERS
from lookalike_server.gateway.openapi import document
from tests.e2e.cluster import Cluster, product
from tests.web.shopfront import free_port

EXAMPLES = "25"
ENDS_S = 900.0


def test_every_method_and_every_message_it_needs_is_described() -> None:
    told = document(OFFERS)
    assert told["paths"]["/v1/search"]["post"]["operationId"] == "SearchService_Search"
    assert told["paths"].keys() == {*(offer.path for offer in OFFERS), "/v1/images/{path}"}
    text = str(told)
    for name in told["components"]["schemas"]:
        assert f"#/components/schemas/{name}" in text


def test_made_up_requests_find_no_error_of_the_servers_own(tmp_path: Path) -> None:
    cluster, port = Cluster(tmp_path), free_port()
    try:
        cluster.server.start("--http-port", str(port))
        with cluster.client() as client:
            client.upsert(product(1))
        command = [str(Path(sys.executable).parent / "schemathesis"), "run", f"http://127.0.0.1:{port}/v1/openapi.json"]
        command += [
            "--checks",
            "not_a_server_error",
            "--phases",
            "fuzzing",
            "--max-examples",
            EXAMPLES,
            "--seed",
            "1",
            "--no-color",
        ]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=ENDS_S)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "internal error" not in cluster.server.logged()
    finally:
        cluster.close()
