"""Runs a router's own work again and again, whatever fails meanwhile. Knows no work."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from lookalike_router.errors import RouterError

log = logging.getLogger(__name__)

Work = Callable[[], Coroutine[Any, Any, None]]


async def every(seconds: float, work: Work) -> None:
    """Do some work for ever, with a rest of `seconds` in between."""
    while True:
        await quietly(work)
        await asyncio.sleep(seconds)


async def quietly(work: Work) -> None:
    """Do some work that is tried again anyway: that a shard or the store is away is no news here."""
    try:
        await work()
    except RouterError as error:
        log.debug("background work waits: %s", type(error).__name__)
    except Exception:  # a bug must not end the work for good
        log.exception("background work failed")
