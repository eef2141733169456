"""Says what can go wrong in the server, as one small tree. Knows no status codes and no wire."""

from enum import Enum


class ServerError(Exception):
    """The server could not do what was asked."""


class ImageTrouble(Enum):
    """Why a picture was refused; the name is the stable reason that programs read."""

    UNSUPPORTED_FORMAT = "UNSUPPORTED_FORMAT"
    CORRUPT_IMAGE = "CORRUPT_IMAGE"
    IMAGE_TOO_LARGE = "IMAGE_TOO_LARGE"
    IMAGE_TOO_SMALL = "IMAGE_TOO_SMALL"


class BadImage(ServerError):
    """The bytes are no picture that the server can use; `trouble` says why."""

    def __init__(self, trouble: ImageTrouble, message: str) -> None:
        super().__init__(message)
        self.trouble = trouble

    @property
    def reason(self) -> str:
        """The stable reason, for programs."""
        return self.trouble.value


class Overloaded(ServerError):
    """Too much waits already; try again after `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ShuttingDown(ServerError):
    """The server is stopping and takes no more work."""


class TooLate(ServerError):
    """The deadline passed before `stage` began; the stage did not run."""

    def __init__(self, stage: str) -> None:
        super().__init__(f"the deadline passed before the server could {stage}; allow more time or try again later")
        self.stage = stage


class TokenExpired(ServerError):
    """The picture behind an image token is no longer in memory."""

    def __init__(self) -> None:
        super().__init__("this image_token has expired or belongs to another server; send the picture again")


class BadField(ServerError):
    """A field of the request is wrong: `field` is its path, `description` what is wrong with it."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}")
        self.field = field
        self.description = description


class BadFields(ServerError):
    """Several fields of the request are wrong."""

    def __init__(self, fields: tuple[BadField, ...]) -> None:
        super().__init__("; ".join(str(one) for one in fields))
        self.fields = fields


class NotThere(ServerError):
    """The shop has no product of this id."""

    def __init__(self, product_id: str) -> None:
        super().__init__(f"there is no product {product_id!r}")
        self.product_id = product_id


class ReplicaRefused(ServerError):
    """An endpoint cannot become a replica as it is; the message says why and what to do."""


class PlanOutdated(ServerError):
    """The map changed between the planning of a rebalance and its start; nothing was started."""


class TooLittleCoverage(ServerError):
    """Fewer of the shop's slots answered than the caller asked for."""

    def __init__(self, wanted: float, got: float, unreachable: tuple[str, ...]) -> None:
        names = ", ".join(unreachable) or "none named"
        super().__init__(f"only {got:.0%} of the shop answered, {wanted:.0%} were asked for; missing shards: {names}")
        self.wanted = wanted
        self.got = got
        self.unreachable = unreachable


class ModelMismatch(ServerError):
    """A vector was made by another model than the server's."""

    def __init__(self, given: str, served: str) -> None:
        super().__init__(f"the vector was made by {given!r}, this server uses {served!r}; embed the picture again")
        self.given = given
        self.served = served


class BadModel(ServerError):
    """A model file cannot be used; the message says what is wrong with it."""
