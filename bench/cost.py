"""Shows what a row and a search cost one Milvus standalone and its client, in CPU time, memory and disk.

Starts one real standalone and stocks it. CPU time is the figure that other work on the machine disturbs least, so that
docs/SCALING.md derives its figures from these. `--json` prints one object as the last line.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.rebalance_live import held
from bench.router import load
from bench.shop import LOAD_DEADLINE_S, Vectors, clustered, rows_of
from lookalike_router.milvus import MilvusShard
from lookalike_router.shard import Head, Row
from lookalike_router.slots import SLOTS, SlotRange, ranges, slot_of
from tests.parts import milvus

# As a rebalance does it: copied, listed and deleted so many at a time.
PART_ROWS = 1_024
LIMIT = 10


@dataclass(frozen=True)
class Cost:
    """What one thing takes; CPU time."""

    what: str
    server_us: float
    client_us: float


class Meter:
    """Takes the CPU time of the server and of this process."""

    def __init__(self, pid: int) -> None:
        """Take the server's process."""
        self._server = psutil.Process(pid)
        self._idle = 0.0

    async def rest(self, seconds: float) -> float:
        """Learn what the server takes doing nothing, in cores; it is left out of every cost."""
        before_s = self._server_s()
        await asyncio.sleep(seconds)
        self._idle = (self._server_s() - before_s) / seconds
        return self._idle

    async def cost(self, what: str, count: int, act: Callable[[], Awaitable[object]]) -> Cost:
        """Return what one of `count` things costs."""
        begun_s, server_s, client_s = time.monotonic(), self._server_s(), time.process_time()
        await act()
        spent_s = self._server_s() - server_s - self._idle * (time.monotonic() - begun_s)
        return Cost(what, spent_s * 1e6 / count, (time.process_time() - client_s) * 1e6 / count)

    def _server_s(self) -> float:
        return float(sum(self._server.cpu_times()[:2]))


def parts(rows: Sequence[Row]) -> list[Sequence[Row]]:
    """Return rows as they are copied."""
    return [rows[start : start + PART_ROWS] for start in range(0, len(rows), PART_ROWS)]


def runs(rows: Sequence[Row]) -> list[tuple[SlotRange, ...]]:
    """Return slots that hold about as many rows as are copied at a time."""
    slots = max(1, PART_ROWS * SLOTS // len(rows))
    return [ranges(range(first, min(first + slots, SLOTS))) for first in range(0, SLOTS, slots)]


async def costs(
    shard: MilvusShard, meter: Meter, rows: Sequence[Row], more: Sequence[Row], queries: Vectors
) -> list[Cost]:
    """Measure everything, over rows that are sealed and indexed."""
    windows = runs(rows)

    async def search() -> None:
        for query in queries:
            await shard.search(query[None], LIMIT, None, LOAD_DEADLINE_S)

    async def list_heads() -> None:
        for window in windows:
            await shard.heads_in(window, LOAD_DEADLINE_S)

    async def read() -> None:
        for window in windows:
            await shard.rows_in(window, LOAD_DEADLINE_S)

    async def write() -> None:
        for part in parts(more):
            await shard.write(part, [], LOAD_DEADLINE_S)

    async def delete() -> None:
        for part in parts(more):
            gone = [Head(row.product_id, row.image_id, row.version) for row in part]
            await shard.write([], gone, LOAD_DEADLINE_S)

    return [
        await meter.cost(f"search for {LIMIT} among {len(rows):,}", len(queries), search),
        await meter.cost("list a row", len(rows), list_heads),
        await meter.cost("read a row", len(rows), read),
        await meter.cost("store a row", len(more), write),
        await meter.cost("delete a row", len(more), delete),
    ]


async def run(told: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Start, stock, measure; print the table and return the figures."""
    vectors, queries = clustered(told.rows + told.more, told.centres, told.queries)
    rows = sorted(rows_of(vectors), key=lambda row: slot_of(row.product_id))
    rows, more = rows[told.more :], rows[: told.more]
    [server] = milvus.start([folder / "server"])
    try:
        shard = MilvusShard("a/1", server.uri)
        await shard.join("cost", founding=True, deadline_s=LOAD_DEADLINE_S)
        meter = Meter(server.pid)
        idle = await meter.rest(told.seconds_idle)
        empty = held([server])
        index = await meter.cost("stock a row, index it", len(rows), lambda: load(shard, rows))
        full = held([server])
        found = [index, *await costs(shard, meter, rows, more, queries)]
        await shard.close()
    finally:
        milvus.kill(server.pid)
        server.stop()
    print(f"{'CPU time, µs':<32}{'server':>10}{'client':>10}")
    for one in found:
        print(f"{one.what:<32}{one.server_us:>10.1f}{one.client_us:>10.1f}")
    per_row = {name: round((full[name] - empty[name]) / len(rows)) for name in full}
    figures = {"idle_cores": round(idle, 3), "empty_memory_mb": round(empty["memory_bytes_per_row"] / 1e6)} | per_row
    for name, value in figures.items():
        print(f"{name:<32}{value:>10}")
    return figures | {one.what.replace(" ", "_"): round(one.server_us + one.client_us, 1) for one in found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="stocked, sealed and indexed")
    parser.add_argument("--more", type=int, default=20_480, help="stored beside them as a rebalance does, and deleted")
    parser.add_argument("--centres", type=int, default=4_000, help="clusters that they lie in")
    parser.add_argument("--queries", type=int, default=1_000, help="searches")
    parser.add_argument("--seconds-idle", type=float, default=10.0, help="for what the server takes doing nothing")
    parser.add_argument("--folder", type=Path, default=None, help="where the server keeps its data; a temporary one")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=told.folder) as folder:
        found = asyncio.run(run(told, Path(folder)))
    if told.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
