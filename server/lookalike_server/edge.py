"""Stands between gRPC and the handlers: deadlines in, refusals out, a bound on what is in the house, an orderly end.

Knows no message and no service.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from grpc_status import rpc_status

from lookalike_server.deadline import Deadline
from lookalike_server.errors import Overloaded, ShuttingDown, TooLate
from lookalike_server.status import Refusal, refusal, rich_status

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Context = grpc.aio.ServicerContext[Any, Any]

# Calls at once. The models' queues are shorter; this bounds what merely waits.
CALLS_MAX = 512
# Streams at once. Each may hold one request of the largest size however full the house is, so that all of them go on.
STREAMS_MAX = 64
# Requests held in memory at once: twenty of the largest pictures, thousands of ordinary ones.
REQUEST_BYTES_MAX = 256 * 2**20
# A caller that was refused for either comes back when a picture or two have gone through the models.
RETRY_AFTER_S = 0.5


class Edge:
    """Every call passes through it; one per server."""

    def __init__(self, *, deadline_s: float, request_bytes_max: int = REQUEST_BYTES_MAX) -> None:
        """Take the time that a call has which names none, and how many bytes all requests may hold."""
        self._deadline_s = deadline_s
        self._bytes_max = request_bytes_max
        self._calls = 0
        self._streams = 0
        self._bytes = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.stopping = asyncio.Event()
        """Set once the server takes no more work."""

    @asynccontextmanager
    async def call(self, context: Context, request: Message) -> AsyncIterator[Deadline]:
        """Run a handler within its deadline; whatever it raises becomes the call's status."""
        size, begun_s = request.ByteSize(), time.perf_counter()
        try:
            self._admit(size)
            log.debug("began request=%s bytes=%d", type(request).__name__, size)
            try:
                deadline = self.deadline(context)
                async with within(deadline):
                    yield deadline
            finally:
                self._leave(size)
                log.debug("ended request=%s ms=%.1f", type(request).__name__, (time.perf_counter() - begun_s) * 1000)
        except Exception as error:  # the border: nothing may pass it untranslated
            await abort(context, refusal(error))

    @asynccontextmanager
    async def stream(self, context: Context) -> AsyncIterator[None]:
        """Run a stream's handler; it ends with the caller's deadline, and each item has one of its own."""
        try:
            if self._streams >= STREAMS_MAX:
                raise Overloaded(f"{self._streams} streams are open, which is the most; try again later", RETRY_AFTER_S)
            self._admit(0)
            self._streams += 1
            try:
                yield
            finally:
                self._streams -= 1
                self._leave(0)
        except Exception as error:  # the border: nothing may pass it untranslated
            await abort(context, refusal(error))

    async def item(
        self, context: Context, work: Callable[[Deadline], Awaitable[Result]], most_s: float | None = None
    ) -> Result | Refusal:
        """Run one item of a stream within its deadline; whatever it raises becomes its refusal."""
        try:
            deadline = Deadline.after(min(most_s or self._deadline_s, remaining_s(context, default_s=most_s)))
            async with within(deadline):
                return await work(deadline)
        except Exception as error:  # the border: a refused item never ends the stream
            return refusal(error)

    def deadline(self, context: Context) -> Deadline:
        """Return the caller's deadline, or the server's for callers that name none."""
        return Deadline.after(remaining_s(context, default_s=self._deadline_s))

    def hold(self, request: Message) -> int:
        """Count an item's bytes as held and return them; `release` gives them back."""
        size = request.ByteSize()
        self._bytes += size
        return size

    def release(self, size: int) -> None:
        """Give back what `hold` counted."""
        self._bytes -= size

    @property
    def has_room(self) -> bool:
        """Whether another item of a stream may be read."""
        return self._bytes < self._bytes_max

    async def drain(self, most_s: float) -> bool:
        """Take no more calls and wait for those that run; say whether all ended in time."""
        self.stopping.set()
        try:
            async with asyncio.timeout(most_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def _admit(self, size: int) -> None:
        if self.stopping.is_set():
            raise ShuttingDown("the server is stopping; ask again, which may reach another one")
        if self._calls >= CALLS_MAX:
            raise Overloaded(f"{self._calls} calls are running, which is the most; try again later", RETRY_AFTER_S)
        # A call that comes alone is let in whatever its size, which gRPC itself bounds.
        if self._bytes and self._bytes + size > self._bytes_max:
            raise Overloaded("too many large requests are running; try again later", RETRY_AFTER_S)
        self._calls += 1
        self._bytes += size
        self._idle.clear()

    def _leave(self, size: int) -> None:
        self._calls -= 1
        self._bytes -= size
        if not self._calls:
            self._idle.set()


@asynccontextmanager
async def within(deadline: Deadline) -> AsyncIterator[None]:
    """Raise TooLate when the deadline passes, whatever is waited for then."""
    deadline.check("begin")
    try:
        async with asyncio.timeout(deadline.remaining_s()) as limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise TooLate("answer") from error


def remaining_s(context: Context, default_s: float | None) -> float:
    """Return the seconds that the caller still waits; `default_s`, or no end, where it did not say."""
    left: float | None = context.time_remaining()
    if left is not None:
        return left
    return float("inf") if default_s is None else default_s


async def abort(context: Context, told: Refusal) -> None:
    """End the call with a refusal."""
    log.debug("refused code=%s reason=%s", told.code.name, told.reason)
    status = rpc_status.to_status(rich_status(told))
    await context.abort(status.code, status.details, status.trailing_metadata)
