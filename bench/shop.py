"""Makes a shop's rows and times searches over them, for bench/router.py and the process that it compares with.

Imports of the router only what every version of it has, because that process runs an older one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from pymilvus import MilvusClient

from lookalike_router.shard import DIM, Row
from lookalike_router.slots import slot_of

LOAD_ROWS = 2_000
LOAD_DEADLINE_S = 600.0
# How far a picture lies from its centre: cosines of 0.8 within a cluster, as embeddings of one kind of goods have.
SPREAD = 0.5

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


def seal(uri: str, collection: str, rows: int) -> None:
    """Wait until all rows of a collection are in sealed, indexed segments."""
    client = MilvusClient(uri)
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
