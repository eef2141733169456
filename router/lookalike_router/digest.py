"""Sums the keys of rows per slot, so that two endpoints can be compared without listing them. Knows no shard."""

from collections.abc import Iterable

from lookalike_router.columns import key_of
from lookalike_router.shard import Digest, Head

# Sums of 128-bit keys wrap around here: they do not depend on the order, and stay small.
HASHES = 2**128


def order_free(heads: Iterable[Head]) -> str:
    """Return a hash of rows that does not depend on their order, 32 hex digits."""
    keys = (int(key_of(head.product_id, head.image_id, head.version), 16) for head in heads)
    return f"{sum(keys) % HASHES:032x}"


def digests(keys: Iterable[tuple[int, str]]) -> dict[int, Digest]:
    """Return the digest of each slot, of rows as (slot, columns.key_of)."""
    found: dict[int, list[int]] = {}
    for slot, key in keys:
        found.setdefault(slot, []).append(int(key, 16))
    return {slot: Digest(len(hashes), sum(hashes) % HASHES) for slot, hashes in found.items()}
