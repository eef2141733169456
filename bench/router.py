"""Measures the router against what a user would write instead: one gather over three Milvus clients, or one Milvus.

Starts four real Milvus standalones: three that share the rows and one that holds them all. Every contestant asks for
the same fields with the same index and search parameters; rounds take turns, and the table shows medians of rounds.
Truth is brute force over all rows. `--json` prints one object as the last line.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pymilvus import AsyncMilvusClient, MilvusClient

sys.path.insert(0, str(Path(__file__).parent.parent))

from lookalike_router.milvus import EF_LEAST, MilvusShard
from lookalike_router.milvus_wire import CANDIDATE_FIELDS, ROWS
from lookalike_router.router import Router
from lookalike_router.shard import DIM, Row
from lookalike_router.slots import slot_of
from lookalike_router.store import SqlStore
from tests.parts import milvus

LIMIT = 10
LOAD_ROWS = 2_000
DEADLINE_S = 30.0
LOAD_DEADLINE_S = 600.0
# How far a picture lies from its centre: cosines of 0.8 within a cluster, as embeddings of one kind of goods have.
SPREAD = 0.5
# Scores of equal vectors differ this much between float32 sums of another order.
TIE = 1e-5

Vectors = npt.NDArray[np.float32]
Ask = Callable[[Vectors], Awaitable[list[str]]]


@dataclass
class Times:
    """What one contestant took: milliseconds per search and searches per second, a list entry per round.

    The client's own CPU time is the figure that other work on the machine disturbs least.
    """

    alone_p50_ms: list[float] = field(default_factory=list)
    alone_p95_ms: list[float] = field(default_factory=list)
    crowd_p50_ms: list[float] = field(default_factory=list)
    crowd_p95_ms: list[float] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)
    client_cpu_ms: list[float] = field(default_factory=list)


def clustered(rows: int, centres: int, queries: int) -> tuple[Vectors, Vectors]:
    """Return `rows` unit vectors in clusters, and unit queries from the same clusters."""
    draw = np.random.default_rng(0)
    middles = _unit(draw.normal(size=(centres, DIM)))

    def around(count: int) -> Vectors:
        noise = draw.normal(size=(count, DIM)) * (SPREAD / DIM**0.5)
        return _unit(middles[draw.integers(centres, size=count)] + noise)

    return around(rows), around(queries)


def _unit(vectors: npt.NDArray[np.float64]) -> Vectors:
    normal: npt.NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normal.astype(np.float32)


def rows_of(vectors: Vectors) -> list[Row]:
    """Return rows with the facts that a shop's have."""
    return [
        Row(f"product {i}", "front", slot_of(f"product {i}"), 1, "bench@1", _facts(i), {"uri": f"{i}.jpg"}, vector)
        for i, vector in enumerate(vectors)
    ]


def _facts(i: int) -> dict[str, str | int | bool]:
    return {"title": f"Product number {i}", "category": f"category {i % 40}", "price_minor": i, "in_stock": i % 7 > 0}


async def load(shard: MilvusShard, rows: Sequence[Row]) -> None:
    """Store rows, and wait until all of them are in sealed, indexed segments."""
    for start in range(0, len(rows), LOAD_ROWS):
        await shard.upsert(rows[start : start + LOAD_ROWS], LOAD_DEADLINE_S)
    await asyncio.to_thread(_seal, shard.uri, len(rows))


def _seal(uri: str, rows: int) -> None:
    client = MilvusClient(uri)
    [collection] = client.list_collections()
    client.flush(collection, timeout=LOAD_DEADLINE_S)
    until = time.monotonic() + LOAD_DEADLINE_S
    while time.monotonic() < until:
        segments = client.list_loaded_segments(collection)
        sealed = sum(one.num_rows for one in segments if one.state == 3)  # Sealed
        built = client.describe_index(collection, "vector")
        if sealed >= rows and built["state"] == "Finished" and built["pending_index_rows"] == 0:
            client.close()
            return
        time.sleep(0.2)
    raise TimeoutError(f"{uri}: rows are not indexed after {LOAD_DEADLINE_S:.0f} s")


def make_exact(uri: str, rows: int) -> None:
    """Give a shard a FLAT index in place of HNSW: every vector is looked at."""
    client = MilvusClient(uri)
    [collection] = client.list_collections()
    client.release_collection(collection)
    client.drop_index(collection, "vector")
    params = client.prepare_index_params()
    params.add_index("vector", index_type="FLAT", metric_type="IP", index_name="vector")
    client.create_index(collection, params)
    client.load_collection(collection)
    client.close()
    _seal(uri, rows)


