"""Measures the router against what a user would write instead: one gather over three Milvus clients, or one Milvus.

Starts four real Milvus standalones: three that share the rows and one that holds them all. Every contestant asks for
the same fields with the same index and search parameters; rounds take turns, and the table shows medians of rounds.
Truth is brute force over all rows. `--before REVISION` adds the router of an older revision of this repository, in a
process of its own over the same servers: what replicas, hints and coverage cost. `--json` prints one object as the last
line.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pymilvus import AsyncMilvusClient, MilvusClient

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.shop import LOAD_DEADLINE_S, LOAD_ROWS, Ask, Times, Vectors, alone, clustered, crowd, rows_of, seal
from lookalike_router.answer import ShardSpec
from lookalike_router.milvus import EF_LEAST, MilvusShard
from lookalike_router.milvus_join import COLLECTION_PREFIX
from lookalike_router.milvus_wire import CANDIDATE_FIELDS, ROWS
from lookalike_router.router import Router
from lookalike_router.shard import Row
from lookalike_router.sql_store import SqlStore
from tests.parts import milvus

ROOT = Path(__file__).parent.parent
LIMIT = 10
DEADLINE_S = 30.0
# Scores of equal vectors differ this much between float32 sums of another order.
TIE = 1e-5


class Before:
    """The router of an older revision, in a process of its own."""

    def __init__(self, revision: str, folder: Path, uris: Sequence[str], told: argparse.Namespace) -> None:
        source = folder / "before"
        source.mkdir()
        packed = subprocess.run(["git", "archive", revision, "router"], cwd=ROOT, check=True, capture_output=True)
        subprocess.run(["tar", "x", "-C", source], input=packed.stdout, check=True)
        command = [sys.executable, str(ROOT / "bench/before.py"), "--folder", str(source), "--uris", *uris]
        command += ["--rows", str(told.rows), "--centres", str(told.centres), "--queries", str(told.queries)]
        env = os.environ | {"PYTHONPATH": f"{source / 'router'}:{ROOT}"}
        self._process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._said()

    def _said(self) -> dict[str, list[float]]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the older router ended: what it said stands above")
        said: dict[str, list[float]] = json.loads(line)
        return said

    async def run(self, what: str, count: int, callers: int, times: Times) -> None:
        """Let it run one round, and add its figures."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"what": what, "count": count, "callers": callers}) + "\n")
        self._process.stdin.flush()
        for name, values in (await asyncio.to_thread(self._said)).items():
            getattr(times, name).extend(values)

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def _collection(uri: str) -> str:
    """Return the collection of this version's router on a server."""
    client = MilvusClient(uri)
    [name] = [name for name in client.list_collections() if name.startswith(COLLECTION_PREFIX)]
    client.close()
    return str(name)


async def load(shard: MilvusShard, rows: Sequence[Row]) -> None:
    """Store rows, and wait until all of them are in sealed, indexed segments."""
    for start in range(0, len(rows), LOAD_ROWS):
        await shard.write(rows[start : start + LOAD_ROWS], [], LOAD_DEADLINE_S)
    await asyncio.to_thread(seal, shard.uri, _collection(shard.uri), len(rows))


def make_exact(uri: str, rows: int) -> None:
    """Give a shard a FLAT index in place of HNSW: every vector is looked at."""
    client = MilvusClient(uri)
    collection = _collection(uri)
    client.release_collection(collection)
    client.drop_index(collection, "vector")
    params = client.prepare_index_params()
    params.add_index("vector", index_type="FLAT", metric_type="IP", index_name="vector")
    client.create_index(collection, params)
    client.load_collection(collection)
    client.close()
    seal(uri, collection, rows)


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
            f"{cpu:>12.2f}{recalls.get(name, float('nan')):>9.4f}"
        )
    return "\n".join(lines)


