"""Says what can go wrong in the router, as one small tree. Knows no status codes."""


class RouterError(Exception):
    """The router could not do what was asked."""


class ShardError(RouterError):
    """A shard did not do what was asked; `shard` names it."""

    def __init__(self, shard: str, message: str) -> None:
        super().__init__(f"shard {shard}: {message}")
        self.shard = shard
        self.reason = message


class ShardTimedOut(ShardError):
    """A shard did not answer before its deadline; whether it did the work is unknown."""


class ShardUnreachable(ShardError):
    """A shard cannot be reached: its process or its network is down."""


class ShardFailed(ShardError):
    """A shard answered with an error of its own."""


class ShardRefused(ShardError):
    """A shard is not the one that the map expects at its address: other identity, metric, dimension or schema."""


class WriteRefused(RouterError):
    """A product cannot be stored as it is: too large, or a value that no shard can hold."""


class PlacementConflict(RouterError):
    """The shards told at start are not those of the stored placement map."""


class ModelConflict(RouterError):
    """The stored vectors were made by another model than the one in use."""


class StoreFailed(RouterError):
    """The store of the placement map cannot be read or written."""


class MapConflict(RouterError):
    """The map cannot be changed as asked: a name or an address is taken, or nothing would be left."""


class JobActive(RouterError):
    """A rebalance is active, and there is one at a time."""


class StaleMap(RouterError):
    """The map has changed since this router looked; it looks again and repeats."""


class LeaseLost(RouterError):
    """This router was silent for longer than its lease: others may have taken over what it was writing."""


class RequestConflict(RouterError):
    """A request id was used before with another payload."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"the request id {request_id!r} was used before with another payload; make a new one")


class Repeated(RouterError):
    """Another router answered this very request meanwhile, with `text`; nothing was written again."""

    def __init__(self, text: str) -> None:
        super().__init__("the request was answered before")
        self.text = text
