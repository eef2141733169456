"""Carries awaitable calls and streams to one server: deadlines, retries, and what is in flight. Knows no messages."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator
from contextlib import suppress
from typing import Generic, TypeVar, cast

import grpc
from google.protobuf.message import Message

from lookalike import status
from lookalike.channel import OPTIONS, checked_address, refuse_if_too_large
from lookalike.errors import ClientClosed, LookalikeError, Unavailable
from lookalike.flight import End, Flight, Pull, Send, Wait
from lookalike.limits import CALL_MIN_S
from lookalike.retry import RetryPolicy
from lookalike.stream import Answer, Broken, StreamPlan
from lookalike.types import Failed, Outcome

Item = TypeVar("Item")
Request = TypeVar("Request")
Response = TypeVar("Response")
Result = TypeVar("Result")
SentMessage = TypeVar("SentMessage", bound=Message)


# How long a stream whose items all have their outcome waits for the server to hang up too.
_FAREWELL_S = 1.0


class AioTransport:
    """One channel to one server, for one event loop."""

    def __init__(self, address: str, policy: RetryPolicy) -> None:
        self.address = checked_address(address)
        self.channel = grpc.aio.insecure_channel(self.address, options=OPTIONS)
        self.policy = policy
        self._closed = False

    async def close(self) -> None:
        """Close the channel; calls still running end with ClientClosed."""
        self._closed = True
        await self.channel.close()

    def refuse_if_closed(self) -> None:
        """Raise ClientClosed if `close` was called."""
        if self._closed:
            raise ClientClosed("this client is closed: make a new one, or keep it open for as long as you need it")

    def refuse_if_closed_under_us(self) -> None:
        """Raise ClientClosed if gRPC cancelled the call because of `close`, and nobody cancelled the task."""
        task = asyncio.current_task()
        if task is None or not task.cancelling():
            self.refuse_if_closed()

    async def call(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]", request: Request, timeout_s: float
    ) -> Response:
        """Call `method` until it answers, fails for good or `timeout_s` is over."""
        if isinstance(request, Message):
            refuse_if_too_large(request.ByteSize())
        ends_s = time.monotonic() + timeout_s
        attempts = 0
        while True:
            self.refuse_if_closed()
            attempts += 1
            try:
                return await method(request, timeout=max(CALL_MIN_S, ends_s - time.monotonic()))
            except asyncio.CancelledError:
                self.refuse_if_closed_under_us()
                raise
            except grpc.RpcError as error:
                failure = self.failure(error)
                wait_s = self.policy.wait_s(failure, attempts, ends_s - time.monotonic(), random.random())
                if wait_s is None:
                    raise failure from error
            await asyncio.sleep(wait_s)

    async def stream(
        self,
        method: "grpc.aio.StreamStreamMultiCallable[SentMessage, Response]",
        plan: StreamPlan[Item, SentMessage, Response, Result],
        items: Iterable[Item] | AsyncIterable[Item],
    ) -> AsyncGenerator[Outcome[Item, Result], None]:
        """Send `items` and yield what becomes of each, as it becomes known."""
        conversation = _Conversation(self, method, plan)
        try:
            async for outcome in conversation.run(items):
                yield outcome
            await conversation.finish()
        finally:
            conversation.abandon()

    def failure(self, error: grpc.RpcError) -> LookalikeError:
        """Return what a failed call means to the caller."""
        if self._closed:
            return ClientClosed("this client was closed during the call")
        return status.from_call(error, self.address)


class _Call(Generic[SentMessage, Response]):
    """One gRPC call of a stream, which may take several; what it hears goes to `inbox`."""

    def __init__(
        self,
        transport: AioTransport,
        method: "grpc.aio.StreamStreamMultiCallable[SentMessage, Response]",
        inbox: asyncio.Queue[Answer[Response] | Broken],
    ) -> None:
        self._transport = transport
        self._inbox = inbox
        transport.refuse_if_closed()
        self._rpc = method()
        self._listener = asyncio.create_task(self._listen(), name="lookalike-stream")

    async def send(self, request: SentMessage, timeout_s: float) -> None:
        """Send `request`, waiting while the server takes no more."""
        # A call that is over says so to the listener; a write that takes too long is found out as silence.
        try:
            async with asyncio.timeout(timeout_s):
                await self._rpc.write(request)
        except (grpc.RpcError, asyncio.InvalidStateError, TimeoutError):
            pass
        except asyncio.CancelledError:
            self._transport.refuse_if_closed_under_us()
            raise

    async def finish(self) -> None:
        """Tell the server that nothing more comes, and hear it out."""
        with suppress(grpc.RpcError, asyncio.InvalidStateError):
            await self._rpc.done_writing()
        await asyncio.wait({self._listener}, timeout=_FAREWELL_S)

    def abandon(self) -> None:
        """End the call now; harmless where it is over."""
        self._rpc.cancel()
        self._listener.cancel()

    async def _listen(self) -> None:
        try:
            while (message := await self._rpc.read()) is not grpc.aio.EOF:
                self._inbox.put_nowait(Answer(cast(Response, message)))
            error: LookalikeError = Unavailable("the server ended the stream before it had answered")
        except grpc.RpcError as failed:
            error = self._transport.failure(failed)
            error.__cause__ = failed
        except asyncio.CancelledError:  # by `abandon`, or gRPC's way to say that the channel was closed
            self._inbox.put_nowait(Broken(self, ClientClosed("this client was closed during the call")))
            raise
        self._inbox.put_nowait(Broken(self, error))


class _Conversation(Generic[Item, SentMessage, Response, Result]):
    """One stream as the caller sees it, over one or more calls."""

    def __init__(
        self,
        transport: AioTransport,
        method: "grpc.aio.StreamStreamMultiCallable[SentMessage, Response]",
        plan: StreamPlan[Item, SentMessage, Response, Result],
    ) -> None:
        self._transport = transport
        self._method = method
        self._plan = plan
        self._flight: Flight[Item, SentMessage] = Flight(transport.policy, plan.items_max, plan.silence_s)
        self._inbox: asyncio.Queue[Answer[Response] | Broken] = asyncio.Queue()
        self._call: _Call[SentMessage, Response] | None = None

    async def run(self, items: Iterable[Item] | AsyncIterable[Item]) -> AsyncGenerator[Outcome[Item, Result], None]:
        """Do what the flight says until it ends."""
        source = _numbered(items)
        while True:
            if not self._inbox.empty():  # between two items, so that a slow iterable delays no answer
                for outcome in self._outcomes(self._inbox.get_nowait()):
                    yield outcome
            match self._flight.next_step(time.monotonic()):
                case Pull():
                    failed = await self._pull(source)
                    if failed is not None:
                        yield failed
                case Send(ticket):
                    self._call = self._call or _Call(self._transport, self._method, self._inbox)
                    self._flight.sent(time.monotonic())
                    await self._call.send(ticket.request, self._plan.silence_s)
                case Wait(until_s, silence):
                    news = await self._news(until_s - time.monotonic())
                    if news is None and silence:
                        news = Broken(self._call, self._plan.silent())
                    for outcome in self._outcomes(news):
                        yield outcome
                case End():
                    return

    async def finish(self) -> None:
        """End the call as the server expects it."""
        if self._call is not None:
            await self._call.finish()

    def abandon(self) -> None:
        """End the call at once."""
        if self._call is not None:
            self._call.abandon()
            self._call = None

    async def _pull(self, source: AsyncGenerator[tuple[int, Item], None]) -> Failed[Item] | None:
        try:
            index, item = await anext(source)
        except StopAsyncIteration:
            self._flight.exhausted()
            return None
        try:
            # In a thread: it reads the item's photos.
            self._flight.pulled(await asyncio.to_thread(self._plan.ticket, index, item))
        except LookalikeError as error:
            return Failed(index, item, error)
        return None

    async def _news(self, timeout_s: float) -> Answer[Response] | Broken | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                return await self._inbox.get()
        return None

    def _outcomes(self, news: Answer[Response] | Broken | None) -> Iterator[Outcome[Item, Result]]:
        match news:
            case Answer():
                yield from self._plan.outcomes(news, self._flight, time.monotonic(), random.random())
            case Broken(call, error) if call is self._call:  # else: one that was given up before
                self.abandon()
                yield from self._flight.broke(error, time.monotonic(), random.random())


async def _numbered(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncGenerator[tuple[int, Item], None]:
    index = 0
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield index, item
            index += 1
        return
    for index, item in enumerate(items):
        yield index, item
