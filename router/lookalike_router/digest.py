"""Sums the keys of rows per slot, so that two endpoints can be compared without listing them. Knows no shard."""

from collections.abc import Iterable

from lookalike_router.shard import Digest

# Sums of 128-bit keys wrap around here: they do not depend on the order, and stay small.
HASHES = 2**128


def digests(keys: Iterable[tuple[int, str]]) -> dict[int, Digest]:
    """Return the digest of each slot, of rows as (slot, columns.key_of)."""
    found: dict[int, list[int]] = {}
    for slot, key in keys:
        found.setdefault(slot, []).append(int(key, 16))
    return {slot: Digest(len(hashes), sum(hashes) % HASHES) for slot, hashes in found.items()}
