"""An event loop on which nothing waits: time jumps to the next timer. Knows no sockets, no threads and no router.

The same callbacks run in the same order every time, so that what happened once happens again. Two states in which a
real program would hang are errors here: nobody will ever be woken (Deadlock), and time stands still (Livelock).
"""

import asyncio
import math
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# Rounds of ready callbacks at one moment; the busiest schedules take some hundreds.
ROUNDS_AT_ONE_MOMENT_MAX = 100_000
# Beyond any schedule: background duties would otherwise keep a forgotten wait alive for ever.
VIRTUAL_S_MAX = 86_400.0
# Not 0: a time that is falsy, or that a subtraction makes negative, would go unnoticed.
START_S = 1_000.0


class Deadlock(RuntimeError):
    """Every task waits for another; no timer is left."""


class Livelock(RuntimeError):
    """Tasks wake each other without end while time stands still, or time runs on and nothing ends."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An asyncio loop whose clock is moved by itself alone. It has no file descriptors, and costs microseconds."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = START_S
        self._end_s = START_S + VIRTUAL_S_MAX
        self._rounds = 0
        self._selector = self  # BaseEventLoop asks it how long to sleep
        self.complaints: list[str] = []
        """What asyncio would have logged: exceptions that nobody looked at, for example."""
        self.set_exception_handler(_complain)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now_s

    def select(self, timeout: float | None) -> list[Any]:
        """Let `timeout` pass at once; there is nothing else that could happen."""
        if timeout is None:
            raise Deadlock("every task waits for another")
        if timeout > 0:
            self._now_s += timeout
            self._rounds = 0
        self._rounds += 1
        if self._rounds > ROUNDS_AT_ONE_MOMENT_MAX:
            raise Livelock(f"time stands still at {self._now_s:.3f} s")
        if self._now_s > self._end_s:
            raise Livelock(f"nothing has ended after {VIRTUAL_S_MAX:.0f} virtual seconds")
        return []

    def finish(self) -> None:
        """Cancel every task that is left, let them end, and close."""
        self._rounds, self._end_s = 0, math.inf
        try:
            self.run_until_complete(_cancel_all())
            self.run_until_complete(self.shutdown_asyncgens())
        finally:
            self.close()

    def _process_events(self, event_list: list[Any]) -> None:
        """Do nothing: there are no events but timers."""

    def _write_to_self(self) -> None:
        """Do nothing: no other thread wakes this loop."""


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run `coroutine` on a fresh loop from START_S on; whatever it left running is cancelled."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.finish()


async def _cancel_all() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left)
    for task in left:
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain of it


def _complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    assert isinstance(loop, VirtualLoop)
    error = context.get("exception")
    loop.complaints.append(f"{context['message']}: {error!r}" if error is not None else str(context["message"]))
