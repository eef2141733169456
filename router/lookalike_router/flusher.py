"""Decides when a shard that keeps fresh rows in memory writes them out. Knows no Milvus and no rows."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from lookalike_router.errors import ShardError

# Milvus Lite prepares rows that it has not flushed anew for every search: 37 ms of CPU a query at 1,000 of them, 4 ms
# once they are flushed. A few cost nothing that one would notice, and every flush makes a file.
ROWS_MIN = 100
# While an import runs, flushing each of its batches would make a file each; but it may also run for hours.
ROWS_MAX = 2_000
QUIET_S = 1.0


class Flusher:
    """Flushes a shard when its writes pause, or when too many rows wait."""

    def __init__(self, flush: Callable[[], Awaitable[None]], quiet_s: float = QUIET_S) -> None:
        """Take what flushes; its ShardError is no harm, the next write tries again."""
        self._flush = flush
        self._quiet_s = quiet_s
        self._rows = 0
        self._task: asyncio.Task[None] | None = None

    def wrote(self, rows: int) -> None:
        """Take note that rows were written."""
        self._rows += rows
        if self._rows >= ROWS_MIN and self._task is None:
            self._task = asyncio.ensure_future(self._when_quiet())

    async def close(self) -> None:
        """Flush no more; a shard that is stopped writes its rows out by itself."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _when_quiet(self) -> None:
        try:
            seen = 0
            while seen < self._rows < ROWS_MAX:
                seen = self._rows
                await asyncio.sleep(self._quiet_s)
            self._rows = 0
            with contextlib.suppress(ShardError):
                await self._flush()
        finally:
            self._task = None
