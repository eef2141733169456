"""Says how a channel to a server is set up. The only place that knows gRPC's option names."""

from lookalike.errors import InvalidArgument

# What a server takes in one request or item. A larger one is refused here, by name: on a stream it would end all.
MESSAGE_BYTES_MAX = 32 * 2**20

# A server that lost power sends nothing, not even an end. Asked once a minute at most, as servers ban the impatient.
_KEEPALIVE_MS = 60_000
_KEEPALIVE_ANSWER_MS = 20_000

# gRPC waits a second before it connects again, then up to two minutes; a retry in between would fail unheard.
_RECONNECT_FIRST_MS = 100
_RECONNECT_MAX_MS = 2_000

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", _KEEPALIVE_ANSWER_MS),
    ("grpc.initial_reconnect_backoff_ms", _RECONNECT_FIRST_MS),
    ("grpc.max_reconnect_backoff_ms", _RECONNECT_MAX_MS),
    # One retry policy, ours: gRPC's own would multiply with it, and a name server could bring another.
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
    # A channel of its own for each client: closing one must not disturb another.
    ("grpc.use_local_subchannel_pool", 1),
)


def checked_address(address: str) -> str:
    """Return `address` if gRPC can use it; raise InvalidArgument for an empty one and for a web address."""
    if not address.strip() or "://" in address.replace(":///", ""):
        raise InvalidArgument(
            f"bad server address {address!r}: give HOST:PORT, for example localhost:50051", reason="INVALID_FIELD"
        )
    return address


def refuse_if_too_large(message_bytes: int) -> None:
    """Raise InvalidArgument for a request that no server would take: it would end a whole stream."""
    if message_bytes > MESSAGE_BYTES_MAX:
        raise InvalidArgument(
            f"the request has {message_bytes:,} bytes, at most {MESSAGE_BYTES_MAX:,} fit: send fewer pictures",
            reason="REQUEST_TOO_LARGE",
        )