def ratio(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the median over rounds of first / second, which ran in the same minute."""
    return statistics.median(a / b for a, b in zip(first, second, strict=True))


async def measure(
    told: argparse.Namespace, asks: Mapping[str, Ask], before: Before | None, queries: Vectors
) -> dict[str, Times]:
    """Run the rounds; contestants take turns at going first."""
    times = {name: Times() for name in (*asks, *(["before"] if before else []))}
    order = list(times)

    async def each(what: str, count: int) -> None:
        for name in order:
            if before is not None and name == "before":
                await before.run(what, count, told.callers, times[name])
            elif what == "alone":
                await alone(asks[name], queries[:count], times[name])
            else:
                await crowd(asks[name], queries[:count], told.callers, times[name])

    await each("crowd", told.callers * 2)  # warm: connections, caches, the servers' own pools
    for name in times:
        times[name] = Times()
    for turn in range(told.rounds):
        await each("alone", told.alone)
        await each("crowd", len(queries))
        order = order[1:] + order[:1]
        print(f"round {turn + 1} of {told.rounds}", file=sys.stderr, flush=True)
    return times


async def run(told: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Start, load, measure; return the figures."""
    vectors, queries = clustered(told.rows, told.centres, told.queries)
    rows = rows_of(vectors)
    servers = milvus.start([folder / name for name in ("a", "b", "c", "all")])
    try:
        uris = [server.uri for server in servers[:3]]
        before = Before(told.before, folder, uris, told) if told.before else None
        store = SqlStore(f"sqlite:///{folder}/placement.db")
        router = await opened(store, uris)
        single = MilvusShard("all/1", servers[3].uri)
        await single.join(await store.shop(), founding=True, deadline_s=LOAD_DEADLINE_S)
        shards = [MilvusShard(f"{name}/1", uri) for name, uri in zip("abc", uris, strict=True)]
        parts = [[row for row in rows if _owns(router, name, row.slot)] for name in "abc"]
        for shard in shards:
            await shard.join(await store.shop(), founding=False, deadline_s=LOAD_DEADLINE_S)
        for shard, part in zip([*shards, single], [*parts, rows], strict=True):
            start = time.monotonic()
            await load(shard, part)
            print(f"{shard.name}: {len(part)} rows in {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
            await shard.close()
        clients = [AsyncMilvusClient(server.uri, dedicated=True) for server in servers]
        names = [_collection(server.uri) for server in servers]
        asks = {
            "router": by_router(router),
            "gather": by_clients(clients[:3], names[:3]),
            "single": by_clients(clients[3:], names[3:]),
        }
        times = await measure(told, asks, before, queries)
        recalls = {name: await recall(ask, queries[: told.truth], vectors) for name, ask in asks.items()}
        if before is not None:
            before.close()
        for client in clients:
            await client.close()
        await router.close()
        print(table(times, recalls))
        exact = await exact_recall(told, folder, uris, parts, queries, vectors)
        print(f"recall@10 of the router over exact shards: {exact:.4f}")
        return figures(times, recalls, exact)
    finally:
        for server in servers:
            milvus.kill(server.pid)
            server.stop()


async def opened(store: SqlStore, uris: Sequence[str]) -> Router:
    """Open the router over three shards of one replica each."""
    specs = [ShardSpec(name, (uri,)) for name, uri in zip("abc", uris, strict=True)]
    return await Router.open(store, specs, MilvusShard, deadline_s=LOAD_DEADLINE_S)


async def exact_recall(
    told: argparse.Namespace,
    folder: Path,
    uris: Sequence[str],
    parts: Sequence[Sequence[Row]],
    queries: Vectors,
    vectors: Vectors,
) -> float:
    """Return the router's recall where its shards look at every vector."""
    for uri, part in zip(uris, parts, strict=True):
        await asyncio.to_thread(make_exact, uri, len(part))
    router = await opened(SqlStore(f"sqlite:///{folder}/placement.db"), uris)
    found = await recall(by_router(router), queries[: told.truth], vectors)
    await router.close()
    return found


def figures(times: dict[str, Times], recalls: dict[str, float], exact: float) -> dict[str, float]:
    """Return what --json prints."""
    router, gather, single = times["router"], times["gather"], times["single"]
    added = (a - b for a, b in zip(router.alone_p50_ms, gather.alone_p50_ms, strict=True))
    added_crowd = (a - b for a, b in zip(router.crowd_p50_ms, gather.crowd_p50_ms, strict=True))
    found = {
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
    if "before" in times:
        older = times["before"]
        cost = (a - b for a, b in zip(router.alone_p50_ms, older.alone_p50_ms, strict=True))
        found["against_before_p50_ms"] = round(statistics.median(cost), 3)
        found["throughput_vs_before"] = round(ratio(router.per_s, older.per_s), 3)
        found["client_cpu_vs_before"] = round(ratio(router.client_cpu_ms, older.client_cpu_ms), 3)
    return found


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
    parser.add_argument("--before", default="", help="a revision of this repository whose router is measured as well")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=told.folder) as folder:
        found = asyncio.run(run(told, Path(folder)))
    if told.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
