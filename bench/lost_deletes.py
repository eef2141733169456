"""Shows whether a Milvus server loses deletes: rows that were deleted, and were seen to be gone, are there again.

Starts one standalone, fills a collection slowly so that segments are sealed on the way, and meanwhile replaces and
deletes rows through one endpoint, as a shop does. Two processes take the CPU, so that indexing takes its time. Every
ten seconds all rows are listed, and those that were deleted are counted. No router is involved.
"""

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.shop import LOAD_DEADLINE_S, Vectors, clustered
from bench.shopper import stock_rows
from lookalike_router.milvus import MilvusShard
from lookalike_router.shard import Head, Row
from lookalike_router.slots import SLOTS, SlotRange
from tests.parts import milvus

BATCH_ROWS = 512
FILLERS, FILL_PAUSE_S = 3, 2.5
WRITERS, PRODUCTS_AT_ONCE, WRITE_PAUSE_S = 2, 10, 0.02
# Of the products that are written, the others are deleted.
REPLACED = 0.8
LOOK_S = 10.0
WINDOW_SLOTS = 1_024
BURN = "while True: pass"


class Shelf:
    """One endpoint, what it must hold, and what was deleted when."""

    def __init__(self, shard: MilvusShard, vectors: Vectors) -> None:
        self._shard = shard
        self._vectors = vectors
        self._draw = random.Random(0)
        self._now: dict[int, list[Row]] = {}
        self._busy: set[int] = set()
        self._version = 1
        self._begun_s = time.monotonic()
        self.deleted: dict[Head, float] = {}

    async def fill(self, part: int, parts: int) -> None:
        """Store a part of all products, bit by bit."""
        for first in range(part * BATCH_ROWS, len(self._vectors), parts * BATCH_ROWS):
            some = {n: self._rows(n) for n in range(first, min(first + BATCH_ROWS, len(self._vectors)))}
            await self._shard.write([row for rows in some.values() for row in rows], [], LOAD_DEADLINE_S)
            self._now.update(some)
            await asyncio.sleep(FILL_PAUSE_S)

    async def write(self) -> None:
        """Replace and delete products, for ever."""
        while True:
            free = [n for n in self._draw.sample(range(len(self._vectors)), 8 * PRODUCTS_AT_ONCE) if n in self._now]
            some = [n for n in free if n not in self._busy][:PRODUCTS_AT_ONCE]
            self._busy.update(some)
            gone = [_head(row) for n in some for row in self._now.pop(n)]
            new = {n: self._rows(n) for n in some if self._draw.random() < REPLACED}
            await self._shard.write([row for rows in new.values() for row in rows], gone, LOAD_DEADLINE_S)
            self.deleted.update(dict.fromkeys(gone, self.seconds))
            self._now.update(new)
            self._busy.difference_update(some)
            await asyncio.sleep(WRITE_PAUSE_S)

    async def back(self) -> set[Head]:
        """Return the rows that were deleted before now and are listed."""
        before = set(self.deleted)
        windows = [SlotRange(first, first + WINDOW_SLOTS - 1) for first in range(0, SLOTS, WINDOW_SLOTS)]
        listed = [await self._shard.heads_in([window], LOAD_DEADLINE_S) for window in windows]
        return before.intersection(head for heads in listed for head in heads)

    @property
    def seconds(self) -> float:
        """How long it has been going on."""
        return time.monotonic() - self._begun_s

    def _rows(self, product: int) -> list[Row]:
        self._version += 1
        [row] = stock_rows(product, self._vectors[product : product + 1])
        return [Row(**{**vars(row), "version": self._version})]


def _head(row: Row) -> Head:
    return Head(row.product_id, row.image_id, row.version)


async def run(shelf: Shelf, seconds: float) -> set[Head]:
    """Fill and write at the same time; return what was deleted and is there in the end."""
    writing = [asyncio.ensure_future(shelf.write()) for _ in range(WRITERS)]
    filling = asyncio.gather(*(shelf.fill(part, FILLERS) for part in range(FILLERS)))
    while shelf.seconds < seconds or not filling.done():
        await asyncio.sleep(LOOK_S)
        back = await shelf.back()
        when = sorted({round(shelf.deleted[head]) for head in back})
        print(
            f"{shelf.seconds:5.0f} s: {len(shelf.deleted):,} rows deleted, {len(back)} of them listed {when}",
            flush=True,
        )
    for task in writing:
        task.cancel()
    await asyncio.wait(writing)
    return await shelf.back()


async def measure(uri: str, told: argparse.Namespace) -> None:
    """Look at one server."""
    shard = MilvusShard("a/1", uri)
    await shard.join("lost deletes", True, LOAD_DEADLINE_S)
    vectors, _ = clustered(told.rows, told.rows // 50, 1)
    back = await run(Shelf(shard, np.asarray(vectors)), told.seconds)
    await shard.write([], sorted(back, key=repr), LOAD_DEADLINE_S)
    print(f"{len(back)} rows are back in the end; deleted once more")
    await shard.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rows", type=int, default=66_000, help="one a product")
    parser.add_argument("--seconds", type=float, default=360.0)
    parser.add_argument("--burn", type=int, default=2, help="processes that take the CPU")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        [server] = milvus.start([Path(folder) / "a"])
        burning = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(told.burn)]
        try:
            asyncio.run(measure(server.uri, told))
        finally:
            for process in burning:
                process.kill()
            server.stop()


if __name__ == "__main__":
    main()
