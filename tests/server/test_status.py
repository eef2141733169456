import inspect
import logging

import grpc
import pytest
from google.rpc import error_details_pb2

from lookalike_router import errors as router_errors
from lookalike_server import errors
from lookalike_server.status import VIOLATIONS_MAX, item_error, refusal, rich_status

# What is only the base of others, or is answered and not refused.
NEVER_TRAVEL = {errors.ServerError, router_errors.RouterError, router_errors.Repeated}
# What clients refuse to receive as one header block.
HEADER_BYTES_MAX = 8 * 2**10


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for module in (errors, router_errors)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception) and kind not in NEVER_TRAVEL
    ],
)
def test_every_error_of_the_domain_has_a_rule(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    error.trouble = errors.ImageTrouble.CORRUPT_IMAGE  # type: ignore[attr-defined]  # what its own __init__ would set
    error.fields, error.retry_after_s = (), 1.0  # type: ignore[attr-defined]
    assert refusal(error).code is not grpc.StatusCode.INTERNAL


def test_a_picture_refused_keeps_its_own_reason() -> None:
    told = refusal(errors.BadImage(errors.ImageTrouble.IMAGE_TOO_LARGE, "13 MB"))
    assert (told.code, told.reason, told.message) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "IMAGE_TOO_LARGE",
        "13 MB",
    )


def test_a_request_id_used_again_names_its_field() -> None:
    told = refusal(router_errors.RequestConflict("r1"))
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    [(field, described)] = [(one.field, one.description) for one in told.violations]
    assert field == "request_id"
    assert "used before" in described


def test_details_say_reason_fields_and_when_to_try_again() -> None:
    several = errors.BadFields((errors.BadField("limit", "is 0"), errors.BadField("box", "is empty")))
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status = rich_status(refusal(several))
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(bad)
    assert (info.domain, info.reason) == ("lookalike", "INVALID_FIELD")
    assert [(one.field, one.description) for one in bad.field_violations] == [("limit", "is 0"), ("box", "is empty")]

    retry = error_details_pb2.RetryInfo()
    assert rich_status(refusal(errors.Overloaded("full", 1.5))).details[1].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 1500


def test_an_item_of_a_stream_is_told_the_same_as_a_call() -> None:
    told = refusal(errors.Overloaded("full", 1.5))
    status, item = rich_status(told), item_error(told)
    assert (item.code, item.message, item.reason, item.retry_delay_seconds) == (
        status.code,
        status.message,
        "OVERLOADED",
        1.5,
    )


def test_the_worst_request_is_told_within_a_header() -> None:
    worst = errors.BadField("filter." + "any_of." * 500, "ü" * 5000)
    status = rich_status(refusal(errors.BadFields((worst,) * 100)))
    encoded = len(status.SerializeToString()) * 4 / 3 + 3 * len(status.message.encode())
    assert len(status.details) == 2
    assert encoded < HEADER_BYTES_MAX
    assert len(refusal(errors.BadFields((worst,) * 100)).violations) == VIOLATIONS_MAX


def test_a_bug_is_logged_under_an_id_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    def buggy() -> None:
        raise ValueError("PAYLOAD")

    with pytest.raises(ValueError) as raised:
        buggy()
    with caplog.at_level(logging.ERROR):
        told = refusal(raised.value)
    name = told.message.split()[2].rstrip(";")
    assert (told.code, told.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert f"id={name}" in caplog.text
    assert "buggy" in caplog.text
    assert "PAYLOAD" not in caplog.text + told.message