def by_router(router: Router) -> Ask:
    async def ask(query: Vectors) -> list[str]:
        found = await router.search(query[None], LIMIT, deadline_s=DEADLINE_S)
        assert found.coverage.slots_fraction == 1.0
        return [hit.product_id for hit in found.answers[0]]

    return ask


def by_clients(clients: Sequence[AsyncMilvusClient], collections: Sequence[str]) -> Ask:
    """Return the least that a user would write: ask all, sort, cut."""

    async def ask(query: Vectors) -> list[str]:
        answers = await asyncio.gather(
            *(
                client.search(
                    collection,
                    data=[query],
                    anns_field="vector",
                    limit=LIMIT,
                    output_fields=CANDIDATE_FIELDS,
                    partition_names=[ROWS],
                    search_params={"metric_type": "IP", "params": {"ef": EF_LEAST}},
                    timeout=DEADLINE_S,
                )
                for client, collection in zip(clients, collections, strict=True)
            )
        )
        hits = sorted((hit for [found] in answers for hit in found), key=lambda hit: -hit["distance"])[:LIMIT]
        return [hit["entity"]["product_id"] for hit in hits]

    return ask


async def alone(ask: Ask, queries: Vectors, times: Times) -> None:
    """Time one caller."""
    taken = []
    for query in queries:
        start = time.perf_counter()
        await ask(query)
        taken.append((time.perf_counter() - start) * 1000)
    times.alone_p50_ms.append(float(np.percentile(taken, 50)))
    times.alone_p95_ms.append(float(np.percentile(taken, 95)))


async def crowd(ask: Ask, queries: Vectors, callers: int, times: Times) -> None:
    """Time many callers, each of whom asks again as soon as it is answered."""
    waiting = iter(queries)
    taken: list[float] = []

    async def caller() -> None:
        for query in waiting:
            start = time.perf_counter()
            await ask(query)
            taken.append((time.perf_counter() - start) * 1000)

    start, spent = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller() for _ in range(callers)))
    times.client_cpu_ms.append((time.process_time() - spent) * 1000 / len(queries))
    times.per_s.append(len(queries) / (time.perf_counter() - start))
    times.crowd_p50_ms.append(float(np.percentile(taken, 50)))
    times.crowd_p95_ms.append(float(np.percentile(taken, 95)))


async def recall(ask: Ask, queries: Vectors, vectors: Vectors) -> float:
    """Return how many of the true ten best were found; among equals, any will do."""
    found = 0
    for query in queries:
        scores = vectors @ query
        least = np.partition(scores, -LIMIT)[-LIMIT] - TIE
        found += sum(scores[int(name.removeprefix("product "))] >= least for name in await ask(query))
    return found / (LIMIT * len(queries))


def table(times: dict[str, Times], recalls: dict[str, float]) -> str:
    """Return the medians of all rounds."""
    lines = [f"{'':<10}{'1 caller':>18}{'callers':>20}{'searches':>12}{'client CPU':>12}{'recall':>9}"]
    lines.append(f"{'':<10}{'p50 ms':>9}{'p95 ms':>9}{'p50 ms':>11}{'p95 ms':>9}{'per s':>12}{'ms each':>12}{'@10':>9}")
    for name, one in times.items():
        cells = [one.alone_p50_ms, one.alone_p95_ms, one.crowd_p50_ms, one.crowd_p95_ms, one.per_s, one.client_cpu_ms]
        alone_p50, alone_p95, crowd_p50, crowd_p95, per_s, cpu = map(statistics.median, cells)
        lines.append(
            f"{name:<10}{alone_p50:>9.2f}{alone_p95:>9.2f}{crowd_p50:>11.2f}{crowd_p95:>9.2f}{per_s:>12.1f}"
            f"{cpu:>12.2f}{recalls[name]:>9.4f}"
        )
    return "\n".join(lines)


