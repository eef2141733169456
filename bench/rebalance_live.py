"""Adds a shard to a busy shop, rebalances, drains an old shard and removes it; measures what the shop feels meanwhile.

Starts four real Milvus standalones, stocks three of them, waits until these have settled, and starts two processes
(bench/shopper.py) that each have a router and half of the load, in one SQLite store. Every write that was acknowledged
is remembered, and every answer is compared with it afterwards (bench/history.py); a sample of searches with exact brute
force. In the end the whole shop is read back. `--json` prints one object as the last line.
"""

import argparse
import asyncio
import json
import pickle
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.history import Asked, Judged, Log, Rows, Vectors, Write, added, rows_of
from bench.router import load
from bench.shop import LOAD_DEADLINE_S, clustered
from bench.shopper import LIMIT, connect, stock_rows
from lookalike_router.answer import ShardSpec
from lookalike_router.jobs import Job, JobState
from lookalike_router.milvus import MilvusShard
from lookalike_router.router import Router
from lookalike_router.slots import SLOTS
from lookalike_router.sql_store import SqlStore
from lookalike_router.timing import USUAL
from tests.parts import milvus

SHOPPERS = 2
JOB_DEADLINE_S = 900.0
LOOK_S = 1.0
# A server that nobody asks takes 0.04 cores, in bursts; merging and indexing take a core. It looks for what to merge
# once a minute.
IDLE_CORES, SETTLED_S = 0.3, 75.0


