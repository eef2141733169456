"""Makes the replicas of a shard equal on some products, with nobody writing them meanwhile. Knows no schedule.

One operation for hints, for what a dead router left, for late writes and for repairs: list the rows on every replica
that can be reached, decide which live, copy what is missing from one that has it, delete the rest.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from lookalike_router.core import Core
from lookalike_router.decide import Mend, mends, took_effect
from lookalike_router.errors import ShardError, ShardFailed
from lookalike_router.group import Group
from lookalike_router.replica import Away, Replica
from lookalike_router.shard import Head, Row
from lookalike_router.slots import slot_of
from lookalike_router.store import Begun, Finish, Hint, Sync

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Reconciled:
    """What came of it."""

    differed: tuple[str, ...]
    """Products on which some replica was not right."""
    busy: tuple[str, ...]
    """Products that another writer holds, or that could not be decided: come again."""
    unreached: tuple[str, ...]
    """Replicas that could not be asked."""
    failed: tuple[str, ...] = ()
    """Replicas that were asked and could not be mended."""


class Reconciler:
    """Reconciles the products of one shop."""

    def __init__(self, core: Core) -> None:
        """Take the router's means."""
        self._core = core

    async def reconcile(
        self,
        group: Group,
        product_ids: Sequence[str],
        until: float,
        *,
        hints: Sequence[Hint] = (),
        change: bool = True,
    ) -> Reconciled:
        """Make the replicas equal on these products, or with `change` False only compare them.

        `hints` are those of these products that it may settle. Raises LeaseLost or StoreFailed.
        """
        if not any(one.sync is Sync.IN_SYNC and not isinstance(one.state, Away) for one in group.replicas):
            return Reconciled((), tuple(product_ids), tuple(one.name for one in group.replicas))
        begun, busy, epoch = await self._core.take(product_ids)
        if self._moved(group, begun):
            await self._core.give_back(begun, epoch)
            return await self._still_here(group, product_ids, until, hints, change)
        if not begun:
            return Reconciled((), tuple(sorted(busy)), ())
        try:
            listed, unreached = await self._list(group, [one.product_id for one in begun], until)
            undecided = not any(replica.sync is Sync.IN_SYNC and replica.name in listed for replica in group.replicas)
            if undecided:
                self._core.holds.drop(begun, epoch)
                return Reconciled((), tuple(product_ids), unreached)
            wrong = mends(listed, {one.product_id: one.deleted for one in begun if self._core.safeguards.tombstones})
            failed: dict[str, ShardError] = {}
            if change:
                failed = await self._mend(group, wrong, until)
        except BaseException:
            self._core.holds.drop(begun, epoch)
            raise
        settled = took_effect(begun, listed.values()) if self._core.safeguards.idempotency else ()
        left = Finish(begun, rechecks=_rechecks(group, begun), answers=settled)
        await self._core.holds.finish(_finish(group, left, hints, listed, wrong, failed) if change else left, epoch)
        differed = {name for mend in wrong.values() for name in mend.products}
        return Reconciled(tuple(sorted(differed)), tuple(sorted(busy)), unreached, tuple(failed))

    def _moved(self, group: Group, begun: Sequence[Begun]) -> bool:
        """Say whether another shard owns any of the products by now: none changes its owner while it is held."""
        owners = self._core.atlas.view.placement.owners
        return any(owners[slot_of(one.product_id)] != group.name for one in begun)

    async def _still_here(
        self, group: Group, product_ids: Sequence[str], until: float, hints: Sequence[Hint], change: bool
    ) -> Reconciled:
        """Reconcile those of the products that the shard still owns; the others are nothing to it."""
        owners = self._core.atlas.view.placement.owners
        here = [one for one in product_ids if owners[slot_of(one)] == group.name]
        if not here:
            return Reconciled((), (), ())
        return await self.reconcile(group, here, until, hints=hints, change=change)

    async def _list(
        self, group: Group, product_ids: Sequence[str], until: float
    ) -> tuple[dict[str, list[Head]], tuple[str, ...]]:
        """Return the rows of the products on each replica that answers, and the names of the others."""
        outcomes = await _each(group.replicas, (_heads(one, product_ids, until) for one in group.replicas))
        listed = {name: heads for name, heads in outcomes.items() if not isinstance(heads, ShardError)}
        return listed, tuple(name for name in outcomes if name not in listed)

    async def _mend(self, group: Group, wrong: Mapping[str, Mend], until: float) -> dict[str, ShardError]:
        """Write what each replica lacks and delete what it has too much; return the replicas that failed."""
        lacked = {head for mend in wrong.values() for head in mend.lacks}
        rows = await _fetch(group, wrong, lacked, until)
        todo = [one for one in group.replicas if one.name in wrong and wrong[one.name].products]
        outcomes = await _each(todo, (self._write(one, wrong[one.name], rows, until) for one in todo))
        return {name: error for name, error in outcomes.items() if error is not None}

    async def _write(self, replica: Replica, mend: Mend, rows: Mapping[Head, Row], until: float) -> None:
        if not self._core.lease.valid:
            raise ShardFailed(replica.name, "was not written to: this router's lease has ended")
        missing = [rows[head] for head in mend.lacks]
        await replica.shard.write(missing, mend.extra, until - asyncio.get_running_loop().time())


