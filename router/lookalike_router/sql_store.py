"""The store in a SQL database: SQLite for the routers of one host, PostgreSQL for several. Knows no vectors."""

import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from sqlalchemy import delete, insert, select, update

from lookalike_router import sql_hints, sql_jobs, sql_map, sql_writes
from lookalike_router.balance import Batch
from lookalike_router.jobs import Job, JobKind, JobState, Proof, Step
from lookalike_router.placement import Placement
from lookalike_router.sql_database import Database, Transaction
from lookalike_router.sql_schema import DUTIES, FACTS, HOLDS, PROGRESS, ROUTERS
from lookalike_router.store import (
    Answer,
    Beat,
    Begun,
    Busy,
    Finish,
    Hint,
    HintCount,
    News,
    RouterLease,
    ShopMap,
    Tombstone,
)


class SqlStore:
    """The store at a SQLAlchemy URL, for example "sqlite:///lookalike-data/store.db"; see Store."""

    def __init__(self, url: str, wall_s: Callable[[], float] = time.time) -> None:
        """Take the URL; nothing is opened yet. `wall_s` is SQLite's clock; PostgreSQL has its own."""
        self._database = Database(url, wall_s)

    async def shop(self) -> str:
        """Return the shop's identity; the first call makes it."""
        return await self._database.write(_shop)

    async def claim(self, model: str, dim: int) -> tuple[str, int]:
        """Write which model makes the vectors unless that is known; return the one that stands."""
        return await self._database.write(partial(_claim, model=model, dim=dim))

    async def load(self) -> ShopMap | None:
        """Return the map; None before the first."""
        return await self._database.read(sql_map.load)

    async def found(self, placement: Placement, uris: Mapping[str, Sequence[str]]) -> ShopMap:
        """Write the first map with each shard's endpoints, in sync; if there is one already, return that."""
        return await self._database.write(partial(sql_map.found, placement=placement, uris=uris))

    async def add_shard(self, name: str, weight: float, uris: Sequence[str]) -> ShopMap:
        """Add a shard that owns no slots; raise MapConflict if its name or an address is taken."""
        return await self._database.write(partial(sql_map.add_shard, name=name, weight=weight, uris=uris))

    async def next_replica(self, shard: str) -> str:
        """Return the name that the shard's next replica will have."""
        return await self._database.read(partial(sql_map.next_replica, shard=shard))

    async def add_replica(self, name: str, uri: str) -> ShopMap:
        """Add an endpoint to a shard, FILLING; raise MapConflict if taken."""
        return await self._database.write(partial(sql_map.add_replica, name=name, uri=uri))

    async def remove_replica(self, name: str) -> ShopMap:
        """Take an endpoint out, with its hints; raise MapConflict if no other one of the shard is IN_SYNC."""
        return await self._database.write(partial(sql_map.remove_replica, name=name))

    async def move_replica(self, name: str, uri: str) -> ShopMap:
        """Write an endpoint's new address; raise MapConflict if another has it."""
        return await self._database.write(partial(sql_map.move_replica, name=name, uri=uri))

    async def mark_in_sync(self, name: str) -> bool:
        """Say that a replica has everything, unless hints say otherwise; return whether it is in sync now."""
        return await self._database.write(partial(sql_map.mark_in_sync, name=name))

    async def beat(self, router: str, lease_s: float, epoch: int, seen: int | None = None) -> Beat:
        """Renew a router's lease and say which map it works with, and which it has."""
        seen = epoch if seen is None else seen
        return await self._database.write(partial(_beat, router=router, lease_s=lease_s, epoch=epoch, seen=seen))

    async def look(self) -> Beat:
        """Return what a beat would, without renewing anything."""
        return await self._database.read(_look)

    async def leave(self, router: str) -> None:
        """Take a router out; what it still holds is left for others."""
        await self._database.write(partial(_leave, router=router))

    async def routers(self) -> list[RouterLease]:
        """Return every router that has not left."""
        return await self._database.read(_routers)

    async def begin(
        self, router: str, product_ids: Sequence[str], epoch: int, answers: Mapping[str, Answer] | None = None
    ) -> list[Begun | Busy]:
        """Take hold of products; raise LeaseLost or StaleMap."""
        return await self._database.write(
            partial(sql_writes.begin, router=router, product_ids=product_ids, epoch=epoch, given=answers or {})
        )

    async def finish(self, router: str, finish: Finish) -> int:
        """Write what a batch left and let go of its products; return the epoch. Raises LeaseLost."""
        return await self._database.write(partial(sql_writes.finish, router=router, left=finish))

    async def let_go(self, router: str, product_ids: Sequence[str]) -> None:
        """Let go of those of these products that the router holds."""
        await self._database.write(partial(sql_writes.let_go, router=router, product_ids=product_ids))

    async def unsettled(self, product_ids: Sequence[str]) -> set[str]:
        """Return those of these products that somebody holds or let go, or that are suspect."""
        return await self._database.read(partial(sql_writes.unsettled, product_ids=product_ids))

    async def orphans(self, limit: int) -> list[str]:
        """Return products that were let go, or that dead routers hold, the oldest first."""
        return await self._database.read(partial(sql_writes.orphans, limit=limit))

    async def hints(self, replica: str, limit: int) -> list[Hint]:
        """Return hints of a replica that are due, the oldest first; rechecks after all others."""
        return await self._database.read(partial(sql_hints.hints, replica=replica, limit=limit))

    async def hint_counts(self) -> Mapping[str, HintCount]:
        """Return how far each replica is behind; those with no hints are left out."""
        return await self._database.read(sql_hints.hint_counts)

    async def tombstones(self, after: int, age_s: float, limit: int) -> list[Tombstone]:
        """Return tombstones with a number above `after` and not older than `age_s`, in order."""
        return await self._database.read(partial(sql_writes.tombstones, after=after, age_s=age_s, limit=limit))

    async def news(self, epoch: int, after: int, age_s: float, limit: int) -> News:
        """Return the map if it is newer than `epoch`, and the tombstones after a number."""
        what = partial(sql_writes.news, epoch=epoch, after=after)
        return await self._database.read(partial(what, age_s=age_s, limit=limit))

    async def deaths(self, product_ids: Sequence[str]) -> Mapping[str, int]:
        """Return for each of these products that has a tombstone up to which version its rows are dead."""
        return await self._database.read(partial(sql_writes.deaths, product_ids=product_ids))

    async def answers(self, request_ids: Sequence[str]) -> Mapping[str, Answer]:
        """Return the first answers to these requests, as far as there are any (still)."""
        return await self._database.read(partial(sql_writes.answers, request_ids=request_ids))

    async def record(self, answer: Answer) -> None:
        """Keep the first answer to a request that wrote nothing."""
        await self._database.write(partial(sql_writes.record, given=[answer]))

    async def take_duty(self, duty: str, router: str, lease_s: float) -> bool:
        """Say whether this router alone does a background duty for the next `lease_s`."""
        return await self._database.write(partial(_take_duty, duty=duty, router=router, lease_s=lease_s))

    async def progress(self, duty: str) -> str:
        """Return how far a duty has come; empty before the first."""
        return await self._database.read(partial(_progress, duty=duty))

    async def set_progress(self, duty: str, text: str) -> None:
        """Write how far a duty has come."""
        await self._database.write(partial(_set_progress, duty=duty, text=text))

    async def job(self) -> Job | None:
        """Return the newest job; None before the first."""
        return await self._database.read(sql_jobs.job)

    async def start_job(
        self, kind: JobKind, moves: Sequence[tuple[Batch, int]], *, shard: str = "", rows_per_s: float = 0.0
    ) -> Job:
        """Write a job down; see JobStore.start_job."""
        work = partial(sql_jobs.start_job, kind=kind, moves=moves, shard=shard, rows_per_s=rows_per_s)
        return await self._database.write(work)

    async def steer_job(self, state: JobState | None = None, *, rows_per_s: float | None = None) -> Job:
        """Change what the active job does; raise MapConflict if there is none."""
        return await self._database.write(partial(sql_jobs.steer_job, state=state, rows_per_s=rows_per_s))

    async def set_draining(self, shard: str, draining: bool) -> None:
        """Say whether a shard is to own no slots, for plans to come."""
        await self._database.write(partial(sql_jobs.set_draining, shard=shard, draining=draining))

    async def step_move(self, router: str, number: int, step: Step) -> None:
        """Write down the step that a move takes next. Raises LeaseLost or StaleMap."""
        await self._database.write(partial(sql_jobs.step_move, router=router, number=number, step=step))

    async def pause_move(self, router: str, number: int, pause_s: float) -> int:
        """Let nobody begin to write products of a move's slots for so long; return the pause's number."""
        return await self._database.write(partial(sql_jobs.pause_move, router=router, number=number, pause_s=pause_s))

    async def held_in_move(self, number: int) -> frozenset[int]:
        """Return those of a move's slots of which somebody holds a product."""
        return await self._database.read(partial(sql_jobs.held_in_move, number=number))

    async def flip(
        self, router: str, number: int, pause: int, proof: Proof, pause_s: float, left: Collection[int] = ()
    ) -> int:
        """Give the slots to the target; see JobStore.flip."""
        move = partial(sql_jobs.flip, router=router, number=number, pause=pause, proof=proof)
        return await self._database.write(partial(move, pause_s=pause_s, left=left))

    async def release_move(self, router: str, number: int, step: Step, paused_s: float) -> None:
        """End a pause, and write down the step that follows. Raises LeaseLost or StaleMap."""
        work = partial(sql_jobs.release_move, router=router, number=number, step=step, paused_s=paused_s)
        await self._database.write(work)

    async def end_job(self, router: str, state: JobState, message: str = "") -> None:
        """Write that the job is at an end, or cannot go on. Raises LeaseLost."""
        await self._database.write(partial(sql_jobs.end_job, router=router, state=state, message=message))

    async def remove_shard(self, name: str) -> None:
        """Take a shard out with its replicas. Raises MapConflict."""
        await self._database.write(partial(sql_jobs.remove_shard, name=name))

    async def prune(self) -> None:
        """Forget what no one can need any more."""
        await self._database.write(sql_writes.prune)

    async def close(self) -> None:
        """Let go of connections."""
        await self._database.close()