class Shop:
    """The processes that serve and are served."""

    def __init__(self, folder: Path, store: str, told: argparse.Namespace) -> None:
        """Start them; they say when they are ready."""
        command = [sys.executable, str(Path(__file__).parent / "shopper.py"), "--store", store]
        command += ["--stock", str(folder / "stock.npy"), "--firsts", str(folder / "firsts.npy")]
        rates = {"upserts": told.upserts, "deletes": told.deletes, "searches": told.searches}
        command += [f"--{name}-per-s={rate}" for name, rate in rates.items()]
        command += ["--exact"] if told.exact else []
        self._folder = folder
        self._processes = [
            subprocess.Popen(
                [*command, f"--part={part}", f"--parts={SHOPPERS}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for part in range(SHOPPERS)
        ]
        for process in self._processes:
            _said(process)

    @property
    def pids(self) -> list[int]:
        """Who they are."""
        return [process.pid for process in self._processes]

    async def all(self, do: str) -> None:
        """Tell every process to do something."""
        await asyncio.gather(*(asyncio.to_thread(_ask, process, do) for process in self._processes))

    async def one(self, do: str, **what: object) -> Any:
        """Tell one process to do something, and return what it says."""
        return await asyncio.to_thread(_ask, self._processes[0], do, **what)

    async def logs(self) -> list[Log]:
        """Return what each process has done since the last time."""
        paths = [self._folder / f"log {part}" for part in range(SHOPPERS)]
        asks = zip(self._processes, paths, strict=True)
        await asyncio.gather(*(asyncio.to_thread(_ask, process, "log", path=str(path)) for process, path in asks))
        return [pickle.loads(path.read_bytes()) for path in paths]

    async def read_back(self, sample: int) -> tuple[Any, ...]:
        """Return what one process counts and finds in the whole shop; see Till.check."""
        path = self._folder / "found"
        counted = await self.one("check", path=str(path), sample=sample)
        return counted, *pickle.loads(path.read_bytes())

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.communicate()

    def kill(self) -> None:
        """End those that are left."""
        for process in self._processes:
            process.kill()
            process.wait()


def _ask(process: "subprocess.Popen[str]", do: str, **what: object) -> Any:
    assert process.stdin is not None
    process.stdin.write(json.dumps({"do": do, **what}) + "\n")
    process.stdin.flush()
    return _said(process)


def _said(process: "subprocess.Popen[str]") -> Any:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit("a process of the shop ended: what it said stands above")
    return json.loads(line)


@dataclass(frozen=True)
class Moment:
    """When it is by the monotonic clock, and how many seconds of CPU time went by until then."""

    at_s: float
    ours_s: float
    """... of the servers and the shop's processes."""
    others_s: float
    """... of whatever else ran on the machine, and took the cores from them."""


@dataclass(frozen=True)
class Lived:
    """What happened."""

    logs: Sequence[Log]
    phases: Mapping[str, tuple[Moment, Moment]]
    """From when to when."""
    jobs: Sequence[Job]
    counted: Mapping[str, int]
    found: Mapping[int, tuple[int, tuple[str, ...]]]
    """By product: its serial and its pictures, as read back."""
    vectors: Mapping[int, Sequence[Vectors]]
    """By product, of a sample of those."""


def stocked(rows: int, centres: int) -> tuple[Vectors, list[int]]:
    """Return the pictures of a shop, and where in them each product's begin: one or two."""
    vectors, _ = clustered(rows, centres, 1)
    sizes = np.random.default_rng(1).integers(1, 3, size=rows)
    firsts = [0, *(int(first) for first in np.cumsum(sizes) if first < rows), rows]
    return vectors, firsts


async def found_shop(store: str, uris: Sequence[str], vectors: Vectors, firsts: Sequence[int], exact: bool) -> None:
    """Found a shop over three shards and stock it, sealed and indexed."""
    endpoint = connect(exact)
    specs = [ShardSpec(name, (uri,)) for name, uri in zip("abc", uris, strict=True)]
    router = await Router.open(SqlStore(store), specs, endpoint, deadline_s=LOAD_DEADLINE_S)
    runs = [(one.name, run) for one in router.topology().shards for run in one.ranges]
    owners = {slot: name for name, run in runs for slot in range(run.first, run.last + 1)}
    await router.close()
    parts: dict[str, list[Any]] = {name: [] for name in "abc"}
    for product, (first, last) in enumerate(pairwise(firsts)):
        rows = stock_rows(product, vectors[first:last])
        parts[owners[rows[0].slot]] += rows
    for name, uri in zip("abc", uris, strict=True):
        begun_s = time.monotonic()
        shard = MilvusShard(f"{name}/1", uri)
        await shard.join(await SqlStore(store).shop(), founding=False, deadline_s=LOAD_DEADLINE_S)
        await load(shard, parts[name])
        await shard.close()
        say(f"{name}: {len(parts[name]):,} rows stocked in {time.monotonic() - begun_s:.0f} s")


async def settled(pids: Sequence[int]) -> None:
    """Return once servers have merged and indexed what they were stocked with: they begin that minutes later."""
    processes = [psutil.Process(pid) for pid in pids]
    begun_s = idle_s = time.monotonic()
    while time.monotonic() < idle_s + SETTLED_S:
        before = [sum(process.cpu_times()[:2]) for process in processes]
        await asyncio.sleep(LOOK_S)
        used = [sum(process.cpu_times()[:2]) - was for process, was in zip(processes, before, strict=True)]
        if max(used) > IDLE_CORES * LOOK_S:
            idle_s = time.monotonic()
        if idle_s > begun_s + LOAD_DEADLINE_S:
            raise SystemExit(f"the servers are still busy after {LOAD_DEADLINE_S:.0f} s")
    say(f"servers idle after {idle_s - begun_s:.0f} s")


async def moved(shop: Shop, store: SqlStore, drain: str = "") -> Job:
    """Rebalance, show how it goes, and return the job when it is done."""
    number = await shop.one("rebalance", drain=drain)
    until = time.monotonic() + JOB_DEADLINE_S
    while time.monotonic() < until:
        job = await store.job()
        assert job is not None
        assert job.number == number
        steps = Counter(move.step.value for move in job.moves)
        say(f"job {number} {job.state.value}: {job.rows_moved:,} of {job.rows:,} rows, {dict(steps)}")
        if not job.state.active:
            return job
        if job.state is JobState.STOPPED:
            raise SystemExit(f"job {number} stopped: {job.message}")
        await asyncio.sleep(LOOK_S)
    raise SystemExit(f"job {number} is not done after {JOB_DEADLINE_S:.0f} s")


async def lived(shop: Shop, store: SqlStore, pids: Sequence[int], uri: str, told: argparse.Namespace) -> Lived:
    """Go through everything."""
    phases: dict[str, tuple[Moment, Moment]] = {}
    await shop.all("open")
    await asyncio.sleep(told.seconds_warm)
    begun = now(pids)
    await asyncio.sleep(told.seconds_quiet)
    phases["quiet"] = begun, now(pids)
    await shop.one("add", name="d", uri=uri)
    begun = now(pids)
    jobs = [await moved(shop, store)]
    phases["balance"] = begun, now(pids)
    begun = now(pids)
    jobs.append(await moved(shop, store, drain="a"))
    phases["drain"] = begun, now(pids)
    await shop.one("remove", name="a")
    await asyncio.sleep(told.seconds_warm)
    await shop.all("close")
    logs = await shop.logs()
    differing = await shop.one("differing")
    say(f"{differing} products differ; {told.seconds_after:.0f} s for what servers lost to be found")
    await asyncio.sleep(told.seconds_after)
    say("reading everything back")
    counted, found, vectors = await shop.read_back(told.sample)
    return Lived(logs, phases, jobs, {**counted, "differing_at_once": differing}, found, vectors)


def now(pids: Sequence[int]) -> Moment:
    """Return the moment, by the CPU time of these processes."""
    ours_s = sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)
    all_s = psutil.cpu_times()
    return Moment(time.monotonic(), ours_s, sum(all_s) - all_s.idle - all_s.iowait - ours_s)


def figures(was: Lived, stock: Mapping[int, Vectors], told: argparse.Namespace) -> dict[str, Any]:
    """Compare everything with what was acknowledged; return the figures."""
    rows, standing = rows_of(was.logs, stock)
    searches = [one for log in was.logs for one in log.searches]
    writes = [one for log in was.logs for one in log.writes]
    judged = added(rows.judge(one) for one in searches)
    quiet, moving = _phase(was, searches, "quiet"), _phase(was, searches, "balance", "drain")
    compared = [_compared(rows, some, told.sample) for some in (quiet, moving)]
    ended = read_back(was, stock, standing)
    paused_ms = [move.paused_s * 1000 for job in was.jobs for move in job.moves]
    seconds = [job.ended_at - job.started_at for job in was.jobs]
    p99s = [_p99([one.ms for one in some if not one.error]) for some in (quiet, moving)]
    writes_ms = [_writes_ms(was, writes, *names) for names in (("quiet",), ("balance", "drain"))]
    return {
        "rows_per_s": round(sum(job.rows_moved for job in was.jobs) / sum(seconds)),
        "pause_p99_ms": round(_p99(paused_ms), 1),
        "search_p99_ratio": round(p99s[1] / p99s[0], 2),
        "moved_fraction": round(was.jobs[0].slots_moved / SLOTS, 5),
        # HNSW may miss what is there; what looks at every vector may not.
        "lost": ended["lost"] + judged.unknown + judged.unseen * told.exact,
        "doubled": judged.doubled + ended["doubled"],
        "revived": judged.revived + ended["revived"],
        "stale": judged.stale + ended["stale"],
        "failed_searches": sum(bool(one.error) for one in searches),
        "rows": told.rows,
        "seconds": [round(one, 1) for one in seconds],
        "rows_moved": [job.rows_moved for job in was.jobs],
        "pauses": [sum(move.pauses for job in was.jobs for move in job.moves), len(paused_ms)],
        "pause_p50_ms": round(float(np.median(paused_ms)), 1),
        "write_p99_ms": [round(_p99(some)) for some in writes_ms],
        "write_max_ms": [round(max(some, default=0)) for some in writes_ms],
        "search_p50_ms": [round(float(np.median([one.ms for one in some])), 1) for some in (quiet, moving)],
        "search_p99_ms": [round(one, 1) for one in p99s],
        "recall": [round(one.recall, 4) for one in compared],
        "compared": [one.due for one in compared],
        "unknown_hits": judged.unknown,
        "unseen": judged.unseen,
        "own_searches": judged.own,
        "cores": [[round(one, 2) for one in _cores(*was.phases[name])] for name in was.phases],
        "searches": len(searches),
        "writes": len(writes),
        "failed_writes": sum(bool(one.error) for one in writes),
        "write_errors": dict(Counter(one.error[:200] for one in writes if one.error).most_common(5)),
        "search_errors": dict(Counter(one.error[:300] for one in searches if one.error).most_common(5)),
        "read_back": ended,
        **was.counted,
    }


def read_back(was: Lived, stock: Mapping[int, Vectors], standing: Mapping[int, Write]) -> dict[str, int]:
    """Compare the shop as it was read back with the last acknowledged write of every product."""
    uncertain = {one.product for log in was.logs for one in log.writes if one.error} - set(standing)
    wrong: Counter[str] = Counter({"lost": 0, "stale": 0, "revived": 0, "doubled": 0, "unequal": 0})
    for product, write in standing.items():
        serial, pictures = was.found.get(product, (-1, ()))
        if not len(write.pictures):
            wrong["revived"] += product in was.found
        elif product not in was.found or len(pictures) < len(write.pictures):
            wrong["lost"] += 1
        else:
            wrong["stale"] += serial != write.serial
            wrong["doubled"] += len(pictures) > len(write.pictures)
    for product, vectors in was.vectors.items():
        wanted = standing.get(product)
        if wanted is not None:
            wrong["unequal"] += not np.array_equal(np.array(vectors), wanted.pictures)
    wrong["unknown"] = len(set(was.found) - set(standing) - uncertain)
    if not uncertain:
        wrong["rows_too_many"] = was.counted["rows"] - sum(len(one.pictures) for one in standing.values())
    return dict(wrong) | {"products": len(standing), "uncertain": len(uncertain), "compared": len(was.vectors)}


def _cores(first: Moment, last: Moment) -> tuple[float, float]:
    """Return how many cores we had on the mean, and how many others."""
    seconds = last.at_s - first.at_s
    return (last.ours_s - first.ours_s) / seconds, (last.others_s - first.others_s) / seconds


def _phase(was: Lived, searches: Sequence[Asked], *names: str) -> list[Asked]:
    spans = [was.phases[name] for name in names]
    return [one for one in searches if any(first.at_s <= one.begun_s < last.at_s for first, last in spans)]


def _writes_ms(was: Lived, writes: Sequence[Write], *names: str) -> list[float]:
    spans = [was.phases[name] for name in names]
    some = [
        one for one in writes if not one.error and any(first.at_s <= one.begun_s < last.at_s for first, last in spans)
    ]
    return [(one.ended_s - one.begun_s) * 1000 for one in some]


def _compared(rows: Rows, searches: Sequence[Asked], sample: int) -> Judged:
    """Compare some searches with brute force."""
    some = searches[:: max(1, len(searches) // sample)]
    return added(rows.compare(one, LIMIT) for one in some if not one.error)


def _p99(values: Sequence[float]) -> float:
    return float(np.percentile(values, 99)) if values else float("nan")


async def run(told: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Start, stock, live; return the figures."""
    vectors, firsts = stocked(told.rows, told.centres)
    np.save(folder / "stock.npy", vectors)
    np.save(folder / "firsts.npy", np.array(firsts))
    store = f"sqlite:///{folder}/store.db"
    servers = milvus.start([folder / name for name in "abcd"])
    shop: Shop | None = None
    try:
        empty = held(servers[:3])
        await found_shop(store, [server.uri for server in servers[:3]], vectors, firsts, told.exact)
        await settled([server.pid for server in servers])
        full = held(servers[:3])
        shop = Shop(folder, store, told)
        pids = [*shop.pids, *(server.pid for server in servers)]
        was = await lived(shop, SqlStore(store), pids, servers[3].uri, told)
        shop.close()
    finally:
        if shop is not None:
            shop.kill()
        for server in servers:
            milvus.kill(server.pid)
            server.stop()
    stock = {product: vectors[first:last] for product, (first, last) in enumerate(pairwise(firsts))}
    per_row = {name: round((full[name] - empty[name]) / len(vectors)) for name in full}
    return figures(was, stock, told) | per_row


def held(servers: Sequence[milvus.Standalone]) -> dict[str, int]:
    """Return the memory and the disk that servers hold."""
    files = [file for server in servers for file in (server.home / "data").rglob("*")]
    return {
        "memory_bytes_per_row": sum(psutil.Process(server.pid).memory_info().rss for server in servers),
        "disk_bytes_per_row": sum(map(_size, files)),
    }


def _size(file: Path) -> int:
    try:
        return file.stat().st_size if file.is_file() else 0
    except FileNotFoundError:  # servers compact as they like
        return 0


def say(text: str) -> None:
    """Show how far it is."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000, help="pictures in the shop, one or two a product")
    parser.add_argument("--centres", type=int, default=4_000, help="clusters that they lie in")
    parser.add_argument("--upserts", type=float, default=50.0, help="a second, over both processes; as are")
    parser.add_argument("--deletes", type=float, default=10.0, help="... and")
    parser.add_argument("--searches", type=float, default=20.0, help="...")
    parser.add_argument("--seconds-quiet", type=float, default=20.0, help="how long nothing moves at first")
    parser.add_argument("--seconds-warm", type=float, default=5.0, help="before that, and after the end")
    parser.add_argument(
        "--seconds-after",
        type=float,
        default=USUAL.bury_after_s + 30,
        help="between the last write and reading back, so that rows whose delete a server lost are found",
    )
    parser.add_argument(
        "--sample", type=int, default=500, help="searches compared with brute force, products read whole"
    )
    parser.add_argument("--exact", action="store_true", help="shards that look at every vector, in place of HNSW")
    parser.add_argument("--folder", type=Path, default=None, help="where the servers keep their data; a temporary one")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=told.folder) as folder:
        found = asyncio.run(run(told, Path(folder)))
    for name, value in found.items():
        print(f"{name:<20}{value}")
    if told.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
