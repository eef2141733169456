"""One process of a busy shop for bench/rebalance_live.py: a router, its share of the load, and a log of both.

Obeys a JSON object a line on standard input, and answers with one a line. Products whose number modulo the number of
processes is this one's are written by it alone, one write of a product at a time: so the log says which write is last.
"""

import argparse
import asyncio
import gc
import json
import os
import pickle
import random
import sys
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.history import Asked, Hit, Log, Vectors, Write
from lookalike_router.answer import Picture, ProductHit, ProductWrite, ShardSpec
from lookalike_router.atlas import Connect
from lookalike_router.errors import ShardError
from lookalike_router.jobs import JobState
from lookalike_router.milvus import MilvusShard
from lookalike_router.milvus_join import Index
from lookalike_router.rebalance import Goal
from lookalike_router.router import Router
from lookalike_router.shard import Row, Stored
from lookalike_router.slots import slot_of
from lookalike_router.sql_store import SqlStore

MODEL = "bench@1"
LIMIT = 10
DEADLINE_S = 10.0
# Of all upserts; the others replace what is there.
NEW_FRACTION = 0.2
OPERATOR_DEADLINE_S = 60.0
PAGE_PRODUCTS = 1_000
READ_PRODUCTS = 256


def connect(exact: bool) -> Connect:
    """Return what makes an endpoint: one whose shards look at every vector, or an HNSW one."""
    return partial(MilvusShard, index=Index.FLAT if exact else Index.HNSW)


def name_of(product: int) -> str:
    """Return a product's id."""
    return f"product {product}"


def facts_of(product: int, serial: int) -> dict[str, str | int | bool]:
    """Return what a shop says of a product, and which write it is."""
    named: dict[str, str | int | bool] = {"title": f"Product number {product}", "category": f"category {product % 40}"}
    return named | {"price_minor": product, "in_stock": product % 7 > 0, "serial": serial}


def stock_rows(product: int, pictures: Vectors) -> list[Row]:
    """Return the rows that a shop is stocked with."""
    name, facts = name_of(product), facts_of(product, 0)
    return [
        Row(name, str(i), slot_of(name), 1, MODEL, facts, {"uri": f"{product}/{i}.jpg"}, vector)
        for i, vector in enumerate(pictures)
    ]


