"""Measures one search: the service against the pipeline one would write instead, and against its networks alone.

    python bench/search.py --python VENV_WITH_TORCH/bin/python [--json]

(a) is our gRPC service over one Milvus Lite, asked through the SDK; (b) bench/pipeline.py on the same Milvus; (c)
bench/floor.py; (d) 64 photos through `search_many`. Rounds of all are interleaved, each in a process of its own, and a
ratio is the median of the rounds' ratios, so that a machine that slows down slows all of them.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import psutil
from pymilvus import MilvusClient

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.rounds import Rival, Round
from lookalike import AsyncClient, Done, LookalikeError
from lookalike_router.answer import Picture, ProductWrite, ShardSpec
from lookalike_router.filter import Json
from lookalike_router.milvus import MilvusShard
from lookalike_router.router import Router
from lookalike_router.shard import DIM
from lookalike_router.sql_store import SqlStore
from lookalike_server.lite import LiteProcess, free_port
from lookalike_server.models.load import load_embedder
from lookalike_server.models.session import Runtime
from lookalike_server.pipeline import CANDIDATES_MAX

ROOT = Path(__file__).parent.parent
PHOTOS = ROOT / "server/lookalike_server/sample/photos"
CALLERS = (1, 8)
MANY = 64
FILL_DEADLINE_S = 60.0
CALL_DEADLINE_S = 60.0
START_DEADLINE_S = 60.0
# Embeddings lie in clusters; purely random vectors are a case of their own.
CENTRES = 200
NOISE = 0.05

EXPORT = """
import sys
from pathlib import Path
import torch
from ultralytics import YOLO
from lookalike_server.models.export import Facts, export_detector, export_embedder
folder = Path(sys.argv[1])
torch.manual_seed(0)
YOLO("yolo26n.yaml").save(folder / "yolo26n-random.pt")
export_detector(str(folder / "yolo26n-random.pt"), folder / "detector.zip", 640, Facts("yolo26n-random"))
export_embedder("resnet50", folder / "embedder.zip", random=True)
"""


@dataclass(frozen=True)
class Pair:
    """A detector and an embedder; None is the bundled one."""

    name: str
    detector: Path | None
    embedder: Path | None


@dataclass
class Measured:
    """All rounds of one pair at one number of callers."""

    ours: list[Round] = field(default_factory=list)
    pipeline: list[Round] = field(default_factory=list)
    floor: list[Round] = field(default_factory=list)

    def ratios(self) -> dict[str, float]:
        """Return the medians of the rounds' ratios."""
        return {
            "p50_vs_pipeline": median(a.p50_ms / b.p50_ms for a, b in zip(self.ours, self.pipeline, strict=True)),
            "p50_vs_floor": median(a.p50_ms / c.p50_ms for a, c in zip(self.ours, self.floor, strict=True)),
            "throughput_vs_pipeline": median(a.per_s / b.per_s for a, b in zip(self.ours, self.pipeline, strict=True)),
        }


class Service:
    """Our server in a process of its own, with a client to it."""

    def __init__(self, address: str, pid: int, photos: Sequence[bytes]) -> None:
        self._client = AsyncClient(address)
        self._process = psutil.Process(pid)
        self._photos = photos
        self.rss_mb = 0.0

    async def run(self, calls: int, callers: int) -> Round:
        """Run one round from `callers` tasks."""
        numbers = iter(range(calls))
        latencies_ms, parts = [0.0] * calls, [0] * calls

        async def caller() -> None:
            for at in numbers:
                begun = time.perf_counter()
                result = await self._client.search(self._photos[at % len(self._photos)], timeout_s=CALL_DEADLINE_S)
                latencies_ms[at] = (time.perf_counter() - begun) * 1000
                parts[at] = min(CANDIDATES_MAX, len(result.detections)) + 1

        begun = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(callers)))
        wall_s = time.perf_counter() - begun
        self.rss_mb = max(self.rss_mb, self._process.memory_info().rss / 2**20)
        return Round(latencies_ms, wall_s, parts)

    async def many(self) -> float:
        """Search 64 photos over one stream and return the seconds for each."""
        photos = [self._photos[at % len(self._photos)] for at in range(MANY)]
        begun = time.perf_counter()
        outcomes = [outcome async for outcome in self._client.search_many(photos)]
        assert all(isinstance(outcome, Done) for outcome in outcomes), outcomes
        return (time.perf_counter() - begun) / MANY

    async def wait(self) -> None:
        """Return once it answers."""
        until = time.monotonic() + START_DEADLINE_S
        while True:
            try:
                await self._client.search(self._photos[0], timeout_s=CALL_DEADLINE_S)
                return
            except LookalikeError:
                if time.monotonic() > until or not self._process.is_running():
                    raise
                await asyncio.sleep(0.1)

    async def close(self) -> None:
        """Let go of the connection."""
        await self._client.close()


