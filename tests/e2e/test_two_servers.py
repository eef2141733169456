"""Two servers on one store are one shop: what is written through one is so through the other, at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lookalike import Client, NotFound, UpsertOutcome
from tests.e2e.cluster import Cluster, Server, eventually, photo, product

LAYOUT = {"a": ("a1", "a2"), "b": ("b1", "b2")}
ROUNDS = 30
SETTLES_S = 60.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, store: str) -> Iterator[Cluster]:
    running = Cluster(tmp_path_factory.mktemp("servers"), LAYOUT)
    try:
        running.server.store = store
        running.server.start()
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return where the store of both servers is."""
    if request.param == "sqlite":
        yield str(tmp_path_factory.mktemp("store") / "store.db")
        return
    yield request.getfixturevalue("postgresql_url")


@pytest.fixture(scope="module")
def clients(cluster: Cluster) -> Iterator[tuple[Client, Client]]:
    """Return a client of each server; the second server was told no shards."""
    second = Server(cluster.home, store=cluster.server.store)
    second.start()
    try:
        with cluster.client() as one, Client(second.address) as two:
            yield one, two
    finally:
        second.stop()


def found(client: Client, n: int) -> list[str]:
    return [hit.product.product_id for hit in client.search(photo(n), limit=200).hits]


def test_what_one_server_wrote_the_other_reads_at_once(clients: tuple[Client, Client]) -> None:
    for n in range(ROUNDS):
        writer, reader = clients if n % 2 else reversed(clients)
        writer.upsert(product(n, f"round {n}"))
        assert reader.get(f"p{n}").title == f"round {n}"
        assert found(reader, n)[0] == f"p{n}"


def test_what_one_server_deleted_the_other_never_shows_again(clients: tuple[Client, Client]) -> None:
    for n in range(ROUNDS):
        writer, reader = clients if n % 2 else reversed(clients)
        reader.upsert(product(n))
        assert f"p{n}" in found(writer, n)
        assert writer.delete(f"p{n}") == 1
        assert f"p{n}" not in found(reader, n)
        with pytest.raises(NotFound):
            reader.get(f"p{n}")


def test_writers_at_both_servers_end_with_one_product_that_both_agree_on(clients: tuple[Client, Client]) -> None:
    with ThreadPoolExecutor(8) as pool:
        writes = [pool.submit(clients[n % 2].upsert, product(7, f"writer {n}")) for n in range(16)]
        outcomes = [write.result().outcome for write in writes]
    assert UpsertOutcome.UNCHANGED not in outcomes
    titles = {client.get("p7").title for client in clients}
    assert len(titles) == 1
    assert found(clients[0], 7) == found(clients[1], 7)
    assert found(clients[0], 7).count("p7") == 1


def test_a_write_sent_to_both_servers_takes_effect_once(clients: tuple[Client, Client]) -> None:
    with ThreadPoolExecutor(2) as pool:
        for n in range(100, 110):
            both = [pool.submit(client.upsert, product(n), request_id=f"r{n}") for client in clients]
            assert [one.result().outcome for one in both] == [UpsertOutcome.CREATED] * 2


def test_a_replica_added_through_one_server_is_used_by_the_other(
    cluster: Cluster, clients: tuple[Client, Client]
) -> None:
    one, two = clients
    cluster.run("b3")
    assert one.add_replica("b", cluster.shards["b3"].uri) == "b/3"

    def in_sync() -> bool:
        [shard] = [shard for shard in two.topology().shards if shard.name == "b"]
        return [replica.sync.value for replica in shard.replicas] == ["in_sync"] * 3

    eventually(in_sync, SETTLES_S)
    one.remove_replica("b/1")
    one.remove_replica("b/2")
    cluster.kill("b1")
    cluster.kill("b2")
    two.upsert(product(9, "after"))
    assert two.search(photo(9)).coverage.complete
    assert one.get("p9").title == "after"


def test_a_server_that_is_killed_leaves_nothing_held(cluster: Cluster, clients: tuple[Client, Client]) -> None:
    _, two = clients
    cluster.server.kill()
    cluster.server.stop()
    begun = [two.upsert(product(n, "alone")).outcome for n in range(10)]
    assert len(begun) == 10
    assert all(two.get(f"p{n}").title == "alone" for n in range(10))
