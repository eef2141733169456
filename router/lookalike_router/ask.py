"""Asks one replica of a shard, and a second one where the first is slow or fails. Knows no rows and no merging.

A call in flight is never cancelled: that leaks memory in gRPC (grpc#43360). Who comes too late is left to end under
its own deadline, and what becomes of it is remembered, for the next choice.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from lookalike_router.choice import Budget, Choice, choose, hedge_after_s
from lookalike_router.errors import ShardError, ShardTimedOut, ShardUnreachable
from lookalike_router.group import Group
from lookalike_router.health import Flight, Health
from lookalike_router.replica import Away, InUse, Replica
from lookalike_router.shard import Shard
from lookalike_router.store import Sync

T = TypeVar("T")

# What is left for the caller's own work when the slowest replica answers at its own deadline.
MERGE_SHARE = 0.05
MERGE_MOST_S = 0.02
# A replica that has said nothing at all for so long, to anybody, is taken for paused: another one is asked, whatever
# the budget says, as this adds no load to a replica that is merely slow. Reads may take longer than searches.
SILENT_SEARCH_S = 0.5
SILENT_READ_S = 1.0
# ... or for so many times the p95, where that is longer: under load everyone is slow, and nobody paused.
SILENT_TIMES = 4
# ... and no later than this share of the time, so that enough is left for the other one.
SILENT_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Answered(Generic[T]):
    """What a shard answered, and how that came about."""

    value: T
    replica: str
    ms: float
    hedge: str
    """The replica that was asked as well because the first was slow; empty where none was."""
    retry: str
    """The replica that was asked because the first failed; empty where none was."""
    behind: bool
    """Whether the replica may lack acknowledged writes."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Why a shard gave no answer; the error names the shard."""

    error: ShardError
    ms: float
    hedge: str
    retry: str


@dataclass(frozen=True, slots=True)
class _Attempt:
    replica: Replica
    health: Health
    """The replica's when it was asked; it may have another one since."""
    flight: Flight
    behind: bool
    shadow: bool


class Asker:
    """Asks shards for one router; its hedges share one budget."""

    def __init__(self) -> None:
        """Start with a few hedges saved up."""
        self._budget = Budget()

    def begin(
        self,
        group: Group,
        call: Callable[[Shard, float], Awaitable[T]],
        until: float,
        *,
        measured: bool = False,
        exact: bool = False,
    ) -> "asyncio.Future[Answered[T] | Unanswered]":
        """Begin to ask a shard; the future has its outcome at `until`, a time of the loop, or before.

        `measured` is for searches: they tell how fast a replica is, and may be hedged. An `exact` answer never comes
        from a replica that is behind. Anything but a ShardError is a bug, and the future's exception.
        """
        asking = _Asking(self._budget, group, call, until, measured, exact)
        asking.start()
        return asking.outcome

    async def ask(
        self,
        group: Group,
        call: Callable[[Shard, float], Awaitable[T]],
        until: float,
        *,
        measured: bool = False,
        exact: bool = False,
    ) -> Answered[T]:
        """Return what a shard answers; raise ShardError, which names the shard, if it does not. See `begin`."""
        outcome = await self.begin(group, call, until, measured=measured, exact=exact)
        if isinstance(outcome, Unanswered):
            raise outcome.error
        return outcome


