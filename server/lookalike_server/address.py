"""Reads the names and addresses of shards and replicas as people write them. Knows no settings and no messages."""

import re
from urllib.parse import urlsplit

# Placement is planned over 16,384 slots; more shards than this means slots too few to spread evenly.
SHARDS_MAX = 1024
# Every replica of a shard is asked to store every write, and one or two already outlive the loss of a machine.
REPLICAS_MAX = 16
# A weight outside is a typing error: one shard would own everything or nothing.
WEIGHT_MIN, WEIGHT_MAX = 0.01, 1000.0

SHARD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
REPLICA_NAME = re.compile(rf"{SHARD_NAME.pattern}/[1-9][0-9]{{0,8}}")


def endpoint(uri: str) -> str:
    """Return an address in the one way in which it is compared, or raise ValueError, which says nothing secret."""
    try:
        parts = urlsplit(uri.strip())
        port = parts.port
    except ValueError as error:
        raise ValueError("is no address such as http://127.0.0.1:19530") from error
    if "@" in parts.netloc:
        raise ValueError("holds credentials; give them to the server by --shard-token (LOOKALIKE_SHARD_TOKEN)")
    plain = parts.path in ("", "/") and not parts.query and not parts.fragment
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
        raise ValueError("is no address such as http://127.0.0.1:19530")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")


def without_credentials(text: str) -> str:
    """Return text to show in which whatever might be a user or a password before an "@" is hidden."""
    before, at, after = text.rpartition("@")
    if not at:
        return text
    start, slashes, _ = before.partition("//")
    return f"{start}{slashes}***@{after}" if slashes else f"***@{after}"