@contextmanager
def milvus(folder: Path) -> Iterator[LiteProcess]:
    """Run one Milvus Lite."""
    lite = LiteProcess("bench", folder / "rows")
    lite.start()
    try:
        lite.wait_ready()
        yield lite
    finally:
        lite.stop()


async def fill(store: str, uri: str, rows: int, model: str) -> None:
    """Store products of one picture each, as the model might have seen them."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((CENTRES, DIM))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    vectors = centres[random.integers(0, CENTRES, rows)] + NOISE * random.standard_normal((rows, DIM))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    facts: dict[str, Json] = {"uri": "", "sha256": "0" * 64, "box": [0.0, 0.0, 1.0, 1.0]}
    writes = [
        ProductWrite(f"p{at}", model, {"title": f"Product {at}", "category": "mug"}, (Picture("a", vector, facts),))
        for at, vector in enumerate(vectors)
    ]
    router = await Router.open(SqlStore(store), [ShardSpec("bench", (uri,))], MilvusShard)
    await router.claim_model(model, DIM)
    refused = [error for error in await router.upsert(writes, FILL_DEADLINE_S) if error]
    await router.close()
    if refused:
        raise SystemExit(f"the shop cannot be filled: {refused[0]}")
    # Rows that Milvus Lite has not yet written to a segment cost every search ten times as much.
    client = MilvusClient(uri)
    client.flush(client.list_collections()[0])
    client.close()


@asynccontextmanager
async def service(pair: Pair, folder: Path, uri: str, rows: int, photos: Sequence[bytes]) -> AsyncIterator[Service]:
    """Fill a shop and serve it."""
    store = f"sqlite:///{folder / 'store.db'}"
    await fill(store, uri, rows, load_embedder(pair.embedder, Runtime(threads=1)).id)
    port = free_port()
    told = ["--port", str(port), "--shards", f"bench={uri}", "--store", store]
    for flag, path in (("--detector", pair.detector), ("--embedder", pair.embedder)):
        told += [flag, str(path)] if path else []
    process = await asyncio.to_thread(subprocess.Popen, [sys.executable, "-m", "lookalike_server", "serve", *told])
    ours = Service(f"127.0.0.1:{port}", process.pid, photos)
    try:
        await ours.wait()
        yield ours
    finally:
        await ours.close()
        process.terminate()
        process.wait()


async def measure(
    pair: Pair, told: argparse.Namespace, weights: Path, paths: Sequence[Path]
) -> tuple[dict[int, Measured], float, float]:
    """Run the rounds of one pair; return them by callers, the seconds for a photo of many, and the server's memory."""
    names = [str(path) for path in paths]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    measured = {callers: Measured() for callers in CALLERS}
    many: list[float] = []
    with tempfile.TemporaryDirectory() as place, milvus(Path(place)) as lite, ExitStack() as rivals:
        async with service(pair, Path(place), lite.uri, told.rows, [path.read_bytes() for path in paths]) as ours:
            models = [str(path) if path else "-" for path in (pair.detector, pair.embedder)]
            floor = Rival([sys.executable, "-m", "bench.floor", *models, *names], env)
            rivals.callback(floor.close)
            pipeline = Rival([str(told.python), "-m", "bench.pipeline", str(weights), lite.uri, *names], env)
            rivals.callback(pipeline.close)
            for number in range(told.rounds + 1):
                for callers, one in measured.items():
                    calls = told.calls * (1 if callers == 1 else 2)
                    rounds = await ours.run(calls, callers), pipeline.run(calls, callers), floor.run(calls, callers)
                    if number:  # the first round warms everything up
                        one.ours.append(rounds[0])
                        one.pipeline.append(rounds[1])
                        one.floor.append(rounds[2])
                many.append(await ours.many())
            return measured, median(many[1:]), ours.rss_mb


