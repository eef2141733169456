"""Carries blocking calls and streams to one server: deadlines, retries, and what is in flight. Knows no messages.

The caller's iterable runs in the caller's thread: it need not be thread-safe, and what it raises reaches the caller.
"""

import random
import time
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
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


class Transport:
    """One channel to one server, for any number of threads."""

    def __init__(self, address: str, policy: RetryPolicy) -> None:
        self.address = checked_address(address)
        self.channel = grpc.insecure_channel(self.address, options=OPTIONS)
        self.policy = policy
        self._closed = False

    def close(self) -> None:
        """Close the channel; calls still running end with ClientClosed."""
        self._closed = True
        self.channel.close()

    def refuse_if_closed(self) -> None:
        """Raise ClientClosed if `close` was called."""
        if self._closed:
            raise ClientClosed("this client is closed: make a new one, or keep it open for as long as you need it")

    def call(
        self,
        method: "grpc.UnaryUnaryMultiCallable[Request, Response]",
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
                return method(request, timeout=left_s)
            except grpc.RpcError as error:
                failure = self.failure(error)
                wait_s = policy.wait_s(failure, attempts, ends_s - time.monotonic(), random.random())
                if wait_s is None:
                    raise failure from error
            time.sleep(wait_s)

    def stream(
        self,
        method: "grpc.StreamStreamMultiCallable[SentMessage, Response]",
        plan: StreamPlan[Item, SentMessage, Response, Result],
        items: Iterable[Item],
    ) -> Generator[Outcome[Item, Result], None, None]:
        """Send `items` and yield what becomes of each, as it becomes known."""
        conversation = _Conversation(self, method, plan)
        try:
            yield from conversation.run(items)
        except BaseException:
            conversation.abandon()
            raise
        conversation.finish()

    def listen(
        self, method: "grpc.UnaryStreamMultiCallable[Request, Response]", request: Request, silence_s: float
    ) -> Generator[Response, None, None]:
        """Call `method` once and yield what it says; leaving the loop ends the call."""
        self.refuse_if_closed()
        rpc = method(request)
        # In a thread of its own: gRPC's iterator knows no time after which nothing has come.
        with ThreadPoolExecutor(1, "lookalike-listen") as thread:
            try:
                while (message := thread.submit(next, rpc, None).result(silence_s)) is not None:
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


class _Conversation(Generic[Item, SentMessage, Response, Result]):
    """One stream as the caller sees it, over one or more calls."""

    def __init__(
        self,
        transport: Transport,
        method: "grpc.StreamStreamMultiCallable[SentMessage, Response]",
        plan: StreamPlan[Item, SentMessage, Response, Result],
    ) -> None:
        self._transport = transport
        self._method = method
        self._plan = plan
        self._flight: Flight[Item, SentMessage] = Flight(transport.policy, plan.items_max, plan.silence_s)
        self._inbox: SimpleQueue[Answer[Response] | Broken] = SimpleQueue()
        self._call: StreamCall[SentMessage, Response] | None = None

    def run(self, items: Iterable[Item]) -> Generator[Outcome[Item, Result], None, None]:
        """Do what the flight says until it ends."""
        source = enumerate(items)
        while True:
            yield from self._hear(0.0)  # between two items, so that a slow iterable delays no answer
            match self._flight.next_step(time.monotonic()):
                case Pull():
                    yield from self._pull(source)
                case Send(ticket):
                    self._transport.refuse_if_closed()
                    self._call = self._call or StreamCall(self._method, self._inbox.put, self._transport.failure)
                    self._call.send(ticket.request)
                    self._flight.sent(time.monotonic())
                case Wait(until_s, silence):
                    heard = yield from self._hear(until_s - time.monotonic())
                    if silence and not heard and time.monotonic() >= until_s:
                        yield from self._broke(self._plan.silent())
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

    def _pull(self, source: "enumerate[Item]") -> Generator[Outcome[Item, Result], None, None]:
        try:
            index, item = next(source)
        except StopIteration:
            return self._flight.exhausted()
        try:
            self._flight.pulled(self._plan.ticket(index, item))
        except LookalikeError as error:
            yield Failed(index, item, error)

    def _hear(self, timeout_s: float) -> Generator[Outcome[Item, Result], None, bool]:
        """Yield what one piece of news brings; return whether there was any."""
        try:
            news = self._inbox.get(timeout=timeout_s) if timeout_s > 0 else self._inbox.get_nowait()
        except Empty:
            return False
        match news:
            case Answer():
                yield from self._plan.outcomes(news, self._flight, time.monotonic(), random.random())
            case Broken(call, error) if call is self._call:  # else: one that was given up before
                yield from self._broke(error)
        return True

    def _broke(self, error: LookalikeError) -> Generator[Outcome[Item, Result], None, None]:
        self.abandon()
        self._call = None
        yield from self._flight.broke(error, time.monotonic(), random.random())
