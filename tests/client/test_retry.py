"""When a call is tried again, for every error, every count and every roll of the dice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike import (
    ClientClosed,
    Conflict,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    LookalikeError,
    NotFound,
    Overloaded,
    PermissionDenied,
    RetryPolicy,
    Unavailable,
    Unimplemented,
)

FINAL = [
    ClientClosed,
    Conflict,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    Overloaded,  # without a time to come back
    PermissionDenied,
    Unimplemented,
]
POLICY = RetryPolicy()
attempts = st.integers(1, POLICY.attempts_max - 1)
dice = st.floats(0, 1, exclude_max=True)
seconds = st.floats(0, 1e6)


@pytest.mark.parametrize("kind", FINAL)
@given(attempts=attempts, dice=dice)
def test_what_would_fail_again_is_not_tried_again(kind: type[LookalikeError], attempts: int, dice: float) -> None:
    assert POLICY.wait_s(kind("no"), attempts, 1e9, dice) is None


@given(attempts=attempts, left_s=seconds, dice=dice)
def test_a_wait_ends_before_the_callers_time_does(attempts: int, left_s: float, dice: float) -> None:
    wait_s = POLICY.wait_s(Unavailable("away"), attempts, left_s, dice)
    assert wait_s is None or 0 <= wait_s < left_s


@given(attempts=attempts, retry_after_s=seconds, dice=dice)
def test_nobody_comes_back_before_the_server_said(attempts: int, retry_after_s: float, dice: float) -> None:
    wait_s = POLICY.wait_s(Overloaded("full", retry_after_s=retry_after_s), attempts, 1e9, dice)
    assert wait_s is not None
    assert retry_after_s <= wait_s <= retry_after_s + POLICY.backoff_max_s


@given(attempts=attempts, dice=dice)
def test_waits_grow_and_have_a_ceiling(attempts: int, dice: float) -> None:
    wait_s = POLICY.wait_s(Unavailable("away"), attempts, 1e9, dice)
    assert wait_s is not None
    assert wait_s <= min(POLICY.backoff_max_s, POLICY.backoff_first_s * 2 ** (attempts - 1))


@given(extra=st.integers(0, 10), dice=dice)
def test_tries_have_an_end(extra: int, dice: float) -> None:
    assert POLICY.wait_s(Unavailable("away"), POLICY.attempts_max + extra, 1e9, dice) is None
