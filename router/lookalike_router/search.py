"""Asks shards at once and again, until the answer is exact or time is up. Knows no map's making and no writes."""

import asyncio
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lookalike_router.answer import Missing
from lookalike_router.errors import ShardError, ShardTimedOut
from lookalike_router.filter import Filter
from lookalike_router.member import Away, Member
from lookalike_router.merge import Group, merge, unsure
from lookalike_router.shard import ROWS_MAX, Candidate

# Several pictures of one product may be near; most shops have two or three, and they share the rows with those of the
# products from other shards. One extra round costs more than these few rows.
ROWS_PER_PRODUCT = 1.25
ROWS_EXTRA = 2
# A shard that is asked again is asked for this much more, so that even a product of 32 pictures takes three rounds.
GROWTH = 4
# What is left for the merge when the slowest shard answers at its own deadline.
MERGE_SHARE = 0.05
MERGE_MOST_S = 0.02


@dataclass(frozen=True)
class Question:
    """What a search asks of every shard."""

    queries: npt.NDArray[np.float32]  # (n, 256)
    limit: int
    where: Filter | None
    score_min: float | None


@dataclass
class Asked:
    """What came of asking: by query and shard what was found, how many rows were asked, and who gave no answer."""

    found: list[dict[str, list[Candidate]]]
    rows: list[dict[str, int]]
    errors: dict[str, ShardError] = field(default_factory=dict)

    def missing(self, members: Iterable[Member]) -> tuple[Missing, ...]:
        """Return who gave no answer, or not all of it."""
        return tuple(
            member.missing(self.errors[member.shard.name]) for member in members if member.shard.name in self.errors
        )


async def search(
    members: Sequence[Member], owners: Sequence[str], question: Question, until: float
) -> tuple[list[list[Group]], tuple[Missing, ...]]:
    """Return for each query its best products, and the shards that they lack."""
    count = len(question.queries)
    asked = Asked([{} for _ in range(count)], [{} for _ in range(count)])
    rows = min(math.ceil(ROWS_PER_PRODUCT * question.limit) + ROWS_EXTRA, ROWS_MAX)
    todo: dict[str, list[int]] = {member.shard.name: list(range(count)) for member in members}
    merged: list[list[Group]] = []
    while True:
        await _ask([member for member in members if member.shard.name in todo], question, todo, rows, asked, until)
        merged = [merge(found.items(), owners, question.limit, question.score_min) for found in asked.found]
        todo = _again(asked, merged, question) if rows < ROWS_MAX else {}
        if not todo:
            return merged, asked.missing(members)
        rows = min(rows * GROWTH, ROWS_MAX)


def _again(asked: Asked, merged: Sequence[Sequence[Group]], question: Question) -> dict[str, list[int]]:
    """Return which queries each shard must be asked again, for more rows."""
    again: dict[str, list[int]] = {}
    for i, (found, rows, best) in enumerate(zip(asked.found, asked.rows, merged, strict=True)):
        for shard in unsure(found, rows, best, question.limit, question.score_min):
            if shard not in asked.errors:
                again.setdefault(shard, []).append(i)
    return again


async def _ask(
    members: Sequence[Member],
    question: Question,
    todo: Mapping[str, list[int]],
    rows: int,
    asked: Asked,
    until: float,
) -> None:
    """Ask each shard its queries, for `rows` rows each; write down what comes before the deadline."""
    left_s = until - time.monotonic()
    call_s = left_s - min(MERGE_MOST_S, MERGE_SHARE * left_s)
    tasks: dict[asyncio.Task[list[list[Candidate]]], Member] = {}
    for member in members:
        name = member.shard.name
        if isinstance(member.state, Away):
            asked.errors[name] = member.state.error
        elif left_s <= 0:
            asked.errors[name] = ShardTimedOut(name, "no time was left to ask again")
        else:
            queries = question.queries if len(todo[name]) == len(question.queries) else question.queries[todo[name]]
            task = asyncio.ensure_future(member.shard.search(queries, rows, question.where, call_s))
            task.add_done_callback(_forget)  # it may outlast its caller
            tasks[task] = member
    if not tasks:
        return
    done, late = await asyncio.wait(tasks, timeout=left_s)
    for task in late:
        # Left to end under its own deadline: cancelling a call in flight leaks memory in gRPC (grpc#43360).
        _failed(tasks[task], ShardTimedOut(tasks[task].shard.name, f"did not answer in {left_s:.3f} s"), asked)
    for task in done:
        name = tasks[task].shard.name
        error = task.exception()
        if isinstance(error, ShardError):
            _failed(tasks[task], error, asked)
            continue
        for i, found in zip(todo[name], task.result(), strict=True):  # anything but ShardError is a bug, and rises here
            asked.found[i][name] = found
            asked.rows[i][name] = rows


def _failed(member: Member, error: ShardError, asked: Asked) -> None:
    asked.errors[member.shard.name] = error
    member.report(error)


def _forget(task: asyncio.Task[list[list[Candidate]]]) -> None:
    if not task.cancelled() and not isinstance(task.exception(), ShardError):
        task.result()