class Shopper:
    """Writes and searches at a steady rate, whatever the answers take."""

    def __init__(self, router: Router, told: argparse.Namespace) -> None:
        """Take the router, and what the shop was stocked with."""
        self._router = router
        self._draw = random.Random(told.part)
        self._noise = np.random.default_rng(told.part)
        self._part, self._parts = told.part, told.parts
        self._rates = {
            self._upsert: told.upserts_per_s,
            self._delete: told.deletes_per_s,
            self._search: told.searches_per_s,
        }
        vectors: Vectors = np.asarray(np.load(told.stock, mmap_mode="r"))
        firsts = np.load(told.firsts)
        self._centres = vectors
        # By product: the pictures of its last acknowledged write. What is being written is in no list.
        self._now = {
            product: vectors[firsts[product] : firsts[product + 1]]
            for product in range(told.part, len(firsts) - 1, told.parts)
        }
        self._live = list(self._now)
        self._next = (len(firsts) - 1) + (told.part - len(firsts) + 1) % told.parts
        self._serial = told.part + 1
        self._log = Log()

    async def run(self, stopped: asyncio.Event) -> None:
        """Keep the rates until told to stop, then wait for what is under way."""
        async with asyncio.TaskGroup() as group:
            for act, per_s in self._rates.items():
                if per_s:
                    group.create_task(self._steadily(act, per_s / self._parts, stopped))

    def take_log(self) -> Log:
        """Return what has been done since the last time."""
        log, self._log = self._log, Log()
        return log

    async def _steadily(
        self, act: Callable[[], Coroutine[None, None, None]], per_s: float, stopped: asyncio.Event
    ) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        async with asyncio.TaskGroup() as group:
            while not stopped.is_set():
                group.create_task(act())
                due_s += self._draw.expovariate(per_s)
                await asyncio.sleep(max(due_s - loop.time(), 0))

    async def _upsert(self) -> None:
        if self._draw.random() < NEW_FRACTION or not self._live:
            product = self._next
            self._next += self._parts
        else:
            product = self._taken()
        write = self._begun(product, np.stack([self._vector() for _ in range(self._draw.choice((1, 2)))]))
        named = tuple(Picture(str(i), vector, {"uri": f"{product}/{i}.jpg"}) for i, vector in enumerate(write.pictures))
        facts = facts_of(product, write.serial)
        [error] = await self._router.upsert([ProductWrite(name_of(product), MODEL, facts, named)], DEADLINE_S)
        self._ended(write, error)

    async def _delete(self) -> None:
        if not self._live:
            return
        product = self._taken()
        write = self._begun(product, self._centres[:0])
        try:
            await self._router.delete(name_of(product), DEADLINE_S)
        except Exception as error:  # whatever it is, it is counted and shown
            self._ended(write, error)
        else:
            self._ended(write, None)

    async def _search(self) -> None:
        # Of every second search the answer is known: the picture of a product that nobody writes now.
        product = self._draw.choice(self._live) if self._live and self._draw.random() < 0.5 else -1
        query = self._draw.choice(self._now[product]) if product >= 0 else self._vector()
        begun_s = time.monotonic()
        hits, error = [], ""
        try:
            found = await self._router.search(np.asarray(query)[None], LIMIT, deadline_s=DEADLINE_S)
        except Exception as failure:  # whatever it is, it is counted and shown
            error = f"{type(failure).__name__}: {failure}"
        else:
            hits = [_hit(hit) for hit in found.answers[0]]
            if found.coverage.slots_fraction < 1 or found.coverage.behind:
                error = f"coverage {found.coverage}"
        self._log.searches.append(Asked(np.array(query), product, begun_s, time.monotonic(), hits, error))

    def _taken(self) -> int:
        """Take a product that nobody writes out of the list, in constant time."""
        at = self._draw.randrange(len(self._live))
        self._live[at], self._live[-1] = self._live[-1], self._live[at]
        product = self._live.pop()
        del self._now[product]
        return product

    def _vector(self) -> Vectors:
        """Return a vector near a picture of the stock, as the next photo of such goods."""
        around = self._draw.choice(self._centres) + self._noise.normal(scale=0.02, size=self._centres.shape[1])
        normal: Vectors = (around / np.linalg.norm(around)).astype(np.float32)
        return normal

    def _begun(self, product: int, pictures: Vectors) -> Write:
        write = Write(product, self._serial, np.array(pictures), time.monotonic())
        self._serial += self._parts
        self._log.writes.append(write)
        return write

    def _ended(self, write: Write, error: Exception | None) -> None:
        """Take note of how a write ended; a product of which nothing is known is left alone from now on."""
        if error is not None:
            write.error = f"{type(error).__name__}: {error}"
            return
        write.ended_s = time.monotonic()
        if len(write.pictures):
            self._now[write.product] = write.pictures
            self._live.append(write.product)


def _write(path: str, value: object) -> None:
    Path(path).write_bytes(pickle.dumps(value))


def _hit(hit: ProductHit) -> Hit:
    return Hit(_number(hit.product_id), _serial(hit.attributes.get("serial")), int(hit.image_id), hit.score)


def _number(product_id: str) -> int:
    return int(product_id.removeprefix("product "))


def _serial(value: object) -> int:
    return value if isinstance(value, int) else -1


async def scanned(router: Router) -> dict[int, tuple[int, tuple[str, ...]]]:
    """Return the serial and the pictures of every product of the shop."""
    found: dict[int, tuple[int, tuple[str, ...]]] = {}
    after: tuple[int, str] | None = None
    while True:
        page = await router.scan(after, PAGE_PRODUCTS, deadline_s=OPERATOR_DEADLINE_S)
        for rows in page.products:
            assert _number(rows[0].product_id) not in found, f"{rows[0].product_id} was listed twice"
            found[_number(rows[0].product_id)] = _told(rows)
        if page.next is None:
            return found
        after = page.next


