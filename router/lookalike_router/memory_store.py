"""Keeps what routers share in this process's memory: for simulations, and the truth that SQL is held against."""

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from lookalike_router.errors import LeaseLost, MapConflict, StaleMap
from lookalike_router.memory_jobs import MemoryJobs
from lookalike_router.placement import Placement
from lookalike_router.store import (
    ANSWERS_KEPT_S,
    RECHECK_AFTER_S,
    REPLACED_KEPT_S,
    ROUTERS_KEPT_S,
    TOMBSTONES_KEPT_S,
    UNFINISHED_MAX,
    VERSION_BITS,
    Answer,
    Beat,
    Begun,
    Busy,
    Finish,
    Hint,
    HintCount,
    News,
    ReplicaPlace,
    RouterLease,
    ShopMap,
    Sync,
    Tombstone,
    Unfinished,
    keep_one_in_sync,
)


@dataclass
class _Hold:
    router: str
    version: int
    unfinished: tuple[Unfinished, ...] = ()
    let_go: bool = False


@dataclass(frozen=True)
class _Hint:
    number: int
    unknown: bool
    recheck: bool
    since_s: float
    due_s: float


@dataclass(frozen=True)
class _Lease:
    ends_s: float
    epoch: int
    seen: int


@dataclass(frozen=True)
class _Death:
    number: int
    version: int
    replaced: bool
    at_s: float