def _fact(tx: Transaction, name: str) -> str | None:
    return tx.connection.execute(select(FACTS.c.value).where(FACTS.c.name == name)).scalar_one_or_none()


def _shop(tx: Transaction) -> str:
    shop = _fact(tx, "shop")
    if shop is None:
        shop = secrets.token_hex(16)
        tx.connection.execute(insert(FACTS).values(name="shop", value=shop))
    return shop


def _claim(tx: Transaction, model: str, dim: int) -> tuple[str, int]:
    standing = _fact(tx, "model")
    if standing is None:
        rows = [{"name": "model", "value": model}, {"name": "dim", "value": str(dim)}]
        tx.connection.execute(insert(FACTS), rows)
        return model, dim
    return standing, int(_fact(tx, "dim") or dim)


def _beat(tx: Transaction, router: str, lease_s: float, epoch: int, seen: int) -> Beat:
    told = {"until": tx.now + lease_s, "epoch": epoch, "seen": seen}
    if not tx.connection.execute(update(ROUTERS).where(ROUTERS.c.router == router).values(told)).rowcount:
        tx.connection.execute(insert(ROUTERS).values(router=router, **told))
    return _look(tx)


def _look(tx: Transaction) -> Beat:
    counted = sql_map.counters(tx)
    epoch, tombstone, moving = (counted.get(name, 0) for name in (sql_map.EPOCH, sql_writes.TOMBSTONE, sql_jobs.MOVING))
    return Beat(epoch, tombstone, bool(moving))


