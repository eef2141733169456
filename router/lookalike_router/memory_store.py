"""A store in this process's memory: what the SQL ones are held against, and what simulations run on. Keeps nothing."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lookalike_router.errors import LeaseLost, MapConflict, StaleMap
from lookalike_router.placement import Placement
from lookalike_router.store import (
    Answer,
    Beat,
    Begun,
    Busy,
    Finish,
    Hint,
    HintCount,
    ReplicaPlace,
    RouterLease,
    ShopMap,
    Sync,
    Tombstone,
)

RECHECK_AFTER_S = 15.0
ANSWERS_KEPT_S = 3600.0
TOMBSTONES_KEPT_S = 7 * 86_400.0
ROUTERS_KEPT_S = 3600.0
VERSION_BITS = 16


@dataclass
class _Hold:
    router: str
    version: int
    let_go: bool = False
    taken_at: float = 0.0


@dataclass
class _Hint:
    number: int
    unknown: bool
    recheck: bool
    due_at: float
    at: float


@dataclass
class _Lease:
    until: float
    epoch: int


class MemoryStore:
    """Everything in dicts; each method runs without a pause, so each is one transaction."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        """Take the clock that rules leases."""
        self._now_s = now_s
        self._shop = secrets.token_hex(16)
        self._model: tuple[str, int] | None = None
        self._map: ShopMap | None = None
        self._next: dict[str, int] = {}
        self._leases: dict[str, _Lease] = {}
        self._holds: dict[str, _Hold] = {}
        self._hints: dict[str, dict[str, _Hint]] = {}
        self._dead: dict[str, tuple[int, int, float]] = {}
        self._answers: dict[str, tuple[Answer, float]] = {}
        self._duties: dict[str, tuple[str, float]] = {}
        self._progress: dict[str, str] = {}
        self._version = 0
        self._number = 0

    async def shop(self) -> str:
        return self._shop

    async def claim(self, model: str, dim: int) -> tuple[str, int]:
        self._model = self._model or (model, dim)
        return self._model

    async def load(self) -> ShopMap | None:
        return self._map

    async def found(self, placement: Placement, uris: Mapping[str, Sequence[str]]) -> ShopMap:
        if self._map is None:
            replicas = {
                shard: tuple(ReplicaPlace(f"{shard}/{i}", uri, Sync.IN_SYNC) for i, uri in enumerate(uris[shard], 1))
                for shard in sorted(placement.weights)
            }
            self._next = {shard: len(places) + 1 for shard, places in replicas.items()}
            self._map = ShopMap(placement, replicas)
        return self._map

    def _the_map(self) -> ShopMap:
        if self._map is None:
            raise MapConflict("the shop has no map yet")
        return self._map

    def _changed(
        self, replicas: Mapping[str, tuple[ReplicaPlace, ...]], weights: Mapping[str, float] | None = None
    ) -> ShopMap:
        old = self._the_map()
        placement = replace(old.placement, epoch=old.epoch + 1, weights=weights or old.placement.weights)
        self._map = ShopMap(placement, replicas)
        return self._map

    def _check_uri(self, uri: str) -> None:
        for places in self._the_map().replicas.values():
            for place in places:
                if place.uri == uri:
                    raise MapConflict(f"{uri} is replica {place.name} already")

    async def add_shard(self, name: str, weight: float, uris: Sequence[str]) -> ShopMap:
        found = self._the_map()
        if name in found.replicas:
            raise MapConflict(f"there is a shard {name} already")
        for uri in uris:
            self._check_uri(uri)
        places = tuple(ReplicaPlace(f"{name}/{i}", uri, Sync.IN_SYNC) for i, uri in enumerate(uris, 1))
        self._next[name] = len(places) + 1
        return self._changed({**found.replicas, name: places}, {**found.placement.weights, name: weight})

    async def next_replica(self, shard: str) -> str:
        if shard not in self._the_map().replicas:
            raise MapConflict(f"there is no shard {shard}")
        return f"{shard}/{self._next[shard]}"

    async def add_replica(self, name: str, uri: str) -> ShopMap:
        shard = name.rpartition("/")[0]
        if await self.next_replica(shard) != name:
            raise MapConflict(f"{name} is taken")
        self._check_uri(uri)
        self._next[shard] += 1
        found = self._the_map()
        return self._changed({**found.replicas, shard: (*found.replicas[shard], ReplicaPlace(name, uri, Sync.FILLING))})

    async def remove_replica(self, name: str) -> ShopMap:
        found = self._the_map()
        shard = name.rpartition("/")[0]
        places = found.replicas.get(shard, ())
        if name not in {one.name for one in places}:
            raise MapConflict(f"there is no replica {name}")
        if not any(one.sync is Sync.IN_SYNC and one.name != name for one in places):
            raise MapConflict(f"no other replica of shard {shard} is in sync")
        self._hints.pop(name, None)
        return self._changed({**found.replicas, shard: tuple(one for one in places if one.name != name)})

    def _replaced(self, name: str, **changes: object) -> ShopMap:
        found = self._the_map()
        shard = name.rpartition("/")[0]
        places = tuple(replace(one, **changes) if one.name == name else one for one in found.replicas[shard])  # type: ignore[arg-type]
        return self._changed({**found.replicas, shard: places})

    def _place(self, name: str) -> ReplicaPlace | None:
        places = self._the_map().replicas.get(name.rpartition("/")[0], ())
        return next((one for one in places if one.name == name), None)

    async def move_replica(self, name: str, uri: str) -> ShopMap:
        if self._place(name) is None:
            raise MapConflict(f"there is no replica {name}")
        self._check_uri(uri)
        return self._replaced(name, uri=uri)

    async def mark_in_sync(self, name: str) -> bool:
        place = self._place(name)
        if place is None or any(not hint.recheck for hint in self._hints.get(name, {}).values()):
            return False
        if place.sync is not Sync.IN_SYNC:
            self._replaced(name, sync=Sync.IN_SYNC)
        return True

    async def mark_behind(self, name: str) -> None:
        place = self._place(name)
        if place is not None and place.sync is Sync.IN_SYNC:
            self._replaced(name, sync=Sync.BEHIND)

    async def beat(self, router: str, lease_s: float, epoch: int) -> Beat:
        self._leases[router] = _Lease(self._now_s() + lease_s, epoch)
        return await self.look()

    async def look(self) -> Beat:
        return Beat(self._map.epoch if self._map is not None else 0, self._number)

    async def leave(self, router: str) -> None:
        self._leases.pop(router, None)
        for hold in self._holds.values():
            hold.let_go = hold.let_go or hold.router == router

    def _live(self, router: str) -> bool:
        lease = self._leases.get(router)
        return lease is not None and lease.until > self._now_s()

    async def routers(self) -> list[RouterLease]:
        return [RouterLease(name, self._live(name), lease.epoch) for name, lease in sorted(self._leases.items())]

    async def begin(self, router: str, product_ids: Sequence[str], epoch: int) -> list[Begun | Busy]:
        if not self._live(router):
            raise LeaseLost("the lease of this router has ended")
        if epoch != self._the_map().epoch:
            raise StaleMap("the map has changed")
        return [self._begin(router, product_id) for product_id in product_ids]

    def _begin(self, router: str, product_id: str) -> Begun | Busy:
        held = self._holds.get(product_id)
        if held is not None and not held.let_go and self._live(held.router):
            return Busy(product_id)
        dead = self._dead.get(product_id, (0, 0, 0.0))[0]
        self._version = max(int(self._now_s() * 1000) << VERSION_BITS, self._version + 1, dead + 1)
        self._holds[product_id] = _Hold(router, self._version, taken_at=self._now_s())
        feared = any(product_id in hints and hints[product_id].unknown for hints in self._hints.values())
        return Begun(product_id, self._version, dead, held is not None or feared, held is not None)

    async def finish(self, router: str, finish: Finish) -> int:
        for one in finish.begun:
            held = self._holds.get(one.product_id)
            if held is None or held.router != router or held.version != one.version:
                raise LeaseLost("another router has taken over what this one was writing")
        for one in finish.begun:
            del self._holds[one.product_id]
        for caught in finish.caught_up:
            self._catch_up(caught)
        raised = finish.announce
        for replica, product_id, unknown in finish.hints:
            place = self._place(replica)
            if place is None:
                continue
            self._hint(replica, product_id, unknown, recheck=False)
            if place.sync is Sync.IN_SYNC:
                raised = True
                found = self._the_map()
                places = tuple(
                    replace(each, sync=Sync.BEHIND) if each.name == replica else each
                    for each in found.replicas[place.shard]
                )
                self._map = ShopMap(found.placement, {**found.replicas, place.shard: places})
        for replica, product_id in finish.rechecks:
            known = self._hints.get(replica, {}).get(product_id)
            if self._place(replica) is not None and (known is None or known.recheck):
                self._hint(replica, product_id, True, recheck=True)
            elif known is not None:
                known.unknown = True
        for product_id, version in finish.tombstones.items():
            self._number += 1
            known_dead = self._dead.get(product_id, (0, 0, 0.0))[0]
            self._dead[product_id] = max(version, known_dead), self._number, self._now_s()
        for answer in finish.answers:
            self._answers.setdefault(answer.request_id, (answer, self._now_s()))
        if raised:
            self._changed(self._the_map().replicas)
        return self._the_map().epoch

    def _hint(self, replica: str, product_id: str, unknown: bool, *, recheck: bool) -> None:
        known = self._hints.setdefault(replica, {}).pop(product_id, None)
        self._number_hints = getattr(self, "_number_hints", 0) + 1
        now = self._now_s()
        at = known.at if known is not None and not known.recheck else now
        self._hints[replica][product_id] = _Hint(
            self._number_hints,
            unknown or (known is not None and known.unknown),
            recheck,
            now + RECHECK_AFTER_S if recheck else 0.0,
            at,
        )

    def _catch_up(self, hint: Hint) -> None:
        known = self._hints.get(hint.replica, {}).get(hint.product_id)
        if known is None or known.number != hint.number:
            return
        del self._hints[hint.replica][hint.product_id]
        if not self._hints[hint.replica]:
            del self._hints[hint.replica]
        if known.unknown and not known.recheck:
            self._hint(hint.replica, hint.product_id, True, recheck=True)

    async def let_go(self, router: str, product_ids: Sequence[str]) -> None:
        for product_id in product_ids:
            held = self._holds.get(product_id)
            if held is not None and held.router == router:
                held.let_go = True

    async def orphans(self, limit: int) -> list[str]:
        left = [name for name, held in self._holds.items() if held.let_go or not self._live(held.router)]
        return sorted(left, key=lambda name: self._holds[name].taken_at)[:limit]

    async def hints(self, replica: str, limit: int) -> list[Hint]:
        now = self._now_s()
        due = [(name, hint) for name, hint in self._hints.get(replica, {}).items() if hint.due_at <= now]
        due.sort(key=lambda pair: (pair[1].recheck, pair[1].number))
        return [
            Hint(replica, name, hint.unknown, hint.recheck, now - hint.at, hint.number) for name, hint in due[:limit]
        ]

    async def hint_counts(self) -> Mapping[str, HintCount]:
        now = self._now_s()
        found = {}
        for replica, hints in self._hints.items():
            pending = [hint.at for hint in hints.values() if not hint.recheck]
            if pending:
                found[replica] = HintCount(len(pending), now - min(pending))
        return found

    async def tombstones(self, after: int, age_s: float, limit: int) -> list[Tombstone]:
        since = self._now_s() - age_s
        if after >= self._number:
            return []
        found = [
            Tombstone(number, name, version)
            for name, (version, number, at) in self._dead.items()
            if number > after and at >= since
        ]
        return sorted(found, key=lambda one: one.number)[:limit]

    async def deaths(self, product_ids: Sequence[str]) -> Mapping[str, int]:
        return {name: self._dead[name][0] for name in product_ids if name in self._dead}

    async def answers(self, request_ids: Sequence[str]) -> Mapping[str, Answer]:
        return {name: self._answers[name][0] for name in request_ids if name in self._answers}

    async def record(self, answer: Answer) -> None:
        self._answers.setdefault(answer.request_id, (answer, self._now_s()))

    async def take_duty(self, duty: str, router: str, lease_s: float) -> bool:
        holder, until = self._duties.get(duty, (router, 0.0))
        now = self._now_s()
        if holder != router and until > now:
            return False
        self._duties[duty] = router, now + lease_s
        return True

    async def progress(self, duty: str) -> str:
        return self._progress.get(duty, "")

    async def set_progress(self, duty: str, text: str) -> None:
        self._progress[duty] = text

    async def prune(self) -> None:
        now = self._now_s()
        self._answers = {k: v for k, v in self._answers.items() if v[1] >= now - ANSWERS_KEPT_S}
        self._leases = {k: v for k, v in self._leases.items() if v.until >= now - ROUTERS_KEPT_S}

    async def close(self) -> None:
        """Keep everything: memory is this store's disk."""
