"""Says how a refusal travels by HTTP: a status, and application/problem+json (RFC 9457) with gRPC's reason.

Knows no routes.
"""

import json
import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from starlette.responses import Response

from lookalike_server.status import number

MEDIA_TYPE = "application/problem+json"

STATUSES = {
    StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    StatusCode.FAILED_PRECONDITION: HTTPStatus.CONFLICT,
    StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
    StatusCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}
CODES = {number(code): code for code in StatusCode}


@dataclass(eq=False)  # not frozen: Python writes where it was raised into it
class Problem(Exception):
    """A request that gets no answer; `reason` is stable, `detail` is for people."""

    status: HTTPStatus
    reason: str
    detail: str
    code: str = ""
    """gRPC's name of the code, where a service refused; empty where HTTP itself did."""
    fields: tuple[tuple[str, str], ...] = ()
    """The wrong fields of the request, and what is wrong with each."""
    retry_after_s: float | None = None

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"

    def response(self, headers: dict[str, str] | None = None) -> Response:
        """Write it."""
        told: dict[str, Any] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail,
            "reason": self.reason,
        }
        if self.code:
            told["code"] = self.code
        if self.fields:
            told["fields"] = [{"field": field, "description": text} for field, text in self.fields]
        sent = {"Cache-Control": "no-store", **(headers or {})}
        if self.retry_after_s is not None:
            told["retryAfterSeconds"] = self.retry_after_s
            sent["Retry-After"] = str(math.ceil(self.retry_after_s))
        return Response(json.dumps(told, ensure_ascii=False), self.status, sent, MEDIA_TYPE)


def problem_of(status: status_pb2.Status) -> Problem:
    """Read what a gRPC caller would have been told."""
    code = CODES.get(status.code, StatusCode.INTERNAL)
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    _ = unpack(status, info), unpack(status, bad)
    retries = unpack(status, retry)
    return Problem(
        status=STATUSES.get(code, HTTPStatus.INTERNAL_SERVER_ERROR),
        reason=info.reason,
        detail=status.message,
        code=code.name,
        fields=tuple((one.field, one.description) for one in bad.field_violations),
        retry_after_s=retry.retry_delay.ToTimedelta().total_seconds() if retries else None,
    )


def unpack(status: status_pb2.Status, kind: Message) -> bool:
    """Fill `kind` from the detail of its kind, if there is one."""
    return any(packed.Unpack(kind) for packed in status.details)
