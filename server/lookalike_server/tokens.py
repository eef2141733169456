"""Keeps photos in memory for some minutes, under names that cannot be guessed. Never writes them anywhere.

They are kept as they were sent: decoded they would take ten times the room, and decoding costs some milliseconds.
"""

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from lookalike_server.deadline import Clock
from lookalike_server.regions import Detection

# 128 bits: nobody finds another shopper's photo by trying.
TOKEN_BYTES = 16
# What the smallest photo takes: its token, its detections and their places in dictionaries.
ENTRY_BYTES = 2048


@dataclass(eq=False)
class Held:
    """A photo in memory, and what was detected in it if that was ever asked."""

    content: bytes = field(repr=False)
    detections: tuple[Detection, ...] | None = None
    used_at: float = 0.0

    @property
    def bytes_held(self) -> int:
        """Memory that it takes."""
        return len(self.content) + ENTRY_BYTES


class Tokens:
    """Photos by token, at most `bytes_max` of them; each goes `ttl_s` after its last use, or earlier for room."""

    def __init__(self, bytes_max: int, ttl_s: float, clock: Clock = time.monotonic) -> None:
        self._bytes_max = bytes_max
        self._ttl_s = ttl_s
        self._clock = clock
        self._held: OrderedDict[str, Held] = OrderedDict()  # least recently used first, so also first to expire
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def bytes_held(self) -> int:
        """Memory that the photos take."""
        return self._bytes

    def keep(self, held: Held) -> str:
        """Keep a photo and return its new token; the longest unused ones make room."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        held.used_at = self._clock()
        self._held[token] = held
        self._bytes += held.bytes_held
        while self._bytes > self._bytes_max:
            self._drop_oldest()
        self.sweep()
        return token

    def find(self, token: str) -> Held | None:
        """Return the photo behind `token` and keep it longer, or None when it is gone."""
        self.sweep()
        held = self._held.get(token)
        if held is not None:
            held.used_at = self._clock()
            self._held.move_to_end(token)
        return held

    def sweep(self) -> None:
        """Let go of photos that were not used for too long."""
        while self._held and next(iter(self._held.values())).used_at + self._ttl_s <= self._clock():
            self._drop_oldest()

    def clear(self) -> None:
        """Let go of every photo."""
        self._held.clear()
        self._bytes = 0

    def _drop_oldest(self) -> None:
        _, held = self._held.popitem(last=False)
        self._bytes -= held.bytes_held
