"""Says how each error of the domain travels: its code, its reason, its details. One table for calls and stream items.

Knows no handlers: it turns an exception into a value, and that value into a google.rpc.Status or an ItemError.
"""

import logging
import traceback
import uuid
from dataclasses import dataclass

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from lookalike.v1 import catalog_pb2
from lookalike_router import errors as router_errors
from lookalike_server import errors
from lookalike_server.events import EventsLost

log = logging.getLogger(__name__)

DOMAIN = "lookalike"

# An error travels in one HTTP/2 header block, and clients refuse blocks over 8 KiB: base64 and the message's own
# percent-encoding included, these stay below.
MESSAGE_CHARS_MAX = 384
FIELD_CHARS_MAX = 128
DESCRIPTION_CHARS_MAX = 192
VIOLATIONS_MAX = 6


@dataclass(frozen=True)
class Rule:
    """How one kind of error travels; an error with a reason of its own keeps it."""

    code: StatusCode
    reason: str
    field: str = ""
    """The field of the request that is wrong, where the error is always about that one."""


# The first rule whose class the error is wins: the special before the general.
RULES: dict[type[BaseException], Rule] = {
    errors.BadImage: Rule(StatusCode.INVALID_ARGUMENT, "CORRUPT_IMAGE"),
    errors.BadField: Rule(StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    errors.BadFields: Rule(StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    errors.TokenExpired: Rule(StatusCode.NOT_FOUND, "IMAGE_TOKEN_EXPIRED"),
    errors.NotThere: Rule(StatusCode.NOT_FOUND, "PRODUCT_NOT_FOUND"),
    errors.Overloaded: Rule(StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
    errors.TooLate: Rule(StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    errors.TooLittleCoverage: Rule(StatusCode.UNAVAILABLE, "COVERAGE"),
    errors.ShuttingDown: Rule(StatusCode.UNAVAILABLE, "STOPPING"),
    errors.ModelMismatch: Rule(StatusCode.FAILED_PRECONDITION, "MODEL_MISMATCH"),
    errors.BadModel: Rule(StatusCode.FAILED_PRECONDITION, "BAD_MODEL"),
    EventsLost: Rule(StatusCode.UNAVAILABLE, "EVENTS_LOST"),
    errors.ReplicaRefused: Rule(StatusCode.FAILED_PRECONDITION, "REPLICA_REFUSED"),
    errors.PlanOutdated: Rule(StatusCode.ABORTED, "PLAN_OUTDATED"),
    router_errors.ShardTimedOut: Rule(StatusCode.UNAVAILABLE, "SHARD_TIMED_OUT"),
    router_errors.ShardRefused: Rule(StatusCode.UNAVAILABLE, "SHARD_REFUSED"),
    router_errors.ShardError: Rule(StatusCode.UNAVAILABLE, "SHARD_UNAVAILABLE"),
    router_errors.WriteRefused: Rule(StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    router_errors.RequestConflict: Rule(StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED", field="request_id"),
    router_errors.StoreFailed: Rule(StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"),
    router_errors.LeaseLost: Rule(StatusCode.UNAVAILABLE, "LEASE_LOST"),
    router_errors.StaleMap: Rule(StatusCode.UNAVAILABLE, "MAP_CHANGED"),
    router_errors.MapConflict: Rule(StatusCode.FAILED_PRECONDITION, "MAP_CONFLICT"),
    router_errors.JobActive: Rule(StatusCode.ABORTED, "REBALANCE_ACTIVE"),
    router_errors.ModelConflict: Rule(StatusCode.FAILED_PRECONDITION, "MODEL_MISMATCH"),
    router_errors.PlacementConflict: Rule(StatusCode.FAILED_PRECONDITION, "PLACEMENT_CONFLICT"),
}


@dataclass(frozen=True)
class Refusal:
    """What a caller is told instead of an answer."""

    code: StatusCode
    reason: str
    message: str
    violations: tuple[errors.BadField, ...] = ()
    retry_after_s: float | None = None


def refusal(error: Exception) -> Refusal:
    """Say how `error` travels; one that no rule names is a bug, is logged, and travels as INTERNAL with an id."""
    rule = next((rule for kind, rule in RULES.items() if isinstance(error, kind)), None)
    if rule is None:
        return bug(error)
    return Refusal(
        code=rule.code,
        reason=str(error.reason) if isinstance(error, errors.BadImage) else rule.reason,
        message=cut(str(error), MESSAGE_CHARS_MAX),
        violations=violations(error, rule),
        retry_after_s=error.retry_after_s if isinstance(error, errors.Overloaded) else None,
    )


def violations(error: Exception, rule: Rule) -> tuple[errors.BadField, ...]:
    """Return the fields of the request that are wrong."""
    match error:
        case errors.BadFields():
            return error.fields[:VIOLATIONS_MAX]
        case errors.BadField():
            return (error,)
    return (errors.BadField(rule.field, str(error)),) if rule.field else ()


def bug(error: Exception) -> Refusal:
    """Log where an unforeseen error came from and return its refusal; its text stays out, for it may hold payload."""
    name = uuid.uuid4().hex[:12]
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    log.error("internal error id=%s kind=%s cause=%s at %s", name, type(error).__name__, causes(error), where)
    return Refusal(StatusCode.INTERNAL, "INTERNAL", f"internal error {name}; the server's log says more under this id")


def causes(error: BaseException) -> str:
    """Name the kinds of the errors that led to `error`."""
    cause = error.__cause__ or error.__context__
    return f"{type(cause).__name__} < {causes(cause)}" if cause else "none"


def cut(text: str, chars: int) -> str:
    """Shorten text that would not fit."""
    return text if len(text) <= chars else text[: chars - 1] + "…"


def rich_status(told: Refusal) -> status_pb2.Status:
    """Write a refusal as google.rpc.Status with its details."""
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=told.reason, domain=DOMAIN)]
    if told.violations:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(
                field=cut(one.field, FIELD_CHARS_MAX), description=cut(one.description, DESCRIPTION_CHARS_MAX)
            )
            for one in told.violations
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if told.retry_after_s is not None:
        details.append(error_details_pb2.RetryInfo(retry_delay=duration(told.retry_after_s)))
    status = status_pb2.Status(code=number(told.code), message=told.message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def item_error(told: Refusal) -> catalog_pb2.ItemError:
    """Write a refusal as the outcome of one item of a stream."""
    return catalog_pb2.ItemError(
        code=number(told.code),
        message=told.message,
        reason=told.reason,
        field_violations=[
            catalog_pb2.FieldViolation(
                field=cut(one.field, FIELD_CHARS_MAX), description=cut(one.description, DESCRIPTION_CHARS_MAX)
            )
            for one in told.violations
        ],
        retry_delay_seconds=told.retry_after_s or 0.0,
    )


def number(code: grpc.StatusCode) -> int:
    """Return a code as the number that google.rpc.Status carries."""
    value: int = code.value[0]
    return value


def duration(seconds: float) -> duration_pb2.Duration:
    """Write seconds as google.protobuf.Duration."""
    whole = int(seconds)
    return duration_pb2.Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))