class _Asking(Generic[T]):
    """One question to one shard."""

    def __init__(
        self,
        budget: Budget,
        group: Group,
        call: Callable[[Shard, float], Awaitable[T]],
        until: float,
        measured: bool,
        exact: bool,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.outcome: asyncio.Future[Answered[T] | Unanswered] = self._loop.create_future()
        self._budget = budget
        self._group = group
        self._call = call
        self._began = self._loop.time()
        self._until = until
        self._measured = measured
        self._exact = exact
        self._waiting: list[Replica] = []  # to be asked next if need be, in this order
        self._running: dict[asyncio.Future[T], _Attempt] = {}
        self._hedge = self._retry = ""
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Ask the first replica."""
        if self._measured:
            self._budget.earn()
        choice = choose(self._group.replicas, self._began, exact=self._exact)
        if self._until <= self._began:
            self._give_up(ShardTimedOut(self._group.name, "no time was left to ask"))
        elif not choice.order:
            self._give_up(_nobody(self._group))
        else:
            self._ask(choice)

    def _ask(self, choice: Choice) -> None:
        first, *self._waiting = choice.order
        self._send(first)
        if self._measured and choice.shadow is not None and self._budget.spend():
            self._waiting.remove(choice.shadow)
            self._send(choice.shadow, shadow=True)
        if len(choice.order) == 1:
            self._wake(self._until, self._late)
        elif self._measured and self._waiting and self._waiting[0].sync is Sync.IN_SYNC:
            self._wake(self._began + hedge_after_s(self._group.replicas), self._slow)
        else:
            self._wake(self._silent_at(), self._silent)

    def _send(self, replica: Replica, *, shadow: bool = False) -> None:
        now = self._loop.time()
        left_s = self._until - now
        flight = replica.health.begin(now, self._measured)
        call_s = left_s - min(MERGE_MOST_S, MERGE_SHARE * left_s)
        task = asyncio.ensure_future(self._call(replica.shard, call_s))
        self._running[task] = _Attempt(replica, replica.health, flight, replica.sync is Sync.BEHIND, shadow)
        task.add_done_callback(self._ended)

    def _wake(self, at: float, step: Callable[[], None]) -> None:
        self._timer = self._loop.call_at(min(at, self._until), step)

    def _slow(self) -> None:
        """Ask a second replica, as the first takes longer than usual, if the budget allows."""
        if self._may_ask_another() and self._waiting[0].sync is Sync.IN_SYNC and self._budget.spend():
            self._hedge = self._ask_another()
        self._wake(self._silent_at(), self._silent)

    def _silent(self) -> None:
        """Ask a second replica if the first has said nothing to anybody; see to it that it is checked."""
        silent = [one for one in self._running.values() if one.health.silent_since(one.flight.at)]
        for one in silent:
            one.replica.report(ShardTimedOut(one.replica.name, "has not said anything of late"))
        if self._may_ask_another() and len(silent) == len(self._running):
            self._retry = self._ask_another()
        self._wake(self._until, self._late)

    def _late(self) -> None:
        """Leave those behind that have not answered in time."""
        late = list(self._running.values())
        self._running.clear()
        self._waiting.clear()
        for one in late:
            self._failed(one, ShardTimedOut(one.replica.name, f"did not answer in {self._until - self._began:.3f} s"))

    def _ended(self, task: "asyncio.Future[T]") -> None:
        attempt = self._running.pop(task, None)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if attempt is None:  # left behind before
            if error is not None and not isinstance(error, ShardError | asyncio.CancelledError):
                raise error
        elif error is None:
            attempt.health.answered(attempt.flight, self._loop.time())
            self._answered(attempt, task.result())
        elif isinstance(error, ShardError):
            self._failed(attempt, error)
        else:
            attempt.health.failed(attempt.flight, self._loop.time(), heard=True, blamed=False)
            self._broken(error)
        if not self._running and self._timer is not None:
            self._timer.cancel()

    def _answered(self, attempt: _Attempt, value: T) -> None:
        if not self.outcome.done():
            answer = Answered(value, attempt.replica.name, self._ms(), self._hedge, self._retry, attempt.behind)
            self.outcome.set_result(answer)

    def _failed(self, attempt: _Attempt, error: ShardError) -> None:
        now = self._loop.time()
        late = isinstance(error, ShardTimedOut)
        # A search that was given less time than searches take says nothing of the replica.
        blamed = not late or now - attempt.flight.at >= hedge_after_s(self._group.replicas)
        attempt.health.failed(attempt.flight, now, heard=not late, blamed=blamed)
        attempt.replica.report(error)
        if attempt.shadow and self._running:
            return
        if self._may_ask_another():
            self._retry = self._ask_another()
        elif not self._running and not self.outcome.done():
            named = type(error)(self._group.name, f"{attempt.replica.name} {error.reason}")
            named.__cause__ = error
            self._give_up(named)

    def _broken(self, bug: BaseException) -> None:
        if isinstance(bug, asyncio.CancelledError):
            self.outcome.cancel()  # of one that is done it changes nothing
        elif self.outcome.done():
            raise bug
        else:
            self.outcome.set_exception(bug)

    def _may_ask_another(self) -> bool:
        self._waiting = [one for one in self._waiting if isinstance(one.state, InUse)]
        return bool(self._waiting) and not self._hedge and not self._retry and not self.outcome.done()

    def _ask_another(self) -> str:
        replica = self._waiting.pop(0)
        self._send(replica)
        return replica.name

    def _silent_at(self) -> float:
        share_s = SILENT_SHARE * (self._until - self._began)
        if self._waiting and self._waiting[0].sync is Sync.BEHIND:
            return self._began + share_s  # an answer that may lack something is worth waiting longer for the other
        silent_s = SILENT_SEARCH_S if self._measured else SILENT_READ_S
        return self._began + min(share_s, max(silent_s, SILENT_TIMES * hedge_after_s(self._group.replicas)))

    def _give_up(self, error: ShardError) -> None:
        self.outcome.set_result(Unanswered(error, self._ms(), self._hedge, self._retry))

    def _ms(self) -> float:
        return (self._loop.time() - self._began) * 1000


def _nobody(group: Group) -> ShardError:
    """Return why no replica of a shard can be asked."""
    for replica in sorted(group.replicas, key=lambda one: one.sync is not Sync.IN_SYNC):
        if isinstance(replica.state, Away) and replica.sync is not Sync.FILLING:
            error = replica.state.error
            return type(error)(group.name, f"{replica.name} {error.reason}")
    return ShardUnreachable(group.name, "has no replica that holds everything; see `lookalike shards`")
