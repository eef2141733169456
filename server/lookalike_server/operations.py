"""Changes a shop's shards and replicas, and compares them, as operators ask. Knows no wire."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import replace

from lookalike_router.answer import ShardPlace, ShardSpec, Verified
from lookalike_router.errors import ShardRefused
from lookalike_router.router import Router
from lookalike_server.deadline import Deadline
from lookalike_server.errors import ReplicaRefused
from lookalike_server.paced import paced
from lookalike_server.query import Comparison

# Someone watches a bar, and a proxy on the way may end a call that says nothing.
PROGRESS_EVERY_S = 0.9


class Operations:
    """What operators do to one shop; `stopping` is set once the server takes no more work."""

    def __init__(self, router: Router, stopping: asyncio.Event) -> None:
        self._router = router
        self._stopping = stopping

    async def add_shard(self, spec: ShardSpec, deadline: Deadline) -> ShardPlace:
        """Add a shard that owns no slots, and return its place in the map."""
        with explained():
            await self._router.add_shard(spec, deadline.remaining_s())
        return next(place for place in self._router.topology().shards if place.name == spec.name)

    async def add_replica(self, shard: str, uri: str, deadline: Deadline) -> str:
        """Add a replica to a shard and return its name."""
        with explained():
            return await self._router.add_replica(shard, uri, deadline.remaining_s())

    async def remove_replica(self, name: str, deadline: Deadline) -> None:
        """Take a replica out of its shard."""
        await self._router.remove_replica(name, deadline.remaining_s())

    async def remove_shard(self, name: str, deadline: Deadline, *, force: bool) -> None:
        """Take a shard out of the map; with `force` without asking whether it holds rows."""
        await self._router.remove_shard(name, deadline.remaining_s(), force=force)

    def compared(self, comparison: Comparison) -> AsyncGenerator[Verified, None]:
        """Compare replicas; yield how far it has come, at least every second."""
        found = self._router.verify(comparison.shard, repair=comparison.repair, from_slot=comparison.from_slot)
        return paced(found, PROGRESS_EVERY_S, lambda last: replace(last, differing=()), self._stopping)


@contextmanager
def explained() -> Iterator[None]:
    """Say of an endpoint that is refused that it cannot be added: its caller can do something about it."""
    try:
        yield
    except ShardRefused as error:
        raise ReplicaRefused(f"{error}; nothing was added") from error
