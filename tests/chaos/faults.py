"""Breaks the cast, one method for each kind of fault, and heals what it broke. Does not decide what breaks when.

Each method returns once the fault is over. It does nothing where its target is in another fault's hands, and counts
only what is proved to have happened.
"""

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock

from tests.chaos.actors import Actor, Condition, LiteReplica
from tests.chaos.cast import Cast
from tests.chaos.history import Fault, Recorder, Trespass
from tests.chaos.tcp_proxy import Link
from tests.parts.postgres import Postgres

SLOW_S = 0.7
SQLITE = "sqlite:///"


class Faults:
    """What can be done to a cast."""

    def __init__(self, cast: Cast, recorder: Recorder, stop: threading.Event) -> None:
        """Take where to note each fault, and what ends every fault early."""
        self.cast = cast
        self.counts: Counter[str] = Counter()
        self.actors: dict[str, Actor] = {**cast.replicas, **cast.routers}
        self._recorder = recorder
        self._stop = stop
        self._wires = {link.name: Lock() for link in cast.links()}
        self._disk, self._store = Lock(), Lock()
        self._counting = Lock()

    def count(self, kind: str, target: str) -> None:
        """Count one fault that happened."""
        with self._counting:
            self.counts[kind] += 1
        self._recorder.add(Fault(self._recorder.now_s(), kind, target))

    @contextmanager
    def held(self, names: Sequence[str], *, down: bool = False) -> Iterator[list[Actor]]:
        """Keep other faults away from these actors; yield those that were free and, unless `down`, are up."""
        free = [actor for name in names if (actor := self.actors[name]).busy.acquire(blocking=False)]
        try:
            yield [actor for actor in free if down or actor.condition is Condition.UP]
        finally:
            for actor in free:
                actor.busy.release()

    def kill(self, names: Sequence[str], down_s: float) -> None:
        """Kill processes at the same moment, and start them again after a while."""
        with self.held(names) as actors:
            for actor in actors:
                actor.kill()
                self.count("kills", actor.name)
            if actors:
                self._stop.wait(down_s)
            threads = [self.cast.pool.submit(actor.revive, self.cast.stop) for actor in actors[1:]]
            for actor in actors[:1]:
                actor.revive(self.cast.stop)
            for thread in threads:
                thread.result()

    def pause(self, names: Sequence[str], for_s: float) -> None:
        """Stop processes for a while."""
        with self.held(names) as actors:
            paused = [actor for actor in actors if actor.pause()]
            for actor in paused:
                self.count("pauses", actor.name)
            if paused:
                self._stop.wait(for_s)
            for actor in paused:
                actor.resume()

    def ended(self, name: str) -> bool:
        """Say whether a process that no fault has in hand is down: it ended by itself."""
        with self.held([name], down=True) as actors:
            return any(actor.condition is Condition.DOWN or actor.ended() for actor in actors)

    def supervise(self, name: str) -> None:
        """Start a process again that has ended by itself, as one may whose disk is full."""
        with self.held([name], down=True) as actors:
            for actor in actors:
                if actor.condition is Condition.DOWN:
                    self.count("ended_alone", name)
                    actor.revive(self.cast.stop)

    def part(self, links: Sequence[Link], for_s: float, *, lossy: bool) -> None:
        """Part routers from replicas; what is sent meanwhile is lost, or else comes late."""
        self._on_wires("partitions", links, for_s, Link.cut if lossy else Link.hold, stopped_bytes)

    def slow(self, links: Sequence[Link], for_s: float) -> None:
        """Make links slow for a while."""
        self._on_wires("slow", links, for_s, lambda link: link.slow(SLOW_S), lambda link: link.counts.bytes_delayed)

    def reset(self, links: Sequence[Link]) -> None:
        """Reset the connections of links."""
        self._on_wires("resets", links, 0, Link.reset, lambda link: link.counts.resets)

    def half_close(self, links: Sequence[Link], for_s: float) -> None:
        """Close one way of the connections of links; after a while they end altogether."""
        self._on_wires("half_closes", links, for_s, Link.half_close, lambda link: link.counts.half_closed)

    def _on_wires(
        self,
        kind: str,
        links: Sequence[Link],
        for_s: float,
        do: Callable[[Link], None],
        effect: Callable[[Link], int],
    ) -> None:
        """Do something to links that no other fault has, and heal them; count it once where it had an effect."""
        free = [link for link in links if self._wires[link.name].acquire(blocking=False)]
        try:
            before = sum(map(effect, free))
            self._on_loop(do, free)
            self._stop.wait(for_s)
            if sum(map(effect, free)) > before:
                self.count(kind, ", ".join(link.name for link in free))
            self._on_loop(Link.heal, free)
        finally:
            for link in free:
                self._wires[link.name].release()

    def _on_loop(self, do: Callable[[Link], None], links: Sequence[Link]) -> None:
        async def done() -> None:
            for link in links:
                do(link)

        self.cast.background.run(done())

    def fill_disk(self, for_s: float) -> None:
        """Fill up the disk of the replica that has one of its own."""
        disk = self.cast.disk
        if disk is None or not self._disk.acquire(blocking=False):
            return
        try:
            disk.fill()
            self.count("full_disks", self.cast.disk_owner)
            self._stop.wait(for_s)
        finally:
            disk.relieve()
            self._disk.release()

    def hold_store(self, for_s: float, *, kill: bool) -> None:
        """Let nobody write to the store: stop or kill PostgreSQL, or lock a SQLite file as somebody else."""
        if not self._store.acquire(blocking=False):
            return
        try:
            if self.cast.postgres is None:
                self._lock_file(for_s)
            else:
                self._break_server(self.cast.postgres, for_s, kill=kill)
        finally:
            self._store.release()

    def _break_server(self, postgres: Postgres, for_s: float, *, kill: bool) -> None:
        if kill:
            postgres.kill()
            assert not postgres.running, "PostgreSQL outlived SIGKILL"
        else:
            postgres.pause()
        self.count("store_outages", "PostgreSQL killed" if kill else "PostgreSQL stopped")
        self._stop.wait(for_s)
        if kill:
            self.cast.pool.submit(postgres.start).result()
        else:
            postgres.resume()

    def _lock_file(self, for_s: float) -> None:
        store = sqlite3.connect(self.cast.store_url.removeprefix(SQLITE), timeout=SLOW_S, isolation_level=None)
        try:
            store.execute("BEGIN IMMEDIATE")
            self.count("store_outages", "SQLite locked")
            self._stop.wait(for_s)
            store.execute("ROLLBACK")
        except sqlite3.OperationalError:
            pass  # it is busy all the time: no outage
        finally:
            store.close()

    def impostor(self, name: str, for_s: float) -> None:
        """Let an empty server that belongs to nobody answer at a replica's address; it must stay empty."""
        with self.held([name]) as actors:
            for actor in actors:
                assert isinstance(actor, LiteReplica)
                actor.kill()
                self.count("kills", name)
                home = self.cast.home / f"impostor-{time.monotonic_ns()}"
                other = LiteReplica(f"impostor of {name}", home, actor.lite.port)
                other.revive(self.cast.stop)
                self.count("impostors", name)
                self._stop.wait(for_s)
                other.kill()
                if written := [path.name for path in (home / "collections").iterdir()]:
                    says = f"an empty server at the address of {name} was given {', '.join(written)}"
                    self._recorder.add(Trespass(self._recorder.now_s(), says))
                actor.revive(self.cast.stop)


def stopped_bytes(link: Link) -> int:
    """Count what a partition kept from arriving."""
    return link.counts.bytes_held + link.counts.bytes_dropped + link.counts.connections_lost
