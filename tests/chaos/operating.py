"""Moves a shop's slots as an operator does, through whichever router answers. Breaks nothing and judges nothing."""

import time
from collections.abc import Callable
from typing import TypeVar

from lookalike import Client, LookalikeError
from lookalike_router.errors import StoreFailed
from lookalike_router.jobs import Job, JobState
from lookalike_router.sql_store import SqlStore
from tests.chaos.actors import Condition
from tests.chaos.cast import Cast

T = TypeVar("T")

CALL_S = 10.0
POLL_S = 0.1
# Until a job has ended, whatever it stopped at; and until any call was answered.
PATIENCE_S = 240.0
# A quarter of all slots moves, in about so many parts: several go on at once, and some wait.
BATCH_SLOTS = 600


class Operator:
    """Starts rebalances one after the other, and sees each through."""

    def __init__(self, cast: Cast, store: SqlStore) -> None:
        """Take the shop, and its store to read; `store` lives on the cast's background."""
        self._cast = cast
        self._store = store

    def job(self) -> Job | None:
        """Return the newest job; waits while the store is away."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._cast.background.run(self._store.job())
            except StoreFailed:
                if time.monotonic() > until:
                    raise
                time.sleep(POLL_S)

    def asked(self, work: Callable[[Client], T]) -> T:
        """Return what a router answers; asks one after the other, again and again."""
        until = time.monotonic() + PATIENCE_S
        while True:
            for router in self._cast.routers.values():
                if router.condition is not Condition.UP:
                    continue
                try:
                    with self._cast.operator(router.name) as shop:
                        return work(shop)
                except LookalikeError:
                    if time.monotonic() > until:
                        raise
            assert time.monotonic() < until, "no router answers"
            time.sleep(POLL_S)

    def begin(self, drained: str) -> Job:
        """Start a job that moves something: gives every shard its share, or empties one where all have theirs."""
        before = self.job()
        known = before.number if before is not None else 0

        def start(shop: Client) -> None:
            now = self.job()
            if now is not None and now.number > known:
                return  # started by a call whose answer was lost
            for shard in shop.topology().shards:
                if shard.draining:
                    shop.drain_shard(shard.name, undo=True, timeout_s=CALL_S)
            if shop.rebalance.start(batch_slots=BATCH_SLOTS, timeout_s=CALL_S) is None:
                shop.drain_shard(drained, batch_slots=BATCH_SLOTS, timeout_s=CALL_S)

        self.asked(start)
        job = self.job()
        assert job is not None, "the job that was started is not in the store"
        assert job.number > known, f"nothing moves: job {job.number} is still the newest"
        return job

    def cancel(self, number: int) -> None:
        """Cancel a job, if it still runs."""

        def cancel(shop: Client) -> None:
            now = self.job()
            if now is not None and now.number == number and now.state.active and now.state is not JobState.CANCELLING:
                shop.rebalance.cancel(timeout_s=CALL_S)

        self.asked(cancel)

    def follow(self, number: int) -> Job:
        """Return the job once it has ended; one that has stopped is resumed."""
        until = time.monotonic() + PATIENCE_S
        while True:
            job = self.job()
            assert job is not None
            assert job.number == number, f"job {number} is not the newest any more"
            if not job.state.active:
                return job
            assert time.monotonic() < until, f"job {number} does not end: {job.state.value}, {job.message or job.moves}"
            if job.state in (JobState.STOPPED, JobState.PAUSED):
                self.asked(self._resume)
            time.sleep(POLL_S)

    def _resume(self, shop: Client) -> None:
        now = self.job()
        if now is not None and now.state in (JobState.STOPPED, JobState.PAUSED):
            shop.rebalance.resume(timeout_s=CALL_S)

    def tidied(self) -> int:
        """Delete what lies where no one reads it; return how many such rows a look afterwards finds."""
        until = time.monotonic() + PATIENCE_S
        while True:
            self.asked(lambda shop: list(shop.rebalance.verify(repair=True)))
            found = self.asked(lambda shop: list(shop.rebalance.verify()))
            rows, silent = sum(one.rows for one in found), [one for one in found if one.message]
            if (not rows and not silent) or time.monotonic() > until:
                assert not silent, f"a replica does not answer: {silent[0]}"
                return rows
            time.sleep(POLL_S)
