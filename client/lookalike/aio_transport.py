"""Carries awaitable calls and streams to one server: deadlines, retries, and what is in flight. Knows no messages.

Streams go over a blocking channel with threads of its own, as with transport.py: grpc.aio reports INTERNAL in place of
the server's status when a write meets the end of a stream (grpc#36066), and leaks when a stream is cancelled while it
reads (grpc#43360).
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

import grpc
from google.protobuf.message import Message

from lookalike import status
from lookalike.channel import OPTIONS, checked_address, refuse_if_too_large
from lookalike.errors import ClientClosed, DeadlineExceeded, LookalikeError
from lookalike.flight import End, Flight, Pull, Send, Wait
from lookalike.retry import RetryPolicy
from lookalike.stream import Answer, Broken, StreamPlan
from lookalike.stream_call import StreamCall
from lookalike.types import Failed, Outcome

Item = TypeVar("Item")
Request = TypeVar("Request")
Response = TypeVar("Response")
Result = TypeVar("Result")
SentMessage = TypeVar("SentMessage", bound=Message)


class AioTransport:
    """A channel for calls and one for streams to one server, for one event loop."""

    def __init__(self, address: str, policy: RetryPolicy) -> None:
        self.address = checked_address(address)
        self.channel = grpc.aio.insecure_channel(self.address, options=OPTIONS)
        self.stream_channel = grpc.insecure_channel(self.address, options=OPTIONS)
        self.policy = policy
        self._closed = False

    async def close(self) -> None:
        """Close the channels; calls still running end with ClientClosed."""
        self._closed = True
        self.stream_channel.close()
        await self.channel.close()

    def refuse_if_closed(self) -> None:
        """Raise ClientClosed if `close` was called."""
        if self._closed:
            raise ClientClosed("this client is closed: make a new one, or keep it open for as long as you need it")

    async def call(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        timeout_s: float,
        policy: RetryPolicy | None = None,
    ) -> Response:
        """Call `method` until it answers, fails for good or `timeout_s` is over; `policy` is the client's if absent."""
        policy = policy or self.policy
        if isinstance(request, Message):
            refuse_if_too_large(request.ByteSize())
        ends_s = time.monotonic() + timeout_s
        attempts = 0
        while True:
            self.refuse_if_closed()
            attempts += 1
            left_s = ends_s - time.monotonic()
            if left_s <= 0:  # to grpc.aio, a time of 0 is no deadline at all
                raise DeadlineExceeded("the time for the call was over before it was made")
            try:
                return await method(request, timeout=left_s)
            except asyncio.CancelledError:
                self._refuse_if_closed_under_us()
                raise
            except grpc.RpcError as error:
                failure = self.failure(error)
                wait_s = policy.wait_s(failure, attempts, ends_s - time.monotonic(), random.random())
                if wait_s is None:
                    raise failure from error
            await asyncio.sleep(wait_s)

    async def stream(
        self,
        method: "grpc.StreamStreamMultiCallable[SentMessage, Response]",
        plan: StreamPlan[Item, SentMessage, Response, Result],
        items: Iterable[Item] | AsyncIterable[Item],
    ) -> AsyncGenerator[Outcome[Item, Result], None]:
        """Send `items` and yield what becomes of each, as it becomes known."""
        conversation = _Conversation(self, method, plan)
        try:
            async for outcome in conversation.run(items):
                yield outcome
        except BaseException:
            conversation.abandon()
            raise
        conversation.finish()

    async def listen(
        self, method: "grpc.UnaryStreamMultiCallable[Request, Response]", request: Request, silence_s: float
    ) -> AsyncGenerator[Response, None]:
        """Call `method` once and yield what it says; leaving the loop ends the call."""
        self.refuse_if_closed()
        rpc = method(request)
        try:
            while True:
                async with asyncio.timeout(silence_s):
                    message = await asyncio.to_thread(next, rpc, None)
                if message is None:
                    return
                yield message
        except TimeoutError as silent:
            raise DeadlineExceeded(f"{self.address} has said nothing for {silence_s:g} s") from silent
        except grpc.RpcError as error:
            raise self.failure(error) from error
        finally:
            rpc.cancel()

    def failure(self, error: grpc.RpcError) -> LookalikeError:
        """Return what a failed call means to the caller."""
        if self._closed:
            return ClientClosed("this client was closed during the call")
        return status.from_call(error, self.address)

    def _refuse_if_closed_under_us(self) -> None:
        """Raise ClientClosed if gRPC cancelled the call because of `close`, and nobody cancelled the task."""
        task = asyncio.current_task()
        if task is None or not task.cancelling():
            self.refuse_if_closed()


class _Conversation(Generic[Item, SentMessage, Response, Result]):
    """One stream as the caller sees it, over one or more calls."""

    def __init__(
        self,
        transport: AioTransport,
        method: "grpc.StreamStreamMultiCallable[SentMessage, Response]",
        plan: StreamPlan[Item, SentMessage, Response, Result],
    ) -> None:
        self._transport = transport
        self._method = method
        self._plan = plan
        self._flight: Flight[Item, SentMessage] = Flight(transport.policy, plan.items_max, plan.silence_s)
        self._inbox: asyncio.Queue[Answer[Response] | Broken] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._call: StreamCall[SentMessage, Response] | None = None

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
                    self._transport.refuse_if_closed()
                    self._call = self._call or StreamCall(self._method, self._hear, self._transport.failure)
                    self._call.send(ticket.request)
                    self._flight.sent(time.monotonic())
                case Wait(until_s, silence):
                    news = await self._news(until_s - time.monotonic())
                    if news is None and silence:
                        news = Broken(self._call, self._plan.silent())
                    for outcome in self._outcomes(news):
                        yield outcome
                case End():
                    return

    def finish(self) -> None:
        """End the call as the server expects it."""
        if self._call is not None:
            self._call.finish()

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

    def _hear(self, news: Answer[Response] | Broken) -> None:
        """Take news from the listening thread into the event loop."""
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._inbox.put_nowait, news)

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
