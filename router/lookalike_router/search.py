"""Asks shards at once and again, until the answer is exact or time is up. Knows no map's making and no writes."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lookalike_router.answer import Explained, Missing, Trouble
from lookalike_router.ask import Answered, Asker, Unanswered
from lookalike_router.errors import ShardError, ShardFailed, ShardRefused, ShardTimedOut, ShardUnreachable
from lookalike_router.filter import Filter
from lookalike_router.group import Group
from lookalike_router.merge import Dead, Drops, Product, drops, merge, unsure
from lookalike_router.safeguards import Safeguards
from lookalike_router.shard import ROWS_MAX, Candidate, Shard

# Several pictures of one product may be near; most shops have two or three, and they share the rows with those of the
# products from other shards. One extra round costs more than these few rows.
ROWS_PER_PRODUCT = 1.25
ROWS_EXTRA = 2
# A shard that is asked again is asked for this much more, so that even a product of 32 pictures takes three rounds.
GROWTH = 4

Found = list[list[Candidate]]
"""By query, what a shard found, best first."""


@dataclass(frozen=True)
class Question:
    """What a search asks of every shard."""

    queries: npt.NDArray[np.float32]  # (n, 256)
    limit: int
    where: Filter | None
    score_min: float | None


@dataclass(frozen=True)
class Searched:
    """What came of a search: for each query its best products, and what they lack."""

    merged: list[list[Product]]
    missing: tuple[Missing, ...]
    """Shards that gave no answer, or not all of it."""
    behind: tuple[str, ...]
    """Shards that answered through a replica that may lack acknowledged writes."""
    explain: Callable[[], tuple[Explained, ...]]
    """Returns how each shard had its part in it, one for each shard asked, by name."""


@dataclass(slots=True)
class _Part:
    """How one shard came to its part, over all rounds."""

    replica: str = ""
    ms: float = 0.0
    hedge: str = ""
    retry: str = ""
    rounds: int = 0
    behind: bool = False
    error: ShardError | None = None

    def take(self, outcome: Answered[Found] | Unanswered) -> None:
        """Add one round."""
        self.rounds += 1
        self.ms += outcome.ms
        self.hedge = outcome.hedge or self.hedge
        self.retry = outcome.retry or self.retry
        if isinstance(outcome, Unanswered):
            self.error = outcome.error
        else:
            self.replica = outcome.replica
            self.behind = self.behind or outcome.behind


class _Asked:
    """What came of asking: by query and shard what was found and how many rows were asked."""

    def __init__(
        self, groups: Sequence[Group], owners: Sequence[str], question: Question, dead: Dead, safeguards: Safeguards
    ) -> None:
        queries = len(question.queries)
        self.groups = groups
        self._owners = owners
        self._question = question
        self._dead = dead
        self._safeguards = safeguards
        self.found: list[dict[str, list[Candidate]]] = [{} for _ in range(queries)]
        self.rows: list[dict[str, int]] = [{} for _ in range(queries)]
        self.parts = {group.name: _Part() for group in groups}

    def merged(self) -> list[list[Product]]:
        """Return for each query its best products so far."""
        limit, score_min = self._question.limit, self._question.score_min
        return [
            merge(found.items(), self._owners, limit, score_min, self._dead, self._safeguards) for found in self.found
        ]

    def again(self, merged: Sequence[Sequence[Product]]) -> dict[str, list[int]]:
        """Return which queries each shard must be asked again, for more rows."""
        again: dict[str, list[int]] = {}
        for i, (found, rows, best) in enumerate(zip(self.found, self.rows, merged, strict=True)):
            for shard in unsure(found, rows, best, self._question.limit, self._question.score_min):
                if self.parts[shard].error is None:
                    again.setdefault(shard, []).append(i)
        return again

    def searched(self, merged: list[list[Product]]) -> Searched:
        """Return the outcome."""
        parts = self.parts.items()
        return Searched(
            merged=merged,
            missing=tuple(
                Missing(name, trouble(part.error), part.error.reason) for name, part in parts if part.error is not None
            ),
            behind=tuple(name for name, part in parts if part.behind),
            explain=self._explain,
        )

    def _explain(self) -> tuple[Explained, ...]:
        dropped = [drops(found.items(), self._owners, self._dead, self._safeguards) for found in self.found]
        return tuple(
            self._explained(name, self.parts[name], [one[name] for one in dropped if name in one])
            for name in sorted(self.parts)
        )

    def _explained(self, name: str, part: _Part, dropped: Sequence[Drops]) -> Explained:
        return Explained(
            shard=name,
            replica=part.replica,
            ms=part.ms,
            rows=sum(len(found[name]) for found in self.found if name in found),
            not_owner=sum(one.not_owner for one in dropped),
            older=sum(one.older for one in dropped),
            same_product=sum(one.same_product for one in dropped),
            hedge=part.hedge,
            retry=part.retry,
            rounds=part.rounds,
            message=part.error.reason if part.error is not None else "",
        )


async def search(
    asker: Asker,
    groups: Sequence[Group],
    owners: Sequence[str],
    question: Question,
    until: float,
    dead: Dead,
    safeguards: Safeguards,
) -> Searched:
    """Return for each query its best products, and the shards that they lack; `until` is a time of the loop."""
    asked = _Asked(groups, owners, question, dead, safeguards)
    rows = min(math.ceil(ROWS_PER_PRODUCT * question.limit) + ROWS_EXTRA, ROWS_MAX)
    todo: dict[str, list[int]] = {group.name: list(range(len(question.queries))) for group in groups}
    while True:
        await _ask(asker, asked, question, todo, rows, until)
        merged = asked.merged()
        todo = asked.again(merged) if rows < ROWS_MAX else {}
        if not todo:
            return asked.searched(merged)
        rows = min(rows * GROWTH, ROWS_MAX)


async def _ask(
    asker: Asker, asked: _Asked, question: Question, todo: Mapping[str, list[int]], rows: int, until: float
) -> None:
    """Ask each shard its queries, for `rows` rows each; write down what comes before the deadline.

    A shard's answer takes the place of the one before as a whole: it may come from another of its replicas.
    """
    outcomes: dict[str, asyncio.Future[Answered[Found] | Unanswered]] = {}
    for group in asked.groups:
        if group.name not in todo:
            continue
        of = todo[group.name]
        queries = question.queries if len(of) == len(question.queries) else question.queries[of]
        call = _calling(queries, rows, question.where)
        outcomes[group.name] = asker.begin(group, call, until, measured=True)
    if outcomes:
        await asyncio.wait(outcomes.values())  # each ends by itself, at `until` at the latest
    for name, future in outcomes.items():
        outcome = future.result()  # an exception is a bug, and rises here
        asked.parts[name].take(outcome)
        if isinstance(outcome, Answered):
            for i, found in zip(todo[name], outcome.value, strict=True):
                asked.found[i][name] = found
                asked.rows[i][name] = rows


def _calling(
    queries: npt.NDArray[np.float32], rows: int, where: Filter | None
) -> Callable[[Shard, float], Awaitable[Found]]:
    return lambda shard, deadline_s: shard.search(queries, rows, where, deadline_s)


TROUBLES: dict[type[ShardError], Trouble] = {
    ShardTimedOut: Trouble.TIMED_OUT,
    ShardUnreachable: Trouble.UNREACHABLE,
    ShardFailed: Trouble.FAILED,
    ShardRefused: Trouble.REFUSED,
}


def trouble(error: ShardError) -> Trouble:
    """Return what kind of trouble an error is."""
    return TROUBLES.get(type(error), Trouble.FAILED)
