import asyncio
from pathlib import Path

from lookalike_router.errors import ShardFailed
from lookalike_router.flusher import ROWS_MAX, ROWS_MIN, Flusher
from lookalike_router.milvus import MilvusShard
from lookalike_server.lite import LiteProcess
from tests.parts.shop import row, vectors
from tests.router.scripted import until

NEVER_S = 3_600.0


class Flushed:
    """Counts its flushes; fails those it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.count = 0
        self.failures = failures

    async def flush(self) -> None:
        self.count += 1
        if self.count <= self.failures:
            raise ShardFailed("a", "no space left")


async def turns() -> None:
    """Let the event loop turn more often than a flush without a pause needs."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_it_flushes_once_writes_pause() -> None:
    flushed = Flushed()
    flusher = Flusher(flushed.flush, quiet_s=0)
    flusher.wrote(ROWS_MIN)
    await until(lambda: flushed.count == 1)
    await flusher.close()


async def test_a_few_rows_wait_for_more() -> None:
    flushed = Flushed()
    flusher = Flusher(flushed.flush, quiet_s=0)
    flusher.wrote(ROWS_MIN - 1)
    await turns()
    assert flushed.count == 0
    flusher.wrote(1)
    await until(lambda: flushed.count == 1)


async def test_an_import_that_never_pauses_is_flushed_all_the_same() -> None:
    flushed = Flushed()
    flusher = Flusher(flushed.flush, quiet_s=NEVER_S)
    flusher.wrote(ROWS_MAX)
    await until(lambda: flushed.count == 1)


async def test_a_flush_that_fails_is_tried_again_after_the_next_writes() -> None:
    flushed = Flushed(failures=1)
    flusher = Flusher(flushed.flush, quiet_s=0)
    flusher.wrote(ROWS_MIN)
    await until(lambda: flushed.count == 1)
    flusher.wrote(ROWS_MIN)
    await until(lambda: flushed.count == 2)


async def test_closing_ends_the_wait() -> None:
    flushed = Flushed()
    flusher = Flusher(flushed.flush, quiet_s=NEVER_S)
    flusher.wrote(ROWS_MIN)
    await asyncio.sleep(0)
    await flusher.close()
    assert flushed.count == 0


async def test_milvus_lite_writes_its_rows_to_a_file(tmp_path: Path) -> None:
    lite = LiteProcess("a", tmp_path / "a")
    lite.start()
    try:
        await asyncio.to_thread(lite.wait_ready)
        shard = MilvusShard("a/1", lite.uri)
        await shard.join("shop", founding=True, deadline_s=30.0)
        made = [row(f"product {i}", vector=vector) for i, vector in enumerate(vectors(ROWS_MIN))]
        await shard.write(made, [], deadline_s=30.0)
        await until(lambda: any("_default" in str(file) for file in tmp_path.rglob("*.parquet")), deadline_s=30.0)
        await shard.close()
    finally:
        lite.stop()