def ratio(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the median over rounds of first / second, which ran in the same minute."""
    return statistics.median(a / b for a, b in zip(first, second, strict=True))


async def measure(told: argparse.Namespace, asks: dict[str, Ask], queries: Vectors) -> dict[str, Times]:
    """Run the rounds; contestants take turns at going first."""
    times = {name: Times() for name in asks}
    order = list(asks)
    for ask in asks.values():  # warm: connections, caches, the servers' own pools
        await crowd(ask, queries[: told.callers * 2], told.callers, Times())
    for turn in range(told.rounds):
        for name in order:
            await alone(asks[name], queries[: told.alone], times[name])
        for name in order:
            await crowd(asks[name], queries, told.callers, times[name])
        order = order[1:] + order[:1]
        print(f"round {turn + 1} of {told.rounds}", file=sys.stderr, flush=True)
    return times


async def run(told: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Start, load, measure; return the figures."""
    vectors, queries = clustered(told.rows, told.centres, told.queries)
    rows = rows_of(vectors)
    servers = milvus.start([folder / name for name in ("a", "b", "c", "all")])
    try:
        shards = [MilvusShard(name, server.uri) for name, server in zip("abc", servers[:3], strict=True)]
        store = SqlStore(f"sqlite:///{folder}/placement.db")
        router = await Router.open(store, shards, deadline_s=LOAD_DEADLINE_S)
        single = MilvusShard("all", servers[3].uri)
        await single.join(store.shop(), founding=True, deadline_s=LOAD_DEADLINE_S)
        parts = [[row for row in rows if _owns(router, shard.name, row.slot)] for shard in shards]
        for shard, part in zip([*shards, single], [*parts, rows], strict=True):
            start = time.monotonic()
            await load(shard, part)
            print(f"{shard.name}: {len(part)} rows in {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
        clients = [AsyncMilvusClient(server.uri, dedicated=True) for server in servers]
        names = [(await client.list_collections())[0] for client in clients]
        asks = {
            "router": by_router(router),
            "gather": by_clients(clients[:3], names[:3]),
            "single": by_clients(clients[3:], names[3:]),
        }
        times = await measure(told, asks, queries)
        recalls = {name: await recall(ask, queries[: told.truth], vectors) for name, ask in asks.items()}
        for client in clients:
            await client.close()
        await router.close()
        await single.close()
        print(table(times, recalls))
        exact = await exact_recall(told, folder, servers[:3], parts, queries, vectors)
        print(f"recall@10 of the router over exact shards: {exact:.4f}")
        return figures(times, recalls, exact)
    finally:
        for server in servers:
            milvus.kill(server.pid)
            server.stop()


async def exact_recall(
    told: argparse.Namespace,
    folder: Path,
    servers: Sequence[milvus.Standalone],
    parts: Sequence[Sequence[Row]],
    queries: Vectors,
    vectors: Vectors,
) -> float:
    """Return the router's recall where its shards look at every vector."""
    for server, part in zip(servers, parts, strict=True):
        await asyncio.to_thread(make_exact, server.uri, len(part))
    shards = [MilvusShard(name, server.uri) for name, server in zip("abc", servers, strict=True)]
    router = await Router.open(SqlStore(f"sqlite:///{folder}/placement.db"), shards, deadline_s=LOAD_DEADLINE_S)
    found = await recall(by_router(router), queries[: told.truth], vectors)
    await router.close()
    return found


def figures(times: dict[str, Times], recalls: dict[str, float], exact: float) -> dict[str, float]:
    """Return what --json prints."""
    router, gather, single = times["router"], times["gather"], times["single"]
    added = (a - b for a, b in zip(router.alone_p50_ms, gather.alone_p50_ms, strict=True))
    added_crowd = (a - b for a, b in zip(router.crowd_p50_ms, gather.crowd_p50_ms, strict=True))
    return {
        "added_p50_ms": round(statistics.median(added), 3),
        "added_p50_ms_crowd": round(statistics.median(added_crowd), 3),
        "throughput_vs_gather": round(ratio(router.per_s, gather.per_s), 3),
        "throughput_vs_single": round(ratio(router.per_s, single.per_s), 3),
        "client_cpu_vs_gather": round(ratio(router.client_cpu_ms, gather.client_cpu_ms), 3),
        "recall_at_10": recalls["router"],
        "recall_at_10_gather": recalls["gather"],
        "recall_at_10_single": recalls["single"],
        "recall_at_10_exact": exact,
    }


def _owns(router: Router, name: str, slot: int) -> bool:
    [place] = [place for place in router.topology().shards if place.name == name]
    return any(run.first <= slot <= run.last for run in place.ranges)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="vectors in the shop")
    parser.add_argument("--centres", type=int, default=4_000, help="clusters that they lie in")
    parser.add_argument("--callers", type=int, default=32, help="callers at once")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which medians are shown")
    parser.add_argument("--queries", type=int, default=2_000, help="searches per round and contestant, many callers")
    parser.add_argument("--alone", type=int, default=300, help="searches per round and contestant, one caller")
    parser.add_argument("--truth", type=int, default=500, help="queries whose recall is measured")
    parser.add_argument("--folder", type=Path, default=None, help="where the servers keep their data; a temporary one")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=told.folder) as folder:
        found = asyncio.run(run(told, Path(folder)))
    if told.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
