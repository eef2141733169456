"""Runs an older revision's router for bench/router.py: founds a shop of its own on the servers given, then obeys.

Each line of standard input asks for one round; each line of standard output holds that round's figures.
"""

import argparse
import asyncio
import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bench.shop import LOAD_DEADLINE_S, LOAD_ROWS, Times, Vectors, alone, clustered, crowd, rows_of, seal

# Found at run time: what is checked with this file is the newer router.
milvus: Any = importlib.import_module("lookalike_router.milvus")
Router: Any = importlib.import_module("lookalike_router.router").Router
SqlStore: Any = importlib.import_module("lookalike_router.store").SqlStore

LIMIT = 10
DEADLINE_S = 30.0
# The servers hold the newer router's collections as well, and a router refuses servers that hold another shop's.
PREFIX = "before_"


async def opened(folder: Path, uris: list[str], vectors: Vectors) -> Any:
    """Found the shop and load it."""
    shards = [milvus.MilvusShard(name, uri) for name, uri in zip("abc", uris, strict=True)]
    router = await Router.open(SqlStore(f"sqlite:///{folder}/store.db"), shards, deadline_s=LOAD_DEADLINE_S)
    rows = rows_of(vectors)
    for shard, place in zip(shards, router.topology().shards, strict=True):
        part = [row for row in rows if any(run.first <= row.slot <= run.last for run in place.ranges)]
        for start in range(0, len(part), LOAD_ROWS):
            await shard.upsert(part[start : start + LOAD_ROWS], LOAD_DEADLINE_S)
        await asyncio.to_thread(seal, shard.uri, shard._collection, len(part))
    return router


async def run(told: argparse.Namespace) -> None:
    """Load, say ready, obey."""
    milvus.COLLECTION_PREFIX = PREFIX
    vectors, queries = clustered(told.rows, told.centres, told.queries)
    router = await opened(told.folder, told.uris, vectors)

    async def ask(query: Vectors) -> list[str]:
        found = await router.search(np.asarray(query)[None], LIMIT, deadline_s=DEADLINE_S)
        return [hit.product_id for hit in found.answers[0]]

    print("{}", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        times = Times()
        if asked["what"] == "alone":
            await alone(ask, queries[: asked["count"]], times)
        else:
            await crowd(ask, queries[: asked["count"]], asked["callers"], times)
        print(json.dumps(asdict(times)), flush=True)
    await router.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--uris", nargs=3, required=True)
    for name in ("rows", "centres", "queries"):
        parser.add_argument(f"--{name}", type=int, required=True)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
