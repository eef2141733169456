"""A shop of three Milvus Lite processes grows by a shard, loses one and takes it back, while people shop in it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lookalike import Client, Done
from lookalike_router.slots import SLOTS
from tests.e2e.cluster import Cluster, eventually, product
from tests.e2e.traffic import Traffic

PRODUCTS = 200
RUNS_S = 300.0
# So slow that a job does not end by itself while a test looks at it.
CRAWL = "0.01"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    running = Cluster(tmp_path_factory.mktemp("rebalance"))
    try:
        running.server.start("--shard-deadline-s", "8")
        with running.client() as client:
            assert all(isinstance(one, Done) for one in client.import_products(product(n) for n in range(PRODUCTS)))
        running.run("d")
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def traffic(cluster: Cluster) -> Traffic:
    return Traffic(PRODUCTS)


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Client]:
    with cluster.client() as client:
        yield client


def cli(cluster: Cluster, *argv: str) -> tuple[int, Any, str]:
    """Run the command line; return its code, its JSON and what it says to people."""
    command = [sys.executable, "-c", "from lookalike.cli import main; main()", *argv, "--json"]
    done = subprocess.run(
        [*command, "--server", cluster.server.address], capture_output=True, text=True, timeout=RUNS_S, check=False
    )
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None, done.stderr


def slots(client: Client) -> dict[str, int]:
    return {shard.name: shard.slots for shard in client.topology().shards}


def strays(cluster: Cluster) -> dict[str, int]:
    code, told, said = cli(cluster, "rebalance", "verify")
    assert code == 0, said
    return {one["replica"]: one["rows"] for one in told}


def test_a_shard_joins_and_takes_its_share_while_people_shop(
    cluster: Cluster, client: Client, traffic: Traffic
) -> None:
    code, told, said = cli(cluster, "shards", "add", "d", cluster.shards["d"].uri)
    assert (code, told["slots"]) == (0, 0), said
    code, plan, said = cli(cluster, "rebalance", "plan")
    assert (code, plan["slots"], plan["moved_fraction"]) == (0, SLOTS // 4, 0.25), said
    assert slots(client)["d"] == 0
    with traffic.beside(cluster):
        code, job, said = cli(cluster, "rebalance", "start", "--watch")
    assert (code, job["state"], job["slots_moved"]) == (0, "done", SLOTS // 4), (job, said)
    assert job["pauses"] > 0
    assert set(slots(client).values()) == {SLOTS // 4}
    traffic.check(client)
    assert traffic.complaints == []
    assert traffic.writes > 0
    assert strays(cluster) == {"a/1": 0, "b/1": 0, "c/1": 0, "d/1": 0}
    code, told, said = cli(cluster, "rebalance", "start", "--watch")
    assert (code, told) == (0, None), said


def test_a_shard_is_emptied_while_people_shop_and_then_removed(
    cluster: Cluster, client: Client, traffic: Traffic
) -> None:
    code, _, said = cli(cluster, "shards", "remove", "a")
    assert code == 1
    assert "lookalike shards drain a" in json.loads(said)["error"]["message"]
    with traffic.beside(cluster):
        code, job, said = cli(cluster, "shards", "drain", "a", "--watch")
    assert (code, job["state"], job["kind"], job["shard"]) == (0, "done", "drain", "a"), (job, said)
    assert slots(client)["a"] == 0
    code, _, said = cli(cluster, "shards", "remove", "a")
    assert code == 0, said
    cluster.shards["a"].stop()
    assert sorted(slots(client)) == ["b", "c", "d"]
    traffic.check(client)
    assert traffic.complaints == []


def test_what_went_to_a_shard_that_is_gone_cannot_be_taken_back(cluster: Cluster, client: Client) -> None:
    before = slots(client)
    code, _, said = cli(cluster, "rebalance", "reverse")
    assert (code, json.loads(said)["error"]["reason"]) == (1, "MAP_CONFLICT")
    assert "took slots from a, removed since" in json.loads(said)["error"]["message"]
    assert slots(client) == before


def test_a_second_job_waits_and_the_first_is_cancelled(cluster: Cluster, client: Client, traffic: Traffic) -> None:
    code, job, said = cli(cluster, "shards", "drain", "b", "--rows-per-s", CRAWL)
    assert (code, job["state"]) == (0, "running"), said
    for second in (["rebalance", "start"], ["shards", "drain", "c"], ["rebalance", "reverse"]):
        code, _, said = cli(cluster, *second)
        assert code == 1
        error = json.loads(said)["error"]
        assert f"job {job['number']}" in error["message"] or error["reason"] == "MAP_CONFLICT"
    code, paused, said = cli(cluster, "rebalance", "pause")
    assert (code, paused["state"]) == (0, "paused"), said
    code, ended, said = cli(cluster, "rebalance", "cancel", "--watch")
    assert (code, ended["state"]) == (0, "cancelled"), said
    traffic.check(client)
    assert traffic.complaints == []
    assert set(strays(cluster).values()) == {0}


def test_a_drain_is_taken_back(cluster: Cluster, client: Client, traffic: Traffic) -> None:
    before = slots(client)
    code, job, said = cli(cluster, "shards", "drain", "b", "--watch")
    assert (code, slots(client)["b"]) == (0, 0), (job, said)
    code, job, said = cli(cluster, "rebalance", "reverse", "--watch")
    assert (code, job["kind"], job["state"]) == (0, "reverse", "done"), said
    assert slots(client) == before
    eventually(lambda: not any(shard.draining for shard in client.topology().shards), 10)
    traffic.check(client)
    assert traffic.complaints == []
    code, checks, said = cli(cluster, "doctor")
    assert code == 0, (checks, said)


def test_what_makes_no_sense_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    single = Cluster(tmp_path, {"a": ("a",)})
    try:
        single.server.start()
        single.run("b")
        with single.client() as client:
            for command, message in (
                (["shards", "drain", "a"], "add one first"),
                (["shards", "remove", "a"], "only shard"),
                (["shards", "add", "b", single.shards["b"].uri, "--weight=-1"], "weight"),
                (["shards", "remove", "z"], "no shard z"),
                (["rebalance", "cancel"], "no active rebalance"),
                (["rebalance", "reverse"], "no rebalance has ended"),
                (["rebalance", "plan", "--pin", "z=0-9"], "z"),
            ):
                code, told, said = cli(single, *command)
                assert (code, told) == (1, None), command
                assert message in json.loads(said)["error"]["message"]
            assert cli(single, "rebalance", "status")[:2] == (0, None)
            assert cli(single, "rebalance", "start")[:2] == (0, None)
            assert slots(client) == {"a": SLOTS}
            # A shop without products is moved like any other.
            assert cli(single, "shards", "add", "b", single.shards["b"].uri)[0] == 0
            code, job, said = cli(single, "rebalance", "start", "--watch")
            assert (code, job["rows"], job["slots_moved"]) == (0, 0, SLOTS // 2), said
    finally:
        single.close()