def _rechecks(group: Group, begun: Sequence[Begun]) -> list[tuple[str, str]]:
    """Return what must be looked at once more: what somebody left may still arrive on any replica."""
    return [(replica.name, one.product_id) for replica in group.replicas for one in begun if one.left]


def _finish(
    group: Group,
    left: Finish,
    hints: Sequence[Hint],
    listed: Mapping[str, Sequence[Head]],
    wrong: Mapping[str, Mend],
    failed: Mapping[str, ShardError],
) -> Finish:
    """Say what is settled, and which replicas may lack something."""
    names = {one.product_id for one in left.begun}
    right = {name for name in listed if name not in failed}
    # What spread to a replica in sync may be news to one that was not reached.
    news = {one.product_id for one in left.begun if one.left}.union(
        *(wrong[one.name].products for one in group.replicas if one.sync is Sync.IN_SYNC and one.name in wrong)
    )
    lacking = [
        (replica.name, product_id, replica.name in failed)
        for replica in group.replicas
        if replica.name not in right
        # A copy that failed may still arrive, when the product is something else again.
        for product_id in sorted(news | (wrong[replica.name].products if replica.name in failed else set()))
    ]
    settled = [hint for hint in hints if hint.replica in right and hint.product_id in names]
    return replace(left, hints=lacking, caught_up=settled)


async def _heads(replica: Replica, product_ids: Sequence[str], until: float) -> list[Head]:
    if isinstance(replica.state, Away):
        raise replica.state.error
    return await replica.shard.heads(product_ids, until - asyncio.get_running_loop().time())


async def _fetch(group: Group, wrong: Mapping[str, Mend], lacked: set[Head], until: float) -> dict[Head, Row]:
    """Return the rows that some replica lacks, each from one that has it. Raises ShardError."""
    rows: dict[Head, Row] = {}
    loop = asyncio.get_running_loop()
    for replica in group.replicas:
        mend = wrong.get(replica.name)
        ask = sorted({head.product_id for head in lacked - set(mend.lacks) if head not in rows}) if mend else []
        if ask:
            for row in await replica.shard.read(ask, until - loop.time()):
                rows.setdefault(Head(row.product_id, row.image_id, row.version), row)
    if missing := lacked - set(rows):
        raise ShardFailed(group.name, f"rows of {len(missing)} pictures went away while they were copied")
    return rows


async def _each(replicas: Iterable[Replica], asks: Iterable[Awaitable[Answer]]) -> dict[str, Answer | ShardError]:
    """Return what each replica answered, or how it failed; a failure starts its check."""
    found: dict[str, Answer | ShardError] = {}
    outcomes = await asyncio.gather(*asks, return_exceptions=True)
    for replica, outcome in zip(replicas, outcomes, strict=True):
        if isinstance(outcome, ShardError):
            replica.report(outcome)
            found[replica.name] = outcome
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            found[replica.name] = outcome
    return found
