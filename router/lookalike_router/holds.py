"""Takes hold of products in the store before they are written, and lets go of them whatever happens. Knows no shard.

A product is in one hand at a time, over all routers. What cannot be let go because the store is away is kept in mind
and let go later: nothing stays held by a router that lives.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from lookalike_router.errors import RouterError, StoreFailed
from lookalike_router.store import Answer, Begun, Busy, Finish, Store
from lookalike_router.underway import Underway

# A store that did not answer may still do what it was told: a connection that was cut had its commit on the way, or the
# server was paused. For so long what was begun then is let go of again and again.
LATE_S = 30.0


class Holds:
    """The products that this router has in hand."""

    def __init__(self, store: Store, router: str, view_epoch: Callable[[], int]) -> None:
        """Take who we are, and what says which map we work with."""
        self._store = store
        self._router = router
        self._view_epoch = view_epoch
        self._in_hand: set[str] = set()
        self._dropped: set[str] = set()
        self._feared: dict[str, float] = {}
        self._underway = Underway()

    def reached(self) -> int:
        """Return the epoch up to which everything that was begun under older ones has ended."""
        return self._underway.reached(self._view_epoch())

    async def take(
        self, product_ids: Sequence[str], epoch: int, answers: Mapping[str, Answer] | None = None
    ) -> tuple[list[Begun], set[str]]:
        """Take hold of products; return those taken, and the names of those in another hand.

        Whoever takes calls `finish` or `drop` with all of them. Raises StaleMap, LeaseLost, StoreFailed.
        """
        free = [one for one in product_ids if one not in self._in_hand]
        busy = set(product_ids) - set(free)
        if not free:
            return [], busy
        self._in_hand.update(free)
        self._underway.begin(epoch)
        try:
            outcome = await self._store.begin(self._router, free, epoch, answers)
        except BaseException as error:
            self._underway.end(epoch)
            if isinstance(error, RouterError) and not isinstance(error, StoreFailed):
                self._in_hand.difference_update(free)
            else:
                self._dropped.update(free)  # nobody knows whether the store holds them for us
                self._feared.update(dict.fromkeys(free, asyncio.get_running_loop().time() + LATE_S))
            raise
        held = [one.product_id for one in outcome if isinstance(one, Busy)]
        self._in_hand.difference_update(held)
        taken = [one for one in outcome if isinstance(one, Begun)]
        if not taken:
            self._underway.end(epoch)
        return taken, busy.union(held)

    async def finish(self, finish: Finish, epoch: int) -> int:
        """Write what a batch left; return the store's epoch. Raises LeaseLost or StoreFailed: then nothing is known."""
        names = {one.product_id for one in finish.begun}
        try:
            reached = await self._store.finish(self._router, finish)
        except BaseException:
            self._dropped.update(names)
            raise
        else:
            self._in_hand.difference_update(names)
            return reached
        finally:
            self._underway.end(epoch)

    def drop(self, begun: Sequence[Begun], epoch: int) -> None:
        """Give up products whose write was not finished; they are let go when the store can be reached."""
        self._dropped.update(one.product_id for one in begun)
        self._underway.end(epoch)

    async def let_go(self) -> None:
        """Let go of what was dropped. Raises StoreFailed."""
        feared = [one for one in self._feared if one not in self._in_hand]
        names = sorted(self._dropped.union(feared))
        if not names:
            return
        self._in_hand.update(names)  # nobody begins what is being let go
        try:
            await self._store.let_go(self._router, names)
        except BaseException:
            self._in_hand.difference_update(set(feared) - self._dropped)
            raise
        self._dropped.difference_update(names)
        self._in_hand.difference_update(names)
        now = asyncio.get_running_loop().time()
        self._feared = {name: until for name, until in self._feared.items() if until > now}
