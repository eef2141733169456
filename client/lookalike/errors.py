"""What can go wrong, as one small tree of exceptions. Knows nothing of gRPC."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One wrong field of a request: where it is, and what is wrong with it."""

    field: str
    description: str


class LookalikeError(Exception):
    """Anything that this package raises; `reason` is the stable name for programs, the message is for people.

    >>> try:
    ...     raise NotFound("no product 'mug-1'", reason="PRODUCT_NOT_FOUND")
    ... except LookalikeError as error:
    ...     print(error.reason)
    PRODUCT_NOT_FOUND
    """

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason

    @property
    def message(self) -> str:
        """Return what happened and what to do."""
        return str(self)


class InvalidArgument(LookalikeError):
    """The request is wrong; sending it again would fail again. `field_violations` says where."""

    def __init__(self, message: str, *, reason: str = "", field_violations: tuple[FieldViolation, ...] = ()) -> None:
        super().__init__(message, reason=reason)
        self.field_violations = field_violations


class RequestIdReused(InvalidArgument):
    """The `request_id` names another write, which was sent before: give every write a name of its own."""


class NotFound(LookalikeError):
    """There is no such product, or the image token has expired."""


class FailedPrecondition(LookalikeError):
    """The shop is in a state that forbids this: another model filled it, or a replica's address is taken."""


class Conflict(LookalikeError):
    """Something else changes the same thing: a rebalance is active already, or the map has just changed."""


class PermissionDenied(LookalikeError):
    """The server does not let this caller do this."""


class Unimplemented(LookalikeError):
    """The server does not know this call: it is older than this client, or no Lookalike server."""


class Overloaded(LookalikeError):
    """The server takes no more for now; `retry_after_s` says when it may, where the server knows."""

    def __init__(self, message: str, *, reason: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, reason=reason)
        self.retry_after_s = retry_after_s


class Unavailable(LookalikeError):
    """The server, or the shards that the call needs, cannot be reached.

    A write that ends so may or may not be stored. Sent again under its own `request_id`, it takes effect once.
    """


class DeadlineExceeded(LookalikeError):
    """There was no answer in time. A write that ends so may or may not be stored."""


class Internal(LookalikeError):
    """The server failed in a way that it did not foresee."""


class ClientClosed(LookalikeError):
    """The client was closed before or during the call."""
