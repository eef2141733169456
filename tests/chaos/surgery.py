"""What operators do to a shop, well or badly: replace a replica whose data is gone, copy rows to a shard not theirs."""

import random
import threading
import time
from collections.abc import Callable, Sequence

from lookalike import LookalikeError, ShardStatus
from lookalike.shards import ShardState, Sync
from lookalike_router.errors import ShardError
from tests.chaos.actors import Condition, LiteReplica
from tests.chaos.backdoor import Backdoor
from tests.chaos.cast import Cast
from tests.chaos.faults import Faults

CALL_S = 10.0
POLL_S = 0.3
# With nothing else broken, writes that were under way when a replica was killed end in a fraction of this, and what
# they left behind is in the store.
ENDED_S = 5.0
REPLACED_S = 120.0
STRAYS = 30


class Surgeon:
    """Works on one cast through its routers, and past them."""

    def __init__(self, cast: Cast, faults: Faults, backdoor: Backdoor) -> None:
        self._cast = cast
        self._faults = faults
        self._backdoor = backdoor
        self._replacing = {name[0]: threading.Lock() for name in cast.replicas}

    def statuses(self) -> tuple[ShardStatus, ...]:
        """Ask any router how the shards are; nothing if none answers."""
        for router in self._cast.routers.values():
            if router.condition is Condition.UP:
                try:
                    with self._cast.operator(router.name) as shop:
                        return shop.shards(timeout_s=CALL_S)
                except LookalikeError:
                    continue
        return ()

    def names(self) -> dict[str, str]:
        """Return what the shop calls the replica at each address."""
        return {one.replica.uri: one.replica.name for shard in self.statuses() for one in shard.replicas}

    def whole(self, uris: Sequence[str]) -> bool:
        """Say whether the replicas at these addresses are known, answer and lack nothing."""
        found = {one.replica.uri: one for shard in self.statuses() for one in shard.replicas}
        return all(
            uri in found
            and found[uri].replica.sync is Sync.IN_SYNC
            and found[uri].state is ShardState.HEALTHY
            and not found[uri].hints_pending
            for uri in uris
        )

    def lose(self, name: str) -> Callable[[], None] | None:
        """Delete a replica's data if every sibling has all of it; return what replaces the replica.

        Nothing else may be broken meanwhile: a write that only this replica has would be lost, and rightly so.
        """
        victim = self._cast.replicas[name]
        assert isinstance(victim, LiteReplica)
        siblings = [one.uri for other, one in self._cast.replicas.items() if other[0] == name[0] and other != name]
        before = self.names().get(victim.uri, "")
        if not before or not self.whole(siblings) or not self._replacing[name[0]].acquire(blocking=False):
            return None
        victim.kill()
        self._faults.count("kills", name)
        time.sleep(ENDED_S)
        safe = self.whole(siblings)
        if safe:
            self._cast.wipe(name)
            self._faults.count("wipes", name)
        victim.revive(self._cast.stop)
        if not safe:
            self._replacing[name[0]].release()
            return None
        return lambda: self._replace(name, before)

    def replacing(self, name: str) -> bool:
        """Say whether an operator is putting back a replica of this one's shard."""
        return self._replacing[name[0]].locked()

    def _replace(self, name: str, before: str) -> None:
        """Take a replica out and put it in again, empty; return once it has been filled."""
        uri = self._cast.replicas[name].uri
        try:
            until(lambda: self._replaced(name[0], uri, before))
            # Whatever happens to it while it is being filled, nobody else of its shard may lose its data.
            until(lambda: self.whole([uri]))
        finally:
            self._replacing[name[0]].release()

    def _replaced(self, shard: str, uri: str, before: str) -> bool:
        """Take one step of a replacement; return whether it is done."""
        routers = [one for one in self._cast.routers.values() if one.condition is Condition.UP]
        try:
            with self._cast.operator(routers[0].name) as shop:
                known = {one.uri: one.name for place in shop.topology().shards for one in place.replicas}
                if known.get(uri) == before:
                    shop.remove_replica(before, timeout_s=CALL_S)
                elif uri not in known:
                    shop.add_replica(shard, uri, timeout_s=CALL_S)
                else:
                    return True
        except (LookalikeError, IndexError):
            pass  # it is tried again
        return False

    def stray(self, products: Sequence[str], dice: random.Random) -> None:
        """Copy rows from a replica to one of another shard, past the routers."""
        names = self.names()
        source = dice.choice(list(self._cast.replicas))
        target = dice.choice([name for name in self._cast.replicas if name[0] != source[0]])
        with self._faults.held([source, target]) as actors:
            uris = [self._cast.replicas[actor.name].uri for actor in actors]
            if len(uris) < 2 or not {*uris} <= names.keys():
                return
            try:
                run = self._cast.background.run
                rows = run(self._backdoor.rows(names[uris[0]], uris[0], dice.sample(products, STRAYS)))
                run(self._backdoor.put(names[uris[1]], uris[1], rows))
            except ShardError:
                return  # it is not ready, or its disk is full
            if rows:
                self._faults.count("strays", f"{len(rows)} rows of {source} on {target}")


def until(done: Callable[[], bool]) -> None:
    """Ask again and again until it is so, or it has taken far too long."""
    end = time.monotonic() + REPLACED_S
    while not done() and time.monotonic() < end:
        time.sleep(POLL_S)
