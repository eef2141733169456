import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lookalike_server.batch import Answer, Batcher, Worker
from lookalike_server.deadline import Deadline
from lookalike_server.errors import Overloaded, ShuttingDown, TooLate
from tests.server.test_deadline import Clock


class Broken(Exception):
    """What the work raises when it is told to."""


class HandWorker(Worker):
    """A worker whose batches end when the test says so."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads, "unused")
        self.running: list[tuple[Sequence[Any], asyncio.Future[None]]] = []

    async def run(self, work: Callable[[Sequence[Any]], Sequence[Any]], items: Sequence[Any]) -> Sequence[Any]:
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.running.append((items, gate))
        await gate
        return work(items)

    def finish(self, at: int = 0, error: Exception | None = None) -> Sequence[Any]:
        """Let a batch end and return its items."""
        items, gate = self.running.pop(at)
        gate.set_exception(error) if error else gate.set_result(None)
        return items


def doubled(items: Sequence[int]) -> list[int]:
    return [2 * item for item in items]


async def settle() -> None:
    """Let every task run until it waits for something outside."""
    for _ in range(20):
        await asyncio.sleep(0)


def bench(threads: int = 1, batch_max: int = 4, waiting_max: int = 8) -> tuple[HandWorker, Batcher[int, int], Clock]:
    worker, clock = HandWorker(threads), Clock()
    return worker, Batcher("work", doubled, worker, batch_max=batch_max, waiting_max=waiting_max, clock=clock), clock


async def test_a_lone_call_runs_at_once_and_alone() -> None:
    worker, batcher, _ = bench()
    call = asyncio.create_task(batcher.call([7], Deadline.never()))
    await settle()
    assert worker.finish() == [7]
    assert (await call).results == [14]


async def test_calls_that_wait_while_the_thread_is_busy_share_the_next_batch() -> None:
    worker, batcher, _ = bench()
    calls = [asyncio.create_task(batcher.call([item], Deadline.never())) for item in range(7)]
    await settle()
    sizes = []
    while worker.running:
        sizes.append(len(worker.finish()))
        await settle()
    # The first call had not begun before the others came, so the first batch is full.
    assert sizes == [4, 3]
    assert [(await call).results for call in calls] == [[2 * item] for item in range(7)]


async def test_two_batchers_of_one_worker_take_turns() -> None:
    worker, first, _ = bench()
    second = Batcher("work", doubled, worker, batch_max=4, waiting_max=8)
    calls = [asyncio.create_task(batcher.call([1, 2], Deadline.never())) for batcher in (first, second)]
    await settle()
    assert len(worker.running) == 1
    worker.finish()
    await settle()
    assert len(worker.running) == 1
    worker.finish()
    assert [(await call).results for call in calls] == [[2, 4], [2, 4]]


async def test_a_full_line_says_when_to_come_again() -> None:
    worker, batcher, clock = bench(waiting_max=4)
    first = asyncio.create_task(batcher.call([0], Deadline.never()))
    await settle()
    clock.now += 2.0
    worker.finish()
    await first
    running = asyncio.create_task(batcher.call([1], Deadline.never()))
    await settle()
    waiting = asyncio.create_task(batcher.call([2, 3, 4], Deadline.never()))
    await settle()
    with pytest.raises(Overloaded) as caught:
        await batcher.call([5, 6], Deadline.never())
    # Three wait, and one takes 0.67 s as the last batch tells: 0.7 x 0.1 s + 0.3 x 2 s.
    assert caught.value.retry_after_s == pytest.approx(3 * 0.67)
    worker.finish()
    await settle()
    worker.finish()
    await asyncio.gather(running, waiting)


async def test_what_came_too_late_never_runs() -> None:
    worker, batcher, clock = bench()
    with pytest.raises(TooLate):
        await batcher.call([0], Deadline.after(0, clock))
    running = asyncio.create_task(batcher.call([1], Deadline.never()))
    await settle()
    late = asyncio.create_task(batcher.call([2], Deadline.after(5, clock)))
    await settle()
    clock.now += 5
    worker.finish()
    with pytest.raises(TooLate, match="before the server could work"):
        await late
    await running
    assert not worker.running


async def test_a_caller_who_left_makes_room_and_is_not_served() -> None:
    worker, batcher, _ = bench(waiting_max=1)
    running = asyncio.create_task(batcher.call([1], Deadline.never()))
    await settle()
    left = asyncio.create_task(batcher.call([2], Deadline.never()))
    await settle()
    left.cancel()
    await settle()
    stayed = asyncio.create_task(batcher.call([3], Deadline.never()))
    await settle()
    worker.finish()
    await settle()
    assert worker.finish() == [3]
    await asyncio.gather(running, stayed)


async def test_a_result_too_few_is_an_error_and_not_a_mix_up() -> None:
    worker = HandWorker(1)
    batcher: Batcher[int, int] = Batcher("work", lambda items: [1], worker, batch_max=4, waiting_max=8)
    call = asyncio.create_task(batcher.call([1, 2], Deadline.never()))
    await settle()
    worker.finish()
    with pytest.raises(ValueError, match="shorter"):
        await call


async def test_waiting_and_running_are_timed_apart() -> None:
    worker, batcher, clock = bench()
    first = asyncio.create_task(batcher.call([1], Deadline.never()))
    await settle()
    second = asyncio.create_task(batcher.call([2], Deadline.never()))
    await settle()
    clock.now += 3
    worker.finish()
    await settle()
    clock.now += 4
    worker.finish()
    one, two = await first, await second
    assert (one.queue_s, one.run_s) == (0, 3)
    assert (two.queue_s, two.run_s) == (3, 4)


async def test_nothing_asked_is_answered_with_nothing() -> None:
    _, batcher, _ = bench()
    assert await batcher.call([], Deadline.never()) == Answer([], 0, 0)


async def test_real_threads_run_the_work() -> None:
    worker = Worker(2, "test")
    batcher = Batcher("work", doubled, worker, batch_max=3, waiting_max=100)
    answers = await asyncio.gather(*(batcher.call([at, at + 1], Deadline.never()) for at in range(20)))
    await batcher.close()
    worker.close()
    assert [answer.results for answer in answers] == [[2 * at, 2 * at + 2] for at in range(20)]


@dataclass
class Asked:
    """A call that the machine made, and what it knows of it."""

    items: list[int]
    deadline_at: float
    task: "asyncio.Task[Answer[int]]"
    cancelled: bool = False
    ran: list[int] = field(default_factory=list)
    broken: bool = False


class Calls(RuleBasedStateMachine):
    """Calls, batches, failures, time and cancellations in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.calls: list[Asked] = []
        self.next_item = 0

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    @initialize(threads=st.integers(1, 3), batch_max=st.integers(1, 4), waiting_max=st.integers(3, 8))
    def begin(self, threads: int, batch_max: int, waiting_max: int) -> None:
        async def build() -> None:
            self.worker, self.batcher, self.clock = bench(threads, batch_max, waiting_max)

        self.do(build())
        self.threads, self.batch_max, self.waiting_max = threads, batch_max, waiting_max

    def owner(self, item: int) -> Asked:
        return next(asked for asked in self.calls if item in asked.items)

    @rule(count=st.integers(1, 3), time_s=st.sampled_from([1.0, 5.0, 1e9]))
    def call(self, count: int, time_s: float) -> None:
        items = list(range(self.next_item, self.next_item + count))
        self.next_item += count
        deadline = Deadline.after(time_s, self.clock)
        task = self.loop.create_task(self.batcher.call(items, deadline))
        self.calls.append(Asked(items, deadline.at, task))
        self.do(settle())

    @precondition(lambda self: self.worker.running)
    @rule(data=st.data(), fails=st.booleans())
    def end_a_batch(self, data: st.DataObject, fails: bool) -> None:
        at = data.draw(st.integers(0, len(self.worker.running) - 1))
        for item in self.worker.finish(at, Broken() if fails else None):
            self.owner(item).ran.append(item)
            self.owner(item).broken |= fails
        self.do(settle())

    @rule(step_s=st.sampled_from([0.5, 2.0, 10.0]))
    def wait(self, step_s: float) -> None:
        self.clock.now += step_s

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        asked = data.draw(st.sampled_from(self.calls))
        asked.cancelled |= asked.task.cancel()
        self.do(settle())

    @invariant()
    def no_item_runs_twice(self) -> None:
        running = [item for items, _ in getattr(self, "worker", HandWorker(1)).running for item in items]
        ran = [item for asked in self.calls for item in asked.ran]
        assert len(set(ran + running)) == len(ran + running)

    @invariant()
    def batches_and_threads_and_the_line_stay_within_bounds(self) -> None:
        if hasattr(self, "worker"):
            assert len(self.worker.running) <= self.threads
            assert all(1 <= len(items) <= self.batch_max for items, _ in self.worker.running)
            assert len(self.batcher._line) <= self.waiting_max

    @invariant()
    def nobody_waits_while_a_thread_is_free(self) -> None:
        if hasattr(self, "worker") and len(self.worker.running) < self.threads:
            assert not [job for job in self.batcher._line._jobs if job.wanted]

    def teardown(self) -> None:
        if hasattr(self, "worker"):
            self.do(self.drain())
            for asked in self.calls:
                self.check_end(asked)
        self.loop.close()

    async def drain(self) -> None:
        """Close, let everything end, and see that nothing more is taken."""
        closing = asyncio.ensure_future(self.batcher.close())
        await settle()
        with pytest.raises(ShuttingDown):
            await self.batcher.call([-1], Deadline.never())
        while self.worker.running:
            for item in self.worker.finish():
                self.owner(item).ran.append(item)
            await settle()
        await closing
        self.worker.close()

    def check_end(self, asked: Asked) -> None:
        """See that every call got the answer that what happened to it makes right, and none was forgotten."""
        assert asked.task.done()
        if asked.task.cancelled():
            assert asked.cancelled
            return
        match asked.task.exception():
            case None:
                assert asked.task.result().results == doubled(asked.items)
                assert asked.ran == asked.items or sorted(asked.ran) == asked.items
            case TooLate():
                assert self.clock.now >= asked.deadline_at
            case Broken():
                assert asked.broken
            case Overloaded() as refused:
                assert not asked.ran
                assert refused.retry_after_s > 0
            case error:
                raise AssertionError from error


TestCalls = Calls.TestCase
TestCalls.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