def random_pair(python: Path, folder: Path) -> Pair:
    """Export YOLO26n and ResNet-50 with random weights into `folder`, unless it holds them."""
    pair = Pair("yolo26n + resnet50", folder / "detector.zip", folder / "embedder.zip")
    if not (folder / "embedder.zip").exists():
        folder.mkdir(parents=True, exist_ok=True)
        env = os.environ | {"PYTHONPATH": str(ROOT / "server")}
        subprocess.run([str(python), "-c", EXPORT, str(folder)], env=env, check=True, stdout=sys.stderr)
    return pair


def rows_of(name: str, measured: dict[int, Measured]) -> Iterator[str]:
    """Yield the lines of the table for one pair."""
    for callers, one in measured.items():
        for title, rounds in (("(a) lookalike", one.ours), ("(b) pipeline", one.pipeline), ("(c) floor", one.floor)):
            p50, p95 = median(r.p50_ms for r in rounds), median(r.p95_ms for r in rounds)
            per_s, parts = median(r.per_s for r in rounds), median(r.parts_mean for r in rounds)
            yield f"{name:20} {callers:7} {title:14} {p50:9.1f} {p95:9.1f} {per_s:9.1f} {parts:7.1f}"
        ratios = one.ratios()
        yield (
            f"{'':28} (a)/(b): p50 {ratios['p50_vs_pipeline']:.2f}, throughput "
            f"{ratios['throughput_vs_pipeline']:.2f}; (a)/(c): p50 {ratios['p50_vs_floor']:.2f}"
        )


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="bench.search", description="Measures one search; see the file's docstring.")
    parser.add_argument(
        "--python", type=Path, default=Path(sys.executable), help="a Python with torch, ultralytics and pymilvus"
    )
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="a folder of JPEGs (default: the sample shop's)")
    parser.add_argument(
        "--models", type=Path, default=ROOT / "lookalike-data/bench", help="keeps the random-weight pair"
    )
    parser.add_argument("--rows", type=int, default=1000, help="products in the shop")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=20, help="calls of a round by one caller")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    return parser.parse_args()


async def main() -> None:
    """Measure both pairs and print."""
    told = arguments()
    paths = sorted(told.photos.glob("*.jpg"))[:MANY]
    if not paths:
        raise SystemExit(f"{told.photos} holds no *.jpg; give a folder with --photos")
    pairs = (Pair("bundled", None, None), random_pair(told.python, told.models))
    print(f"{'models':20} {'callers':>7} {'':14} {'p50 ms':>9} {'p95 ms':>9} {'per s':>9} {'parts':>7}")
    report: dict[str, dict[str, dict[str, float]]] = {}
    many: dict[str, float] = {}
    for pair in pairs:
        measured, many[pair.name], rss_mb = await measure(pair, told, told.models / "yolo26n-random.pt", paths)
        print(*rows_of(pair.name, measured), sep="\n")
        print(
            f"{'':28} (d) {MANY} photos: {many[pair.name] * 1000:.1f} ms each; server memory {rss_mb:.0f} MB",
            flush=True,
        )
        for callers, one in measured.items():
            for ratio, value in one.ratios().items():
                report.setdefault(ratio, {}).setdefault(pair.name, {})[str(callers)] = round(value, 3)
    if told.json:
        print(json.dumps(report | {"many_s_per_photo": {name: round(value, 4) for name, value in many.items()}}))


if __name__ == "__main__":
    asyncio.run(main())
