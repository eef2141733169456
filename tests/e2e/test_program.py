"""The program as an operator meets it: how it starts, refuses to start, and stops."""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lookalike import Client, Health, SearchResult
from lookalike_server.lite import free_port
from tests.e2e.cluster import Cluster, Server, eventually, photo, product, write_models

ENDS_S = 60.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    running = Cluster(tmp_path_factory.mktemp("program"))
    try:
        yield running
    finally:
        running.close()


def ended(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a program that is to end by itself."""
    return subprocess.run(command, capture_output=True, text=True, timeout=ENDS_S, check=False)


def program(*argv: str) -> subprocess.CompletedProcess[str]:
    return ended([sys.executable, "-m", "lookalike_server", *argv])


def test_sigterm_lets_the_running_call_end_and_exits_with_0(cluster: Cluster) -> None:
    cluster.server.start("--shard-deadline-s", "2", "--log-level", "debug")
    answers: list[SearchResult] = []
    with cluster.client() as client:
        client.upsert(product(1))
        with cluster.stopped("a"):
            running = threading.Thread(target=lambda: answers.append(client.search(photo(1))))
            running.start()
            eventually(lambda: "began request=SearchRequest" in cluster.server.logged(), ENDS_S)
            assert client.health() is Health.SERVING
            assert cluster.server.stop(signal.SIGTERM) == 0
            running.join()
    assert [one.coverage.shards_answered for one in answers] == [2]


def test_sigint_stops_it_too(cluster: Cluster) -> None:
    cluster.server.start()
    assert cluster.server.stop(signal.SIGINT) == 0


def test_a_port_in_use_is_said_with_code_1(cluster: Cluster) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = ended(cluster.server.command("--port", str(taken.getsockname()[1])))
    assert result.returncode == 1
    assert "cannot listen on 127.0.0.1:" in result.stderr
    assert "Traceback" not in result.stderr


def test_shards_that_cannot_be_reached_at_the_first_start_are_named(tmp_path: Path) -> None:
    write_models(tmp_path)
    server = Server(tmp_path, f"lonely=http://127.0.0.1:{free_port()}")
    result = ended(server.command("--port", "0"))
    assert result.returncode == 1
    assert "lonely" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_new_shop_without_shards_is_refused_with_an_example(tmp_path: Path) -> None:
    write_models(tmp_path)
    result = ended(Server(tmp_path).command("--port", "0"))
    assert result.returncode == 2
    assert "--shards a=http://127.0.0.1:19530" in result.stderr
    assert "Traceback" not in result.stderr


def test_another_set_of_shards_than_the_maps_is_refused(cluster: Cluster) -> None:
    cluster.server.start()
    cluster.server.stop()
    for told in (f"d=http://127.0.0.1:{free_port()}", f"{cluster.server.shards}*2"):
        result = ended(Server(cluster.home, told).command("--port", "0"))
        assert result.returncode == 1
        assert "placement map" in result.stderr


def test_a_shop_that_the_store_knows_needs_no_shards_to_be_named(cluster: Cluster) -> None:
    cluster.server.start()
    with cluster.client() as client:
        client.upsert(product(2))
        known = [one.shard for one in client.shards()]
    cluster.server.stop()
    nameless = Server(cluster.home)
    nameless.start()
    try:
        with Client(nameless.address) as client:
            assert [one.shard for one in client.shards()] == known
            assert client.get("p2").title == "Product 2"
    finally:
        nameless.stop()


def test_a_password_of_the_store_is_never_printed(cluster: Cluster) -> None:
    for store in (f"postgresql://shop:s3cret@127.0.0.1:{free_port()}/shop", "mysql://shop:s3cret@127.0.0.1/shop"):
        server = Server(cluster.home, cluster.server.shards, store=store)
        result = ended(server.command("--port", "0", "--log-level", "debug"))
        assert result.returncode != 0
        assert "127.0.0.1" in result.stderr
        assert "s3cret" not in result.stdout + result.stderr


def test_a_model_that_is_none_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    wrong = tmp_path / "model.zip"
    wrong.write_bytes(b"no zip")
    result = ended(cluster.server.command("--port", "0", "--embedder", str(wrong)))
    assert result.returncode == 1
    assert "model.zip cannot be used" in result.stderr


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["version"], 0, "lookalike-server "),
        (["--help"], 0, "serve search by picture"),
        (["serve", "--help"], 0, "LOOKALIKE_SHARDS"),
        (["demo", "--help"], 0, "--once"),
        ([], 2, "COMMAND"),
        (["nonsense"], 2, "COMMAND"),
        (["serve", "--port", "high"], 2, "--port (LOOKALIKE_PORT): 'high'"),
        (["models", "export"], 2, "--detector"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_codes_and_messages_mean_something(argv: list[str], code: int, said: str) -> None:
    result = program(*argv)
    assert (result.returncode, said in result.stdout + result.stderr) == (code, True)


@pytest.mark.skipif("torch" in sys.modules, reason="torch is there")
def test_an_export_without_torch_says_how_to_get_it(tmp_path: Path) -> None:
    result = program("models", "export", "--embedder", "resnet18", "--random", "--out", str(tmp_path))
    assert (result.returncode, "pip install 'lookalike[models]'" in result.stderr) == (1, True)


def test_nothing_of_a_photo_reaches_the_log(cluster: Cluster) -> None:
    cluster.server.start("--log-level", "debug")
    with Client(cluster.server.address) as client:
        client.search(photo(3), whole_image=True)
    cluster.server.stop()
    logged = cluster.server.logged()
    assert "began request=SearchRequest" in logged
    assert repr(photo(3)[100:110])[2:-1] not in logged
