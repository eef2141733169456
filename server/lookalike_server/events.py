"""Keeps what shoppers did with what was found: one JSON line an event, in a file that only grows. Knows no wire."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lookalike_server.errors import ServerError


class EventsLost(ServerError):
    """Events could not be written; the message says where."""


@dataclass(frozen=True)
class Event:
    """One thing that a shopper did; nothing in it names the shopper."""

    kind: str
    """"view", "click" or "add_to_cart"."""
    search_id: str
    product_id: str
    position: int
    """1 for the best match."""


class Events:
    """Appends events to one file, or keeps none where there is no file."""

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._turn = asyncio.Lock()

    @property
    def kept(self) -> bool:
        """Whether events are kept."""
        return self._path is not None

    async def record(self, events: Sequence[Event]) -> int:
        """Append events and return how many were kept."""
        if self._path is None:
            return 0
        lines = "".join(line(one, self._clock()) for one in events)
        async with self._turn:
            try:
                await asyncio.to_thread(append, self._path, lines)
            except OSError as error:
                raise EventsLost(f"cannot write to the events' file ({error.strerror}); none was kept") from error
        return len(events)


def line(event: Event, at_s: float) -> str:
    """Write one event."""
    told = {
        "at": round(at_s, 3),
        "kind": event.kind,
        "search_id": event.search_id,
        "product_id": event.product_id,
        "position": event.position,
    }
    return json.dumps(told, ensure_ascii=False) + "\n"


def append(path: Path, lines: str) -> None:
    """Append whole lines to a file that may not be there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(lines)
