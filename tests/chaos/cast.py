"""Brings the whole shop on stage: replicas, routers, their store, and what stands between them. Breaks nothing.

Routers reach replicas through an exchange each, and callers reach routers through a proxy each.
"""

import shutil
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from lookalike import Client, RetryPolicy
from tests.chaos.actors import LACKING, WHOLE, LiteReplica, Replica, RouterProcess, StandaloneReplica
from tests.chaos.background import Background
from tests.chaos.disk import SmallDisk
from tests.chaos.grpc_proxy import GrpcProxy, Odds
from tests.chaos.halting import program
from tests.chaos.tcp_proxy import Exchange, Link
from tests.e2e.cluster import write_models
from tests.parts.milvus import free_ports
from tests.parts.postgres import Postgres

# Faults that are at work, and processes that start, at the same time.
THREADS = 24
# Room for a few dozen products and what Milvus Lite writes around them, and quickly filled.
DISK_MIB = 64


@dataclass(frozen=True)
class Plan:
    """Who is in the play."""

    shards: int = 2
    replicas: int = 2
    """Of each shard."""
    spares: int = 0
    """Shards more that run, and are not in the map."""
    routers: int = 2
    postgres: bool = False
    """Whether the store is a PostgreSQL of their own; else it is a SQLite file."""
    standalone: bool = False
    """Whether the first shard's first replica is a Milvus standalone."""
    small_disk: bool = False
    """Whether the last shard's last replica has a disk of its own that can be filled; needs root."""
    without: str = ""
    """A safeguard that the routers lack."""
    halting: bool = False
    """Whether routers can be halted at the steps of a move; see halting.py."""
    hasty: bool = False
    """Whether halting routers also give up calls sooner, and so wait less for late ones."""


class Cast:
    """Every process of a shop, over one folder; a context."""

    def __init__(self, home: Path, background: Background, plan: Plan, odds: Odds, seed: int) -> None:
        """Take a folder, and how likely it is that a call between callers and routers suffers."""
        self.home = home
        self.plan = plan
        self.background = background
        self.store_url = f"sqlite:///{home / 'store.db'}"
        self.postgres: Postgres | None = None
        shards = [chr(97 + number) for number in range(plan.shards + plan.spares)]
        names = [f"{shard}{number}" for shard in shards for number in range(1, plan.replicas + 1)]
        self.spares = shards[plan.shards :]
        self.disk = SmallDisk(home / names[-1], DISK_MIB) if plan.small_disk else None
        self.disk_owner = names[-1] if self.disk else ""
        ports = free_ports(len(names) + plan.routers)
        self.replicas: dict[str, Replica] = {name: self._replica(name, ports.pop()) for name in names}
        self.exchanges = {f"router {n}": Exchange(f"router {n}") for n in range(1, plan.routers + 1)}
        self.routers: dict[str, RouterProcess] = {}
        self._ports = dict(zip(self.exchanges, ports, strict=True))
        self.fronts = {
            name: GrpcProxy(f"127.0.0.1:{port}", odds, seed + number)
            for number, (name, port) in enumerate(self._ports.items())
        }
        # Processes are started on these threads, and die with the thread that started them: they outlast the cast.
        self.pool = ThreadPoolExecutor(THREADS, "cast")
        self.stop = threading.Event()
        self._opened = ExitStack()

    def _replica(self, name: str, port: int) -> Replica:
        if self.plan.standalone and name == "a1":
            return StandaloneReplica(name, self.home / name)
        return LiteReplica(name, self.home / name, port)

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            if self.disk:
                self.disk.mount()
                opened.callback(self.disk.unmount)
            opened.callback(self.pool.shutdown)
            if self.plan.postgres:
                self.postgres = Postgres()
                opened.callback(self.postgres.remove)
                self.pool.submit(self.postgres.start).result()
                self.store_url = self.postgres.url.replace("postgresql:", "postgresql+psycopg:")
            for exchange in self.exchanges.values():
                self.background.run(exchange.start())
                opened.callback(self.background.run, exchange.close())
            for front in self.fronts.values():
                self.background.run(front.start())
                opened.callback(self.background.run, front.close())
            opened.callback(self._bury)
            list(self.pool.map(lambda replica: replica.revive(self.stop), self.replicas.values()))
            self._start_routers()
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop.set()
        self._opened.close()

    def _bury(self) -> None:
        for router in self.routers.values():
            router.bury()
        for replica in self.replicas.values():
            replica.bury()

    def _start_routers(self) -> None:
        """Start the routers; the first one founds the shop, and later starts find everything in the store."""
        write_models(self.home)
        models = ("--detector", str(self.home / "detector.zip"), "--embedder", str(self.home / "embedder.zip"))
        flags = ("--store", self.store_url, "--drain-s", "5", *models)
        founders = {shard: uris for shard, uris in self.addresses().items() if shard not in self.spares}
        shards = ",".join(f"{shard}={'|'.join(uris)}" for shard, uris in founders.items())
        for name, exchange in self.exchanges.items():
            log = self.home / f"{name.replace(' ', '-')}.log"
            env = {"grpc_proxy": exchange.uri}
            self.routers[name] = RouterProcess(name, self._ports[name], flags, env, log, self._program(name))
        founder, *others = self.routers.values()
        founder.first_flags = ("--shards", shards)
        for routers in ([founder], others):
            list(self.pool.map(lambda router: router.revive(self.stop), routers))

    def _program(self, router: str) -> Sequence[str]:
        if self.plan.halting:
            return program(self.home, router, without=self.plan.without, hasty=self.plan.hasty)
        return ("-c", LACKING, self.plan.without) if self.plan.without else WHOLE

    def addresses(self) -> Mapping[str, list[str]]:
        """Return the addresses of each shard's replicas, spare ones included."""
        found: dict[str, list[str]] = {}
        for name, replica in self.replicas.items():
            found.setdefault(name[0], []).append(replica.uri)
        return found

    def link(self, router: str, replica: str) -> Link:
        """Return the way from a router to a replica."""
        return self.exchanges[router].link(self.replicas[replica].address)

    def links(self) -> list[Link]:
        """Return every way from a router to a replica."""
        return [self.link(router, replica) for router in self.routers for replica in self.replicas]

    def client(self, router: str, retry: RetryPolicy | None = None) -> Client:
        """Return a client that calls a router through its proxy, where requests are doubled and replies lost."""
        return Client(f"127.0.0.1:{self.fronts[router].port}", retry=retry)

    def operator(self, router: str) -> Client:
        """Return a client that calls a router as it is."""
        return Client(self.routers[router].address)

    def wipe(self, replica: str) -> None:
        """Delete the data of a replica that is down."""
        actor = self.replicas[replica]
        assert isinstance(actor, LiteReplica)
        for path in actor.data_dir.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        assert not any(actor.data_dir.iterdir())
