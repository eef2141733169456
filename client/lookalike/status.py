"""Turns a failed gRPC call, or one failed item of a stream, into this package's errors."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from lookalike.errors import (
    Conflict,
    DeadlineExceeded,
    FailedPrecondition,
    FieldViolation,
    Internal,
    InvalidArgument,
    LookalikeError,
    NotFound,
    Overloaded,
    PermissionDenied,
    RequestIdReused,
    Unavailable,
    Unimplemented,
)
from lookalike.v1 import catalog_pb2

_ERRORS: dict[int, type[LookalikeError]] = {
    code.value[0]: error
    for code, error in {
        grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
        grpc.StatusCode.OUT_OF_RANGE: InvalidArgument,
        grpc.StatusCode.NOT_FOUND: NotFound,
        grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
        grpc.StatusCode.ABORTED: Conflict,
        grpc.StatusCode.ALREADY_EXISTS: Conflict,
        grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
        grpc.StatusCode.UNAUTHENTICATED: PermissionDenied,
        grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
        grpc.StatusCode.UNAVAILABLE: Unavailable,
        grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
        grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
        # A server that stops cancels what it still holds; the client's own cancelling never comes this way.
        grpc.StatusCode.CANCELLED: Unavailable,
    }.items()
}

_REQUEST_ID_REUSED = "REQUEST_ID_REUSED"


@dataclass(frozen=True, slots=True)
class _Details:
    """What google.rpc details add to a code and a message."""

    reason: str = ""
    retry_after_s: float | None = None
    violations: tuple[FieldViolation, ...] = ()


def from_call(error: grpc.RpcError, address: str) -> LookalikeError:
    """Return what the failed call `error` to `address` means."""
    code, message, details = error.code(), error.details() or "", _details(error)
    if code is grpc.StatusCode.UNAVAILABLE and not details.reason:  # no server's word: it comes from the transport
        message = f"cannot reach {address} ({message})"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED and not details.reason:
        message = f"no answer from {address} in time: give the call a longer timeout_s, or see how the server is"
    return _error(code.value[0], message or code.name, details)


def from_item(item: catalog_pb2.ItemError) -> LookalikeError:
    """Return what the refusal of one item means."""
    details = _Details(item.reason, item.retry_delay_seconds or None, _violations(item.field_violations))
    return _error(item.code, item.message, details)


def _details(error: grpc.RpcError) -> _Details:
    try:
        status = rpc_status.from_call(error)
    except ValueError:  # a proxy changed code or message: the details are not of this error
        return _Details()
    details = _Details()
    info, retry, wrong = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), error_details_pb2.BadRequest()
    for packed in status.details if status is not None else ():
        if packed.Unpack(info):
            details = replace(details, reason=info.reason)
        elif packed.Unpack(retry):
            details = replace(details, retry_after_s=retry.retry_delay.ToTimedelta().total_seconds())
        elif packed.Unpack(wrong):
            details = replace(details, violations=_violations(wrong.field_violations))
    return details


class _Violation(Protocol):
    field: str
    description: str


def _violations(messages: Iterable[_Violation]) -> tuple[FieldViolation, ...]:
    return tuple(FieldViolation(message.field, message.description) for message in messages)


def _error(code: int, message: str, details: _Details) -> LookalikeError:
    kind = _ERRORS.get(code, Internal)
    if kind is InvalidArgument:
        wrong = RequestIdReused if details.reason == _REQUEST_ID_REUSED else InvalidArgument
        return wrong(message, reason=details.reason, field_violations=details.violations)
    if kind is Overloaded:
        return Overloaded(message, reason=details.reason, retry_after_s=details.retry_after_s)
    return kind(message, reason=details.reason)