def _leave(tx: Transaction, router: str) -> None:
    tx.connection.execute(update(HOLDS).where(HOLDS.c.router == router).values(let_go=True))
    tx.connection.execute(delete(DUTIES).where(DUTIES.c.router == router))
    tx.connection.execute(delete(ROUTERS).where(ROUTERS.c.router == router))


def _routers(tx: Transaction) -> list[RouterLease]:
    rows = tx.connection.execute(select(ROUTERS).order_by(ROUTERS.c.router))
    return [RouterLease(row.router, row.until > tx.now, row.epoch, row.seen) for row in rows]


def _take_duty(tx: Transaction, duty: str, router: str, lease_s: float) -> bool:
    held = tx.connection.execute(select(DUTIES).where(DUTIES.c.duty == duty)).first()
    if held is not None and held.router != router and held.until > tx.now:
        return False
    tx.connection.execute(delete(DUTIES).where(DUTIES.c.duty == duty))
    tx.connection.execute(insert(DUTIES).values(duty=duty, router=router, until=tx.now + lease_s))
    return True


def _progress(tx: Transaction, duty: str) -> str:
    return tx.connection.execute(select(PROGRESS.c.text).where(PROGRESS.c.duty == duty)).scalar_one_or_none() or ""


def _set_progress(tx: Transaction, duty: str, text: str) -> None:
    if not tx.connection.execute(update(PROGRESS).where(PROGRESS.c.duty == duty).values(text=text)).rowcount:
        tx.connection.execute(insert(PROGRESS).values(duty=duty, text=text))
