"""That a Milvus Lite process keeps what it acknowledged, and shows it at every moment."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lookalike_router.errors import ShardError
from lookalike_router.milvus import MilvusShard
from lookalike_router.shard import Head
from lookalike_router.slots import SLOTS, SlotRange
from lookalike_server.lite import LiteProcess
from tests.parts.shop import row, vectors

S = 60.0
ALL = [SlotRange(0, SLOTS - 1)]
ROUNDS = 6
ROWS = 1_500
# What a process may still write to any file when its disk is said to be full.
NOTHING_BYTES = 1


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[LiteProcess]:
    process = LiteProcess("a", tmp_path / "a")
    process.start()
    try:
        process.wait_ready(S)
        yield process
    finally:
        process.stop()


async def joined(lite: LiteProcess, founding: bool) -> MilvusShard:
    shard = MilvusShard("a/1", lite.uri)
    await shard.join("shop", founding, S)
    return shard


async def test_a_read_during_a_flush_sees_every_row_and_no_deleted_one(lite: LiteProcess) -> None:
    shard = await joined(lite, founding=True)
    drawn = vectors(ROWS)
    reads = 0
    for turn in range(ROUNDS):
        names = [f"{turn}-{i}" for i in range(ROWS)]
        await shard.write([row(name, vector=vector) for name, vector in zip(names, drawn, strict=True)], [], S)
        await shard.write([], [Head(names[0], "front", 1)], S)
        flush = asyncio.ensure_future(shard._flush())
        while not flush.done():
            found = await asyncio.gather(*(shard.heads([name], S) for name in names[:4]))
            assert [len(heads) for heads in found] == [0, 1, 1, 1]
            reads += 1
        await flush
    assert reads >= ROUNDS
    await shard.close()


async def test_writers_at_one_time_lose_nothing(lite: LiteProcess) -> None:
    shards = [await joined(lite, founding=True), await joined(lite, founding=False)]
    drawn = vectors(30)

    async def write(shard: MilvusShard, name: str) -> None:
        for i in range(20):
            await shard.write([row(f"{name}-{i}", f"{j}", vector=vector) for j, vector in enumerate(drawn)], [], S)
            await shard._flush()

    await asyncio.gather(*(write(shard, f"{at}") for at, shard in enumerate(shards * 2)))

    assert await shards[0].count(ALL, None, S) == 4 * 20 * 30
    for shard in shards:
        await shard.close()


@pytest.mark.parametrize("method", ["write", "delete", "flush"])
async def test_a_process_that_cannot_write_ends_and_keeps_what_it_acknowledged(lite: LiteProcess, method: str) -> None:
    shard = await joined(lite, founding=True)
    await shard.write([row("p"), row("q")], [], S)
    process = psutil.Process(lite.pid)
    process.rlimit(psutil.RLIMIT_FSIZE, (NOTHING_BYTES, psutil.RLIM_INFINITY))

    with pytest.raises(ShardError):
        await {
            "write": lambda: shard.write([row("r")], [], S),
            "delete": lambda: shard.write([], [Head("p", "front", 1)], S),
            "flush": shard._flush,
        }[method]()

    await asyncio.to_thread(process.wait, S)
    lite.start()
    await asyncio.to_thread(lite.wait_ready, S)
    await shard.join("shop", founding=False, deadline_s=S)
    assert {head.product_id for head in await shard.heads_in(ALL, S)} == {"p", "q"}
    await shard.close()
