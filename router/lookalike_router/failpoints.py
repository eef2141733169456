"""Names the moments of a rebalance at which tests let processes die. Does nothing by itself."""

from collections.abc import Awaitable, Callable

Failpoint = Callable[[str], Awaitable[None]]
"""Is told the name of the moment."""

NAMES = ("copy", "catch_up", "pause", "prove", "flip", "seen", "clean", "undo")
"""In the order of a move: each is reached once its step is written down, and before anything of it is done."""


async def nothing(name: str) -> None:
    """Let a moment pass."""