class MemoryStore(MemoryJobs):
    """Everything in dicts. No method waits, so each is one transaction."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        """Take the clock that rules leases and stamps versions."""
        super().__init__()
        self._now_s = now_s
        self._shop = ""
        self._model: tuple[str, int] | None = None
        self._map: ShopMap | None = None
        self._next: dict[str, int] = {}  # by shard, the number of its next replica
        self._leases: dict[str, _Lease] = {}
        self._holds: dict[str, _Hold] = {}
        self._hints: dict[str, dict[str, _Hint]] = {}  # by replica, by product
        self._dead: dict[str, _Death] = {}
        self._answers: dict[str, tuple[Answer, float]] = {}
        self._duties: dict[str, tuple[str, float]] = {}
        self._progress: dict[str, str] = {}
        self._version = 0
        self._tombstone = 0
        self._hint = 0

    async def shop(self) -> str:
        """Return the shop's identity; the first call makes it."""
        self._shop = self._shop or secrets.token_hex(16)
        return self._shop

    async def claim(self, model: str, dim: int) -> tuple[str, int]:
        """Write which model makes the vectors unless that is known; return the one that stands."""
        self._model = self._model or (model, dim)
        return self._model

    async def load(self) -> ShopMap | None:
        """Return the map; None before the first."""
        return self._map

    async def found(self, placement: Placement, uris: Mapping[str, Sequence[str]]) -> ShopMap:
        """Write the first map with each shard's endpoints, in sync; if there is one already, return that."""
        if self._map is None:
            if len({uri for given in uris.values() for uri in given}) < sum(map(len, uris.values())):
                raise MapConflict("one address was given for two replicas")
            self._map = ShopMap(placement, {name: self._places(name, uris[name]) for name in placement.weights})
            self._mapped = placement.epoch
        return self._map

    async def add_shard(self, name: str, weight: float, uris: Sequence[str]) -> ShopMap:
        """Add a shard that owns no slots; see Store.add_shard."""
        known = self._known()
        if name in known.replicas:
            raise MapConflict(f"there is a shard {name} already; give the new one another name")
        for uri in uris:
            self._check_free(uri)
        if not uris or len(set(uris)) < len(uris):
            raise MapConflict(f"give shard {name} at least one address, and none twice")
        self._map = replace(
            known, placement=replace(known.placement, weights={**known.placement.weights, name: weight})
        )
        return self._change(name, self._places(name, uris))

    async def next_replica(self, shard: str) -> str:
        """Return the name that the shard's next replica will have; raise MapConflict if there is no such shard."""
        if shard not in self._next:
            raise MapConflict(f"there is no shard {shard}")
        return f"{shard}/{self._next[shard]}"

    async def add_replica(self, name: str, uri: str) -> ShopMap:
        """Add an endpoint to a shard, FILLING; see Store.add_replica."""
        shard, _, number = name.rpartition("/")
        if shard not in self._next:
            raise MapConflict(f"there is no shard {shard}")
        if number != str(self._next[shard]):
            raise MapConflict(f"the name {name} is taken; ask for the next one again")
        self._check_free(uri)
        self._next[shard] += 1
        return self._change(shard, (*self._known().replicas[shard], ReplicaPlace(name, uri, Sync.FILLING)))

    async def remove_replica(self, name: str) -> ShopMap:
        """Take an endpoint out, with its hints; see Store.remove_replica."""
        place = self._named(name)
        left = tuple(one for one in self._known().replicas[place.shard] if one is not place)
        if not any(one.sync is Sync.IN_SYNC for one in left):
            raise MapConflict(f"without {name}, shard {place.shard} would have no replica in sync")
        self._hints.pop(name, None)
        return self._change(place.shard, left)

    async def move_replica(self, name: str, uri: str) -> ShopMap:
        """Write an endpoint's new address; raise MapConflict if another has it."""
        place = self._named(name)
        if place.uri == uri:
            return self._known()
        self._check_free(uri)
        return self._put(replace(place, uri=uri))

    async def mark_in_sync(self, name: str) -> bool:
        """Say that a replica has everything, unless hints say otherwise; return whether it is in sync now."""
        place = self._place(name)
        if place is None or any(not hint.recheck for hint in self._hints.get(name, {}).values()):
            return False
        if place.sync is not Sync.IN_SYNC:
            self._put(replace(place, sync=Sync.IN_SYNC))
        return True

    async def beat(self, router: str, lease_s: float, epoch: int, seen: int | None = None) -> Beat:
        """Renew a router's lease and say which map it works with, and which it has; the first makes it known."""
        self._leases[router] = _Lease(self._now_s() + lease_s, epoch, epoch if seen is None else seen)
        return await self.look()

    async def look(self) -> Beat:
        """Return what a beat would; see Store.look."""
        return Beat(self._epoch, self._tombstone, self._moving())

    async def leave(self, router: str) -> None:
        """Take a router out; what it still holds is left for others."""
        self._leases.pop(router, None)
        self._duties = {duty: taken for duty, taken in self._duties.items() if taken[0] != router}
        for hold in self._holds.values():
            if hold.router == router:
                hold.let_go = True

    async def routers(self) -> list[RouterLease]:
        """Return every router that has not left."""
        leases = sorted(self._leases.items())
        return [RouterLease(name, self._live(name), lease.epoch, lease.seen) for name, lease in leases]

    async def begin(
        self, router: str, product_ids: Sequence[str], epoch: int, answers: Mapping[str, Answer] | None = None
    ) -> list[Begun | Busy]:
        """Take hold of products, in order; see Store.begin."""
        if not self._live(router):
            raise LeaseLost("this router's lease has ended; send the write again")
        if not 0 < self._mapped <= epoch <= self._epoch:
            raise StaleMap(f"the map has epoch {self._epoch}, not {epoch}")
        return [self._begin(router, product_id, (answers or {}).get(product_id)) for product_id in product_ids]

    async def finish(self, router: str, finish: Finish) -> int:
        """Write what a batch left and let go of its products; see Store.finish."""
        for one in finish.begun:
            hold = self._holds.get(one.product_id)
            if hold is None or hold.let_go or hold.router != router or hold.version != one.version:
                raise LeaseLost(f"another router has taken over product {one.product_id}; send the write again")
        keep_one_in_sync(
            {one.name: one.sync for one in self._places_known()}, {replica for replica, _, _ in finish.hints}
        )
        for one in finish.begun:
            del self._holds[one.product_id]
        self._leave_hints(finish)
        now_s = self._now_s()
        for product_id, version in {**finish.replaced, **finish.tombstones}.items():
            self._tombstone += 1
            known = self._dead.get(product_id)
            newest = max(version, known.version) if known is not None else version
            self._dead[product_id] = _Death(self._tombstone, newest, product_id not in finish.tombstones, now_s)
        for answer in finish.answers:
            self._answers.setdefault(answer.request_id, (answer, now_s))
        return self._epoch

    async def let_go(self, router: str, product_ids: Sequence[str]) -> None:
        """Let go of those of these products that the router holds."""
        for product_id in product_ids:
            hold = self._holds.get(product_id)
            if hold is not None and hold.router == router:
                hold.let_go = True

    async def unsettled(self, product_ids: Sequence[str]) -> set[str]:
        """Return those of these products that somebody holds or let go, or that are suspect."""
        feared = {one for of in self._hints.values() for one, hint in of.items() if hint.unknown}
        return {one for one in product_ids if one in self._holds or one in feared}

    async def orphans(self, limit: int) -> list[str]:
        """Return products that were let go, or that dead routers hold, the oldest first."""
        left = [(hold.version, one) for one, hold in self._holds.items() if hold.let_go or not self._live(hold.router)]
        return [product_id for _, product_id in sorted(left)[:limit]]

    async def hints(self, replica: str, limit: int) -> list[Hint]:
        """Return hints of a replica that are due, the oldest first; rechecks after all others."""
        now_s = self._now_s()
        due = [(name, one) for name, one in self._hints.get(replica, {}).items() if one.due_s <= now_s]
        due.sort(key=lambda pair: (pair[1].recheck, pair[1].number))
        return [
            Hint(replica, name, one.unknown, one.recheck, now_s - one.since_s, one.number) for name, one in due[:limit]
        ]

    async def hint_counts(self) -> Mapping[str, HintCount]:
        """Return how far each replica is behind; those with no hints are left out."""
        now_s = self._now_s()
        since = {name: [one.since_s for one in of.values() if not one.recheck] for name, of in self._hints.items()}
        return {name: HintCount(len(pending), now_s - min(pending)) for name, pending in since.items() if pending}

    async def tombstones(self, after: int, age_s: float, limit: int) -> list[Tombstone]:
        """Return tombstones with a number above `after` and not older than `age_s`, in order."""
        if after >= self._tombstone:
            return []
        now_s = self._now_s()
        found = [
            Tombstone(one.number, product_id, one.version, now_s - one.at_s)
            for product_id, one in self._dead.items()
            if one.number > after and one.at_s >= now_s - age_s
        ]
        return sorted(found, key=lambda one: one.number)[:limit]

    async def news(self, epoch: int, after: int, age_s: float, limit: int) -> News:
        """Return the map if it is newer than `epoch`, and the tombstones after a number."""
        found = await self.tombstones(after, age_s, limit)
        return News(self._map if self._epoch > epoch else None, found)

    async def deaths(self, product_ids: Sequence[str]) -> Mapping[str, int]:
        """Return for each of these products that has a tombstone up to which version its rows are dead."""
        return {one: self._dead[one].version for one in product_ids if one in self._dead}

    async def answers(self, request_ids: Sequence[str]) -> Mapping[str, Answer]:
        """Return the first answers to these requests, as far as there are any (still)."""
        return {one: self._answers[one][0] for one in request_ids if one in self._answers}

    async def record(self, answer: Answer) -> None:
        """Keep the first answer to a request that wrote nothing."""
        self._answers.setdefault(answer.request_id, (answer, self._now_s()))

    async def take_duty(self, duty: str, router: str, lease_s: float) -> bool:
        """Say whether this router alone does a background duty for the next `lease_s`."""
        now_s = self._now_s()
        holder, ends_s = self._duties.get(duty, (router, now_s))
        if holder != router and ends_s > now_s:
            return False
        self._duties[duty] = router, now_s + lease_s
        return True

    async def progress(self, duty: str) -> str:
        """Return how far a duty has come, as it was written; empty before the first."""
        return self._progress.get(duty, "")

    async def set_progress(self, duty: str, text: str) -> None:
        """Write how far a duty has come."""
        self._progress[duty] = text

    async def prune(self) -> None:
        """Forget what no one can need any more; see Store.prune."""
        now_s = self._now_s()
        self._answers = {one: kept for one, kept in self._answers.items() if kept[1] >= now_s - ANSWERS_KEPT_S}
        self._leases = {one: kept for one, kept in self._leases.items() if kept.ends_s >= now_s - ROUTERS_KEPT_S}
        forgotten_s = now_s - REPLACED_KEPT_S
        self._dead = {one: kept for one, kept in self._dead.items() if not kept.replaced or kept.at_s >= forgotten_s}
        in_sync = all(place.sync is Sync.IN_SYNC for place in self._places_known())
        if not self._moving() and not self._holds and not any(self._hints.values()) and in_sync:
            self._dead = {one: kept for one, kept in self._dead.items() if kept.at_s >= now_s - TOMBSTONES_KEPT_S}

    async def close(self) -> None:
        """Keep everything: memory is this store's disk."""

    @property
    def _epoch(self) -> int:
        return self._map.epoch if self._map is not None else 0

    def _held_products(self) -> Collection[str]:
        return self._holds

    def _known(self) -> ShopMap:
        if self._map is None:
            raise MapConflict("the shop has no map yet")
        return self._map

    def _place(self, name: str) -> ReplicaPlace | None:
        places = self._known().replicas.get(name.rpartition("/")[0], ())
        return next((one for one in places if one.name == name), None)

    def _named(self, name: str) -> ReplicaPlace:
        place = self._place(name)
        if place is None:
            raise MapConflict(f"there is no replica {name}")
        return place

    def _places(self, shard: str, uris: Sequence[str]) -> tuple[ReplicaPlace, ...]:
        self._next[shard] = len(uris) + 1
        return tuple(ReplicaPlace(f"{shard}/{i}", uri, Sync.IN_SYNC) for i, uri in enumerate(uris, 1))

    def _check_free(self, uri: str) -> None:
        for place in self._places_known():
            if place.uri == uri:
                raise MapConflict(f"{uri} is replica {place.name} already; give another address")

    def _places_known(self) -> list[ReplicaPlace]:
        return [place for places in self._known().replicas.values() for place in places] if self._map else []

    def _put(self, place: ReplicaPlace) -> ShopMap:
        places = self._known().replicas[place.shard]
        return self._change(place.shard, tuple(place if one.name == place.name else one for one in places))

    def _change(self, shard: str, places: tuple[ReplicaPlace, ...]) -> ShopMap:
        self._changed(replace(self._known(), replicas={**self._known().replicas, shard: places}))
        return self._known()

    def _live(self, router: str) -> bool:
        lease = self._leases.get(router)
        return lease is not None and lease.ends_s > self._now_s()

    def _begin(self, router: str, product_id: str, answer: Answer | None) -> Begun | Busy:
        hold = self._holds.get(product_id)
        if self._paused(product_id) or (hold is not None and not hold.let_go and self._live(hold.router)):
            return Busy(product_id)
        death = self._dead.get(product_id)
        deleted = death.version if death is not None else 0
        self._version = max(int(self._now_s() * 1000) << VERSION_BITS, self._version + 1, deleted + 1)
        left = hold.unfinished if hold is not None else ()
        mine = (Unfinished(self._version, answer),) if answer is not None else ()
        self._holds[product_id] = _Hold(router, self._version, (*left, *mine)[-UNFINISHED_MAX:])
        feared = any(product_id in of and of[product_id].unknown for of in self._hints.values())
        return Begun(product_id, self._version, deleted, hold is not None or feared, hold is not None, left)

    def _leave_hints(self, finish: Finish) -> None:
        """Write a batch's hints and rechecks; one new epoch at most, whatever it changes."""
        before = self._known()
        for replica, product_id, unknown in finish.hints:
            place = self._place(replica)
            if place is None:
                continue  # it was removed meanwhile
            self._write_hint(replica, product_id, unknown)
            if place.sync is Sync.IN_SYNC:
                self._put(replace(place, sync=Sync.BEHIND))
        for hint in finish.caught_up:
            known = self._hints.get(hint.replica, {}).get(hint.product_id)
            if known is None or known.number != hint.number:
                continue  # another write was missed meanwhile
            del self._hints[hint.replica][hint.product_id]
            if known.unknown and not known.recheck:
                self._write_recheck(hint.replica, hint.product_id)
        for replica, product_id in finish.rechecks:
            self._write_recheck(replica, product_id)
        changed = self._map is not before
        if finish.announce or changed:
            placement = replace(before.placement, epoch=before.epoch + 1)
            self._map = replace(self._known(), placement=placement)
            self._mapped = placement.epoch if changed else self._mapped

    def _write_hint(self, replica: str, product_id: str, unknown: bool) -> None:
        of = self._hints.setdefault(replica, {})
        known = of.get(product_id)
        now_s = self._now_s()
        since_s = known.since_s if known is not None and not known.recheck else now_s
        self._hint += 1
        of[product_id] = _Hint(self._hint, unknown or (known is not None and known.unknown), False, since_s, now_s)

    def _write_recheck(self, replica: str, product_id: str) -> None:
        """Have a product looked at once more; one whose hint is pending will be, as its write is unknown now."""
        if self._place(replica) is None:
            return
        of = self._hints.setdefault(replica, {})
        known = of.get(product_id)
        if known is not None and not known.recheck:
            of[product_id] = replace(known, unknown=True)
            return
        now_s = self._now_s()
        self._hint += 1
        of[product_id] = _Hint(self._hint, True, True, now_s, now_s + RECHECK_AFTER_S)
