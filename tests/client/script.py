"""What a test tells its server to do wrong, and what the server saw."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from lookalike.v1 import catalog_pb2


@dataclass(frozen=True)
class Refusal:
    """How one call or one item is to fail."""

    code: int
    message: str = "scripted"
    reason: str = ""
    retry_after_s: float = 0.0
    fields: tuple[str, ...] = ()

    def item(self) -> catalog_pb2.ItemError:
        return catalog_pb2.ItemError(
            code=self.code,
            message=self.message,
            reason=self.reason,
            retry_delay_seconds=self.retry_after_s,
            field_violations=[catalog_pb2.FieldViolation(field=name, description="is wrong") for name in self.fields],
        )

    def status(self) -> Any:
        details: list[Any] = []
        if self.reason:
            details.append(error_details_pb2.ErrorInfo(reason=self.reason, domain="lookalike"))
        if self.retry_after_s:
            delay = duration_pb2.Duration(nanos=round(self.retry_after_s * 1e9))
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        if self.fields:
            violation = error_details_pb2.BadRequest.FieldViolation
            fields = [violation(field=name, description="is wrong") for name in self.fields]
            details.append(error_details_pb2.BadRequest(field_violations=fields))
        packed = [any_pb2.Any() for _ in details]
        for any_, detail in zip(packed, details, strict=True):
            any_.Pack(detail)
        return rpc_status.to_status(status_pb2.Status(code=self.code, message=self.message, details=packed))


AWAY = Refusal(code_pb2.UNAVAILABLE, "the shard is away", "SHARD_UNAVAILABLE")
FULL = Refusal(code_pb2.RESOURCE_EXHAUSTED, "64 searches wait", "OVERLOADED", retry_after_s=0.001)
WRONG = Refusal(code_pb2.INVALID_ARGUMENT, "no", "INVALID_FIELD", fields=("product.title",))


@dataclass
class Script:
    """What goes wrong, in order, and what was seen."""

    calls: deque[Refusal] = field(default_factory=deque)  # the next unary calls
    items: dict[str, deque[Refusal]] = field(default_factory=dict)  # an item's next answers, by product id or photo
    breaks: deque[tuple[int, Refusal]] = field(default_factory=deque)  # the next streams: after so many items
    lost: int = 0  # so many of the next writes are done, and their answers never arrive
    lost_on_streams: deque[int] = field(
        default_factory=deque
    )  # the next streams: the answer after so many, and the rest
    gate: threading.Semaphore | None = None  # every answer on a stream takes one
    silent: bool = False  # streams are read and never answered
    hold: threading.Event | None = None  # unary calls wait for it
    requests: list[Any] = field(default_factory=list)
    seen: threading.Event = field(default_factory=threading.Event)  # set by the first item on a stream
    streams: int = 0
    streamed: list[Any] = field(default_factory=list)  # items read from streams

    @property
    def taken(self) -> int:
        return len(self.streamed)

    def meet(self, request: Any, context: grpc.ServicerContext) -> None:
        self.requests.append(request)
        if self.hold is not None:
            self.hold.wait()
        if self.calls:
            context.abort_with_status(self.calls.popleft().status())

    def lose(self, context: grpc.ServicerContext) -> None:
        """Let the answer to what was just done get lost, as where a connection breaks."""
        if self.lost:
            self.lost -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "Connection reset by peer")

    def refused(self, name: str) -> Refusal | None:
        waiting = self.items.get(name)
        return waiting.popleft() if waiting else None

    def converse(
        self, requests: Iterator[Any], context: grpc.ServicerContext, answer: Callable[[Any], Any]
    ) -> Iterator[Any]:
        self.streams += 1
        after, refusal = self.breaks.popleft() if self.breaks else (None, None)
        answers_max = self.lost_on_streams.popleft() if self.lost_on_streams else None
        for count, request in enumerate(requests):
            self.streamed.append(request)
            self.seen.set()
            if refusal is not None and count == after:
                context.abort_with_status(refusal.status())
            if self.gate is not None:
                self.gate.acquire()
            if self.silent:
                continue
            told = answer(request)
            if count == answers_max:
                context.abort(grpc.StatusCode.UNAVAILABLE, "Connection reset by peer")
            yield told