def _told(rows: list[Stored]) -> tuple[int, tuple[str, ...]]:
    return _serial(rows[0].attributes.get("serial")), tuple(row.image_id for row in rows)


async def vectors_of(router: Router, products: list[int]) -> dict[int, list[Vectors]]:
    """Read products one by one, with their vectors."""
    found: dict[int, list[Vectors]] = {}
    for start in range(0, len(products), READ_PRODUCTS):
        names = [name_of(product) for product in products[start : start + READ_PRODUCTS]]
        read = await router.get(names, OPERATOR_DEADLINE_S)
        found.update({_number(name): [row.vector for row in rows] for name, rows in read.items()})
    return found


class Till:
    """What this process can be told to do; each returns what it answers."""

    def __init__(self, router: Router, shopper: Shopper) -> None:
        """Take what it works with."""
        self._router = router
        self._shopper = shopper
        self._stopped = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin the load."""
        self._running = asyncio.ensure_future(self._shopper.run(self._stopped))

    async def close(self) -> None:
        """End the load."""
        assert self._running is not None
        self._stopped.set()
        await self._running

    async def log(self, path: str) -> None:
        """Write down what was done since the last log."""
        _write(path, self._shopper.take_log())

    async def add(self, name: str, uri: str) -> None:
        """Add a shard."""
        await self._router.add_shard(ShardSpec(name, (uri,)), OPERATOR_DEADLINE_S)

    async def rebalance(self, drain: str = "") -> int:
        """Start a rebalance; return its number."""
        until = time.monotonic() + OPERATOR_DEADLINE_S
        while True:
            try:
                job = await self._router.start_rebalance(Goal(drain=drain), OPERATOR_DEADLINE_S)
            except ShardError:  # on a machine that is short of everything: as an operator would, again
                if time.monotonic() >= until:
                    raise
                await asyncio.sleep(1)
            else:
                assert job is not None
                return job.number

    async def cancel(self) -> None:
        """Cancel the rebalance."""
        await self._router.steer_rebalance(JobState.CANCELLING)

    async def remove(self, name: str) -> None:
        """Remove a shard."""
        await self._router.remove_shard(name, OPERATOR_DEADLINE_S)

    async def differing(self) -> int:
        """Return how many products are not right on some shard."""
        return [one async for one in self._router.verify(None, repair=False)][-1].differing_total

    async def check(self, path: str, sample: int) -> dict[str, int]:
        """Read the whole shop back into a file; return what was counted on the way."""
        found = await scanned(self._router)
        some = random.Random(0).sample(sorted(found), min(sample, len(found)))
        _write(path, (found, await vectors_of(self._router, some)))
        strays = [one async for one in self._router.strays(delete=False)]
        assert not any(one.message for one in strays), strays
        reports = await self._router.shards(OPERATOR_DEADLINE_S)
        return {
            "strays": sum(one.rows for one in strays),
            "differing": await self.differing(),
            "rows": sum(report.replicas[0].rows for report in reports),
        }


async def run(told: argparse.Namespace) -> None:
    """Open the router, say so, obey."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print; only answers may go where the starter reads
    router = await Router.open(SqlStore(told.store), [], connect(told.exact), deadline_s=OPERATOR_DEADLINE_S)
    till = Till(router, Shopper(router, told))
    gc.freeze()  # or else every collection looks through the whole stock
    print("{}", file=answers, flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked: dict[str, Any] = json.loads(line)
        said = await getattr(till, asked.pop("do"))(**asked)
        print(json.dumps(said), file=answers, flush=True)
    await router.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("store", "stock", "firsts"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("part", "parts"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("upserts", "deletes", "searches"):
        parser.add_argument(f"--{name}-per-s", type=float, required=True)
    parser.add_argument("--exact", action="store_true")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
