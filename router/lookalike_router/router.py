"""One shop over several shards, as everyone above it sees it. Knows no images, no wire and no Milvus."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt

from lookalike_router import rebalance
from lookalike_router.answer import (
    Coverage,
    Found,
    Page,
    ProductWrite,
    RebalancePlan,
    Request,
    ShardPlace,
    ShardReport,
    ShardSpec,
    Strays,
    Topology,
    Verified,
)
from lookalike_router.ask import Asker
from lookalike_router.atlas import Atlas, Connect
from lookalike_router.burial import Burial
from lookalike_router.core import Core
from lookalike_router.errors import (
    LeaseLost,
    MapConflict,
    ModelConflict,
    Repeated,
    RequestConflict,
    RouterError,
)
from lookalike_router.failpoints import Failpoint, nothing
from lookalike_router.fill import Filling, check_rows
from lookalike_router.filter import Filter
from lookalike_router.founding import close_all, join_new, opened_map
from lookalike_router.holds import Holds
from lookalike_router.jobs import Job, JobState
from lookalike_router.keeper import Keeper
from lookalike_router.lease import Lease
from lookalike_router.merge import hits
from lookalike_router.reads import Reads
from lookalike_router.rebalance import Goal
from lookalike_router.rebalancer import Rebalancer
from lookalike_router.reconcile import Reconciler
from lookalike_router.replica import InUse, Replica
from lookalike_router.report import reports
from lookalike_router.safeguards import ALL, Safeguards
from lookalike_router.search import Question, search
from lookalike_router.shard import DIM, ROWS_MAX, Row
from lookalike_router.slots import SLOTS, slot_of
from lookalike_router.storable import check
from lookalike_router.store import Answer, Store, Sync
from lookalike_router.sweep import Sweeper
from lookalike_router.timing import USUAL, Timing
from lookalike_router.tombstones import Tombstones
from lookalike_router.underway import Underway
from lookalike_router.verify import verifying
from lookalike_router.writer import WriteJob, Writer

JOIN_DEADLINE_S = 30.0
# A lease that lapses in the middle of a read is renewed and the read repeated; twice in a row is no accident any more.
READS_MAX = 2
# Routers look at the store ten times a second, and a dead one counts until its lease has ended.
SEEN_DEADLINE_S = 5.0

Answered = TypeVar("Answered")


class Router:
    """One shop over several shards. Lives in one event loop; `open` makes it."""

    def __init__(self, core: Core, shop: str, connect: Connect) -> None:
        """Take parts that belong together."""
        self._core = core
        self._shop = shop
        self._connect = connect
        self._asker = Asker()
        self._writers: dict[str, Writer] = {}
        self._reconciler = Reconciler(core)
        self._background = (
            Keeper(core, self._reconciler),
            Filling(core, self._reconciler),
            Sweeper(core, self._reconciler),
            Burial(core, self._reconciler),
            Rebalancer(core),
        )

    @property
    def id(self) -> str:
        """Names this router among those of the shop."""
        return self._core.router

    @classmethod
    async def open(
        cls,
        store: Store,
        specs: Sequence[ShardSpec],
        connect: Connect,
        *,
        router: str | None = None,
        deadline_s: float = JOIN_DEADLINE_S,
        timing: Timing = USUAL,
        safeguards: Safeguards = ALL,
        failpoint: Failpoint = nothing,
    ) -> Self:
        """Join the shards; plan the map on the first start, when all must be reachable.

        Later starts tolerate endpoints that are down, and need no `specs`; those given must be the map's, and new
        addresses are written to it. Anything else raises PlacementConflict.
        """
        shop, found, replicas = await opened_map(store, specs, connect, deadline_s)
        name = router or secrets.token_hex(8)
        tombstones = Tombstones(asyncio.get_running_loop().time)
        atlas = Atlas(store, connect, shop, tombstones, found, replicas)
        holds = Holds(store, name, lambda: atlas.view.epoch)
        reads = Underway()

        def reached() -> int:
            return min(holds.reached(), reads.reached(atlas.view.epoch))

        lease = Lease(store, name, atlas, reached, timing)
        core = Core(name, store, atlas, holds, lease, tombstones, safeguards, timing, reads, failpoint)
        try:
            await atlas.refresh()
            await lease.start()
        except BaseException:
            await atlas.close()
            raise
        self = cls(core, shop, connect)
        for background in self._background:
            background.start()
        return self

    async def search(
        self,
        queries: npt.NDArray[np.float32],
        limit: int,
        *,
        where: Filter | None = None,
        score_min: float | None = None,
        deadline_s: float,
    ) -> Found:
        """Return for each of `queries` (n, 256) the `limit` best products; a lost shard costs coverage only."""
        if queries.ndim != 2 or queries.shape[1] != DIM or not 1 <= limit <= ROWS_MAX:
            raise ValueError(f"queries are (n, {DIM}), limit is 1 to {ROWS_MAX}; got {queries.shape} and {limit}")
        mark = self._core.lease.mark()
        view = self._core.atlas.view
        owners = [group for group in view.groups.values() if group.ranges]
        question = Question(queries, limit, where, score_min)
        until = self._until(deadline_s)
        safeguards = self._core.safeguards
        with self._core.reads.under(view.epoch):
            found = await search(self._asker, owners, view.placement.owners, question, until, self._dead(), safeguards)
        lost = {one.shard for one in found.missing}
        covered = sum(group.slots for group in owners if group.name not in lost)
        coverage = Coverage(
            shards_asked=len(owners),
            shards_answered=len(owners) - len(lost),
            slots_fraction=covered / SLOTS,
            missing=found.missing,
            behind=found.behind,
            stale=not self._core.lease.kept(mark),
        )
        return Found([hits(products) for products in found.merged], coverage, found.explain)

    async def upsert(self, products: Sequence[ProductWrite], deadline_s: float) -> list[RouterError | None]:
        """Store products whole; return for each None once it is acknowledged, or what went wrong.

        Repeated stands for a request that another router answered meanwhile.
        """
        until = self._until(deadline_s)
        return await asyncio.gather(*(self._upsert(product, until) for product in products))

    async def delete(self, product_id: str, deadline_s: float, request: Request | None = None) -> int:
        """Delete a product; return how many pictures went with it, 0 if there was none. Raises RouterError."""
        until = self._until(deadline_s)
        try:
            return await self._writer(product_id).put(product_id, None, request, until)
        except Repeated as repeated:
            return int(repeated.text)

    async def replay(self, request_id: str, digest: str) -> str | None:
        """Return the first answer to a request, None if it is new; raise RequestConflict for another payload."""
        if not self._core.safeguards.idempotency:
            return None
        answer = (await self._core.store.answers([request_id])).get(request_id)
        if answer is None:
            return None
        if answer.digest != digest:
            raise RequestConflict(request_id)
        # Who gave the answer first may have failed to wait until everybody knew what its write changed.
        await self._core.lease.seen_now(self._until(SEEN_DEADLINE_S))
        return answer.text

    async def settled(self, product_id: str) -> bool:
        """Say whether what was just read of a product was acknowledged: else only a write may answer for it.

        A write that never finished can be read from the replica that has it, and is lost with that replica. Raises
        StoreFailed, and ShardTimedOut where another router does not see the newest map in time.
        """
        if await self._core.store.unsettled([product_id]):
            return False
        await self._core.lease.seen_now(self._until(SEEN_DEADLINE_S))
        return True

    async def record(self, request: Request) -> None:
        """Keep the answer to a request that had nothing to write. Raises StoreFailed."""
        await self._core.store.record(Answer(request.request_id, request.digest, request.answer))

    async def get(self, product_ids: Sequence[str], deadline_s: float) -> dict[str, list[Row]]:
        """Return the rows of those products that exist; raise ShardError if an owner cannot say, or LeaseLost."""
        until = self._until(deadline_s)
        return await self._current(lambda reads: reads.get(product_ids, until), until)

    async def scan(
        self, after: tuple[int, str] | None, limit: int, *, where: Filter | None = None, deadline_s: float
    ) -> Page:
        """Return the `limit` products that follow `after` in the order (slot, product_id); raises as `get`."""
        until = self._until(deadline_s)
        return await self._current(lambda reads: reads.scan(after, limit, where, until), until)

    def topology(self) -> Topology:
        """Return the placement map."""
        view = self._core.atlas.view
        places = (
            ShardPlace(
                name,
                view.placement.weights[name],
                view.map.replicas[name],
                view.groups[name].ranges,
                name in view.map.draining,
            )
            for name in sorted(view.groups)
        )
        return Topology(view.epoch, SLOTS, tuple(places))

    async def shards(self, deadline_s: float) -> list[ShardReport]:
        """Ask every replica how it is; one that does not answer is reported, never left out."""
        return await reports(self._core.store, self._core.atlas.view, deadline_s)

    async def add_shard(self, spec: ShardSpec, deadline_s: float) -> None:
        """Add a shard whose endpoints are empty; it owns no slots yet. Raises MapConflict, ShardError, StoreFailed."""
        if not spec.uris or not spec.weight > 0:
            raise MapConflict("a shard has at least one address and a weight greater than 0")
        if spec.name in self._core.atlas.view.groups:
            raise MapConflict(f"there is a shard {spec.name} already; choose another name")
        new = [self._new(f"{spec.name}/{i}", uri, Sync.IN_SYNC) for i, uri in enumerate(spec.uris, 1)]
        await self._added(new, deadline_s, spec)

    async def add_replica(self, shard: str, uri: str, deadline_s: float) -> str:
        """Add an endpoint to a shard; return its name. It is filled in the background, verified, then in sync."""
        name = await self._core.store.next_replica(shard)
        await self._added([self._new(name, uri, Sync.FILLING)], deadline_s, None)
        return name

    async def remove_replica(self, name: str, deadline_s: float) -> None:
        """Take an endpoint out; its rows stay where they are. Raises MapConflict for the last one that serves."""
        group = self._core.atlas.view.groups.get(name.rpartition("/")[0])
        others = [one for one in group.replicas if one.name != name] if group is not None else []
        if others and not any(one.sync is Sync.IN_SYNC and isinstance(one.state, InUse) for one in others):
            raise MapConflict(f"no other replica of the shard is in sync and answers; {name} can go when one does")
        found = await self._core.store.remove_replica(name)
        await self._core.lease.seen_by_all(found.epoch, self._until(deadline_s))

    def verify(self, shard: str | None, *, repair: bool, from_slot: int = 0) -> AsyncIterator[Verified]:
        """Compare the replicas of a shard, or of all, slot by slot; with `repair` make them equal."""
        if shard is not None and shard not in self._core.atlas.view.groups:
            raise MapConflict(f"there is no shard {shard}; there are {', '.join(sorted(self._core.atlas.view.groups))}")
        return verifying(self._core, self._reconciler, shard=shard, repair=repair, from_slot=from_slot)

    async def plan_rebalance(self, goal: Goal, deadline_s: float, rows_per_s: float = 0.0) -> RebalancePlan:
        """Return what a rebalance would do; it changes nothing. Raises MapConflict, ShardError, StoreFailed."""
        return (await rebalance.planned(self._core, goal, rows_per_s, self._until(deadline_s)))[0]

    async def start_rebalance(self, goal: Goal, deadline_s: float, rows_per_s: float = 0.0) -> Job | None:
        """Start a rebalance, which goes on in the background; return None where nothing has to move.

        Raises JobActive where one is active, StaleMap where the map has just changed, and as plan_rebalance.
        """
        return await rebalance.start(self._core, goal, rows_per_s, self._until(deadline_s))

    async def reverse_rebalance(self, rows_per_s: float = 0.0) -> Job:
        """Start a job that takes the last one back. Raises JobActive, MapConflict, StaleMap, StoreFailed."""
        return await rebalance.reverse(self._core, rows_per_s)

    async def job(self) -> Job | None:
        """Return the newest rebalance; None before the first. Raises StoreFailed."""
        return await self._core.store.job()

    async def steer_rebalance(self, state: JobState | None = None, *, rows_per_s: float | None = None) -> Job:
        """Resume (RUNNING), pause or cancel the active job, or have it copy faster or slower. Raises MapConflict."""
        return await self._core.store.steer_job(state, rows_per_s=rows_per_s)

    def strays(self, *, delete: bool) -> AsyncIterator[Strays]:
        """Look for rows in slots that their shard does not own, replica by replica. Raises MapConflict."""
        return rebalance.strays(self._core, delete=delete)

    async def undrain(self, shard: str) -> None:
        """Let a shard own slots again, in plans to come. Raises MapConflict."""
        await self._core.store.set_draining(shard, False)

    async def remove_shard(self, name: str, deadline_s: float, *, force: bool = False) -> None:
        """Take a shard out of the map; with `force` without asking whether its replicas hold rows.

        Raises MapConflict while it owns slots or holds rows.
        """
        await rebalance.remove(self._core, name, self._until(deadline_s), force=force)

    async def claim_model(self, model: str, dim: int) -> None:
        """Say which model makes the vectors; the first word stands, another raises ModelConflict."""
        standing = await self._core.store.claim(model, dim)
        if standing != (model, dim):
            raise ModelConflict(
                f"the shop's vectors were made by {standing[0]} ({standing[1]} numbers each), not by {model} ({dim}); "
                "start the server with that model, or start a new shop and import again"
            )

    async def close(self) -> None:
        """Finish what is being written, then let go of the shards and the lease."""
        await asyncio.gather(*(writer.close() for writer in self._writers.values()))
        await asyncio.gather(*(one.close() for one in self._background))
        await self._core.lease.close()
        await self._core.atlas.close()
        await self._core.store.close()

    def _until(self, deadline_s: float) -> float:
        return asyncio.get_running_loop().time() + deadline_s

    def _dead(self) -> Callable[[str, int], bool]:
        """Return what says whether a row is dead to a read that begins now."""
        return partial(self._core.tombstones.dead, since_s=asyncio.get_running_loop().time())

    async def _current(self, read: Callable[[Reads], Awaitable[Answered]], until: float) -> Answered:
        """Return what was read under a map that was the shop's all the while.

        A router that slept, or that cannot reach the store, may read from a replica that others know to be behind; a
        search says so in its coverage, these answers have no place for it. Raises LeaseLost or StoreFailed.
        """
        for _ in range(READS_MAX):
            await self._core.lease.check(until)
            mark = self._core.lease.mark()
            view = self._core.atlas.view
            reads = Reads(self._asker, view.groups, view.placement.owners, self._dead(), self._core.safeguards)
            with self._core.reads.under(view.epoch):
                found = await read(reads)
            if self._core.lease.kept(mark):
                return found
        raise LeaseLost("this router lost its lease again and again while it read; ask again")

    def _writer(self, product_id: str) -> Writer:
        """Return the writer of the shard that owns a product."""
        owner = self._core.atlas.view.placement.owners[slot_of(product_id)]
        if owner not in self._writers:
            self._writers[owner] = Writer(owner, self._core, self._route)
        return self._writers[owner]

    def _route(self, job: WriteJob) -> None:
        """Give a write to the shard that owns its slot now."""
        self._writer(job.product_id).take(job)

    async def _upsert(self, product: ProductWrite, until: float) -> RouterError | None:
        try:
            check(product)
            await self._writer(product.product_id).put(product.product_id, product, product.request, until)
        except RouterError as error:
            return error
        return None

    def _new(self, name: str, uri: str, sync: Sync) -> Replica:
        """Return a replica for an address that no other has. Raises MapConflict."""
        endpoint = self._connect(name, uri)
        for places in self._core.atlas.view.map.replicas.values():
            for place in places:
                if place.uri == endpoint.uri:
                    raise MapConflict(
                        f"{endpoint.uri} is replica {place.name} already; give the address of another one"
                    )
        return Replica(endpoint, sync, self._shop)

    async def _added(self, new: Sequence[Replica], deadline_s: float, spec: ShardSpec | None) -> None:
        """Join new endpoints and write them into the map: a whole shard, or one replica where `spec` is None."""
        until = self._until(deadline_s)
        try:
            if len({one.shard.uri for one in new}) < len(new):
                raise MapConflict("the same address was given twice")
            for one in new:
                await join_new(one, until - asyncio.get_running_loop().time())
                await check_rows(self._core, one, until)
            if spec is not None:
                found = await self._core.store.add_shard(spec.name, spec.weight, [one.shard.uri for one in new])
            else:
                found = await self._core.store.add_replica(new[0].name, new[0].shard.uri)
        except BaseException:
            await close_all(new)
            raise
        for one in new:
            self._core.atlas.adopt(one)
        await self._core.lease.seen_by_all(found.epoch, until)
